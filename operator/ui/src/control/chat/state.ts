// The page's one state: what the views show. What changes it stands in reading, sending, choosing and living beside this file.
import { computed, signal } from "@preact/signals";
import type { Signal } from "@preact/signals";

import { nameOfHost } from "../../web/place";
import { thisTab } from "../../web/storage";
import { Connection } from "../protocol/connection";
import type { Hello } from "../protocol/frames";
import { EMPTY, fromKept, toKept } from "./conversation";
import type { Conversation } from "./conversation";
import type { Phase } from "./phase";
import { withPresent } from "./sessions";
import type { Session } from "./sessions";

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

export const conversations = new Map<string, Signal<Conversation>>();

export const connection = new Connection(location.origin.replace(/^http/, "ws") + "/");
export const link = connection.link;
export const current = computed(() => conversation(currentKey.value).value);
export const shownSessions = computed(() => withPresent(sessions.value, mainKey(), currentKey.value));

export function capitalised(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

export function hello(): Hello | undefined {
  return link.value.state === "open" ? link.value.hello : undefined;
}

let knownMain = "agent:main:main";
export function mainKey(): string {
  knownMain = hello()?.mainKey ?? knownMain;
  return knownMain;
}

export function conversation(key: string): Signal<Conversation> {
  let found = conversations.get(key);
  if (found === undefined) {
    found = signal(key === "" ? EMPTY : fromKept(thisTab.read(`moltbot.chat.${key}`)));
    conversations.set(key, found);
  }
  return found;
}

export function change(key: string, how: (now: Conversation) => Conversation): void {
  const found = conversation(key);
  const before = found.value;
  const after = how(before);
  if (after === before) return;
  found.value = after;
  // Not at every delta: only what a reload should find.
  if (after.messages !== before.messages || after.outgoing !== before.outgoing) thisTab.write(`moltbot.chat.${key}`, toKept(after));
}

/** Does it; false, and a notice in words, when it was refused. */
export async function tell(act: () => Promise<unknown>, failure: string): Promise<boolean> {
  try {
    await act();
    notice.value = undefined;
    return true;
  } catch (error) {
    notice.value = `${failure}: ${error instanceof Error ? error.message : "no reason given"}.`.replace(/\.\.$/, ".");
    return false;
  }
}
