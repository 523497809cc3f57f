// The page's one state: what the views show, and what a person can do. Connection and events come in here; nothing else has I/O.
import { batch, computed, effect, signal, untracked } from "@preact/signals";
import type { Signal } from "@preact/signals";

import { backoff } from "../../web/backoff";
import { listen } from "../../web/events";
import { object, string, text } from "../../web/json";
import type { JsonObject } from "../../web/json";
import { nameOfHost, takeFromHash } from "../../web/place";
import { uuid } from "../../web/random";
import { thisTab } from "../../web/storage";
import { Connection, Refused } from "../protocol/connection";
import type { Hello } from "../protocol/frames";
import { accept, applyAgent, applyChat, EMPTY, fromKept, lastSaid, mark, post, readHistory, toKept, withdraw, withHistory } from "./conversation";
import type { Conversation } from "./conversation";
import { readPhase } from "./phase";
import type { Phase } from "./phase";
import { readSessions, titleOf, withPresent } from "./sessions";
import type { Session } from "./sessions";

const HISTORY = 200;
/** Times that a message is sent again by itself after a "not now"; then it is the person's turn. */
const MOST_TRIES = 8;
/** A gateway tells of one change in several events: read the history once for all of them. */
const SETTLE_MS = 250;

// --- What the views show ---

export const phase = signal<Phase | undefined>(undefined);
export const assistant = signal<string>(capitalised(nameOfHost() ?? ""));
/** The resource: what commands take. */
export const resource = signal<{ name: string; namespace: string | undefined } | undefined>(undefined);
export const adminUrl = signal<string | undefined>(undefined);
export const model = signal<string | undefined>(undefined);
export const sessions = signal<Session[]>([]);
export const currentKey = signal<string>("");
/** Words for a screen reader: what just happened that only eyes would see. */
export const announcement = signal("");
/** Something that went wrong outside the conversation. */
export const notice = signal<string | undefined>(undefined);
/** Was this device connected before in this tab? Then losing it says so. */
export const wasOpen = signal(false);

const conversations = new Map<string, Signal<Conversation>>();

export const connection = new Connection(location.origin.replace(/^http/, "ws") + "/", onEvent);
export const link = connection.link;
export const current = computed(() => conversation(currentKey.value).value);
export const shownSessions = computed(() => withPresent(sessions.value, mainKey(), currentKey.value));

function capitalised(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function hello(): Hello | undefined {
  return link.value.state === "open" ? link.value.hello : undefined;
}

let knownMain = "agent:main:main";
function mainKey(): string {
  knownMain = hello()?.mainKey ?? knownMain;
  return knownMain;
}

function conversation(key: string): Signal<Conversation> {
  let found = conversations.get(key);
  if (found === undefined) {
    found = signal(key === "" ? EMPTY : fromKept(thisTab.read(`moltbot.chat.${key}`)));
    conversations.set(key, found);
  }
  return found;
}

function change(key: string, how: (now: Conversation) => Conversation): void {
  const found = conversation(key);
  const before = found.value;
  const after = how(before);
  if (after === before) return;
  found.value = after;
  // Not at every delta: only what a reload should find.
  if (after.messages !== before.messages || after.outgoing !== before.outgoing) thisTab.write(`moltbot.chat.${key}`, toKept(after));
}

// --- What a person does ---

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

export function openSession(key: string): void {
  if (currentKey.value === key) return;
  location.hash = key === mainKey() ? "#/" : `#/s/${encodeURIComponent(key)}`;
}

export function newSession(): void {
  openSession(`agent:${hello()?.agentId ?? "main"}:web-${uuid().slice(0, 8)}`);
}

export async function renameSession(key: string, label: string): Promise<void> {
  await tell(() => connection.request("sessions.patch", { key, label }), "It could not be renamed");
  await loadSessions();
}

export async function clearSession(key: string): Promise<void> {
  if (!(await tell(() => connection.request("sessions.reset", { key }), "It could not be cleared"))) return;
  change(key, () => ({ ...EMPTY, loaded: true }));
  await loadSessions();
}

export async function deleteSession(key: string): Promise<void> {
  if (!(await tell(() => connection.request("sessions.delete", { key }), "It could not be deleted"))) return;
  change(key, () => EMPTY);
  thisTab.remove(`moltbot.chat.${key}`);
  if (currentKey.value === key) openSession(mainKey());
  await loadSessions();
}

/** Gives the router a gateway token; undefined when it is right, else why not. */
export async function login(token: string): Promise<string | undefined> {
  try {
    const answer = await fetch("/api/login", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ token, next: "/" }),
    });
    if (answer.ok) {
      connection.open();
      listenToEvents();
      return undefined;
    }
    if (answer.status === 401) return "That token is not right. Copy it again, whole and without spaces.";
    return text(object(await answer.json().catch(() => undefined))["message"]) ?? `The router answered ${answer.status}. Try again.`;
  } catch {
    return "The router did not answer. Check the connection, then try again.";
  }
}

