// A job to be made or changed: what to do, and when, with the next times in words.
import { useSignal } from "@preact/signals";

import { now } from "../../web/clock";
import { dayAndTime } from "../../web/times";
import { saveJob } from "./jobs";
import type { Job } from "./jobs";
import { inWords, nextRuns, problemOf } from "./timing";
import type { Schedule } from "./timing";

const HOUR_MS = 3_600_000;
const UNITS = [
  ["minutes", 60_000],
  ["hours", HOUR_MS],
  ["days", 24 * HOUR_MS],
] as const;
const KINDS = [
  ["at", "Once"],
  ["every", "Regularly"],
  ["cron", "By cron expression"],
] as const;

/** As the field for local times wants it. */
function toLocal(at: number): string {
  const zone = new Date(at).getTimezoneOffset() * 60_000;
  return new Date(at - zone).toISOString().slice(0, 16);
}

const here = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export function JobForm({ job, onDone }: { job: Job | undefined; onDone: () => void }) {
  const old = job?.schedule;
  const name = useSignal(job?.name ?? "");
  const prompt = useSignal(job?.prompt ?? "");
  const kind = useSignal<Schedule["kind"]>(old?.kind ?? "cron");
  const at = useSignal(toLocal(old?.kind === "at" ? old.atMs : Math.ceil(Date.now() / HOUR_MS) * HOUR_MS + HOUR_MS));
  const known = UNITS.findLast(([, ms]) => old?.kind === "every" && old.everyMs % ms === 0);
  const unit = useSignal<number>(known?.[1] ?? HOUR_MS);
  const count = useSignal(old?.kind === "every" ? String(old.everyMs / unit.value) : "1");
  const expr = useSignal(old?.kind === "cron" ? old.expr : "0 7 * * 1-5");
  const zone = useSignal(old?.kind === "cron" ? (old.tz ?? "UTC") : here());
  const isIsolated = useSignal(job?.isIsolated ?? true);
  const isBusy = useSignal(false);

  const schedule: Schedule =
    kind.value === "at"
      ? { kind: "at", atMs: new Date(at.value).getTime() }
      : kind.value === "every"
        ? { kind: "every", everyMs: Math.round(Number(count.value) * unit.value) }
        : { kind: "cron", expr: expr.value.trim(), tz: zone.value.trim() || undefined };
  const problem = problemOf(schedule, now.value);
  const runs = problem === undefined ? nextRuns(schedule, 3, now.value) : [];

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (problem !== undefined) return;
    isBusy.value = true;
    const draft = { name: name.value.trim(), prompt: prompt.value.trim(), isIsolated: isIsolated.value, schedule };
    const isDone = await saveJob(draft, job?.id);
    isBusy.value = false;
    if (isDone) onDone();
  };
  const field = (signal: { value: string }) => ({
    value: signal.value,
    onInput: (event: { currentTarget: { value: string } }) => {
      signal.value = event.currentTarget.value;
    },
  });

  return (
    <form class="card job-form" aria-label={job === undefined ? "New job" : `Change ${job.name}`} onSubmit={(event) => void submit(event)}>
      <div>
        <label class="label" for="job-name">
          Name
        </label>
        <input id="job-name" class="field" required maxLength={100} autofocus {...field(name)} />
      </div>
      <div>
        <label class="label" for="job-prompt">
          What to do
        </label>
        <textarea id="job-prompt" class="field" required rows={3} maxLength={20_000} placeholder="Tell me what is in my calendar today" {...field(prompt)} />
      </div>
      <fieldset class="choices">
        <legend class="label">When</legend>
        {KINDS.map(([id, label]) => (
          <label key={id}>
            <input
              type="radio"
              name="kind"
              checked={kind.value === id}
              onChange={() => {
                kind.value = id;
              }}
            />
            {label}
          </label>
        ))}
      </fieldset>
      {kind.value === "at" && <input class="field" type="datetime-local" aria-label="Day and time" required {...field(at)} />}
      {kind.value === "every" && (
        <div class="pair">
          <input class="field" type="number" min={1} step="any" aria-label="How many" required {...field(count)} />
          <select
            class="field"
            aria-label="Unit"
            value={String(unit.value)}
            onChange={(event) => {
              unit.value = Number(event.currentTarget.value);
            }}
          >
            {UNITS.map(([label, ms]) => (
              <option key={label} value={String(ms)}>
                {label}
              </option>
            ))}
          </select>
        </div>
      )}
      {kind.value === "cron" && (
        <div class="pair">
          <div>
            <label class="label" for="job-cron">
              Minute, hour, day, month, weekday
            </label>
            <input id="job-cron" class="field mono" required spellcheck={false} {...field(expr)} />
          </div>
          <div>
            <label class="label" for="job-zone">
              Time zone
            </label>
            <input id="job-zone" class="field" placeholder="UTC" list="zones" {...field(zone)} />
            <datalist id="zones">
              {[here(), "UTC"].map((one) => (
                <option key={one} value={one} />
              ))}
            </datalist>
          </div>
        </div>
      )}
      <div class="preview" role="status" data-testid="preview">
        {problem !== undefined ? (
          <span class="preview-problem">{problem}</span>
        ) : (
          <>
            <strong>{inWords(schedule)}</strong>
            <span class="muted small">Next: {runs.map((run) => dayAndTime(run)).join("; ")}</span>
          </>
        )}
      </div>
      <fieldset class="choices">
        <legend class="label">Where</legend>
        <label>
          <input
            type="radio"
            name="target"
            checked={isIsolated.value}
            onChange={() => {
              isIsolated.value = true;
            }}
          />
          In a chat of its own
        </label>
        <label>
          <input
            type="radio"
            name="target"
            checked={!isIsolated.value}
            onChange={() => {
              isIsolated.value = false;
            }}
          />
          In the main conversation
        </label>
      </fieldset>
      <div class="dialog-actions">
        <button type="button" class="button" onClick={onDone}>
          Cancel
        </button>
        <button class="button primary" disabled={isBusy.value || problem !== undefined}>
          {job === undefined ? "Add" : "Save"}
        </button>
      </div>
    </form>
  );
}
