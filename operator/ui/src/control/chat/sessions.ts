// The list of conversations. Pure.
import { number, object, objects, string, strings, text, time } from "../../web/json";
import type { JsonObject } from "../../web/json";

export type SessionKind = "main" | "direct" | "group" | "cron" | "subagent";

export interface Session {
  key: string;
  title: string;
  kind: SessionKind;
  updatedAt: number | undefined;
  isMain: boolean;
  /** A turn goes on there. */
  isActive: boolean;
  model: string | undefined;
  thinking: string | undefined;
  /** Levels that its model has; empty: it does not think. */
  thinkingLevels: string[];
  queueMode: string | undefined;
  responseUsage: string | undefined;
  /** US dollars so far. */
  cost: number | undefined;
  tokens: number | undefined;
}

const TITLE = 48;
const KINDS: readonly string[] = ["main", "direct", "group", "cron", "subagent"];

/** A name for a conversation by its first words. */
export function titleOf(said: string): string {
  const line = said.trim().split(/\s+/).join(" ");
  if (line.length <= TITLE) return line;
  const cut = line.slice(0, TITLE);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(" "), TITLE / 2)).replace(/[\s.,;:!?–-]+$/, "")}…`;
}

function blank(key: string, title: string, isMain: boolean): Session {
  return {
    key,
    title,
    kind: isMain ? "main" : "direct",
    updatedAt: undefined,
    isMain,
    isActive: false,
    model: undefined,
    thinking: undefined,
    thinkingLevels: [],
    queueMode: undefined,
    responseUsage: undefined,
    cost: undefined,
    tokens: undefined,
  };
}

/** A level is named by itself, or by an object with its id. */
const levelsOf = (value: unknown): string[] => [...strings(value), ...objects(value).flatMap((level) => text(level["id"]) ?? [])];

export function readSessions(payload: JsonObject, mainKey: string): Session[] {
  return objects(payload["sessions"])
    .flatMap((row): Session[] => {
      const key = text(row["key"]);
      if (key === undefined) return [];
      const isMain = key === mainKey;
      const title = text(row["label"]) ?? (isMain ? "Main conversation" : (text(row["displayName"]) ?? text(row["derivedTitle"]) ?? "Untitled chat"));
      const kind = string(row["kind"]) ?? "";
      return [
        {
          ...blank(key, title, isMain),
          ...(KINDS.includes(kind) && !isMain ? { kind: kind as SessionKind } : {}),
          updatedAt: time(row["updatedAt"]),
          isActive: row["hasActiveRun"] === true,
          model: text(row["model"]),
          thinking: text(row["thinkingLevel"]),
          thinkingLevels: levelsOf(row["thinkingLevels"]),
          queueMode: text(row["queueMode"]),
          responseUsage: text(row["responseUsage"]),
          cost: number(row["cost"]) ?? number(object(row["cost"])["total"]),
          tokens: number(row["totalTokens"]),
        },
      ];
    })
    .sort((a, b) => Number(b.isMain) - Number(a.isMain) || (b.updatedAt ?? 0) - (a.updatedAt ?? 0));
}

/** The list with the main conversation and the current one in it, served yet or not. */
export function withPresent(list: Session[], mainKey: string, currentKey: string): Session[] {
  const has = (key: string): boolean => list.some((session) => session.key === key);
  const main = has(mainKey) ? [] : [blank(mainKey, "Main conversation", true)];
  const fresh = currentKey === mainKey || has(currentKey) ? [] : [blank(currentKey, "New chat", false)];
  const [first, rest] = [list.filter((one) => one.isMain), list.filter((one) => !one.isMain)];
  return [...main, ...first, ...fresh, ...rest];
}

const DAY_MS = 86_400_000;

/** The list in groups by time, the main conversation apart. */
export function grouped(list: Session[], now: number): { name: string; sessions: Session[] }[] {
  const today = new Date(now).setHours(0, 0, 0, 0);
  const nameOf = (session: Session): string => {
    if (session.isMain) return "";
    const at = session.updatedAt;
    if (at === undefined || at >= today) return "Today";
    if (at >= today - DAY_MS) return "Yesterday";
    if (at >= today - 7 * DAY_MS) return "Last 7 days";
    return at >= today - 30 * DAY_MS ? "Last 30 days" : "Older";
  };
  const groups: { name: string; sessions: Session[] }[] = [];
  for (const session of list) {
    const name = nameOf(session);
    const last = groups.find((group) => group.name === name);
    if (last === undefined) groups.push({ name, sessions: [session] });
    else last.sessions.push(session);
  }
  return groups;
}
