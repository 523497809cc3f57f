// The question whether something may be run, and the notice of it when it is out of sight.
import { useEffect, useRef } from "preact/hooks";

import { Icon } from "../../design/icons";
import { now } from "../../web/clock";
import { span } from "../../web/times";
import { approvals, decide, deciding } from "../chat/approvals";
import type { Approval } from "../chat/approvals";
import { openSession } from "../chat/choosing";
import { assistant, currentKey, panel, shownSessions } from "../chat/state";
import { setShown, showApproval, shownApprovals } from "./looking";

function Countdown({ approval }: { approval: Approval }) {
  if (approval.expiresAt === undefined) return null;
  const seconds = Math.max(0, Math.ceil((approval.expiresAt - now.value) / 1000));
  return <span class="approval-time">{seconds > 0 ? `${span(seconds)} left` : "Time is up"}</span>;
}

export function ApprovalCard({ approval }: { approval: Approval }) {
  const card = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (card.current === null) return undefined;
    const observer = new IntersectionObserver(([entry]) => setShown(approval.id, entry?.isIntersecting === true), { threshold: 0.6 });
    observer.observe(card.current);
    return () => {
      observer.disconnect();
      setShown(approval.id, false);
    };
  }, [approval.id]);
  const isBusy = deciding.value.has(approval.id);
  const name = assistant.value || "The assistant";
  const place = approval.cwd === undefined || approval.cwd === "." ? "in its workspace" : `in ${approval.cwd}`;
  return (
    <div ref={card} class="approval" role="group" aria-label={`Approval: ${approval.command}`} data-approval={approval.id} data-testid="approval">
      <p class="approval-title">
        <Icon name="shield" size={18} />
        <strong>{name} asks before it goes on</strong>
        <Countdown approval={approval} />
      </p>
      <pre class="approval-command" tabIndex={0} role="group" aria-label="What would be run">
        {approval.command}
      </pre>
      <p class="muted small">
        {approval.label ?? approval.tool}, {place}.
      </p>
      <div class="approval-actions">
        <button type="button" class="button primary small" disabled={isBusy} onClick={() => void decide(approval, "allow-once")}>
          Allow once
        </button>
        {approval.pattern !== undefined && (
          <button type="button" class="button small always" disabled={isBusy} onClick={() => void decide(approval, "allow-always")}>
            Always allow <code>{approval.pattern}</code>
          </button>
        )}
        <button type="button" class="button danger small" disabled={isBusy} onClick={() => void decide(approval, "deny")}>
          Deny
        </button>
      </div>
    </div>
  );
}

/** Above the composer: what waits for an answer and is not in sight. */
export function ApprovalNotice() {
  const hidden = approvals.value.filter((one) => one.sessionKey !== currentKey.value || panel.value !== undefined || !shownApprovals.value.has(one.id));
  const first = hidden[0];
  if (first === undefined) return null;
  const isHere = first.sessionKey === currentKey.value;
  const title = shownSessions.value.find((session) => session.key === first.sessionKey)?.title;
  return (
    <div class="banner warn approval-notice" role="status" data-testid="approval-notice">
      <Icon name="shield" />
      <div class="banner-text">
        <strong>{hidden.length === 1 ? "One approval waits" : `${hidden.length} approvals wait`}</strong>{" "}
        <span>
          {!isHere && title !== undefined ? `in “${title}”: ` : ""}
          <code>{first.command.split("\n", 1)[0]}</code>
        </span>
      </div>
      <button
        type="button"
        class="button small"
        onClick={() => {
          if (!isHere || panel.value !== undefined) openSession(first.sessionKey);
          showApproval(first.id);
        }}
      >
        Look
      </button>
    </div>
  );
}
