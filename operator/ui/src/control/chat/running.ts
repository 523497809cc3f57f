// What a run that goes on adds to its conversation: the `chat` and `agent` events. Pure.
import { number, object, string, text } from "../../web/json";
import type { JsonObject } from "../../web/json";
import { accept, rebuilt } from "./conversation";
import type { Conversation, Run } from "./conversation";
import { readEnd, readFailure, rememberThought } from "./history";
import type { Message } from "./history";
import { newCall, readText } from "./parts";
import type { Call, Part } from "./parts";

/** Whether a step ended after `index`: its calls have results. */
const isOver = (parts: readonly Part[], index: number): boolean =>
  parts.slice(index + 1).some((part) => part.kind === "call" && part.call.status !== "running");

/** Thinking that is followed by something else is done. */
function closed(parts: readonly Part[], at: number): Part[] {
  return parts.map((part) =>
    part.kind === "thinking" && part.since !== undefined && part.ms === undefined ? { ...part, ms: Math.max(0, at - part.since) } : part,
  );
}

/** The present step's text so far; empty: a new step begins. */
function withText(run: Run, whole: string, at: number): Run {
  if (whole === "") return { ...run, isFresh: true };
  const { isFresh, status: _, ...rest } = run;
  const index = run.parts.findLastIndex((part) => part.kind === "text");
  if (index >= 0 && isFresh !== true && !isOver(run.parts, index)) return { ...rest, parts: run.parts.with(index, { kind: "text", text: whole }) };
  return { ...rest, parts: [...closed(run.parts, at), { kind: "text", text: whole }] };
}

function withThinking(run: Run, whole: string, at: number): Run {
  const index = run.parts.findLastIndex((part) => part.kind === "thinking");
  const last = run.parts[index];
  const isSame = last?.kind === "thinking" && !isOver(run.parts, index) && (index === run.parts.length - 1 || whole.startsWith(last.text));
  if (isSame) return { ...run, parts: run.parts.with(index, { ...last, text: whole }) };
  return { ...run, parts: [...closed(run.parts, at), { kind: "thinking", text: whole, since: at }] };
}

function withCall(run: Run, data: JsonObject, at: number): Run {
  const id = string(data["toolCallId"]) ?? "";
  const index = run.parts.findIndex((part) => part.kind === "call" && part.call.id === id);
  const found = run.parts[index];
  const before = found?.kind === "call" ? found.call : newCall(id, text(data["name"]) ?? "tool", at);
  const part: Part = { kind: "call", call: advanced(before, data, at) };
  const { isFresh: _, status: __, ...rest } = run;
  return { ...rest, parts: index < 0 ? [...closed(run.parts, at), part] : run.parts.with(index, part) };
}

function advanced(call: Call, data: JsonObject, at: number): Call {
  switch (data["phase"]) {
    case "start":
      return { ...call, label: text(data["label"]), describe: text(data["describe"]), args: object(data["args"]) };
    case "update":
      return { ...call, partial: string(object(data["partialResult"])["text"]) ?? call.partial };
    case "result": {
      const result = object(data["result"]);
      return {
        ...call,
        status: data["isError"] === true ? "failed" : "done",
        result: string(result["text"]) ?? "",
        details: object(result["details"]),
        durationMs: number(object(data["meta"])["durationMs"]) ?? (call.since === undefined ? undefined : at - call.since),
      };
    }
    default:
      return call;
  }
}

const present = (now: Conversation, id: string): Run => (now.run?.id === id ? now.run : { id, parts: [] });

/** A `chat` event of this session. */
export function applyChat(before: Conversation, payload: JsonObject, at: number): Conversation {
  const id = string(payload["runId"]) ?? "";
  const said = "message" in payload ? readText(object(payload["message"])["content"]) : "";
  switch (payload["state"]) {
    case "delta": {
      const now = accept(before, id, false);
      return { ...now, run: withText(present(now, id), said, at) };
    }
    case "status": {
      const now = accept(before, id, false);
      const status = { phase: string(payload["phase"]) ?? "", message: string(payload["message"]) ?? "" };
      return { ...now, run: { ...present(now, id), status } };
    }
    case "final":
    case "aborted":
    case "error":
      return ended(accept(before, id, false), id, payload, said, at);
    default:
      return before;
  }
}

function ended(now: Conversation, id: string, payload: JsonObject, said: string, at: number): Conversation {
  const run = said === "" ? present(now, id) : withText(present(now, id), said, at);
  const parts = closed(run.parts, at).map((part): Part => {
    if (part.kind !== "call" || part.call.status !== "running") return part;
    return { kind: "call", call: { ...part.call, status: "interrupted" } };
  });
  rememberThought(id, parts);
  const message: Message = {
    key: `a:${id}`,
    id: undefined,
    runId: id,
    role: "assistant",
    parts,
    at,
    ...readEnd(object(payload["message"])),
    ...(payload["state"] === "aborted" ? { stopped: true as const } : {}),
    ...(payload["state"] === "error" ? { error: readFailure(payload) } : {}),
  };
  const isEmpty = parts.length === 0 && payload["state"] === "final";
  const others = now.local.filter((one) => one.key !== message.key);
  // One that waited and was put aside ends without ever having been the run.
  const still = now.run?.id === id ? undefined : now.run;
  return rebuilt({ ...now, local: isEmpty ? others : [...others, message], run: still });
}

/** An `agent` event of this session: thinking, tools at work, compaction. */
export function applyAgent(before: Conversation, payload: JsonObject, at: number): Conversation {
  const id = string(payload["runId"]) ?? "";
  const data = object(payload["data"]);
  switch (payload["stream"]) {
    case "lifecycle":
      if (data["phase"] !== "start" || before.run?.id === id) return before;
      return begun(accept(before, id, false), id);
    case "thinking": {
      const now = begun(before, id);
      return { ...now, run: withThinking(present(now, id), string(data["text"]) ?? "", at) };
    }
    case "tool": {
      const now = begun(before, id);
      return { ...now, run: withCall(present(now, id), data, at) };
    }
    case "compaction": {
      if (before.run?.id !== id) return before;
      const { status: _, ...rest } = before.run;
      const status = { phase: "compacting", message: "Making room: summing up what was said" };
      return { ...before, run: data["phase"] === "start" ? { ...rest, status } : rest };
    }
    default:
      return before;
  }
}

const begun = (now: Conversation, id: string): Conversation => (now.run?.id === id ? now : rebuilt({ ...now, run: { id, parts: [] } }));
