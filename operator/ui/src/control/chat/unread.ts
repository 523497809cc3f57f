// Which conversations have something that was not looked at yet. Kept in this browser.
import { signal } from "@preact/signals";

import { number, object } from "../../web/json";
import { lasting } from "../../web/storage";
import type { Session } from "./sessions";

const KEY = "moltbot.seen";
const MOST = 500;

/** When each conversation was last looked at; milliseconds. */
const seen = signal<Record<string, number>>({});
/** What was before the first visit counts as seen. */
let since = Date.now();

function read(): void {
  const kept = object(lasting.read(KEY));
  since = number(kept["since"]) ?? since;
  seen.value = Object.fromEntries(Object.entries(object(kept["keys"])).flatMap(([key, at]) => (typeof at === "number" ? [[key, at]] : [])));
}
read();

export function markSeen(key: string): void {
  const entries = Object.entries({ ...seen.value, [key]: Date.now() });
  const kept = entries.sort(([, a], [, b]) => b - a).slice(0, MOST);
  seen.value = Object.fromEntries(kept);
  lasting.write(KEY, { since, keys: seen.value });
}

export function isUnread(session: Session, currentKey: string): boolean {
  if (session.key === currentKey || session.updatedAt === undefined) return false;
  return session.updatedAt > (seen.value[session.key] ?? since);
}
