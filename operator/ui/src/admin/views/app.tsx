// The administration's page.
import { useSignal } from "@preact/signals";

import { Command } from "../../design/copy";
import { Icon } from "../../design/icons";
import { Mark } from "../../design/mark";
import { ThemeButton } from "../../design/theme";
import { ask, hasMany, isStale, load, moltbot, problem, rows, signOut, told, unlock, view } from "../store";
import type { Moltbot } from "../types";
import { Actions, Address, Backups, canSleep, canWake, Conditions, Facts, LastWake, Timeline } from "./cards";
import { PairedDevices, PendingDevices } from "./devices";
import { Act, PhasePill, Section } from "./parts";

function Locked() {
  const value = useSignal("");
  const isBusy = useSignal(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    isBusy.value = true;
    problem.value = await unlock(value.value.trim());
    isBusy.value = false;
  };
  return (
    <main class="card lock" data-view="locked">
      <Mark size={44} />
      <h1>Administration</h1>
      <p class="muted">It opens with a key of its own. This command opens it in your browser, key and all:</p>
      <Command>moltbot admin --open</Command>
      <form onSubmit={(event) => void submit(event)}>
        <div>
          <label class="label" for="key">
            Administration key
          </label>
          <input
            id="key"
            class="field"
            type="password"
            autocomplete="current-password"
            autofocus
            required
            aria-describedby="key-problem"
            aria-invalid={problem.value !== undefined}
            value={value.value}
            onInput={(event) => {
              value.value = event.currentTarget.value;
            }}
          />
        </div>
        <p id="key-problem" class="problem" role="alert" hidden={problem.value === undefined}>
          {problem.value}
        </p>
        <button class="button primary" disabled={isBusy.value}>
          {isBusy.value ? "Checking…" : "Open"}
        </button>
      </form>
      <p class="muted small">
        On a cluster: <code>kubectl moltbot admin</code>, or key <code>MOLTBOT_ADMIN_KEY</code> of Secret <code>moltbot-admin</code> in the operator's namespace.
      </p>
    </main>
  );
}

function List() {
  return (
    <main class="page" data-view="list">
      <header class="page-head">
        <h1>Moltbots</h1>
      </header>
      {problem.value !== undefined && (
        <p class="problem" role="alert">
          {problem.value}{" "}
          <button type="button" class="button small" onClick={() => void load()}>
            Try again
          </button>
        </p>
      )}
      {problem.value === undefined && rows.value.length === 0 && (
        <Section id="none" title="No Moltbot yet">
          <p class="muted">Apply one, and it appears here:</p>
          <Command>kubectl apply -f examples/quickstart.yaml</Command>
        </Section>
      )}
      <ul class="moltbots">
        {rows.value.map((row) => (
          <li key={`${row.namespace}/${row.name}`}>
            <a class="card" href={`#/${encodeURIComponent(row.namespace)}/${encodeURIComponent(row.name)}`}>
              <span class="moltbot-name">
                <strong>{row.name}</strong>
                <span class="muted small">{row.namespace}</span>
              </span>
              {!row.isReady && <span class="pill bad">Not ready</span>}
              <PhasePill phase={row.phase} />
            </a>
          </li>
        ))}
      </ul>
    </main>
  );
}

function Skeleton() {
  return (
    <main class="page" aria-busy="true" aria-label="Loading">
      <h1 class="sr-only">Loading</h1>
      <div class="skeleton head" />
      <div class="grid">
        <div class="skeleton" />
        <div class="skeleton" />
        <div class="skeleton" />
        <div class="skeleton" />
      </div>
    </main>
  );
}

function One({ now }: { now: Moltbot }) {
  return (
    <main class="page" data-view="one">
      <header class="page-head">
        <div class="page-title">
          {hasMany.value && (
            <a class="button quiet icon" href="#/" aria-label="All Moltbots" title="All Moltbots">
              <Icon name="menu" />
            </a>
          )}
          <div>
            <h1>
              {now.name}
              <span data-testid="phase" role="status">
                <PhasePill phase={now.phase} />
              </span>
            </h1>
            <Address url={now.url} />
          </div>
        </div>
        <div class="page-acts">
          <Act id="wake" onAct={() => void ask("wake")} isOff={!canWake(now.phase)}>
            <Icon name="bolt" size={18} />
            Wake
          </Act>
          <Act id="sleep" onAct={() => void ask("sleep")} isOff={!canSleep(now.phase)}>
            <Icon name="moon" size={18} />
            Sleep
          </Act>
          <Act id="restart" onAct={() => void ask("restart")} isOff={now.phase === "Suspended"}>
            <Icon name="again" size={18} />
            Restart
          </Act>
        </div>
      </header>
      {isStale.value && (
        <p class="stale" role="status">
          <Icon name="offline" size={18} />
          The connection to the router is lost: what is shown may be old. Trying again…
        </p>
      )}
      <PendingDevices devices={now.pending} />
      <div class="grid">
        <div class="grid-column">
          <Conditions conditions={now.conditions} />
          <PairedDevices devices={now.paired} />
          <Backups moltbot={now} />
        </div>
        <div class="grid-column">
          <Section id="phases" title="Phases">
            <Timeline steps={now.history} />
          </Section>
          <LastWake wake={now.lastWake} />
          <Facts moltbot={now} />
          <Actions moltbot={now} />
        </div>
      </div>
    </main>
  );
}

function Told() {
  const now = told.value;
  return (
    <div class="toast-place" role="status" aria-live="polite">
      {now !== undefined && (
        <div class={`toast ${now.tone}`}>
          <Icon name={now.tone === "good" ? "check" : "warning"} size={18} />
          <span>{now.words}</span>
          <button
            type="button"
            class="button quiet small icon"
            aria-label="Dismiss"
            onClick={() => {
              told.value = undefined;
            }}
          >
            <Icon name="close" size={16} />
          </button>
        </div>
      )}
    </div>
  );
}

function Current() {
  switch (view.value) {
    case "locked":
      return <Locked />;
    case "list":
      return <List />;
    case "loading":
      return <Skeleton />;
    case "one":
      return moltbot.value === undefined ? <Skeleton /> : <One now={moltbot.value} />;
  }
}

export function App() {
  return (
    <>
      <header class="top">
        {view.value !== "locked" && (
          <>
            <Mark size={26} />
            <span class="top-name">Administration</span>
          </>
        )}
        <span class="top-space" />
        <ThemeButton />
        {view.value !== "locked" && (
          <button type="button" class="button quiet small" onClick={() => void signOut()}>
            Sign out
          </button>
        )}
      </header>
      <Current />
      <Told />
    </>
  );
}
