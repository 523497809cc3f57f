// When jobs run, in words and as dates. A preview: what counts is the gateway's own reckoning.
import { Cron } from "croner";
import cronstrue from "cronstrue";

import { number, object, string, text } from "../../web/json";
import { dayAndTime, span } from "../../web/times";

export type Schedule = { kind: "at"; atMs: number } | { kind: "every"; everyMs: number } | { kind: "cron"; expr: string; tz: string | undefined };

export const SHORTEST_MS = 60_000;

export function readSchedule(value: unknown): Schedule | undefined {
  const said = object(value);
  const [atMs, everyMs, expr] = [number(said["atMs"]), number(said["everyMs"]), text(said["expr"])];
  if (said["kind"] === "at" && atMs !== undefined) return { kind: "at", atMs };
  if (said["kind"] === "every" && everyMs !== undefined) return { kind: "every", everyMs };
  if (said["kind"] === "cron" && expr !== undefined) return { kind: "cron", expr, tz: string(said["tz"]) || undefined };
  return undefined;
}

/** Why it would never run, or not be understood; undefined when it is fine. */
export function problemOf(schedule: Schedule, now: number): string | undefined {
  switch (schedule.kind) {
    case "at":
      if (Number.isNaN(schedule.atMs)) return "Choose a day and a time.";
      return schedule.atMs <= now ? "That time has passed." : undefined;
    case "every":
      return schedule.everyMs >= SHORTEST_MS ? undefined : "At most once a minute.";
    case "cron":
      try {
        return nextRuns(schedule, 1, now).length > 0 ? undefined : "No such time comes.";
      } catch (error) {
        return error instanceof Error ? error.message.replace(/^CronPattern: /, "") : "This is no cron expression.";
      }
  }
}

export function inWords(schedule: Schedule): string {
  switch (schedule.kind) {
    case "at":
      return `Once, ${dayAndTime(schedule.atMs)}`;
    case "every":
      return `Every ${span(schedule.everyMs / 1000)}`;
    case "cron":
      try {
        const words = cronstrue.toString(schedule.expr, { use24HourTimeFormat: true });
        return schedule.tz === undefined ? words : `${words} (${schedule.tz})`;
      } catch {
        return schedule.expr;
      }
  }
}

/** The next times, milliseconds since 1970. Throws where a cron expression is none. */
export function nextRuns(schedule: Schedule, count: number, now: number): number[] {
  switch (schedule.kind) {
    case "at":
      return schedule.atMs > now ? [schedule.atMs] : [];
    case "every":
      return Array.from({ length: count }, (_, index) => now + schedule.everyMs * (index + 1));
    case "cron": {
      // Five fields, as the gateway takes them.
      const cron = new Cron(schedule.expr, { mode: "5-part", ...(schedule.tz === undefined ? {} : { timezone: schedule.tz }) });
      return cron.nextRuns(count, new Date(now)).map((run) => run.getTime());
    }
  }
}
