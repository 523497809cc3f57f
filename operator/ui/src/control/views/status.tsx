// How the assistant is, in a word (pill) and, when it matters for the next message, in a sentence (banner).
import type { ComponentChildren } from "preact";

import { Icon } from "../../design/icons";
import type { IconName } from "../../design/icons";
import { now } from "../../web/clock";
import { span } from "../../web/times";
import { progressOf } from "../chat/phase";
import type { Phase, PhaseName } from "../chat/phase";
import { assistant, connection, current, link, phase, resource } from "../chat/state";

const PILLS: Readonly<Record<PhaseName, readonly [string, string]>> = {
  Pending: ["warn busy", "Being set up"],
  Waking: ["warn busy", "Waking"],
  Awake: ["good", "Awake"],
  Draining: ["calm busy", "Going to sleep"],
  Asleep: ["calm", "Asleep"],
  Suspended: ["calm", "Suspended"],
  Failed: ["bad", "Failed"],
};

export function StatusPill() {
  const [kind, word] =
    link.value.state === "lost" ? ["bad busy", "Reconnecting"] : phase.value === undefined ? ["busy", "Connecting"] : PILLS[phase.value.name];
  return (
    <span class={`pill ${kind}`} role="status" data-testid="phase">
      {word}
    </span>
  );
}

function Banner({ kind, icon, title, children }: { kind: string; icon: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class={`banner ${kind}`} role="status" data-testid="banner">
      <Icon name={icon} />
      <div class="banner-text">
        <strong>{title}</strong>
        {children}
      </div>
    </div>
  );
}

/** What exactly it is doing, unless that is no more than the banner's title says. */
function doing(current: Phase): string {
  return current.reason === current.name ? "" : (current.message ?? "").replace(/\.$/, "");
}

function remaining(current: Phase): string {
  if (current.until === undefined) return "";
  const seconds = (current.until - now.value) / 1000;
  return seconds < 1 ? "any moment now" : `about ${span(Math.ceil(seconds))}`;
}

function Progress({ of, label }: { of: Phase; label: string }) {
  const done = progressOf(of, now.value);
  if (done === undefined) {
    return (
      <div class="bar unknown" role="progressbar" aria-label={label}>
        <i />
      </div>
    );
  }
  return (
    <div class="bar" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(done * 100)}>
      <i style={{ transform: `scaleX(${done})` }} />
    </div>
  );
}

export function StatusBanner() {
  const name = assistant.value || "The assistant";
  const connected = link.value;
  if (connected.state === "lost") {
    const seconds = Math.max(0, Math.ceil((connected.retryAt - now.value) / 1000));
    return (
      <Banner kind="bad" icon="offline" title="Connection lost.">
        <span>
          {" "}
          {seconds > 0 ? `Trying again in ${seconds} s.` : "Trying again…"} What you write is kept and sent then.
        </span>
        <button type="button" class="button small" onClick={() => connection.open()}>
          Try now
        </button>
      </Banner>
    );
  }
  const state = phase.value;
  if (state === undefined) return null;
  const waits = current.value.outgoing.some((item) => item.state !== "failed");
  switch (state.name) {
    case "Awake":
      return null;
    case "Draining":
      return <Banner kind="calm" icon="moon" title={`${name} is going to sleep.`}> <span>A message now keeps it awake.</span></Banner>;
    case "Asleep":
      return (
        <Banner kind="calm" icon="moon" title={waits ? `Waking ${name}…` : `${name} is asleep.`}>
          {" "}
          <span>{waits ? "Your message is kept and delivered first." : "It wakes with your next message and remembers everything."}</span>
        </Banner>
      );
    case "Pending":
    case "Waking":
      return (
        <Banner kind="warn" icon="bolt" title={state.name === "Waking" ? `${name} is waking up.` : `${name} is being set up.`}>
          {" "}
          <span>{[doing(state), remaining(state)].filter(Boolean).join(" · ")}</span>
          <Progress of={state} label={state.name === "Waking" ? "Waking up" : "Being set up"} />
        </Banner>
      );
    case "Suspended":
      return (
        <Banner kind="calm" icon="pause" title={`${name} is suspended.`}>
          {" "}
          <span>
            {state.message ?? "It was switched off on purpose and does not wake by messages."} To switch it on:{" "}
            <code>{`kubectl patch moltbot ${resource.value?.name ?? "NAME"} --type merge -p '{"spec":{"operatingMode":"Auto"}}'`}</code>
          </span>
        </Banner>
      );
    case "Failed":
      return (
        <Banner kind="bad" icon="warning" title={`${name} could not be started.`}>
          {" "}
          <span data-testid="failure">
            {state.message ?? "No reason was given; see the administration."}
            {state.reason !== undefined && <code class="reason-code">{state.reason}</code>}
          </span>
        </Banner>
      );
  }
}
