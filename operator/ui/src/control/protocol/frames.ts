// The frames of protocol version 4, as this page reads them (reference: the protocol of the official gateway, §1–2).
import { isObject, number, object, parse, string, strings, text } from "../../web/json";
import type { JsonObject } from "../../web/json";

export const PROTOCOL = 4;

export interface WireError {
  code: string;
  message: string;
  details: JsonObject;
  retryable: boolean;
  retryAfterMs: number | undefined;
}

export type Frame =
  | { type: "res"; id: string; ok: true; payload: unknown }
  | { type: "res"; id: string; ok: false; error: WireError }
  | { type: "event"; event: string; payload: JsonObject };

export function readError(value: unknown): WireError {
  const error = object(value);
  return {
    code: string(error["code"]) ?? "UNKNOWN",
    message: text(error["message"]) ?? "The gateway gave no reason.",
    details: object(error["details"]),
    retryable: error["retryable"] === true,
    retryAfterMs: number(error["retryAfterMs"]),
  };
}

/** The frame in a text; undefined when it is none that this page knows. */
export function readFrame(source: string): Frame | undefined {
  const frame = parse(source);
  if (!isObject(frame)) return undefined;
  const event = string(frame["event"]);
  if (frame["type"] === "event" && event !== undefined) return { type: "event", event, payload: object(frame["payload"]) };
  const id = string(frame["id"]);
  if (frame["type"] !== "res" || id === undefined) return undefined;
  if (frame["ok"] === true) return { type: "res", id, ok: true, payload: frame["payload"] };
  return { type: "res", id, ok: false, error: readError(frame["error"]) };
}

/** What hello-ok tells that this page uses. */
export interface Hello {
  name: string | undefined;
  methods: ReadonlySet<string>;
  deviceToken: string | undefined;
  scopes: readonly string[];
  tickMs: number;
  agentId: string;
  mainKey: string;
  modelConfigured: boolean;
  /** Bytes that a frame from here may have. */
  maxPayload: number;
}

const TICK_MS = 30_000;
const MAX_PAYLOAD = 26_214_400;

export function readHello(payload: JsonObject): Hello | undefined {
  if (payload["type"] !== "hello-ok") return undefined;
  const auth = object(payload["auth"]);
  const defaults = object(object(payload["snapshot"])["sessionDefaults"]);
  const agentId = text(defaults["defaultAgentId"]) ?? "main";
  return {
    name: text(object(payload["server"])["name"]),
    methods: new Set(strings(object(payload["features"])["methods"])),
    deviceToken: text(auth["deviceToken"]),
    scopes: strings(auth["scopes"]),
    tickMs: number(object(payload["policy"])["tickIntervalMs"]) ?? TICK_MS,
    agentId,
    mainKey: text(defaults["mainSessionKey"]) ?? `agent:${agentId}:main`,
    modelConfigured: defaults["modelConfigured"] !== false,
    maxPayload: number(object(payload["policy"])["maxPayload"]) ?? MAX_PAYLOAD,
  };
}

/** What a refused `connect` means for the person. */
export type Refusal =
  | { kind: "pairing"; requestId: string | undefined; reason: string }
  | { kind: "token"; message: string; stale: boolean }
  | { kind: "clock"; message: string }
  | { kind: "version"; message: string }
  | { kind: "busy"; message: string; afterMs: number | undefined };

export function readRefusal(error: WireError): Refusal {
  const code = string(error.details["code"]) ?? "";
  if (error.code === "NOT_PAIRED" || code === "PAIRING_REQUIRED") {
    return { kind: "pairing", requestId: text(error.details["requestId"]), reason: string(error.details["reason"]) ?? "not-paired" };
  }
  if (code === "DEVICE_AUTH_SIGNATURE_EXPIRED") return { kind: "clock", message: error.message };
  if (code === "PROTOCOL_MISMATCH") return { kind: "version", message: error.message };
  if (code.startsWith("AUTH_") || error.message.startsWith("unauthorized")) {
    // A device token that was revoked or rotated; without it the cookie may still do.
    return { kind: "token", message: error.message, stale: code !== "AUTH_RATE_LIMITED" };
  }
  return { kind: "busy", message: error.message, afterMs: error.retryAfterMs };
}
