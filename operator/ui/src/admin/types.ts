// A Moltbot as the administration's API tells it (docs/reference/internals.md), read once at the edge.
import { number, object, objects, string, strings, text, time } from "../web/json";
import type { JsonObject } from "../web/json";

export interface Row {
  namespace: string;
  name: string;
  phase: string;
  url: string | undefined;
  isReady: boolean;
}

export interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
}

export interface Device {
  id: string;
  name: string;
  platform: string;
  client: string;
  isApproved: boolean;
  request: { id: string; at: number | undefined; role: string; scopes: string[] } | undefined;
  approved: { by: string; at: number | undefined; scopes: string[] } | undefined;
  lastSeen: number | undefined;
  isConnected: boolean;
}

export interface Snapshot {
  name: string;
  phase: string;
  createdAt: number | undefined;
  bytes: number | undefined;
  files: number | undefined;
  message: string;
}

export interface Step {
  phase: string;
  at: number;
  reason: string;
}

export interface Wake {
  at: number | undefined;
  reason: string;
  seconds: number | undefined;
  /** Parts of it in the order they are told, milliseconds. */
  parts: readonly (readonly [string, number])[];
}

export interface Done {
  action: string;
  result: string;
  at: number | undefined;
  message: string;
}

export interface Moltbot {
  namespace: string;
  name: string;
  createdAt: number | undefined;
  sleepAfter: string;
  operatingMode: string;
  phase: string;
  url: string | undefined;
  model: string | undefined;
  conditions: Condition[];
  lastActivity: number | undefined;
  nextWake: number | undefined;
  lastBackup: { at: number | undefined; snapshot: string; bytes: number | undefined } | undefined;
  lastWake: Wake | undefined;
  history: Step[];
  actions: Done[];
  awakeSeconds: number | undefined;
  tokens: number | undefined;
  pending: Device[];
  paired: Device[];
  snapshots: Snapshot[];
}

const words = (value: unknown): string => string(value) ?? "";

export function readRow(value: JsonObject): Row {
  return {
    namespace: words(value["namespace"]),
    name: words(value["name"]),
    phase: words(value["phase"]),
    url: text(value["url"]),
    isReady: value["ready"] === true,
  };
}

function readDevice(value: JsonObject): Device {
  const request = value["request"] === null || value["request"] === undefined ? undefined : object(value["request"]);
  const approved = value["approved"] === null || value["approved"] === undefined ? undefined : object(value["approved"]);
  return {
    id: words(value["deviceId"]),
    name: words(value["name"]),
    platform: words(value["platform"]),
    client: words(value["client"]),
    isApproved: value["state"] === "approved",
    request:
      request === undefined
        ? undefined
        : { id: words(request["id"]), at: time(request["at"]), role: words(request["role"]), scopes: strings(request["scopes"]) },
    approved: approved === undefined ? undefined : { by: words(approved["by"]), at: time(approved["at"]), scopes: strings(approved["scopes"]) },
    lastSeen: time(value["lastSeen"]),
    isConnected: value["connected"] === true,
  };
}

const MEASURED = ["pod", "address", "listening", "restored", "open"];

/**
 * The parts of a wake one after another. The operator measures `pod` and `address`, each since the one before; the gateway says
 * `listening`, `restored` and `open`, each since it was started itself; what neither saw lies between them: the containers' start.
 */
export function wakeParts(breakdown: JsonObject, seconds: number | undefined): [string, number][] {
  const of = (name: string): number => Math.max(0, number(breakdown[name]) ?? 0);
  const listening = of("listening");
  const restored = Math.max(listening, of("restored"));
  const open = Math.max(restored, of("open"));
  const unseen = seconds === undefined ? 0 : Math.round(seconds * 1000) - of("pod") - of("address") - open;
  const others = Object.entries(breakdown).flatMap(([name, length]): [string, number][] =>
    MEASURED.includes(name) || typeof length !== "number" ? [] : [[name, length]],
  );
  const parts: [string, number][] = [
    ["pod", of("pod")],
    ["address", of("address")],
    ["started", unseen],
    ["listening", listening],
    ["restored", restored - listening],
    ["open", open - restored],
    ...others,
  ];
  return parts.filter(([, length]) => length > 0);
}

function readWake(value: unknown): Wake | undefined {
  if (value === null || value === undefined) return undefined;
  const wake = object(value);
  const seconds = number(wake["seconds"]);
  return { at: time(wake["time"]), reason: words(wake["reason"]), seconds, parts: wakeParts(object(wake["breakdown"]), seconds) };
}

export function readMoltbot(data: unknown): Moltbot | undefined {
  const value = object(data);
  const name = text(value["name"]);
  if (name === undefined) return undefined;
  const spec = object(value["spec"]);
  const status = object(value["status"]);
  const usage = object(status["usage"]);
  const backup = status["lastBackup"] === undefined || status["lastBackup"] === null ? undefined : object(status["lastBackup"]);
  const devices = objects(value["devices"]).map(readDevice);
  return {
    namespace: words(value["namespace"]),
    name,
    createdAt: time(value["createdAt"]),
    sleepAfter: text(spec["sleepAfter"]) ?? "never",
    operatingMode: text(spec["operatingMode"]) ?? "Auto",
    phase: text(status["phase"]) ?? "Pending",
    url: text(status["url"]),
    model: text(status["model"]) ?? text(object(status["model"])["name"]),
    conditions: objects(status["conditions"]).map((one) => ({
      type: words(one["type"]),
      status: words(one["status"]),
      reason: words(one["reason"]),
      message: words(one["message"]),
    })),
    lastActivity: time(status["lastActivityTime"]),
    nextWake: time(status["nextWakeTime"]),
    lastBackup:
      backup === undefined ? undefined : { at: time(backup["time"]), snapshot: words(backup["snapshot"]), bytes: number(backup["bytes"]) },
    lastWake: readWake(status["lastWake"]),
    history: objects(status["history"])
      .flatMap((one): Step[] => {
        const at = time(one["time"]);
        return at === undefined ? [] : [{ phase: words(one["phase"]), at, reason: words(one["reason"]) }];
      })
      .sort((a, b) => b.at - a.at),
    actions: objects(status["actions"])
      .map((one) => ({
        action: words(one["action"]),
        result: words(one["result"]),
        at: time(one["time"]) ?? time(one["requested"]),
        message: words(one["message"]),
      }))
      .sort((a, b) => (b.at ?? 0) - (a.at ?? 0)),
    awakeSeconds: number(usage["awakeSeconds"]),
    tokens: number(usage["tokens"]),
    // A device may be approved and ask for more: then it is in both lists.
    pending: devices.filter((device) => device.request !== undefined),
    paired: devices.filter((device) => device.isApproved),
    snapshots: objects(value["snapshots"])
      .map((one) => ({
        name: words(one["name"]),
        phase: words(one["phase"]),
        createdAt: time(one["createdAt"]),
        bytes: number(one["bytes"]),
        files: number(one["files"]),
        message: words(one["message"]),
      }))
      .sort((a, b) => (b.createdAt ?? 0) - (a.createdAt ?? 0)),
  };
}
