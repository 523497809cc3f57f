// What stands in place of the chat while this browser is not let in: token, approval, versions.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";

import { Command, CopyButton } from "../../design/copy";
import { Icon } from "../../design/icons";
import { Mark } from "../../design/mark";
import { ThemeButton } from "../../design/theme";
import { login } from "../chat/living";
import { adminUrl, assistant, connection, link, resource, wasOpen } from "../chat/state";
import { shortId } from "../protocol/identity";

function Gate({ title, children, state }: { title: string; children: ComponentChildren; state: string }) {
  return (
    <div class="gate" data-view={state}>
      <div class="gate-top">
        <ThemeButton />
      </div>
      <main class="card gate-card">
        <Mark size={44} />
        <h1>{title}</h1>
        {children}
      </main>
    </div>
  );
}

export function ConnectingView() {
  return (
    <Gate title={assistant.value === "" ? "Connecting" : `Connecting to ${assistant.value}`} state="connecting">
      <div class="bar unknown" role="progressbar" aria-label="Connecting">
        <i />
      </div>
    </Gate>
  );
}

export function TokenView({ message }: { message: string }) {
  const value = useSignal("");
  const problem = useSignal(message === "" ? "" : "The token that this browser was let in with no longer counts.");
  const busy = useSignal(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    busy.value = true;
    const said = await login(value.value.trim());
    busy.value = false;
    problem.value = said ?? "";
  };
  const name = resource.value?.name ?? "NAME";
  return (
    <Gate title="A gateway token is needed" state="token">
      <p class="muted">It opens this assistant's page. You find it in the link that was printed at the start, or by this command:</p>
      <Command>{`moltbot token ${name}`}</Command>
      <form class="stack" onSubmit={(event) => void submit(event)}>
        <div>
          <label class="label" for="token">
            Gateway token
          </label>
          <input
            id="token"
            class="field"
            type="password"
            autocomplete="current-password"
            autofocus
            required
            aria-describedby="token-problem"
            aria-invalid={problem.value !== ""}
            value={value.value}
            onInput={(event) => {
              value.value = event.currentTarget.value;
            }}
          />
        </div>
        <p id="token-problem" class="problem" role="alert" hidden={problem.value === ""}>
          {problem.value}
        </p>
        <button class="button primary" disabled={busy.value}>
          {busy.value ? "Checking…" : "Continue"}
        </button>
      </form>
      <p class="muted small">
        On a cluster the command is <code>kubectl moltbot token {name}</code>.
      </p>
    </Gate>
  );
}

const REASONS: Readonly<Record<string, string>> = {
  "not-paired": "This browser is new here. Approve it once; then this page turns into the chat by itself.",
  "role-upgrade": "This browser asks for another role than it was approved for. Approve it again to go on.",
  "scope-upgrade": "This browser asks for more rights than it was approved for. Approve it again to go on.",
  "metadata-upgrade": "This browser says something else about itself than when it was approved. Approve it again to go on.",
};

export function PairingView({ reason }: { reason: string }) {
  const { device, client } = connection;
  const namespace = resource.value?.namespace ?? "default";
  const command = `devices approve ${device.id.slice(0, 8)}${namespace === "default" ? "" : ` -n ${namespace}`}`;
  const removed = wasOpen.value && reason === "not-paired";
  return (
    <Gate title="Approve this device" state="pairing">
      <p class="muted">
        {removed ? "This browser's approval was removed. To use it again, approve it once more." : (REASONS[reason] ?? REASONS["not-paired"])}
      </p>
      <dl class="device-facts" aria-label="This device">
        <div>
          <dt>Device</dt>
          <dd>
            {client.displayName} on {client.platform}
          </dd>
        </div>
        <div>
          <dt>Id</dt>
          <dd class="device-id">
            <code data-testid="device-id" title={device.id}>
              {shortId(device.id)}
            </code>
            <CopyButton source={device.id} label="Copy the whole device id" bare />
          </dd>
        </div>
      </dl>
      <ol class="ways">
        <li>
          <h2>In the administration</h2>
          <p class="muted small">Compare the id there, then press Approve.</p>
          {adminUrl.value === undefined ? (
            <Command>kubectl moltbot admin</Command>
          ) : (
            <a class="button" href={adminUrl.value} target="_blank" rel="noopener">
              <Icon name="shield" size={18} />
              Open the administration
            </a>
          )}
        </li>
        <li>
          <h2>Or from a command line</h2>
          <Command>{`moltbot ${command}`}</Command>
          <p class="muted small">
            On a cluster: <code>kubectl moltbot {command}</code>
          </p>
        </li>
      </ol>
      <p class="waiting" role="status">
        <span class="dots" aria-hidden="true">
          <i />
          <i />
          <i />
        </span>
        Waiting for approval…
      </p>
    </Gate>
  );
}

export function RefusedView({ message, remedy }: { message: string; remedy: string }) {
  return (
    <Gate title="This page cannot connect" state="refused">
      <p>{message}</p>
      <p class="muted">{remedy}</p>
      <button type="button" class="button primary" onClick={() => connection.open()}>
        Try again
      </button>
    </Gate>
  );
}

/** The gate that stands in the way now, or null: then the chat is shown. */
export function currentGate() {
  const now = link.value;
  switch (now.state) {
    case "pairing":
      return <PairingView reason={now.reason} />;
    case "unauthorized":
      return <TokenView message={now.message} />;
    case "refused":
      return <RefusedView message={now.message} remedy={now.remedy} />;
    case "connecting":
      return wasOpen.value ? null : <ConnectingView />;
    case "lost":
    case "open":
      return null;
  }
}
