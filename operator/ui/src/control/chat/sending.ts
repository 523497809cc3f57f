// What a person says: one message of a conversation at a time, with the same key until the gateway has answered for it.
import { backoff } from "../../web/backoff";
import { string } from "../../web/json";
import { uuid } from "../../web/random";
import { Refused } from "../protocol/connection";
import { accept, lastSaid, mark, post, withdraw } from "./conversation";
import { loadHistory, loadSessions } from "./reading";
import { titleOf } from "./sessions";
import { announcement, change, connection, conversation, current, currentKey, link, mainKey, phase, tell } from "./state";

/** Times that a message is sent again by itself after a "not now"; then it is the person's turn. */
const MOST_TRIES = 8;

export function send(said: string): void {
  const key = currentKey.value;
  const plain = said.trim();
  if (plain === "" || key === "") return;
  change(key, (now) => post(now, uuid(), plain, Date.now()));
  void pump(key);
}

export function sendAgain(id: string): void {
  tries.delete(id);
  change(currentKey.value, (now) => mark(now, id, "waiting"));
  void pump(currentKey.value);
}

export function discard(id: string): void {
  change(currentKey.value, (now) => withdraw(now, id));
}

/** The last question once more, after its turn failed. */
export function retry(): void {
  const said = lastSaid(current.value);
  if (said !== undefined) send(said);
}

export async function stop(): Promise<void> {
  const key = currentKey.value;
  const run = conversation(key).value.run;
  if (run === undefined) return;
  change(key, (now) => (now.run === undefined ? now : { ...now, run: { ...now.run, stopping: true } }));
  await tell(() => connection.request("chat.abort", { sessionKey: key, runId: run.id }), "It could not be stopped");
}

const tries = new Map<string, number>();
const pumping = new Set<string>();

export async function pump(key: string): Promise<void> {
  if (pumping.has(key)) return;
  pumping.add(key);
  try {
    for (;;) {
      const now = conversation(key).value;
      const next = now.outgoing.find((item) => item.state === "waiting");
      if (next === undefined || now.run !== undefined || link.value.state !== "open") return;
      change(key, (before) => mark(before, next.id, "sending"));
      const isFirst = now.messages.length === 0;
      try {
        const answer = await connection.request(
          "chat.send",
          { sessionKey: key, message: next.text, idempotencyKey: next.id },
          "wake",
        );
        const status = string(answer["status"]);
        tries.delete(next.id);
        const fresh = status === undefined || status === "started";
        change(key, (before) => accept(before, next.id, !fresh && status !== "in_flight"));
        // Known from before: what it led to is in the history.
        if (!fresh) void loadHistory(key);
        else void afterFirst(key, next.text, isFirst);
      } catch (error) {
        if (!(error instanceof Refused)) {
          // Lost on the way: it goes again, with the same key, as soon as there is a connection.
          change(key, (before) => mark(before, next.id, "waiting"));
          return;
        }
        const count = (tries.get(next.id) ?? 0) + 1;
        tries.set(next.id, count);
        const hopeless = phase.value?.name === "Failed" || phase.value?.name === "Suspended" || count >= MOST_TRIES;
        if (!error.error.retryable || hopeless) {
          change(key, (before) => mark(before, next.id, "failed", error.message));
          announcement.value = `Not sent: ${error.message}`;
          continue;
        }
        change(key, (before) => mark(before, next.id, "waiting"));
        window.setTimeout(() => void pump(key), error.error.retryAfterMs ?? backoff(count));
        return;
      }
    }
  } finally {
    pumping.delete(key);
  }
}

async function afterFirst(key: string, said: string, isFirst: boolean): Promise<void> {
  if (isFirst && key !== mainKey() && connection.serves("sessions.patch")) {
    // A second chat of the same first words is refused as a label; then it stays untitled.
    await connection.request("sessions.patch", { key, label: titleOf(said) }).catch(() => undefined);
  }
  await loadSessions();
}
