// What the gateway knows: conversations, their list, who answers.
import { object, string, text } from "../../web/json";
import { Refused } from "../protocol/link";
import { withHistory, withOlder } from "./conversation";
import { loadOffers } from "./offers";
import { readSessions } from "./sessions";
import { assistant, capitalised, change, connection, conversation, currentKey, link, mainKey, model, phase, sessions } from "./state";

/** Messages of one page of the history. */
const HISTORY = 200;
/** A gateway tells of one change in several events: read the history once for all of them. */
const SETTLE_MS = 250;

export async function loadHistory(key: string): Promise<void> {
  if (key === "" || link.value.state !== "open") return;
  try {
    const payload = await connection.request("chat.history", { sessionKey: key, limit: HISTORY });
    // Asleep: what is shown stays, and the real one comes with the wake.
    if (payload["asleep"] === true) change(key, (now) => (now.loaded ? now : { ...now, loaded: true }));
    else change(key, (now) => withHistory(now, payload));
  } catch (error) {
    if (error instanceof Refused && !error.error.retryable) change(key, (now) => ({ ...now, problem: error.message }));
  }
}

const paging = new Set<string>();
/** The page before what is shown. */
export async function loadOlder(key: string): Promise<void> {
  const now = conversation(key).value;
  if (now.older === undefined || paging.has(key) || link.value.state !== "open") return;
  paging.add(key);
  try {
    const payload = await connection.request("chat.history", { sessionKey: key, limit: HISTORY, cursor: now.older });
    if (payload["asleep"] !== true) change(key, (before) => withOlder(before, payload));
  } catch {
    // The connection is told of elsewhere; it is asked for again with the next scroll.
  } finally {
    paging.delete(key);
  }
}

export async function loadSessions(): Promise<void> {
  if (!connection.serves("sessions.list")) return;
  const payload = await connection.request("sessions.list", { includeDerivedTitles: true }).catch(() => undefined);
  if (payload !== undefined && payload["asleep"] !== true) sessions.value = readSessions(payload, mainKey());
}

export async function loadAbout(): Promise<void> {
  void loadOffers();
  if (connection.serves("agents.list")) {
    const payload = await connection.request("agents.list", {}).catch(() => undefined);
    const agents = Array.isArray(payload?.["agents"]) ? payload["agents"] : [];
    const own = agents.map(object).find((agent) => agent["id"] === payload?.["defaultId"]) ?? object(agents[0]);
    model.value = text(object(own["model"])["primary"]) ?? text(own["model"]) ?? model.value;
  }
  if (connection.serves("agent.identity.get")) {
    const payload = await connection.request("agent.identity.get", {}).catch(() => undefined);
    const said = text(payload?.["name"]);
    if (said !== undefined) assistant.value = capitalised(said);
  }
}

/** After a new connection or a wake: a turn that was going on is asked for with its own key, which never starts it twice. */
export async function settleRun(key: string): Promise<void> {
  const run = conversation(key).value.run;
  if (run === undefined) return;
  if (run.sent !== undefined && phase.value?.name !== "Asleep") {
    const ask = { sessionKey: key, message: run.sent, idempotencyKey: run.id };
    const answer = await connection.request("chat.send", ask, "wake").catch(() => undefined);
    const status = string(answer?.["status"]);
    if (status === "started" || status === "in_flight") return;
  }
  change(key, (now) => (now.run?.id === run.id ? { ...now, run: undefined } : now));
  await loadHistory(key);
}

let subscribed = "";
export async function subscribe(key: string): Promise<void> {
  if (!connection.serves("sessions.messages.subscribe")) return;
  if (subscribed !== "" && subscribed !== key && connection.serves("sessions.messages.unsubscribe")) {
    await connection.request("sessions.messages.unsubscribe", { key: subscribed }).catch(() => undefined);
  }
  subscribed = key;
  await connection.request("sessions.messages.subscribe", { key }).catch(() => undefined);
}

let settling: number | undefined;
let isHistoryStale = false;
/** Something changed that was not from here: the list, and the history where `history` says so, are read again once it has settled. */
export function reloadSoon(history: boolean): void {
  isHistoryStale ||= history;
  window.clearTimeout(settling);
  settling = window.setTimeout(() => {
    void loadSessions();
    if (isHistoryStale) void loadHistory(currentKey.value);
    isHistoryStale = false;
  }, SETTLE_MS);
}
