// One call of a tool: what it does, how it is going, and on demand what went in and came out.
import { memo } from "preact/compat";

import { CopyButton } from "../../design/copy";
import { Icon } from "../../design/icons";
import { now } from "../../web/clock";
import { number, objects, string, text } from "../../web/json";
import type { Call } from "../chat/parts";
import { approvals } from "../chat/approvals";
import { ApprovalCard } from "./approval";
import { Diff } from "./diff";
import { MediaView } from "./media";
import { durationOf, iconOf, labelOf, summaryOf } from "./toolwords";
import { isUnfolded, unfold } from "./unfolded";

const WORDS = { running: "Running", done: "Done", failed: "Failed", interrupted: "Interrupted" } as const;

function Took({ call }: { call: Call }) {
  const ms = call.durationMs ?? (call.status === "running" && call.since !== undefined ? now.value - call.since : undefined);
  // What took no time that a person would notice needs no number.
  if (ms === undefined || ms < (call.status === "running" ? 1000 : 100)) return null;
  return <span class="tool-took">{durationOf(ms)}</span>;
}

function Terminal({ call, output }: { call: Call; output: string }) {
  const command = text(call.args["command"]);
  const code = number(call.details["exitCode"]);
  return (
    <div class="terminal">
      {command !== undefined && (
        <div class="terminal-command">
          <pre tabIndex={0} role="group" aria-label="Command">
            <span aria-hidden="true">$ </span>
            {command}
          </pre>
          <CopyButton source={command} label="Copy command" bare />
        </div>
      )}
      {output !== "" && (
        <pre class="terminal-output" tabIndex={0} role="group" aria-label="Output">
          {output}
        </pre>
      )}
      {code !== undefined && code !== 0 && <p class="terminal-end">Ended with code {code}</p>}
    </div>
  );
}

/** The difference that an edit made: as the tool says it, else from what was asked for. */
function diffOf(call: Call): string | undefined {
  const told = text(call.details["diff"]);
  if (told !== undefined) return told;
  const pairs = [call.args, ...objects(call.args["edits"])].flatMap((one) => {
    const before = string(one["old"] ?? one["oldText"] ?? one["old_string"]);
    const after = string(one["new"] ?? one["newText"] ?? one["new_string"]);
    return before === undefined || after === undefined ? [] : [[before, after] as const];
  });
  if (pairs.length === 0) return undefined;
  const lines = (source: string, sign: string): string[] => (source === "" ? [] : source.split("\n").map((line) => sign + line));
  return pairs.map(([before, after]) => [...lines(before, "-"), ...lines(after, "+")].join("\n")).join("\n@@\n");
}

/** Characters of one argument that a card draws, as the gateway bounds results: a whole file that was written would hold the page up. */
const MOST_SHOWN = 20_000;

function shortened(source: string): string {
  return source.length <= MOST_SHOWN ? source : `${source.slice(0, MOST_SHOWN)}\n… ${source.length - MOST_SHOWN} more characters`;
}

function Inside({ call }: { call: Call }) {
  const output = call.status === "running" ? call.partial : call.result || call.partial;
  const isTerminal = call.name === "exec" || call.name === "process";
  const diff = call.name === "exec" ? undefined : diffOf(call);
  const args = Object.entries(call.args).filter(([name]) => !(isTerminal && name === "command"));
  const isFailure = call.status === "failed";
  return (
    <div class="tool-inside">
      {isTerminal ? (
        <Terminal call={call} output={output} />
      ) : (
        <>
          {diff !== undefined && <Diff source={shortened(diff)} />}
          {diff === undefined && args.length > 0 && (
            <dl class="tool-args" aria-label="Arguments">
              {args.map(([name, value]) => (
                <div key={name}>
                  <dt>{name}</dt>
                  <dd>{shortened(typeof value === "string" ? value : JSON.stringify(value, undefined, 1))}</dd>
                </div>
              ))}
            </dl>
          )}
          {output !== "" && (diff === undefined || isFailure) && (
            <div class={isFailure ? "tool-result bad" : "tool-result"}>
              <pre tabIndex={0} role="group" aria-label="Result">
                {output}
              </pre>
              <CopyButton source={output} label="Copy result" bare />
            </div>
          )}
        </>
      )}
      {call.status === "interrupted" && <p class="muted small">It was cut off: it may or may not have happened.</p>}
      {call.media.length > 0 && (
        <div class="media-row">
          {call.media.map((media) => (
            <MediaView key={media.id} media={media} />
          ))}
        </div>
      )}
    </div>
  );
}

