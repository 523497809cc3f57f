// One conversation as data, and what changes it. Pure: no socket, clock or storage. What a run adds while it goes on: running.ts.
import { number, object, objects, string, text, time } from "../../web/json";
import type { JsonObject } from "../../web/json";
import { mergeWire, queuedIn, readMessages, saidIn, upsertWire } from "./history";
import type { Message } from "./history";
import { mediaOf, readText, textOf } from "./parts";
import type { Media, Part } from "./parts";

/** A file on its way: its content, or where the gateway has it already. */
export interface Attachment {
  fileName: string;
  mimeType: string;
  bytes: number;
  /** base64. */
  content?: string;
  mediaId?: string;
}

/** A message that is not part of the conversation yet. `id` is its idempotency key: it can be sent as often as it takes. */
export interface Outgoing {
  id: string;
  text: string;
  at: number;
  files: Attachment[];
  /** `queued`: the gateway has it, behind the answer that is being written. */
  state: "waiting" | "sending" | "queued" | "failed";
  reason?: string;
}

/** A turn of the assistant that is going on. */
export interface Run {
  id: string;
  parts: Part[];
  /** What it is at, in the gateway's words. */
  status?: { phase: string; message: string };
  /** The next text begins a new step. */
  isFresh?: true;
  /** What was sent, when it was from here. */
  sent?: string;
  stopping?: true;
}

export interface Conversation {
  /** Whether the history has been read since this page was opened. */
  loaded: boolean;
  /** Messages as they came off the wire, and those that are only here yet. */
  wire: JsonObject[];
  local: Message[];
  /** Both, as they are shown. */
  messages: Message[];
  /** Where the page before them begins, as the gateway says it; undefined: there is none. */
  older: string | undefined;
  outgoing: Outgoing[];
  run: Run | undefined;
  /** Why the history could not be read. */
  problem: string | undefined;
}

export const EMPTY: Conversation = {
  loaded: false,
  wire: [],
  local: [],
  messages: [],
  older: undefined,
  outgoing: [],
  run: undefined,
  problem: undefined,
};

/** The messages anew from what is known. The turn that is going on is shown by its run. */
export function rebuilt(now: Conversation): Conversation {
  const read = readMessages(now.wire, now.run?.id);
  const keys = new Set(read.map((message) => message.key));
  const local = now.local.filter((message) => !keys.has(message.key));
  const messages = [...read, ...local].filter((message) => message.role === "user" || message.runId === undefined || message.runId !== now.run?.id);
  return { ...now, local, messages };
}

export function post(now: Conversation, id: string, said: string, files: Attachment[], at: number): Conversation {
  return { ...now, outgoing: [...now.outgoing, { id, text: said, files, at, state: "waiting" }] };
}

export function mark(now: Conversation, id: string, state: Outgoing["state"], reason?: string): Conversation {
  const outgoing = now.outgoing.map((item) => {
    if (item.id !== id) return item;
    const { reason: _, ...rest } = item;
    return reason === undefined ? { ...rest, state } : { ...rest, state, reason };
  });
  return { ...now, outgoing };
}

export function withdraw(now: Conversation, id: string): Conversation {
  return { ...now, outgoing: now.outgoing.filter((item) => item.id !== id) };
}

function shown(file: Attachment): Part {
  const { mimeType, fileName, bytes, content, mediaId } = file;
  const media: Media = { id: mediaId ?? "", mimeType, fileName, bytes };
  return { kind: "media", media: content === undefined ? media : { ...media, data: `data:${mimeType};base64,${content}` } };
}

/** The gateway has it: it is part of the conversation, and its turn goes on, or is over already. */
export function accept(now: Conversation, id: string, over: boolean): Conversation {
  const item = now.outgoing.find((one) => one.id === id);
  if (item === undefined) return now;
  const words: Part[] = item.text === "" ? [] : [{ kind: "text", text: item.text }];
  const parts = [...item.files.map(shown), ...words];
  const message: Message = { key: `u:${id}`, id: undefined, runId: id, role: "user", parts, at: item.at };
  const run: Run | undefined = over ? undefined : { id, parts: [], sent: item.text };
  return rebuilt({ ...now, local: [...now.local, message], outgoing: now.outgoing.filter((one) => one !== item), run });
}

/** The gateway took it: its turn begins, or it waits behind another one. */
export function taken(now: Conversation, id: string): Conversation {
  return now.run === undefined || now.run.id === id ? accept(now, id, false) : mark(now, id, "queued");
}

/** The history as the gateway has it takes the place of what was shown; what it has not accepted yet stays. */
export function withHistory(now: Conversation, payload: JsonObject): Conversation {
  const waits = queuedIn(payload["messages"]).map(readQueued);
  const ids = new Set(waits.map((item) => item.id));
  const own = now.outgoing.filter((item) => item.state !== "queued" && !ids.has(item.id));
  const page = saidIn(payload["messages"]);
  const wire = page.length === 0 ? [] : mergeWire(now.wire, page);
  const isLonger = wire.length > page.length;
  const whole = { ...now, wire, local: [], outgoing: [...waits, ...own], loaded: true, problem: undefined };
  return rebuilt({ ...whole, run: resumed(whole, payload["inFlightRun"]), older: isLonger ? now.older : cursorOf(payload) });
}

