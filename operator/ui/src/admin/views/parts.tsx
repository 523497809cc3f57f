// Small pieces that several cards use.
import type { ComponentChildren } from "preact";

import { now } from "../../web/clock";
import { ago, fullTime } from "../../web/times";
import { busy } from "../store";
import { isMoving, phaseWords } from "../words";

export function Ago({ at, never = "never" }: { at: number | undefined; never?: string }) {
  if (at === undefined) return <>{never}</>;
  return (
    <time dateTime={new Date(at).toISOString()} title={fullTime(at)}>
      {ago(at, now.value)}
    </time>
  );
}

export function PhasePill({ phase }: { phase: string }) {
  const [tone, word] = phaseWords(phase);
  return <span class={`pill ${tone}${isMoving(phase) ? " busy" : ""}`}>{word}</span>;
}

interface ActProps {
  id: string;
  onAct: () => void;
  children: ComponentChildren;
  kind?: string;
  label?: string;
  isOff?: boolean;
  /** Why it is off, for whoever points at it. */
  whyOff?: string;
}

/** A button for something that takes a moment: it waits, and says so, while it is under way. */
export function Act({ id, onAct, children, kind = "", label, isOff = false, whyOff }: ActProps) {
  const isBusy = busy.value.has(id);
  return (
    <button type="button" class={`button ${kind}`} onClick={onAct} disabled={isBusy || isOff} aria-busy={isBusy} aria-label={label} title={isOff ? whyOff : undefined}>
      {children}
    </button>
  );
}

export function Section({ id, title, aside, children, kind = "" }: { id: string; title: string; aside?: ComponentChildren; children: ComponentChildren; kind?: string }) {
  return (
    <section class={`card section ${kind}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}
