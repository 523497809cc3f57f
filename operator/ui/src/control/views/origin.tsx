// The line that says where something comes from that no person wrote.
import { Icon } from "../../design/icons";
import type { IconName } from "../../design/icons";
import type { Message } from "../chat/history";

type Origin = NonNullable<Message["origin"]>;

const ICONS: Readonly<Record<Origin["kind"], IconName>> = { job: "clock", heartbeat: "clock", sent: "send", continue: "play", task: "branch" };

export function OriginLine({ origin }: { origin: Origin }) {
  return (
    <p class="origin muted small" data-testid="origin">
      <Icon name={ICONS[origin.kind]} size={15} />
      <span>{origin.label}</span>
    </p>
  );
}
