// The list of conversations.
import { objects, text, time } from "../../web/json";
import type { JsonObject } from "../../web/json";

export interface Session {
  key: string;
  title: string;
  updatedAt: number | undefined;
  isMain: boolean;
}

const TITLE = 48;

/** A name for a conversation by its first words. */
export function titleOf(said: string): string {
  const line = said.trim().split(/\s+/).join(" ");
  if (line.length <= TITLE) return line;
  const cut = line.slice(0, TITLE);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(" "), TITLE / 2)).replace(/[\s.,;:!?–-]+$/, "")}…`;
}

export function readSessions(payload: JsonObject, mainKey: string): Session[] {
  return objects(payload["sessions"])
    .flatMap((row): Session[] => {
      const key = text(row["key"]);
      if (key === undefined) return [];
      const isMain = key === mainKey;
      const title = text(row["label"]) ?? (isMain ? "Main conversation" : (text(row["displayName"]) ?? text(row["derivedTitle"]) ?? "Untitled chat"));
      return [{ key, title, updatedAt: time(row["updatedAt"]), isMain }];
    })
    .sort((a, b) => Number(b.isMain) - Number(a.isMain) || (b.updatedAt ?? 0) - (a.updatedAt ?? 0));
}

/** The list with the main conversation and the current one in it, served yet or not. */
export function withPresent(list: Session[], mainKey: string, currentKey: string): Session[] {
  const has = (key: string): boolean => list.some((session) => session.key === key);
  const main: Session[] = has(mainKey) ? [] : [{ key: mainKey, title: "Main conversation", updatedAt: undefined, isMain: true }];
  const fresh: Session[] =
    currentKey === mainKey || has(currentKey) ? [] : [{ key: currentKey, title: "New chat", updatedAt: undefined, isMain: false }];
  const [first, rest] = [list.filter((one) => one.isMain), list.filter((one) => !one.isMain)];
  return [...main, ...first, ...fresh, ...rest];
}
