// Where a person writes.
import { effect, signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";

import { Icon } from "../../design/icons";
import { string } from "../../web/json";
import { thisTab } from "../../web/storage";
import { send, stop } from "../chat/sending";
import { assistant, current, currentKey, phase } from "../chat/state";

const KEY = "moltbot.draft";
/** The longest that the field grows (px) before it scrolls. */
const HIGHEST = 220;

export const draft = signal(string(thisTab.read(KEY)) ?? "");
effect(() => thisTab.write(KEY, draft.value));

/** On a touch keyboard Enter is a new line: there is no Shift to hold. */
const isTouch = (): boolean => matchMedia("(pointer: coarse)").matches;

export function Composer() {
  const field = useRef<HTMLTextAreaElement>(null);
  const run = current.value.run;
  const off = phase.value?.name === "Suspended";
  const name = assistant.value || "your assistant";

  useLayoutEffect(() => {
    const box = field.current;
    if (box === null) return;
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, HIGHEST)}px`;
  }, [draft.value]);
  useLayoutEffect(() => {
    if (!isTouch()) field.current?.focus({ preventScroll: true });
  }, [currentKey.value]);

  const submit = (event?: Event): void => {
    event?.preventDefault();
    if (off || draft.value.trim() === "") return;
    send(draft.value);
    draft.value = "";
    field.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || isTouch()) return;
    submit(event);
  };

  return (
    <form class="composer" onSubmit={submit}>
      <div class="composer-box">
        <label class="sr-only" for="composer">
          Message to {name}
        </label>
        <textarea
          id="composer"
          ref={field}
          rows={1}
          placeholder={phase.value?.name === "Asleep" ? `Write to wake ${name}` : `Message ${name}`}
          aria-describedby="composer-hint"
          enterkeyhint={isTouch() ? "enter" : "send"}
          value={draft.value}
          onInput={(event) => {
            draft.value = event.currentTarget.value;
          }}
          onKeyDown={onKeyDown}
        />
        {run !== undefined && (
          <button type="button" class="button icon round stop" onClick={() => void stop()} disabled={run.stopping === true} aria-label="Stop the answer" title="Stop the answer">
            <span class="square" aria-hidden="true" />
          </button>
        )}
        {(run === undefined || draft.value.trim() !== "") && (
          <button class="button primary icon round" disabled={off || draft.value.trim() === ""} aria-label="Send" title="Send">
            <Icon name="send" />
          </button>
        )}
      </div>
      <p id="composer-hint" class="hint">
        <span class="keys">
          <kbd>Enter</kbd> sends, <kbd>Shift</kbd> + <kbd>Enter</kbd> begins a new line.{" "}
        </span>
        It can be wrong: check what matters.
      </p>
    </form>
  );
}