export const ToolCard = memo(function ToolCard({ call }: { call: Call }) {
  const asked = approvals.value.find((one) => one.toolCallId !== undefined && one.toolCallId === call.id);
  // A running program shows what it puts out, a picture is there to be looked at: open by themselves, until somebody folds them.
  const isWaiting = asked !== undefined && call.status === "running";
  const isOpen = isUnfolded(`call ${call.id}`, (call.status === "running" && call.partial !== "" && !isWaiting) || call.media.length > 0);
  const summary = summaryOf(call);
  const word = isWaiting ? "Waiting for you" : WORDS[call.status];
  return (
    <div class="tool" data-status={isWaiting ? "waiting" : call.status} data-testid="tool">
      <button type="button" class="tool-head" aria-expanded={isOpen} onClick={() => unfold(`call ${call.id}`, !isOpen)}>
        <span class="tool-icon">
          <Icon name={iconOf(call)} size={16} />
        </span>
        <span class="tool-label">{labelOf(call)}</span>
        {summary !== "" && <span class="tool-summary">{summary}</span>}
        <span class="tool-end">
          <Took call={call} />
          <span class="tool-status">
            <StatusMark call={call} />
            <span class={call.status === "done" ? "sr-only" : ""}>{word}</span>
          </span>
        </span>
        <span class="fold" aria-hidden="true">
          <Icon name="down" size={14} />
        </span>
      </button>
      {asked !== undefined && <ApprovalCard approval={asked} />}
      {isOpen && <Inside call={call} />}
    </div>
  );
});

function StatusMark({ call }: { call: Call }) {
  if (call.status === "running") return <span class="spinner" aria-hidden="true" />;
  return <Icon name={call.status === "done" ? "check" : call.status === "failed" ? "close" : "warning"} size={14} />;
}

/** Calls one after another: few as they are, many folded to a line. */
export function ToolGroup({ calls, isLive }: { calls: Call[]; isLive: boolean }) {
  const first = calls[0];
  if (first === undefined) return null;
  const isBusy = isLive && calls.some((call) => call.status === "running");
  const asks = approvals.value.some((one) => calls.some((call) => call.id === one.toolCallId));
  if (calls.length < 3) {
    return (
      <div class="tools">
        {calls.map((call) => (
          <ToolCard key={call.id} call={call} />
        ))}
      </div>
    );
  }
  const key = `group ${first.id}`;
  const isOpen = isUnfolded(key, isBusy) || asks;
  const failed = calls.filter((call) => call.status === "failed").length;
  const names = [...new Set(calls.map(labelOf))];
  return (
    <div class="tools">
      <button type="button" class="tool-group" aria-expanded={isOpen} onClick={() => unfold(key, !isOpen)}>
        <Icon name="tool" size={15} />
        <span class="tool-label">{calls.length} steps</span>
        <span class="tool-summary">{names.slice(0, 3).join(", ")}{names.length > 3 ? " …" : ""}</span>
        {failed > 0 && <span class="tool-failed">{failed} failed</span>}
        <span class="fold" aria-hidden="true">
          <Icon name="down" size={14} />
        </span>
      </button>
      {isOpen && calls.map((call) => <ToolCard key={call.id} call={call} />)}
    </div>
  );
}
