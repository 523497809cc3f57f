// What happens by itself: the connection opens and closes, events come, the assistant sleeps and wakes.
import { batch, effect, untracked } from "@preact/signals";

import { listen } from "../../web/events";
import { object, string, text } from "../../web/json";
import type { JsonObject } from "../../web/json";
import { takeFromHash } from "../../web/place";
import type { Hello } from "../protocol/frames";
import { route } from "./choosing";
import { loadApprovals, onRequested, onResolved } from "./approvals";
import { applyMessage, EMPTY } from "./conversation";
import type { Conversation } from "./conversation";
import { textOf } from "./parts";
import { isUp, readPhase } from "./phase";
import { loadAbout, loadHistory, loadSessions, reloadSoon, settleRun, subscribe } from "./reading";
import { forgetMedia } from "./media";
import { applyAgent, applyChat } from "./running";
import { pump } from "./sending";
import {
  adminUrl,
  announcement,
  assistant,
  capitalised,
  change,
  connection,
  conversation,
  conversations,
  current,
  currentKey,
  forgetKept,
  link,
  phase,
  resource,
  sessions,
  wasOpen,
} from "./state";

async function onOpen(opened: Hello): Promise<void> {
  wasOpen.value = true;
  if (opened.name !== undefined && assistant.value === "") assistant.value = capitalised(opened.name);
  route();
  const key = currentKey.value;
  if (connection.serves("sessions.subscribe")) void connection.request("sessions.subscribe", {}).catch(() => undefined);
  void subscribe(key);
  void loadAbout();
  void loadSessions();
  void loadApprovals();
  await loadHistory(key);
  for (const [each, state] of conversations) {
    if (state.value.run !== undefined) await settleRun(each);
    void pump(each);
  }
}

function onEvent(event: string, payload: JsonObject): void {
  const key = string(payload["sessionKey"]) ?? "";
  const at = Date.now();
  switch (event) {
    case "chat": {
      const before = conversation(key).value;
      const isForeign = before.run?.id !== payload["runId"] && !before.outgoing.some((item) => item.id === payload["runId"]);
      change(key, (now) => applyChat(now, payload, at));
      if (payload["state"] === "delta" || payload["state"] === "status") break;
      if (key === currentKey.value) announceEnd(conversation(key).value);
      // What waited is in the history now, whichever way the queue took it.
      if (isForeign || conversation(key).value.outgoing.length > 0) reloadSoon(true);
      void pump(key);
      break;
    }
    case "agent":
      change(key, (now) => applyAgent(now, payload, at));
      break;
    case "session.message": {
      const message = object(payload["message"]);
      if (text(message["id"]) === undefined) onChanged();
      else if (conversation(key).value.loaded) change(key, (now) => applyMessage(now, message));
      break;
    }
    case "sessions.changed":
      onChanged();
      break;
    case "exec.approval.requested":
      onRequested(payload);
      break;
    case "exec.approval.resolved":
      onResolved(payload);
      break;
    default:
      for (const hear of listeners) hear(event, payload);
      break;
  }
}

function onChanged(): void {
  reloadSoon(current.value.run === undefined);
}

function announceEnd(now: Conversation): void {
  const last = now.messages.at(-1);
  if (last === undefined || last.role === "user") return;
  announcement.value = last.error !== undefined ? `No answer: ${last.error.text}` : `${assistant.value || "Assistant"}: ${textOf(last.parts)}`;
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

/** Views that are shown for a while hear the other events: jobs. */
export const listeners = new Set<(event: string, payload: JsonObject) => void>();

/** Turns that were going on when it stopped being awake, by conversation: asked for when it is back. */
const interrupted = new Map<string, string>();

function onPhase(data: unknown): void {
  const before = phase.value;
  phase.value = readPhase(data, before, Date.now());
  const name = phase.value?.name;
  if (isUp(before) && !isUp(phase.value)) {
    for (const [key, state] of conversations) if (state.value.run !== undefined) interrupted.set(key, state.value.run.id);
  }
  if (name === "Awake" && before !== undefined && before.name !== "Awake" && before.name !== "Draining") {
    // It has just woken: the history is there now.
    void loadAbout();
    void loadSessions();
    for (const [key, state] of conversations) {
      const run = state.value.run;
      if (run !== undefined && interrupted.get(key) === run.id) void settleRun(key);
      else if (run === undefined && key === currentKey.value) void loadHistory(key);
    }
    interrupted.clear();
  }
  if (name === "Awake") for (const key of conversations.keys()) void pump(key);
}

/**
 * Approved, as pushed; not yet seen by the connection. A race: 1 the router refuses, not paired; 2 it is approved; 3 that is pushed
 * here; 4 the refusal arrives. Then the next try is due at once. It is also pushed at the start, to a page that is just connecting.
 */
let isApproved = false;

function onDevice(state: string | undefined): void {
  isApproved = state === "approved";
  if (state === "removed") connection.open();
  else tryAgainApproved();
}

function tryAgainApproved(): void {
  if (!isApproved || link.value.state !== "pairing") return;
  // Once: if it is refused all the same, the usual pace goes on.
  isApproved = false;
  connection.open();
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

function forget(): void {
  for (const key of conversations.keys()) forgetKept(key);
  forgetMedia();
  batch(() => {
    for (const state of conversations.values()) state.value = EMPTY;
    sessions.value = [];
  });
}

export async function start(): Promise<void> {
  connection.onEvent = onEvent;
  window.addEventListener("hashchange", route);
  effect(() => {
    const now = link.value;
    untracked(() => {
      if (now.state === "open") void onOpen(now.hello);
      // A device that is no longer let in keeps nothing of what it saw.
      if (now.state === "pairing" && wasOpen.value) forget();
      if (now.state === "pairing") tryAgainApproved();
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
