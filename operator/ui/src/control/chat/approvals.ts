// What waits for a person's yes or no before it is run.
import { signal } from "@preact/signals";

import { number, object, string, text } from "../../web/json";
import type { JsonObject } from "../../web/json";
import { announcement, assistant, connection, currentKey, tell } from "./state";

export type Decision = "allow-once" | "allow-always" | "deny";

export interface Approval {
  id: string;
  /** What would run, in a line or a few. */
  command: string;
  tool: string;
  label: string | undefined;
  cwd: string | undefined;
  sessionKey: string;
  toolCallId: string | undefined;
  /** What "always" would allow from now on; undefined: it cannot be allowed for good. */
  pattern: string | undefined;
  createdAt: number;
  expiresAt: number | undefined;
}

export const approvals = signal<readonly Approval[]>([]);
/** Those that were answered from here, until the gateway has said so. */
export const deciding = signal<ReadonlySet<string>>(new Set());

function readApproval(payload: JsonObject): Approval | undefined {
  const id = text(payload["id"]);
  const request = object(payload["request"]);
  if (id === undefined) return undefined;
  return {
    id,
    command: string(request["command"]) ?? "",
    tool: text(request["tool"]) ?? "exec",
    label: text(request["label"]),
    cwd: text(request["cwd"]),
    sessionKey: string(request["sessionKey"]) ?? "",
    toolCallId: text(request["toolCallId"]),
    pattern: text(request["pattern"]),
    createdAt: number(payload["createdAtMs"]) ?? Date.now(),
    expiresAt: number(payload["expiresAtMs"]),
  };
}

export async function loadApprovals(): Promise<void> {
  if (!connection.serves("exec.approval.list")) return;
  const listed = await connection.requestList("exec.approval.list", {}).catch(() => undefined);
  if (listed !== undefined) approvals.value = listed.flatMap((item) => readApproval(item) ?? []);
}

export function onRequested(payload: JsonObject): void {
  const approval = readApproval(payload);
  if (approval === undefined) return;
  approvals.value = [...approvals.value.filter((one) => one.id !== approval.id), approval];
  if (approval.sessionKey === currentKey.value) {
    announcement.value = `${assistant.value || "The assistant"} asks to run: ${approval.command}`;
  }
}

const WORDS: Readonly<Record<string, string>> = { "allow-once": "Allowed once", "allow-always": "Allowed for good", deny: "Denied" };

export function onResolved(payload: JsonObject): void {
  const id = string(payload["id"]) ?? "";
  if (!approvals.value.some((one) => one.id === id)) return;
  remove(id);
  announcement.value = WORDS[string(payload["decision"]) ?? ""] ?? "No longer asked";
}

function remove(id: string): void {
  approvals.value = approvals.value.filter((one) => one.id !== id);
  deciding.value = new Set([...deciding.value].filter((one) => one !== id));
}

export async function decide(approval: Approval, decision: Decision): Promise<void> {
  deciding.value = new Set([...deciding.value, approval.id]);
  const isDone = await tell(() => connection.request("exec.approval.resolve", { id: approval.id, decision }), "It could not be decided");
  if (isDone) remove(approval.id);
  else {
    deciding.value = new Set([...deciding.value].filter((one) => one !== approval.id));
    // Decided elsewhere, or run out, meanwhile.
    await loadApprovals();
  }
}
