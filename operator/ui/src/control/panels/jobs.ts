// The jobs as the gateway has them, and what is asked of it about them.
import { signal } from "@preact/signals";

import { number, object, objects, string, text } from "../../web/json";
import type { JsonObject } from "../../web/json";
import { connection, tell } from "../chat/state";
import { readSchedule } from "./timing";
import type { Schedule } from "./timing";

export interface Job {
  id: string;
  name: string;
  isEnabled: boolean;
  /** Of the Moltbot's spec: it can be run here, and not changed. */
  isOfSpec: boolean;
  schedule: Schedule | undefined;
  isIsolated: boolean;
  prompt: string;
  nextAt: number | undefined;
  isRunning: boolean;
  lastAt: number | undefined;
  lastStatus: string | undefined;
  lastError: string | undefined;
}

export interface JobRun {
  at: number;
  status: string;
  words: string;
  durationMs: number | undefined;
  sessionKey: string | undefined;
}

export const jobs = signal<readonly Job[] | undefined>(undefined);
export const problem = signal<string | undefined>(undefined);

function readJob(row: JsonObject): Job | undefined {
  const id = text(row["id"]);
  if (id === undefined) return undefined;
  const [state, payload] = [object(row["state"]), object(row["payload"])];
  return {
    id,
    name: text(row["name"]) ?? "Unnamed job",
    isEnabled: row["enabled"] !== false,
    isOfSpec: row["source"] === "spec",
    schedule: readSchedule(row["schedule"]),
    isIsolated: row["sessionTarget"] === "isolated",
    prompt: string(payload["message"]) ?? string(payload["text"]) ?? "",
    nextAt: number(state["nextRunAtMs"]),
    isRunning: number(state["runningAtMs"]) !== undefined,
    lastAt: number(state["lastRunAtMs"]),
    lastStatus: text(state["lastStatus"]),
    lastError: text(state["lastError"]),
  };
}

export async function loadJobs(): Promise<void> {
  try {
    const payload = await connection.request("cron.list", { includeDisabled: true });
    jobs.value = objects(payload["jobs"]).flatMap((row) => readJob(row) ?? []);
    problem.value = undefined;
  } catch (error) {
    problem.value = error instanceof Error ? error.message : "no reason given";
  }
}

export interface Draft {
  name: string;
  prompt: string;
  isIsolated: boolean;
  schedule: Schedule;
}

/** Adds a job, or changes one; true when it is done. */
export async function saveJob(draft: Draft, id: string | undefined): Promise<boolean> {
  const { schedule } = draft;
  const said = {
    name: draft.name,
    schedule: schedule.kind === "cron" && schedule.tz === undefined ? { kind: "cron", expr: schedule.expr } : schedule,
    sessionTarget: draft.isIsolated ? "isolated" : "main",
    payload: { kind: "agentTurn", message: draft.prompt },
  };
  const ask = (): Promise<JsonObject> =>
    id === undefined ? connection.request("cron.add", said, "wake") : connection.request("cron.update", { id, patch: said }, "wake");
  const isDone = await tell(ask, "The job could not be kept");
  if (isDone) await loadJobs();
  return isDone;
}

export async function setEnabled(job: Job, enabled: boolean): Promise<void> {
  await tell(() => connection.request("cron.update", { id: job.id, patch: { enabled } }, "wake"), "It could not be changed");
  await loadJobs();
}

export async function removeJob(job: Job): Promise<void> {
  await tell(() => connection.request("cron.remove", { id: job.id }, "wake"), "It could not be removed");
  await loadJobs();
}

export async function runJob(job: Job): Promise<void> {
  await tell(() => connection.request("cron.run", { id: job.id, mode: "force" }, "wake"), "It could not be run");
  await loadJobs();
}

export async function loadRuns(id: string): Promise<JobRun[]> {
  const payload = await connection.request("cron.runs", { id, limit: 20 });
  return objects(payload["entries"])
    .map((entry) => ({
      at: number(entry["runAtMs"]) ?? number(entry["ts"]) ?? 0,
      status: string(entry["status"]) ?? "",
      words: text(entry["error"]) ?? text(entry["summary"]) ?? "",
      durationMs: number(entry["durationMs"]),
      sessionKey: text(entry["sessionKey"]),
    }))
    .sort((a, b) => b.at - a.at);
}
