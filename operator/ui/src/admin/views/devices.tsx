// Who wants in, and who is in. What a device says of itself is shown as text, and its id beside it to compare.
import { useSignal } from "@preact/signals";

import { Dialog } from "../../design/dialog";
import { Icon } from "../../design/icons";
import type { IconName } from "../../design/icons";
import { approve, approveAll, remove } from "../store";
import type { Device } from "../types";
import { shortId } from "../words";
import { Act, Ago, Section } from "./parts";

function iconOf(device: Device): IconName {
  if (/cli|tui|gateway-client/.test(device.client)) return "terminal";
  return /ios|android|phone/i.test(device.platform) ? "device" : "laptop";
}

const nameOf = (device: Device): string => device.name || "A device without a name";

const SCOPES: Readonly<Record<string, string>> = {
  "operator.admin": "everything",
  "operator.read": "read",
  "operator.write": "write",
  "operator.approvals": "approve actions",
  "operator.pairing": "approve devices",
};

function rights(scopes: string[]): string {
  if (scopes.includes("operator.admin")) return "everything";
  return scopes.map((scope) => SCOPES[scope] ?? scope).join(", ") || "nothing yet";
}

function About({ device }: { device: Device }) {
  return (
    <div class="device-about">
      <span class="device-icon">
        <Icon name={iconOf(device)} />
      </span>
      <div>
        <p class="device-name">
          <strong>{nameOf(device)}</strong>
          <code title={device.id}>{shortId(device.id)}</code>
        </p>
        <p class="muted small">
          {[device.platform, device.client].filter(Boolean).join(" · ")}
          {device.isConnected && <span class="live">connected</span>}
        </p>
      </div>
    </div>
  );
}

export function PendingDevices({ devices }: { devices: Device[] }) {
  if (devices.length === 0) return null;
  return (
    <Section
      id="pending"
      kind="attention"
      title={devices.length === 1 ? "A device waits for approval" : `${devices.length} devices wait for approval`}
      aside={
        devices.length > 1 && (
          <Act id="approve-all" kind="primary" onAct={() => void approveAll()}>
            Approve all ({devices.length})
          </Act>
        )
      }
    >
      <ul class="rows">
        {devices.map((device) => (
          <li key={device.id} data-device={device.id}>
            <About device={device} />
            <p class="device-facts muted small">
              asked <Ago at={device.request?.at} never="just now" />
              <br />
              for: {rights(device.request?.scopes ?? [])}
              {device.isApproved && " (approved for less so far)"}
            </p>
            <Act
              id={`approve ${device.id}`}
              kind={devices.length > 1 ? "" : "primary"}
              label={`Approve ${nameOf(device)} ${shortId(device.id)}`}
              onAct={() => void approve(device.id, device.request?.id ?? "", nameOf(device))}
            >
              <Icon name="check" size={18} />
              Approve
            </Act>
          </li>
        ))}
      </ul>
      <p class="muted small note">Approve only what you know: compare the id with the one that the device shows. A request ends after five minutes; the device then asks again.</p>
    </Section>
  );
}

export function PairedDevices({ devices }: { devices: Device[] }) {
  const asked = useSignal<Device | undefined>(undefined);
  return (
    <Section id="paired" title="Devices" aside={<span class="muted small">{devices.length} approved</span>}>
      {devices.length === 0 ? (
        <p class="empty">No device is approved yet. Open the assistant's page: it asks here by itself.</p>
      ) : (
        <ul class="rows">
          {devices.map((device) => (
            <li key={device.id} data-device={device.id}>
              <About device={device} />
              <p class="device-facts muted small">
                seen <Ago at={device.lastSeen} />
                <br />
                approved <Ago at={device.approved?.at} never="at some time" />
                {device.approved !== undefined && device.approved.by !== "" && ` by ${device.approved.by}`}
              </p>
              <Act
                id={`remove ${device.id}`}
                kind="danger small"
                label={`Remove ${nameOf(device)} ${shortId(device.id)}`}
                onAct={() => {
                  asked.value = device;
                }}
              >
                Remove
              </Act>
            </li>
          ))}
        </ul>
      )}
      {asked.value !== undefined && (
        <Dialog
          key={asked.value.id}
          title="Remove this device?"
          action="Remove"
          isDanger
          onSubmit={() => {
            const device = asked.value;
            if (device !== undefined) void remove(device.id, nameOf(device));
          }}
          onDone={() => {
            asked.value = undefined;
          }}
        >
          <p class="dialog-subject">
            {nameOf(asked.value)} <code>{shortId(asked.value.id)}</code>
          </p>
          <p class="muted">It is signed out at once, and has to be approved again to come back.</p>
        </Dialog>
      )}
    </Section>
  );
}
