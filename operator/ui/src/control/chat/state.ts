// The page's one state: what the views show. What changes it stands in the other files of this folder.
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

/** What is looked at beside the conversations. */
export const PANELS = ["schedule", "skills", "files", "usage"] as const;
export type Panel = (typeof PANELS)[number];

export const phase = signal<Phase | undefined>(undefined);
export const assistant = signal<string>(capitalised(nameOfHost() ?? ""));
/** The resource: what commands take. */
export const resource = signal<{ name: string; namespace: string | undefined } | undefined>(undefined);
export const adminUrl = signal<string | undefined>(undefined);
export const model = signal<string | undefined>(undefined);
export const sessions = signal<Session[]>([]);
export const currentKey = signal<string>("");
export const panel = signal<Panel | undefined>(undefined);
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
export const currentSession = computed(() => shownSessions.value.find((session) => session.key === currentKey.value));

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
    found = signal(key === "" ? EMPTY : fromKept(thisTab.read(keptAt(key))));
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
  if (after.messages !== before.messages || after.outgoing !== before.outgoing) keepSoon(key);
}

const keptAt = (key: string): string => `moltbot.chat.${key}`;
/** A turn changes its conversation many times a second. */
const KEEP_MS = 400;
const unkept = new Set<string>();
let keeping: number | undefined;

function keepSoon(key: string): void {
  unkept.add(key);
  keeping ??= window.setTimeout(keepNow, KEEP_MS);
}

function keepNow(): void {
  window.clearTimeout(keeping);
  keeping = undefined;
  for (const key of unkept) thisTab.write(keptAt(key), toKept(conversation(key).value));
  unkept.clear();
}
window.addEventListener("pagehide", keepNow);

/** The tab keeps nothing of this conversation any more. */
export function forgetKept(key: string): void {
  unkept.delete(key);
  thisTab.remove(keptAt(key));
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
