// The schedule: what the assistant does by itself, when, and how it went.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { Dialog } from "../../design/dialog";
import { Icon } from "../../design/icons";
import { Menu } from "../../design/menu";
import { now } from "../../web/clock";
import { ago, dayAndTime, span } from "../../web/times";
import { openSession } from "../chat/choosing";
import { listeners } from "../chat/living";
import { connection } from "../chat/state";
import { durationOf } from "../views/toolwords";
import { JobForm } from "./jobform";
import { jobs, loadJobs, loadRuns, problem, removeJob, runJob, setEnabled } from "./jobs";
import type { Job, JobRun } from "./jobs";
import "./panels.css";
import { inWords } from "./timing";

const STATUS: Readonly<Record<string, readonly [string, string]>> = {
  ok: ["good", "Done"],
  error: ["bad", "Failed"],
  skipped: ["warn", "Skipped"],
};

function History({ job }: { job: Job }) {
  const runs = useSignal<JobRun[] | undefined>(undefined);
  const failure = useSignal("");
  useEffect(() => {
    loadRuns(job.id).then(
      (list) => {
        runs.value = list;
      },
      (error: unknown) => {
        failure.value = error instanceof Error ? error.message : "no reason given";
      },
    );
  }, [job.id, job.lastAt, job.isRunning]);
  if (failure.value !== "") return <p class="problem">The history could not be read: {failure.value}</p>;
  if (runs.value === undefined) return <div class="skeleton history-wait" role="status" aria-label="Loading the history" />;
  if (runs.value.length === 0) return <p class="muted small">It has not run yet.</p>;
  return (
    <ol class="runs" aria-label={`Runs of ${job.name}`}>
      {runs.value.map((run) => {
        const [kind, word] = STATUS[run.status] ?? ["", run.status];
        return (
          <li key={run.at}>
            <span class={`pill ${kind}`}>{word}</span>
            <time dateTime={new Date(run.at).toISOString()}>{dayAndTime(run.at)}</time>
            {run.durationMs !== undefined && <span class="muted">{durationOf(run.durationMs)}</span>}
            {run.words !== "" && <span class="run-words">{run.words}</span>}
            {run.sessionKey !== undefined && (
              <button type="button" class="button quiet small" onClick={() => openSession(run.sessionKey ?? "")}>
                Open
              </button>
            )}
          </li>
        );
      })}
    </ol>
  );
}

function when(job: Job): string {
  if (job.isRunning) return "Runs now";
  if (!job.isEnabled) return "Off";
  if (job.nextAt === undefined) return "No further run";
  const left = (job.nextAt - now.value) / 1000;
  return left <= 0 ? "Due now" : `Next in ${span(left)}, ${dayAndTime(job.nextAt)}`;
}

function JobView({ job, onEdit, onRemove }: { job: Job; onEdit: () => void; onRemove: () => void }) {
  const isOpen = useSignal(false);
  const last = STATUS[job.lastStatus ?? ""];
  const canChange = !job.isOfSpec && connection.serves("cron.update");
  return (
    <li class="card job" data-testid="job">
      <div class="job-top">
        <h3>{job.name}</h3>
        {job.isOfSpec && (
          <span class="tag" title="Written in the Moltbot's spec; change it there">
            From the spec
          </span>
        )}
        {last !== undefined && job.lastAt !== undefined && (
          <span class={`pill ${last[0]}`} title={job.lastError}>
            {last[1]} {ago(job.lastAt, now.value)}
          </span>
        )}
        <button
          type="button"
          class="switch"
          role="switch"
          aria-checked={job.isEnabled}
          aria-label={`${job.name} is on`}
          disabled={!canChange}
          onClick={() => void setEnabled(job, !job.isEnabled)}
        >
          <i />
        </button>
      </div>
      <p class="job-when">
        <Icon name="clock" size={15} />
        <span>{job.schedule === undefined ? "Unknown" : inWords(job.schedule)}</span>
        <span class="muted">{when(job)}</span>
      </p>
      <p class="job-prompt">{job.prompt}</p>
      {job.lastStatus === "error" && job.lastError !== undefined && <p class="problem">{job.lastError}</p>}
      <div class="job-actions">
        {connection.serves("cron.run") && (
          <button type="button" class="button small" disabled={job.isRunning} onClick={() => void runJob(job)}>
            <Icon name="play" size={15} />
            Run now
          </button>
        )}
        <button
          type="button"
          class="button quiet small"
          aria-expanded={isOpen.value}
          onClick={() => {
            isOpen.value = !isOpen.value;
          }}
        >
          History
          <span class="fold" aria-hidden="true">
            <Icon name="down" size={14} />
          </span>
        </button>
        <span class="bar-gap" />
        {canChange && (
          <Menu
            label={`Actions for ${job.name}`}
            items={[
              { id: "edit", label: "Change" },
              { id: "remove", label: "Remove", isDanger: true },
            ]}
            onChoose={(id) => (id === "edit" ? onEdit() : onRemove())}
          >
            <Icon name="more" size={18} />
          </Menu>
        )}
      </div>
      {isOpen.value && <History job={job} />}
    </li>
  );
}

export default function ScheduleView() {
  /** The job that is changed; null: a new one; undefined: none. */
  const edited = useSignal<Job | null | undefined>(undefined);
  const removed = useSignal<Job | undefined>(undefined);
  const close = (): void => {
    edited.value = undefined;
  };
  useEffect(() => {
    void loadJobs();
    const hear = (event: string): void => {
      if (event === "cron") void loadJobs();
    };
    listeners.add(hear);
    return () => void listeners.delete(hear);
  }, []);

  const list = jobs.value;
  return (
    <>
      <p class="muted">What your assistant does by itself. It wakes for a job that is due, and sleeps again after it.</p>
      {edited.value === undefined ? (
        connection.serves("cron.add") && (
          <div>
            <button
              type="button"
              class="button primary"
              onClick={() => {
                edited.value = null;
              }}
            >
              <Icon name="plus" size={18} />
              New job
            </button>
          </div>
        )
      ) : (
        <JobForm key={edited.value?.id ?? ""} job={edited.value ?? undefined} onDone={close} />
      )}
      {problem.value !== undefined && (
        <p class="problem" role="alert">
          The schedule could not be read: {problem.value}
        </p>
      )}
      {list?.length === 0 && <p class="empty">Nothing is planned. Add a job, or ask your assistant to remind you of something.</p>}
      <ul class="jobs" aria-label="Jobs">
        {list?.map((job) => (
          <JobView
            key={job.id}
            job={job}
            onEdit={() => {
              edited.value = job;
            }}
            onRemove={() => {
              removed.value = job;
            }}
          />
        ))}
      </ul>
      {removed.value !== undefined && (
        <Dialog
          title="Remove this job?"
          action="Remove"
          isDanger
          onSubmit={() => {
            if (removed.value !== undefined) void removeJob(removed.value);
          }}
          onDone={() => {
            removed.value = undefined;
          }}
        >
          <p class="dialog-subject">{removed.value.name}</p>
          <p class="muted">It does not run any more. What it said stays.</p>
        </Dialog>
      )}
    </>
  );
}
