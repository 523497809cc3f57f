// What the model thought before it spoke.
import { Icon } from "../../design/icons";
import { durationOf } from "./toolwords";
import { Markdown } from "./markdown";
import { isUnfolded, unfold } from "./unfolded";

export function Thinking({ id, source, ms, isGoing }: { id: string; source: string; ms: number | undefined; isGoing: boolean }) {
  const isOpen = isUnfolded(id);
  const words = isGoing ? "Thinking…" : ms === undefined ? "Thoughts" : `Thought for ${ms < 1000 ? "a moment" : durationOf(ms)}`;
  return (
    <div class="thoughts" data-testid="thoughts">
      <button type="button" class="thoughts-head" aria-expanded={isOpen} onClick={() => unfold(id, !isOpen)}>
        {isGoing ? <span class="spinner" aria-hidden="true" /> : <Icon name="spark" size={15} />}
        <span>{words}</span>
        <span class="fold" aria-hidden="true">
          <Icon name="down" size={14} />
        </span>
      </button>
      {isOpen && (
        <div class="thoughts-text">
          <Markdown source={source} />
        </div>
      )}
    </div>
  );
}
