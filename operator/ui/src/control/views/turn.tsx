// What the assistant said and did in one turn; the one that goes on is drawn by the same.
import { memo } from "preact/compat";

import { CopyButton } from "../../design/copy";
import { Icon } from "../../design/icons";
import { approvals } from "../chat/approvals";
import type { Run } from "../chat/conversation";
import type { Message } from "../chat/history";
import { textOf } from "../chat/parts";
import type { Call, Part } from "../chat/parts";
import { goOn, retry } from "../chat/sending";
import { assistant, connection, currentKey } from "../chat/state";
import { Markdown } from "./markdown";
import { MediaView } from "./media";
import { OriginLine } from "./origin";
import { Thinking } from "./thinking";
import { Time } from "./time";
import { ToolGroup } from "./toolcard";
import { labelOf } from "./toolwords";
import { UsageLine } from "./usageline";

type Segment = { kind: "calls"; calls: Call[] } | Exclude<Part, { kind: "call" }>;

/** Calls that follow each other stand together. */
function segments(parts: readonly Part[]): Segment[] {
  const list: Segment[] = [];
  for (const part of parts) {
    const last = list.at(-1);
    if (part.kind !== "call") list.push(part);
    else if (last?.kind === "calls") last.calls.push(part.call);
    else list.push({ kind: "calls", calls: [part.call] });
  }
  return list;
}

function Parts({ id, parts, isLive }: { id: string; parts: readonly Part[]; isLive: boolean }) {
  const list = segments(parts);
  return (
    <>
      {list.map((segment, index) => {
        switch (segment.kind) {
          case "text":
            return <Markdown key={index} source={segment.text} />;
          case "thinking":
            return <Thinking key={index} id={`${id} ${index}`} source={segment.text} ms={segment.ms} isGoing={isLive && index === list.length - 1} />;
          case "media":
            return <MediaView key={index} media={segment.media} />;
          case "calls":
            return <ToolGroup key={index} calls={segment.calls} isLive={isLive} />;
        }
      })}
    </>
  );
}

/** The wire has no kind of its own for a reached limit: the gateway's sentence says it. */
const LIMIT = /^Today's limit\b|\blimit\b.*\b(day|today)\b/i;

function ErrorCard({ error, isLast }: { error: NonNullable<Message["error"]>; isLast: boolean }) {
  const isLimit = error.kind === "limit" || LIMIT.test(error.text);
  return (
    <div class={isLimit ? "error-card limit" : "error-card"} data-testid="model-error" data-kind={error.kind}>
      <Icon name={isLimit ? "coins" : "warning"} />
      <div>
        <strong>{isLimit ? "The limit for today is reached" : "No answer this time"}</strong>
        <p>{error.text}</p>
      </div>
      {isLast && (
        <button type="button" class="button small" onClick={retry}>
          <Icon name="again" size={16} />
          Retry
        </button>
      )}
    </div>
  );
}

export const TurnView = memo(function TurnView({ message, isLast }: { message: Message; isLast: boolean }) {
  const said = textOf(message.parts);
  const isError = message.error !== undefined && message.parts.length === 0;
  return (
    <article class="message assistant" aria-label={isError ? "Error" : assistant.value || "Assistant"}>
      {message.origin !== undefined && <OriginLine origin={message.origin} />}
      <Parts id={message.key} parts={message.parts} isLive={false} />
      {message.error !== undefined && <ErrorCard error={message.error} isLast={isLast} />}
      {message.interrupted === true && (
        <div class="cut-off" data-testid="interrupted">
          <Icon name="pause" size={18} />
          <span>This answer was interrupted by a restart.</span>
          {isLast && connection.serves("chat.continue") && (
            <button type="button" class="button small" onClick={() => void goOn()}>
              <Icon name="play" size={16} />
              Continue
            </button>
          )}
        </div>
      )}
      <footer>
        <Time at={message.at} />
        {message.stopped === true && message.interrupted !== true && <span class="stopped">Stopped</span>}
        {said !== "" && <CopyButton source={said} label="Copy answer" bare />}
        {isLast && message.error === undefined && (
          <button type="button" class="button quiet small icon" onClick={retry} aria-label="Answer again" title="Answer again">
            <Icon name="again" size={16} />
          </button>
        )}
        <UsageLine message={message} />
      </footer>
    </article>
  );
});

function doing(run: Run): string {
  if (run.stopping === true) return "Stopping…";
  if (approvals.value.some((one) => one.sessionKey === currentKey.value)) return "Waiting for your word…";
  if (run.status !== undefined && run.status.message !== "") return run.status.message;
  const last = run.parts.at(-1);
  if (last?.kind === "call") {
    const running = run.parts.flatMap((part) => (part.kind === "call" && part.call.status === "running" ? [part.call] : []));
    const first = running[0];
    if (first !== undefined) return running.length > 1 ? `Using ${running.length} tools…` : `Using ${first.label === undefined ? first.name : labelOf(first)}…`;
    return "Thinking…";
  }
  return run.parts.length === 0 ? "Thinking…" : "";
}

export function RunView({ run }: { run: Run }) {
  return (
    <article class="message assistant running" aria-label={assistant.value || "Assistant"} aria-busy="true" data-testid="running">
      <Parts id={`a:${run.id}`} parts={run.parts} isLive={true} />
      <p class="thinking">
        <span class="dots" aria-hidden="true">
          <i />
          <i />
          <i />
        </span>
        <span>{doing(run)}</span>
      </p>
    </article>
  );
}