async function tell(act: () => Promise<unknown>, failure: string): Promise<boolean> {
  try {
    await act();
    notice.value = undefined;
    return true;
  } catch (error) {
    notice.value = `${failure}: ${error instanceof Error ? error.message : "no reason given"}.`.replace(/\.\.$/, ".");
    return false;
  }
}

// --- Sending: one message of a conversation at a time, with the same key until the gateway has answered for it ---

const tries = new Map<string, number>();
const pumping = new Set<string>();

async function pump(key: string): Promise<void> {
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

// --- Reading ---

async function loadHistory(key: string): Promise<void> {
  if (key === "" || link.value.state !== "open") return;
  try {
    const payload = await connection.request("chat.history", { sessionKey: key, limit: HISTORY });
    // Asleep: what is shown stays, and the real one comes with the wake.
    if (payload["asleep"] === true) change(key, (now) => (now.loaded ? now : { ...now, loaded: true }));
    else change(key, (now) => withHistory(now, readHistory(payload)));
  } catch (error) {
    if (error instanceof Refused && !error.error.retryable) change(key, (now) => ({ ...now, problem: error.message }));
  }
}

async function loadSessions(): Promise<void> {
  if (!connection.serves("sessions.list")) return;
  const payload = await connection.request("sessions.list", { includeDerivedTitles: true }).catch(() => undefined);
  if (payload !== undefined && payload["asleep"] !== true) sessions.value = readSessions(payload, mainKey());
}

async function loadAbout(): Promise<void> {
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
async function settleRun(key: string): Promise<void> {
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

async function onOpen(opened: Hello): Promise<void> {
  wasOpen.value = true;
  if (opened.name !== undefined && assistant.value === "") assistant.value = capitalised(opened.name);
  route();
  const key = currentKey.value;
  if (connection.serves("sessions.subscribe")) void connection.request("sessions.subscribe", {}).catch(() => undefined);
  void subscribe(key);
  void loadAbout();
  void loadSessions();
  await loadHistory(key);
  for (const [each, state] of conversations) {
    if (state.value.run !== undefined) await settleRun(each);
    void pump(each);
  }
}

let subscribed = "";
async function subscribe(key: string): Promise<void> {
  if (!connection.serves("sessions.messages.subscribe")) return;
  if (subscribed !== "" && subscribed !== key && connection.serves("sessions.messages.unsubscribe")) {
    await connection.request("sessions.messages.unsubscribe", { key: subscribed }).catch(() => undefined);
  }
  subscribed = key;
  await connection.request("sessions.messages.subscribe", { key }).catch(() => undefined);
}

let settling: number | undefined;
/** Something changed that was not from here: read again, once, when it has settled. */
function reloadSoon(): void {
  window.clearTimeout(settling);
  settling = window.setTimeout(() => {
    void loadSessions();
    if (current.value.run === undefined) void loadHistory(currentKey.value);
  }, SETTLE_MS);
}

function onEvent(event: string, payload: JsonObject): void {
  const key = string(payload["sessionKey"]) ?? "";
  switch (event) {
    case "chat": {
      const before = conversation(key).value;
      const isForeign = before.run?.id !== payload["runId"] && !before.outgoing.some((item) => item.id === payload["runId"]);
      change(key, (now) => applyChat(now, payload, Date.now()));
      if (payload["state"] === "delta") break;
      if (key === currentKey.value) announceEnd(conversation(key).value);
      if (isForeign) reloadSoon();
      void pump(key);
      break;
    }
    case "agent":
      change(key, (now) => applyAgent(now, payload));
      break;
    case "session.message":
    case "sessions.changed":
      if (current.value.run === undefined) reloadSoon();
      break;
    default:
      break;
  }
}

function announceEnd(now: Conversation): void {
  const last = now.messages.at(-1);
  if (last === undefined || last.role === "user") return;
  announcement.value = last.role === "error" ? `No answer: ${last.text}` : `${assistant.value || "Assistant"}: ${last.text}`;
}

// --- The whole assistant's state, pushed by the router ---

let endEvents: (() => void) | undefined;

function listenToEvents(): void {
  endEvents?.();
  endEvents = listen(`/api/events?device=${connection.device.id}`, ["phase", "device"], "/api/status", {
    onEvent: (name, data) => {
      if (name === "phase") onPhase(data);
      else if (object(data)["deviceId"] === connection.device.id) onDevice(string(object(data)["state"]));
    },
    onUnauthorized: () => {
      endEvents = undefined;
      // An approved device comes in by its own token: then only what the router pushes is missing.
      if (link.value.state !== "open") link.value = { state: "unauthorized", message: "" };
    },
  });
}

function onPhase(data: unknown): void {
  const before = phase.value;
  phase.value = readPhase(data, before, Date.now());
  const name = phase.value?.name;
  if (name === "Awake" && before !== undefined && before.name !== "Awake" && before.name !== "Draining") {
    // It has just woken: the history is there now.
    void loadAbout();
    void loadSessions();
    for (const [key, state] of conversations) {
      if (key !== currentKey.value && state.value.run === undefined) continue;
      void (state.value.run === undefined ? loadHistory(key) : settleRun(key));
    }
  }
  if (name === "Awake") for (const key of conversations.keys()) void pump(key);
}

function onDevice(state: string | undefined): void {
  if (state === "approved" && link.value.state !== "open") connection.open();
  if (state === "removed") connection.open();
}

async function loadStatus(): Promise<void> {
  const answer = await fetch("/api/status", { cache: "no-store", headers: { Accept: "application/json" } }).catch(() => undefined);
  if (answer === undefined || !answer.ok) return;
  const status = object(await answer.json().catch(() => undefined));
  const name = text(status["name"]);
  batch(() => {
    if (name !== undefined) {
      resource.value = { name, namespace: text(status["namespace"]) };
      if (assistant.value === "") assistant.value = capitalised(name);
    }
    adminUrl.value = text(status["adminUrl"]);
  });
}

// --- Start ---

function route(): void {
  const match = /^#\/s\/(.+)$/.exec(location.hash);
  const key = match?.[1] === undefined ? mainKey() : decodeURIComponent(match[1]);
  if (key === currentKey.value) return;
  currentKey.value = key;
  if (link.value.state === "open") {
    void subscribe(key);
    if (!conversation(key).value.loaded) void loadHistory(key);
  }
}

function forget(): void {
  for (const key of conversations.keys()) thisTab.remove(`moltbot.chat.${key}`);
  batch(() => {
    for (const state of conversations.values()) state.value = EMPTY;
    sessions.value = [];
  });
}

export async function start(): Promise<void> {
  window.addEventListener("hashchange", route);
  effect(() => {
    const now = link.value;
    untracked(() => {
      if (now.state === "open") void onOpen(now.hello);
      // A device that is no longer let in keeps nothing of what it saw.
      if (now.state === "pairing" && wasOpen.value) forget();
    });
  });
  effect(() => {
    document.title = assistant.value === "" ? "Moltbot" : assistant.value;
  });
  const token = takeFromHash("token");
  route();
  if (token !== undefined) await login(token);
  else {
    connection.open();
    listenToEvents();
  }
  void loadStatus();
}
