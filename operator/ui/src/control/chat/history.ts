// The conversation as the gateway has it: messages off the wire, joined into turns. Pure.
import { number, object, objects, string, text, time } from "../../web/json";
import type { JsonObject } from "../../web/json";
import { readParts, withResult } from "./parts";
import type { Part } from "./parts";

export interface Usage {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  total: number;
  /** US dollars; undefined where a price is missing. */
  cost: number | undefined;
}

/** What one side said before the other spoke: of the assistant all its steps, with the calls in between. */
export interface Message {
  /** The same for the same message, however often it is read. */
  key: string;
  /** What the gateway calls it; undefined while it is only here. */
  id: string | undefined;
  runId: string | undefined;
  role: "user" | "assistant";
  parts: Part[];
  /** Milliseconds since 1970; undefined when nobody said. */
  at: number | undefined;
  /** What made it, when that was no person and no answer to one: a job, a heartbeat, a task. */
  origin?: { kind: "job" | "heartbeat" | "sent" | "continue" | "task"; label: string };
  /** A person stopped the answer here. */
  stopped?: true;
  /** It was cut off by a restart, and can go on. */
  interrupted?: true;
  error?: { text: string; kind: string };
  usage?: Usage;
  model?: string;
  durationMs?: number;
}

/** Reasons to stop with which a turn goes on. */
const IN_BETWEEN: readonly string[] = ["toolUse", "pause"];

const NO_REASON = "The model gave no answer and no reason.";

const KINDS: Readonly<Record<string, string>> = {
  refusal: "The model declined to answer.",
  timeout: "The model took too long to answer.",
  rate_limit: "The model's provider is limiting requests right now. Wait a little, then retry.",
  context_length: "This conversation has become too long for the model. Send /compact, or start a new chat.",
  limit: "The limit for today is reached. It goes on tomorrow, or when the limit is raised in the Moltbot's spec.",
};

/** Words for a turn that failed: the gateway's own, else by its kind. */
export function readFailure(payload: JsonObject): { text: string; kind: string } {
  const kind = string(payload["errorKind"]) ?? "unknown";
  return { text: text(payload["errorMessage"]) ?? KINDS[kind] ?? NO_REASON, kind };
}

export function readUsage(value: unknown): Usage | undefined {
  const usage = object(value);
  const total = number(usage["totalTokens"]);
  if (total === undefined || total === 0) return undefined;
  const cost = object(usage["cost"]);
  return {
    input: number(usage["input"]) ?? 0,
    output: number(usage["output"]) ?? 0,
    cacheRead: number(usage["cacheRead"]) ?? 0,
    cacheWrite: number(usage["cacheWrite"]) ?? 0,
    total,
    cost: cost["unknown"] === true ? undefined : number(cost["total"]),
  };
}

/** Who wrote it, when nobody did. */
function readOrigin(item: JsonObject): Message["origin"] {
  const job = text(item["job"]) ?? text(object(item["job"])["name"]);
  if (job !== undefined) return { kind: "job", label: `From the schedule: ${job}` };
  if (item["heartbeat"] === true) return { kind: "heartbeat", label: "From the heartbeat" };
  const sent = text(object(item["delivered"])["to"]);
  if (sent !== undefined) return { kind: "sent", label: `Sent to ${sent}` };
  if (item["continue"] === true) return { kind: "continue", label: "Continued" };
  const task = text(item["task"]);
  if (task !== undefined) return { kind: "task", label: `Task: ${task}` };
  return text(item["announce"]) === undefined ? undefined : { kind: "task", label: "Report of another conversation" };
}

/** How a run ended, as the message that ended it says. */
export function readEnd(item: JsonObject): Partial<Message> {
  const stop = string(item["stopReason"]);
  const usage = readUsage(item["usage"]);
  const model = text(item["model"]);
  const took = number(item["durationMs"]);
  return {
    ...(stop === "aborted" || stop === "rpc" ? { stopped: true as const } : {}),
    ...(item["interrupted"] === true ? { interrupted: true as const } : {}),
    ...(stop === "error" && item["interrupted"] !== true ? { error: readFailure(item) } : {}),
    ...(usage === undefined ? {} : { usage }),
    ...(model === undefined ? {} : { model }),
    ...(took === undefined ? {} : { durationMs: took }),
  };
}

/** How long thinking took, by run and place in it: measured while it was seen, for the wire does not say. */
const thought = new Map<string, number>();

