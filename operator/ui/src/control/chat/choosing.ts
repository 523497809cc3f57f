// Which conversation is looked at, and what is done with a whole one.
import { uuid } from "../../web/random";
import { thisTab } from "../../web/storage";
import { EMPTY } from "./conversation";
import { loadHistory, loadSessions, subscribe } from "./reading";
import { change, connection, conversation, currentKey, hello, link, mainKey, tell } from "./state";

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

/** Follows the location: `#/` is the main conversation. */
export function route(): void {
  const match = /^#\/s\/(.+)$/.exec(location.hash);
  const key = match?.[1] === undefined ? mainKey() : decodeURIComponent(match[1]);
  if (key === currentKey.value) return;
  currentKey.value = key;
  if (link.value.state === "open") {
    void subscribe(key);
    if (!conversation(key).value.loaded) void loadHistory(key);
  }
}
