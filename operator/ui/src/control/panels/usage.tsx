// What the assistant used: by day, against its limits, and in the chat that is open.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { number, object, objects, string } from "../../web/json";
import type { JsonObject } from "../../web/json";
import { connection, currentKey, currentSession } from "../chat/state";
import { dollars, tokens } from "../views/usageline";
import "./panels.css";

interface Day {
  date: string;
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  total: number;
  cost: number;
  /** Answers whose price is not known. */
  unpriced: number;
}

interface Report {
  days: Day[];
  totals: Day;
  limits: JsonObject;
}

const SHOWN_DAYS = 14;

function readDay(row: JsonObject): Day {
  const of = (name: string): number => number(row[name]) ?? 0;
  return {
    date: string(row["date"]) ?? "",
    input: of("input"),
    output: of("output"),
    cacheRead: of("cacheRead"),
    cacheWrite: of("cacheWrite"),
    total: of("totalTokens"),
    cost: of("totalCost"),
    unpriced: of("missingCostEntries"),
  };
}

function readReport(payload: JsonObject): Report {
  return { days: objects(payload["daily"]).map(readDay), totals: readDay(object(payload["totals"])), limits: object(payload["limits"]) };
}

const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
const nameOf = (date: string): string => (Number.isNaN(Date.parse(date)) ? date : dayFormat.format(Date.parse(date)));

function LimitBar({ label, used, most, words }: { label: string; used: number; most: number; words: (value: number) => string }) {
  const part = most <= 0 ? 1 : Math.min(1, used / most);
  return (
    <div class={part >= 1 ? "limit full" : part >= 0.8 ? "limit near" : "limit"}>
      <p>
        <strong>{label}</strong>
        <span>
          {words(used)} of {words(most)}
        </span>
      </p>
      <div class="bar" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(part * 100)}>
        <i style={{ transform: `scaleX(${part})` }} />
      </div>
    </div>
  );
}

function Limits({ limits }: { limits: JsonObject }) {
  const [tokensPerDay, dollarsPerDay] = [number(limits["tokensPerDay"]), number(limits["dollarsPerDay"])];
  if (tokensPerDay === undefined && dollarsPerDay === undefined) return <p class="muted small">No limit for a day is set.</p>;
  return (
    <div class="card limits" data-testid="limits">
      {limits["reached"] === true && <p class="problem">The limit for today is reached. It goes on tomorrow, or when the limit is raised in the Moltbot's spec.</p>}
      {tokensPerDay !== undefined && <LimitBar label="Tokens today" used={number(limits["tokensToday"]) ?? 0} most={tokensPerDay} words={tokens} />}
      {dollarsPerDay !== undefined && <LimitBar label="Money today" used={number(limits["dollarsToday"]) ?? 0} most={dollarsPerDay} words={dollars} />}
    </div>
  );
}

function Facts({ title, of }: { title: string; of: Day }) {
  const read = of.input + of.cacheRead + of.cacheWrite;
  const rows = [
    ["Cost", of.unpriced > 0 ? `${dollars(of.cost)} and more` : dollars(of.cost)],
    ["Tokens", tokens(of.total)],
    ["Read", read === 0 ? tokens(0) : `${tokens(read)}, ${Math.round((of.cacheRead / read) * 100)} % from the cache`],
    ["Written", tokens(of.output)],
  ];
  return (
    <section class="card" aria-label={title}>
      <h3>{title}</h3>
      <dl class="sums">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {of.unpriced > 0 && <p class="muted small">The price of {of.unpriced === 1 ? "one answer" : `${of.unpriced} answers`} is not known.</p>}
    </section>
  );
}

function Days({ days }: { days: Day[] }) {
  const most = Math.max(1, ...days.map((day) => day.total));
  return (
    <table class="days">
      <caption class="sr-only">Usage by day</caption>
      <thead>
        <tr>
          <th scope="col">Day</th>
          <th scope="col" class="wide">
            Tokens
          </th>
          <th scope="col" class="sum">
            Cost
          </th>
        </tr>
      </thead>
      <tbody>
        {[...days].reverse().map((day) => (
          <tr key={day.date}>
            <th scope="row">{nameOf(day.date)}</th>
            <td class="wide">
              <span class="day-bar" style={{ width: `${Math.max(1, (day.total / most) * 70)}%` }} aria-hidden="true" />
              <span>{tokens(day.total)}</span>
            </td>
            <td class="sum">{day.unpriced > 0 && day.cost === 0 ? "unknown" : dollars(day.cost)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export default function UsageView() {
  const report = useSignal<Report | undefined>(undefined);
  const own = useSignal<Report | undefined>(undefined);
  const failure = useSignal("");
  const key = currentKey.value;
  useEffect(() => {
    const failed = (error: unknown): void => {
      failure.value = error instanceof Error ? error.message : "no reason given";
    };
    connection.request("usage.cost", { days: SHOWN_DAYS }).then((payload) => {
      report.value = readReport(payload);
    }, failed);
    if (connection.serves("sessions.usage")) {
      connection.request("sessions.usage", { key }).then((payload) => {
        own.value = readReport(payload);
      }, failed);
    }
  }, [key]);
  return (
    <>
      {failure.value !== "" && (
        <p class="problem" role="alert">
          The usage could not be read: {failure.value}
        </p>
      )}
      {report.value !== undefined && (
        <>
          <Limits limits={report.value.limits} />
          <div class="usage-cards">
            <Facts title={`Last ${SHOWN_DAYS} days`} of={report.value.totals} />
            {own.value !== undefined && <Facts title={`This chat: ${currentSession.value?.title ?? ""}`} of={own.value.totals} />}
          </div>
          <Days days={report.value.days} />
        </>
      )}
    </>
  );
}