export function rememberThought(runId: string, parts: readonly Part[]): void {
  parts
    .filter((part) => part.kind === "thinking")
    .forEach((part, index) => {
      if (part.ms !== undefined) thought.set(`${runId} ${index}`, part.ms);
    });
}

function withThought(message: Message): void {
  let index = 0;
  for (const part of message.parts) {
    if (part.kind !== "thinking") continue;
    const ms = thought.get(`${message.runId} ${index++}`);
    if (ms !== undefined) part.ms = ms;
  }
}

/** Messages off the wire as turns. `live`: the run that is going on; calls without a result in any other were interrupted. */
export function readMessages(wire: readonly JsonObject[], live?: string): Message[] {
  const messages: Message[] = [];
  const keys = new Set<string>();
  const open = new Map<string, Extract<Part, { kind: "call" }>>();
  let turn: Message | undefined;
  const begin = (role: Message["role"], item: JsonObject): Message => {
    const [id, runId] = [text(item["id"]), text(item["runId"])];
    const letter = role === "user" ? "u" : "a";
    let key = `${letter}:${runId ?? id ?? `#${messages.length}`}`;
    if (keys.has(key)) key = `${key}:${id ?? messages.length}`;
    keys.add(key);
    const message: Message = { key, id, runId, role, parts: [], at: time(item["timestamp"]) };
    const origin = readOrigin(item);
    if (origin !== undefined) message.origin = origin;
    messages.push(message);
    return message;
  };
  for (const item of wire) {
    const at = time(item["timestamp"]);
    if (item["role"] === "user") {
      const parts = readParts(item["content"]);
      turn = undefined;
      if (parts.length > 0) begin("user", item).parts = parts;
    } else if (item["role"] === "assistant") {
      if (turn === undefined || turn.runId !== text(item["runId"])) turn = begin("assistant", item);
      const parts = readParts(item["content"], at);
      for (const part of parts) if (part.kind === "call") open.set(part.call.id, part);
      turn.parts.push(...parts);
      turn.at = at ?? turn.at;
      if (IN_BETWEEN.includes(string(item["stopReason"]) ?? "")) continue;
      Object.assign(turn, readEnd(item));
      turn = undefined;
    } else if (item["role"] === "toolResult") {
      const id = string(item["toolCallId"]) ?? "";
      const part = open.get(id);
      if (part !== undefined) part.call = withResult(part.call, item, at);
      open.delete(id);
    }
  }
  for (const message of messages) {
    if (message.runId !== undefined && message.role === "assistant") withThought(message);
    if (message.runId === live && live !== undefined) continue;
    for (const part of message.parts) {
      if (part.kind === "call" && part.call.status === "running") part.call = { ...part.call, status: "interrupted" };
    }
  }
  return messages.filter(hasSomething);
}

const hasSomething = (message: Message): boolean =>
  message.parts.length > 0 || message.error !== undefined || message.stopped === true || message.interrupted === true;

/** What was known, and a page of it read anew or further back, as one. Messages without an id are known by nothing: then the page is all. */
export function mergeWire(before: readonly JsonObject[], page: readonly JsonObject[]): JsonObject[] {
  const fresh = new Map(page.map((item) => [text(item["id"]), item]));
  if (before.length === 0 || fresh.has(undefined)) return [...page];
  const shared = before.findIndex((item) => fresh.has(text(item["id"])));
  // Nothing in common: something is missing in between, so only the newer of the two is whole.
  if (shared < 0) return order(before[0]) > order(page[0]) ? [...page, ...before] : [...page];
  return order(page[0]) < order(before[0])
    ? [...page, ...before.filter((item) => !fresh.has(text(item["id"])))]
    : [...before.slice(0, shared), ...page];
}

const order = (item: JsonObject | undefined): number => Number(text(item?.["id"])) || (time(item?.["timestamp"]) ?? 0);

/** One message more, or another version of one that is there. */
export function upsertWire(wire: readonly JsonObject[], item: JsonObject): JsonObject[] {
  const id = text(item["id"]);
  const at = id === undefined ? -1 : wire.findLastIndex((one) => text(one["id"]) === id);
  return at < 0 ? [...wire, item] : wire.with(at, item);
}

export const queuedIn = (page: unknown): JsonObject[] => objects(page).filter((item) => item["queued"] === true);
export const saidIn = (page: unknown): JsonObject[] => objects(page).filter((item) => item["queued"] !== true);
