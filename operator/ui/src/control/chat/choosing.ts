// Which conversation or view is looked at, and what is done with a whole conversation.
import type { JsonObject } from "../../web/json";
import { uuid } from "../../web/random";
import { EMPTY } from "./conversation";
import { loadHistory, loadSessions, subscribe } from "./reading";
import { PANELS, change, connection, currentKey, forgetKept, hello, link, mainKey, panel, tell } from "./state";
import type { Panel } from "./state";
import { markSeen } from "./unread";

const locationOf = (key: string): string => (key === mainKey() ? "#/" : `#/s/${encodeURIComponent(key)}`);

export function openSession(key: string): void {
  if (currentKey.value === key && panel.value === undefined) return;
  location.hash = locationOf(key);
}

export function openPanel(name: Panel): void {
  location.hash = `#/${name}`;
}

/** From a view back to the conversation. */
export function closePanel(): void {
  location.hash = locationOf(currentKey.value);
}

export function newSession(): void {
  openSession(`agent:${hello()?.agentId ?? "main"}:web-${uuid().slice(0, 8)}`);
}

/** Settings of one conversation: model, thinking, queue … */
export async function patchSession(key: string, settings: JsonObject, failure: string): Promise<void> {
  await tell(() => connection.request("sessions.patch", { key, ...settings }), failure);
  await loadSessions();
}

export const renameSession = (key: string, label: string): Promise<void> => patchSession(key, { label }, "It could not be renamed");

export async function clearSession(key: string): Promise<void> {
  if (!(await tell(() => connection.request("sessions.reset", { key }), "It could not be cleared"))) return;
  change(key, () => ({ ...EMPTY, loaded: true }));
  await loadSessions();
}

export async function deleteSession(key: string): Promise<void> {
  if (!(await tell(() => connection.request("sessions.delete", { key }), "It could not be deleted"))) return;
  change(key, () => EMPTY);
  forgetKept(key);
  if (currentKey.value === key) openSession(mainKey());
  await loadSessions();
}

/** Follows the location: `#/` is the main conversation, `#/schedule` a view beside the conversation that was open. */
export function route(): void {
  const view = PANELS.find((name) => location.hash === `#/${name}`);
  panel.value = view;
  if (view !== undefined && currentKey.value !== "") return;
  const match = /^#\/s\/(.+)$/.exec(location.hash);
  const key = match?.[1] === undefined ? mainKey() : decodeURIComponent(match[1]);
  if (key === currentKey.value) return;
  currentKey.value = key;
  markSeen(key);
  if (link.value.state === "open") {
    void subscribe(key);
    void loadHistory(key);
  }
}
