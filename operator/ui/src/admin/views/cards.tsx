// What is so: phases, conditions, backups, the last wake, the facts.
import { Command, CopyButton } from "../../design/copy";
import { Icon } from "../../design/icons";
import { now } from "../../web/clock";
import { clockTime, span } from "../../web/times";
import { backUp } from "../store";
import type { Condition, Moltbot, Step, Wake } from "../types";
import { bytesWords, causeWords, conditionTone, conditionWords, isMoving, millisecondsWords, NOT_CONFIGURED, partWords, phaseWords, reasonWords, sentence } from "../words";
import { Act, Ago, Section } from "./parts";

/** How long each phase lasted: the newest is still going on. `steps` is newest first. */
function lengths(steps: Step[], at: number): (Step & { seconds: number })[] {
  return steps.map((step, index) => ({ ...step, seconds: Math.max(0, ((steps[index - 1]?.at ?? at) - step.at) / 1000) }));
}

export function Timeline({ steps }: { steps: Step[] }) {
  if (steps.length === 0) return <p class="empty">Nothing has happened yet.</p>;
  return (
    <ol class="timeline" aria-label="Phases, the newest first">
      {lengths(steps, now.value).map((step, index) => {
        const [tone, word] = phaseWords(step.phase);
        return (
          <li key={`${step.at} ${step.phase}`} class={tone} aria-current={index === 0 ? "step" : undefined}>
            <span class="timeline-word">{word}</span>
            <span class="timeline-reason">{reasonWords(step.reason)}</span>
            <span class="timeline-time">
              {clockTime(step.at)} · {index === 0 ? "for " : ""}
              {span(step.seconds)}
            </span>
          </li>
        );
      })}
    </ol>
  );
}

const ORDER = { bad: 0, warn: 1, calm: 2, good: 3 } as const;
const SAID = { bad: "Problem", warn: "Attention", calm: "Note", good: "Good" } as const;