const cursorOf = (payload: JsonObject): string | undefined => (payload["hasMore"] === true ? text(payload["nextCursor"]) : undefined);

/** An older page. */
export function withOlder(now: Conversation, payload: JsonObject): Conversation {
  const page = saidIn(payload["messages"]);
  return rebuilt({ ...now, wire: mergeWire(now.wire, page), older: page.length > 0 ? cursorOf(payload) : undefined });
}

function readQueued(item: JsonObject): Outgoing {
  return { id: text(item["runId"]) ?? "", text: readText(item["content"]), at: time(item["timestamp"]) ?? 0, files: [], state: "queued" };
}

/** The run that the gateway says is going on, with the steps of it that are in the history. */
function resumed(now: Conversation, inFlight: unknown): Run | undefined {
  const id = text(object(inFlight)["runId"]);
  if (id === undefined) return now.run;
  const done = readMessages(now.wire, id).findLast((message) => message.role === "assistant" && message.runId === id)?.parts ?? [];
  const said = text(object(inFlight)["text"]);
  // Seen from here all along: that has more than the history (what calls put out, how long thinking took).
  if (now.run?.id === id && now.run.parts.length >= done.length && now.run.parts.length > 0) return now.run;
  const before: Run = now.run?.id === id ? now.run : { id, parts: [] };
  const isThere = done.some((part) => part.kind === "text" && part.text === said);
  return { ...before, parts: said === undefined || isThere ? done : [...done, { kind: "text", text: said }] };
}

/** A `session.message` event: one message more. */
export function applyMessage(before: Conversation, item: JsonObject): Conversation {
  if (item["queued"] === true || text(item["id"]) === undefined) return before;
  const now = item["role"] === "user" ? withdraw(before, text(item["runId"]) ?? "") : before;
  return rebuilt({ ...now, wire: upsertWire(now.wire, item) });
}

/** The last thing that the person said: what Retry sends again. */
export function lastSaid(now: Conversation): Message | undefined {
  return now.messages.findLast((message) => message.role === "user");
}

// What a tab keeps over a reload: words, no results and no pictures. The rest comes from the gateway.
const MOST_KEPT = 60;
const MOST_FILES = 2_000_000;

export function toKept(now: Conversation): JsonObject {
  const outgoing = now.outgoing
    .filter((item) => item.state !== "queued")
    .map((item) => {
      const isHeavy = item.files.reduce((sum, file) => sum + file.bytes, 0) > MOST_FILES;
      return { ...item, files: isHeavy ? [] : item.files, isHeavy, state: item.state === "sending" ? "waiting" : item.state };
    });
  const messages = now.messages.slice(-MOST_KEPT).map(({ role, parts, at, stopped, error }) => ({
    role,
    text: textOf(parts),
    files: mediaOf(parts).flatMap((media) => (media.id === "" ? [] : [{ ...media, data: undefined }])),
    at,
    stopped,
    error,
  }));
  return { messages, outgoing };
}

const LOST_FILES = "its files were too large to outlive the reload; attach them again";

export function fromKept(value: unknown): Conversation {
  const kept = object(value);
  const messages = objects(kept["messages"]).flatMap((item, index): Message[] => {
    const role = item["role"];
    if (role !== "user" && role !== "assistant") return [];
    const said = text(item["text"]);
    const files = objects(item["files"]).map((file): Part => ({ kind: "media", media: file as unknown as Media }));
    const error = object(item["error"]);
    return [
      {
        key: `kept:${index}`,
        id: undefined,
        runId: undefined,
        role,
        parts: [...files, ...(said === undefined ? [] : [{ kind: "text" as const, text: said }])],
        at: number(item["at"]),
        ...(item["stopped"] === true ? { stopped: true as const } : {}),
        ...(text(error["text"]) === undefined ? {} : { error: { text: string(error["text"]) ?? "", kind: string(error["kind"]) ?? "unknown" } }),
      },
    ];
  });
  const outgoing = objects(kept["outgoing"]).flatMap((item): Outgoing[] => {
    const id = text(item["id"]);
    const said = string(item["text"]);
    if (id === undefined || said === undefined) return [];
    const lost = item["isHeavy"] === true ? LOST_FILES : undefined;
    const reason = lost ?? string(item["reason"]);
    const state = lost !== undefined || item["state"] === "failed" ? ("failed" as const) : ("waiting" as const);
    const files = objects(item["files"]) as unknown as Attachment[];
    return [{ id, text: said, files, at: number(item["at"]) ?? 0, state, ...(reason === undefined ? {} : { reason }) }];
  });
  return { ...EMPTY, local: messages, messages, outgoing };
}
