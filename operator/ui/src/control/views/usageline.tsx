// What an answer took: tokens and money, as much of it as the conversation is set to show.
import { Icon } from "../../design/icons";
import type { Message, Usage } from "../chat/history";
import { currentSession } from "../chat/state";
import { durationOf } from "./toolwords";
import { isUnfolded, unfold } from "./unfolded";

const counted = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

export const tokens = (count: number): string => counted.format(count);

/** US dollars, with as many digits as small sums need. */
export function dollars(sum: number): string {
  if (sum === 0) return "$0";
  return sum < 0.01 ? `$${sum.toFixed(4)}` : `$${sum.toFixed(2)}`;
}

const priceOf = (usage: Usage): string => (usage.cost === undefined ? "price unknown" : dollars(usage.cost));

export function UsageLine({ message }: { message: Message }) {
  const usage = message.usage;
  if (usage === undefined) return null;
  const mode = currentSession.value?.responseUsage ?? "off";
  const id = `usage ${message.key}`;
  const isOpen = isUnfolded(id, mode === "full");
  const facts = [
    message.model,
    `${tokens(usage.input + usage.cacheRead + usage.cacheWrite)} in${usage.cacheRead > 0 ? ` (${tokens(usage.cacheRead)} from the cache)` : ""}`,
    `${tokens(usage.output)} out`,
    priceOf(usage),
    message.durationMs === undefined ? undefined : durationOf(message.durationMs),
  ];
  return (
    <>
      <button
        type="button"
        class={`button quiet small icon${isOpen ? " on" : ""}`}
        aria-expanded={isOpen}
        aria-label="What this answer took"
        title={`${tokens(usage.total)} tokens, ${priceOf(usage)}`}
        onClick={() => unfold(id, !isOpen)}
      >
        <Icon name="info" size={16} />
      </button>
      {isOpen && <span class="usage">{facts.filter(Boolean).join(" · ")}</span>}
      {!isOpen && mode === "tokens" && <span class="usage">{tokens(usage.total)} tokens</span>}
    </>
  );
}
