// What a message is made of: text, thinking, calls of tools, pictures and files. Pure: from the wire's blocks to what is shown.
import { number, object, objects, string, text } from "../../web/json";
import type { JsonObject } from "../../web/json";

export interface Media {
  /** Where `media.get` finds it; empty while it is only here. */
  id: string;
  mimeType: string;
  fileName: string;
  bytes: number | undefined;
  /** A data: URL, when the content is here already. */
  data?: string;
}

export type CallStatus = "running" | "done" | "failed" | "interrupted";

/** One call of a tool, joined with its result. */
export interface Call {
  id: string;
  name: string;
  /** The tool's name for people, and this call in one line; as the gateway says them, when it does. */
  label: string | undefined;
  describe: string | undefined;
  args: JsonObject;
  status: CallStatus;
  /** What it has put out so far. */
  partial: string;
  /** What it gave: the text, and more for the card. */
  result: string;
  details: JsonObject;
  media: Media[];
  /** Milliseconds since 1970; undefined when nobody said. */
  since: number | undefined;
  durationMs: number | undefined;
}

export type Part =
  | { kind: "text"; text: string }
  | { kind: "thinking"; text: string; since?: number; ms?: number }
  | { kind: "media"; media: Media }
  | { kind: "call"; call: Call };

export function newCall(id: string, name: string, since: number | undefined): Call {
  return {
    id,
    name,
    label: undefined,
    describe: undefined,
    args: {},
    status: "running",
    partial: "",
    result: "",
    details: {},
    media: [],
    since,
    durationMs: undefined,
  };
}

function readMedia(block: JsonObject): Media | undefined {
  const id = text(block["mediaId"]);
  if (id === undefined) return undefined;
  return {
    id,
    mimeType: string(block["mimeType"]) ?? "",
    fileName: text(block["fileName"]) ?? (block["type"] === "image" ? "Picture" : "Document"),
    bytes: number(block["bytes"]),
  };
}

/** Blocks in the order in which they were said. `since`: when they were, for the calls among them. */
export function readParts(content: unknown, since?: number): Part[] {
  if (typeof content === "string") return content.trim() === "" ? [] : [{ kind: "text", text: content }];
  return objects(content).flatMap((block): Part[] => {
    switch (block["type"]) {
      case "text": {
        const said = text(block["text"]);
        return said === undefined ? [] : [{ kind: "text", text: said }];
      }
      case "thinking": {
        const said = text(block["thinking"]);
        return said === undefined ? [] : [{ kind: "thinking", text: said }];
      }
      case "toolCall":
      case "tool_use": {
        const call = newCall(string(block["id"]) ?? "", text(block["name"]) ?? "tool", since);
        return [{ kind: "call", call: { ...call, args: object(block["arguments"] ?? block["input"]) } }];
      }
      case "image":
      case "document": {
        const media = readMedia(block);
        return media === undefined ? [] : [{ kind: "media", media }];
      }
      default:
        return [];
    }
  });
}

/** All that is said in words, without thinking and tools: what Copy takes. */
export function textOf(parts: readonly Part[]): string {
  return parts
    .flatMap((part) => (part.kind === "text" ? [part.text] : []))
    .join("\n\n")
    .trim();
}

export const mediaOf = (parts: readonly Part[]): Media[] => parts.flatMap((part) => (part.kind === "media" ? [part.media] : []));

/** The text of a message's content: a string, or blocks of which the text ones count. */
export const readText = (content: unknown): string => textOf(readParts(content));

/** A result of a tool as the history has it, put to its call. */
export function withResult(call: Call, item: JsonObject, at: number | undefined): Call {
  const parts = readParts(item["content"]);
  const details = object(item["details"]);
  const took = number(item["durationMs"]) ?? number(details["durationMs"]) ?? (at !== undefined && call.since !== undefined ? Math.max(0, at - call.since) : undefined);
  return {
    ...call,
    label: text(item["label"]) ?? call.label,
    describe: text(item["describe"]) ?? call.describe,
    status: details["interrupted"] === true ? "interrupted" : item["isError"] === true ? "failed" : "done",
    result: text(item["person"]) ?? textOf(parts),
    details,
    media: mediaOf(parts),
    durationMs: took,
  };
}
