// One conversation as data, and what changes it. Pure: no socket, clock or storage.
import { number, object, objects, string, strings, text, time } from "../../web/json";
import type { JsonObject } from "../../web/json";

export interface Message {
  role: "user" | "assistant" | "error";
  text: string;
  /** Milliseconds since 1970; undefined when nobody said. */
  at: number | undefined;
  /** A person stopped the answer here. */
  stopped?: true;
  /** Names of the tools that were used on the way. */
  tools?: string[];
}

/** A message that the gateway has not accepted yet. `id` is its idempotency key: it can be sent as often as it takes. */
export interface Outgoing {
  id: string;
  text: string;
  at: number;
  state: "waiting" | "sending" | "failed";
  reason?: string;
}

/** A turn of the assistant that is going on. */
export interface Run {
  id: string;
  text: string;
  tool?: string;
  /** What was sent, when it was from here. */
  sent?: string;
  stopping?: true;
}

export interface Conversation {
  /** Whether the history has been read since this page was opened. */
  loaded: boolean;
  messages: Message[];
  outgoing: Outgoing[];
  run: Run | undefined;
  /** Why the history could not be read. */
  problem: string | undefined;
}

export const EMPTY: Conversation = { loaded: false, messages: [], outgoing: [], run: undefined, problem: undefined };

/** The text of a message's content: a string, or blocks of which the text ones count. */
export function readText(content: unknown): string {
  if (typeof content === "string") return content;
  return objects(content)
    .filter((block) => block["type"] === "text")
    .map((block) => string(block["text"]) ?? "")
    .join("\n\n")
    .trim();
}

function readTools(content: unknown): string[] {
  return objects(content)
    .filter((block) => block["type"] === "toolCall" || block["type"] === "tool_use")
    .map((block) => text(block["name"]) ?? "a tool");
}

/** `chat.history`'s messages as this page shows them. */
export function readHistory(payload: JsonObject): Message[] {
  const messages: Message[] = [];
  let tools: string[] = [];
  for (const item of objects(payload["messages"])) {
    const role = item["role"];
    const at = time(item["timestamp"]);
    const said = readText(item["content"]);
    if (role === "user") {
      tools = [];
      if (said !== "") messages.push({ role, text: said, at });
    } else if (role === "assistant") {
      tools.push(...readTools(item["content"]));
      const stop = string(item["stopReason"]);
      if (said !== "") {
        messages.push({
          role,
          text: said,
          at,
          ...(tools.length > 0 ? { tools } : {}),
          ...(stop === "aborted" || stop === "rpc" ? { stopped: true as const } : {}),
        });
        tools = [];
      }
      if (stop === "error") messages.push({ role: "error", text: text(item["errorMessage"]) ?? NO_REASON, at });
    }
  }
  return messages;
}

const NO_REASON = "The model gave no answer and no reason.";

const KINDS: Readonly<Record<string, string>> = {
  refusal: "The model declined to answer.",
  timeout: "The model took too long to answer.",
  rate_limit: "The model's provider is limiting requests right now. Wait a little, then retry.",
  context_length: "This conversation has become too long for the model. Start a new chat.",
};

/** Words for a turn that failed: the gateway's own, else by its kind. */
export function readFailure(payload: JsonObject): string {
  return text(payload["errorMessage"]) ?? KINDS[string(payload["errorKind"]) ?? ""] ?? NO_REASON;
}

export function post(now: Conversation, id: string, said: string, at: number): Conversation {
  return { ...now, outgoing: [...now.outgoing, { id, text: said, at, state: "waiting" }] };
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

/** The gateway has it: it is part of the conversation, and its turn goes on, or is over already. */
export function accept(now: Conversation, id: string, over: boolean): Conversation {
  const item = now.outgoing.find((one) => one.id === id);
  if (item === undefined) return now;
  const message: Message = { role: "user", text: item.text, at: item.at };
  const run = over ? undefined : { id, text: "", sent: item.text };
  return { ...now, messages: [...now.messages, message], outgoing: now.outgoing.filter((one) => one !== item), run };
}

/** The history as the gateway has it takes the place of what was shown; what it has not accepted yet stays. */
export function withHistory(now: Conversation, messages: Message[]): Conversation {
  return { ...now, messages, loaded: true, problem: undefined };
}

/** A `chat` event of this session. */
export function applyChat(before: Conversation, payload: JsonObject, at: number): Conversation {
  const id = string(payload["runId"]) ?? "";
  const now = accept(before, id, false);
  const run: Run = now.run?.id === id ? now.run : { id, text: "" };
  const said = "message" in payload ? readText(object(payload["message"])["content"]) : "";
  const { tool: _, ...still } = run;
  switch (payload["state"]) {
    case "delta":
      // Cumulative: the newest has all of it.
      return { ...now, run: said === "" ? run : { ...still, text: said } };
    case "final": {
      const whole = said || run.text;
      const messages = whole === "" ? now.messages : [...now.messages, { role: "assistant" as const, text: whole, at }];
      return { ...now, messages, run: undefined };
    }
    case "aborted": {
      const whole = said || run.text;
      const stopped: Message = { role: "assistant", text: whole, at, stopped: true };
      return { ...now, messages: [...now.messages, stopped], run: undefined };
    }
    case "error": {
      const partial: Message[] = run.text === "" ? [] : [{ role: "assistant", text: run.text, at }];
      return { ...now, messages: [...now.messages, ...partial, { role: "error", text: readFailure(payload), at }], run: undefined };
    }
    default:
      return now;
  }
}

/** An `agent` event of this session: which tool is at work. */
export function applyAgent(now: Conversation, payload: JsonObject): Conversation {
  if (now.run === undefined || now.run.id !== payload["runId"] || payload["stream"] !== "tool") return now;
  const data = object(payload["data"]);
  const { tool: _, ...still } = now.run;
  const name = text(data["name"]);
  return { ...now, run: data["phase"] === "result" || name === undefined ? still : { ...still, tool: name } };
}

/** The last thing that the person said: what Retry sends again. */
export function lastSaid(now: Conversation): string | undefined {
  return now.messages.findLast((message) => message.role === "user")?.text;
}

// What a tab keeps over a reload.
const MOST_KEPT = 60;

export function toKept(now: Conversation): JsonObject {
  const outgoing = now.outgoing.map((item) => (item.state === "sending" ? { ...item, state: "waiting" } : item));
  return { messages: now.messages.slice(-MOST_KEPT), outgoing };
}

export function fromKept(value: unknown): Conversation {
  const kept = object(value);
  const messages = objects(kept["messages"]).flatMap((item): Message[] => {
    const role = item["role"];
    const said = string(item["text"]);
    if (said === undefined || (role !== "user" && role !== "assistant" && role !== "error")) return [];
    const tools = strings(item["tools"]);
    return [
      {
        role,
        text: said,
        at: number(item["at"]),
        ...(item["stopped"] === true ? { stopped: true as const } : {}),
        ...(tools.length > 0 ? { tools } : {}),
      },
    ];
  });
  const outgoing = objects(kept["outgoing"]).flatMap((item): Outgoing[] => {
    const id = text(item["id"]);
    const said = text(item["text"]);
    if (id === undefined || said === undefined) return [];
    const reason = string(item["reason"]);
    const state = item["state"] === "failed" ? ("failed" as const) : ("waiting" as const);
    return [{ id, text: said, at: number(item["at"]) ?? 0, state, ...(reason === undefined ? {} : { reason }) }];
  });
  return { ...EMPTY, messages, outgoing };
}