export function Conditions({ conditions }: { conditions: Condition[] }) {
  const sorted = conditions
    .map((one) => ({ ...one, tone: conditionTone(one.type, one.status, one.reason) }))
    .sort((a, b) => ORDER[a.tone] - ORDER[b.tone] || Number(b.type === "Ready") - Number(a.type === "Ready"));
  return (
    <Section id="conditions" title="Conditions">
      {sorted.length === 0 ? (
        <p class="empty">The operator has not looked at this Moltbot yet. Is it running?</p>
      ) : (
        <ul class="conditions">
          {sorted.map((one) => (
            <li key={one.type} class={one.tone}>
              <span class="lamp" aria-hidden="true" />
              <div>
                <p>
                  <span class="sr-only">{SAID[one.tone]}: </span>
                  <strong>{conditionWords(one.type)}</strong>
                  {one.reason !== "" && <span class="condition-reason">{reasonWords(one.reason)}</span>}
                </p>
                {one.message !== "" && <p class="muted small">{sentence(one.message)}</p>}
              </div>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

export function Backups({ moltbot }: { moltbot: Moltbot }) {
  const { conditions, lastBackup, snapshots } = moltbot;
  const hasNoBucket = conditions.some((one) => one.type === "BackupReady" && one.reason === NOT_CONFIGURED);
  const isUnderWay = snapshots.some((one) => one.phase === "Pending");
  return (
    <Section
      id="backups"
      title="Backups"
      aside={
        <Act id="backup" kind="small" onAct={() => void backUp()} isOff={hasNoBucket} whyOff="There is no bucket to back up to: name one in persistence.bucket.">
          <Icon name="backup" size={18} />
          Backup now
        </Act>
      }
    >
      <p class="headline" data-testid="last-backup">
        <strong>
          <Ago at={lastBackup?.at} never="Never" />
        </strong>
        <span class="muted small">
          {hasNoBucket
            ? `No bucket is set${lastBackup === undefined ? "" : " any more"}, so nothing is backed up.`
            : lastBackup === undefined
              ? "No backup has been verified yet."
              : `last found equal to the bucket${lastBackup.bytes === undefined ? "" : ` · ${bytesWords(lastBackup.bytes)}`}`}
        </span>
      </p>
      {isUnderWay && (
        <div class="bar unknown" role="progressbar" aria-label="Backing up">
          <i />
        </div>
      )}
      {snapshots.length > 0 && (
        <div class="table-frame" tabIndex={0} role="group" aria-label="Snapshots">
          <table>
            <thead>
              <tr>
                <th>Snapshot</th>
                <th>Made</th>
                <th class="number">Files</th>
                <th class="number">Size</th>
              </tr>
            </thead>
            <tbody>
              {snapshots.map((one) => (
                <tr key={one.name} class={one.phase === "Failed" ? "bad" : ""}>
                  <td>
                    <code>{one.name}</code>
                    {one.message !== "" && <p class="small">{one.message}</p>}
                  </td>
                  <td>
                    <Ago at={one.createdAt} />
                    {one.phase !== "Complete" && one.phase !== "" && <span class="tag">{one.phase}</span>}
                  </td>
                  <td class="number">{one.files ?? "–"}</td>
                  <td class="number">{one.bytes === undefined ? "–" : bytesWords(one.bytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Section>
  );
}

export function LastWake({ wake }: { wake: Wake | undefined }) {
  if (wake === undefined) return null;
  const whole = wake.parts.reduce((sum, [, length]) => sum + length, 0);
  return (
    <Section id="wake" title="Last wake" aside={<span class="muted small"><Ago at={wake.at} /></span>}>
      <p class="headline">
        <strong>{wake.seconds === undefined ? "–" : millisecondsWords(wake.seconds * 1000)}</strong>
        <span class="muted small">woken {causeWords(wake.reason)}</span>
      </p>
      {whole > 0 && (
        <>
          <div class="parts" aria-hidden="true">
            {wake.parts.map(([name, length], index) => (
              <i key={name} data-part={index % 6} style={{ flexGrow: Math.max(length, whole / 200) }} />
            ))}
          </div>
          <dl class="legend">
            {wake.parts.map(([name, length], index) => (
              <div key={name}>
                <dt>
                  <i data-part={index % 6} aria-hidden="true" />
                  {partWords(name)}
                </dt>
                <dd>{millisecondsWords(length)}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
    </Section>
  );
}

export function Facts({ moltbot }: { moltbot: Moltbot }) {
  const { model, sleepAfter, operatingMode, lastActivity, nextWake, awakeSeconds, tokens, createdAt, namespace, name } = moltbot;
  const facts: [string, preact.ComponentChildren][] = [
    ["Model", model ?? "–"],
    ["Sleeps after", operatingMode === "Suspended" ? "suspended" : sleepAfter],
    ["Last activity", <Ago at={lastActivity} never="none yet" />],
    ...(nextWake === undefined ? [] : ([["Wakes by itself", <>{clockTime(nextWake)}</>]] as [string, preact.ComponentChildren][])),
    ["Awake in all", awakeSeconds === undefined ? "–" : span(awakeSeconds)],
    ["Tokens", tokens === undefined ? "–" : tokens.toLocaleString()],
    ["Made", <Ago at={createdAt} never="–" />],
  ];
  return (
    <Section id="facts" title="Facts">
      <dl class="facts">
        {facts.map(([term, value]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <Command>{`kubectl get moltbot ${name} -n ${namespace} -w`}</Command>
    </Section>
  );
}

export function Actions({ moltbot }: { moltbot: Moltbot }) {
  if (moltbot.actions.length === 0) return null;
  return (
    <Section id="actions" title="What was asked">
      <ul class="asked">
        {moltbot.actions.slice(0, 6).map((one) => (
          <li key={`${one.action} ${one.at}`}>
            <strong>{reasonWords(one.action)}</strong>
            <span class="tag">{reasonWords(one.result)}</span>
            <span class="muted small">
              <Ago at={one.at} never="" />
              {one.message !== "" && ` · ${one.message}`}
            </span>
          </li>
        ))}
      </ul>
    </Section>
  );
}

export function Address({ url }: { url: string | undefined }) {
  if (url === undefined) return null;
  return (
    <p class="address">
      <a href={url} target="_blank" rel="noopener">
        {url.replace(/^https?:\/\//, "")}
      </a>
      <CopyButton source={url} label="Copy the address" bare />
    </p>
  );
}

export const canWake = (phase: string): boolean => !isMoving(phase) && phase !== "Awake" && phase !== "Suspended";
export const canSleep = (phase: string): boolean => phase === "Awake";
