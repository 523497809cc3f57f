// What the assistant is doing as a whole, as /api/events says it.
import { number, object, string, text } from "../../web/json";

export const PHASES = ["Pending", "Waking", "Awake", "Draining", "Asleep", "Suspended", "Failed"] as const;
export type PhaseName = (typeof PHASES)[number];

export interface Phase {
  name: PhaseName;
  message: string | undefined;
  reason: string | undefined;
  /** Since when this phase has been seen here, and until when it is expected to last; milliseconds. */
  since: number;
  until: number | undefined;
}

export function readPhase(data: unknown, before: Phase | undefined, at: number): Phase | undefined {
  const event = object(data);
  const said = string(event["phase"]);
  const name = PHASES.find((one) => one === said);
  if (name === undefined) return before;
  const isSame = before?.name === name;
  const remains = number(event["estimateSeconds"]);
  // A second word in the same phase may repeat the estimate of the whole: the end that was promised first counts.
  const until = remains === undefined ? undefined : Math.min(at + remains * 1000, (isSame ? before.until : undefined) ?? Infinity);
  return {
    name,
    message: text(event["message"]),
    reason: text(event["reason"]),
    since: isSame ? before.since : at,
    until,
  };
}

/** How far along, 0 to 0.96, or undefined when nobody can tell. It slows down rather than promise too much. */
export function progressOf(phase: Phase, at: number): number | undefined {
  if (phase.until === undefined) return undefined;
  const whole = Math.max(phase.until - phase.since, 500);
  const part = Math.max(0, at - phase.since) / whole;
  return part < 0.8 ? part : 0.96 - 0.16 * Math.exp(-(part - 0.8) * 3);
}

/** An assistant that needs no wake to take a message now. */
export const isUp = (phase: Phase | undefined): boolean => phase === undefined || phase.name === "Awake" || phase.name === "Draining";
