// What a person says: one message of a conversation at a time to the gateway, with the same key until it has answered for it. While an
// answer is written the gateway keeps what comes, in the conversation's queue mode.
import { backoff } from "../../web/backoff";
import { string, text } from "../../web/json";
import type { JsonObject } from "../../web/json";
import { uuid } from "../../web/random";
import { Refused } from "../protocol/link";
import { accept, lastSaid, mark, post, taken, withdraw } from "./conversation";
import type { Attachment, Outgoing } from "./conversation";
import type { Message } from "./history";
import { mediaOf, textOf } from "./parts";
import { loadHistory, loadSessions } from "./reading";
import { titleOf } from "./sessions";
import { announcement, change, connection, conversation, current, currentKey, link, mainKey, phase, tell } from "./state";

/** Times that a message is sent again by itself after a "not now"; then it is the person's turn. */
const MOST_TRIES = 8;

export function send(said: string, files: Attachment[] = []): void {
  const key = currentKey.value;
  const plain = said.trim();
  if ((plain === "" && files.length === 0) || key === "") return;
  change(key, (now) => post(now, uuid(), plain, files, Date.now()));
  void pump(key);
}

export function sendAgain(id: string): void {
  tries.delete(id);
  change(currentKey.value, (now) => mark(now, id, "waiting"));
  void pump(currentKey.value);
}

/** What has not begun yet is taken back, at the gateway too when it has it. */
export async function discard(item: Outgoing): Promise<void> {
  const key = currentKey.value;
  if (item.state === "queued") {
    const ask = { sessionKey: key, runId: item.id };
    if (!(await tell(() => connection.request("chat.abort", ask), "It could not be taken back"))) return;
  }
  change(key, (now) => withdraw(now, item.id));
}

/** Puts aside a message and all after it, where the gateway can; then says it again, changed or not. */
export async function resend(message: Message, said: string): Promise<void> {
  const key = currentKey.value;
  const files = mediaOf(message.parts).flatMap((media): Attachment[] => {
    const { id, mimeType, fileName, bytes } = media;
    return id === "" ? [] : [{ mediaId: id, mimeType, fileName, bytes: bytes ?? 0 }];
  });
  if (message.id !== undefined && connection.serves("chat.rewind")) {
    const ask = { sessionKey: key, messageId: message.id };
    if (!(await tell(() => connection.request("chat.rewind", ask), "It could not be said again"))) return;
    await loadHistory(key);
  }
  send(said, files);
}

/** The last question once more. */
export function retry(): void {
  const message = lastSaid(current.value);
  if (message !== undefined) void resend(message, textOf(message.parts));
}

/** An interrupted answer goes on. */
export async function goOn(): Promise<void> {
  const key = currentKey.value;
  const ask = { sessionKey: key, idempotencyKey: uuid() };
  await tell(async () => {
    const answer = await connection.request("chat.continue", ask, "wake");
    const id = text(answer["runId"]) ?? ask.idempotencyKey;
    change(key, (now) => (now.run === undefined ? { ...now, run: { id, parts: [] } } : now));
  }, "It could not go on");
}

export async function stop(): Promise<void> {
  const key = currentKey.value;
  const run = conversation(key).value.run;
  if (run === undefined || run.stopping === true) return;
  change(key, (now) => (now.run === undefined ? now : { ...now, run: { ...now.run, stopping: true } }));
  const isDone = await tell(() => connection.request("chat.abort", { sessionKey: key, runId: run.id }), "It could not be stopped");
  if (!isDone) {
    change(key, (now) => {
      if (now.run === undefined) return now;
      const { stopping: _, ...rest } = now.run;
      return { ...now, run: rest };
    });
  }
}

function paramsOf(key: string, item: Outgoing): JsonObject {
  const attachments = item.files.map((file) =>
    file.content === undefined
      ? { mediaId: file.mediaId }
      : { type: file.mimeType.startsWith("image/") ? "image" : "file", mimeType: file.mimeType, fileName: file.fileName, content: file.content },
  );
  return { sessionKey: key, message: item.text, idempotencyKey: item.id, ...(attachments.length === 0 ? {} : { attachments }) };
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
      if (next === undefined || link.value.state !== "open") return;
      change(key, (before) => mark(before, next.id, "sending"));
      const isFirst = now.messages.length === 0;
      try {
        const answer = await connection.request("chat.send", paramsOf(key, next), "wake");
        tries.delete(next.id);
        onAnswer(key, next, answer, isFirst);
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

function onAnswer(key: string, item: Outgoing, answer: JsonObject, isFirst: boolean): void {
  const status = string(answer["status"]);
  // A stop word: it ended the answer and is no message itself.
  if (answer["aborted"] !== undefined) change(key, (now) => withdraw(now, item.id));
  else if (status === "ok") change(key, (now) => accept(now, item.id, true));
  else change(key, (now) => taken(now, item.id));
  // Known from before: what it led to is in the history.
  if (status === "ok" || status === "in_flight") void loadHistory(key);
  else void afterFirst(key, item.text, isFirst);
}

async function afterFirst(key: string, said: string, isFirst: boolean): Promise<void> {
  if (isFirst && key !== mainKey() && said !== "" && connection.serves("sessions.patch")) {
    // A second chat of the same first words is refused as a label; then it stays untitled.
    await connection.request("sessions.patch", { key, label: titleOf(said) }).catch(() => undefined);
  }
  await loadSessions();
}
