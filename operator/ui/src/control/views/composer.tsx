// Where a person writes.
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { Icon } from "../../design/icons";
import { addFiles, attachments, clearChosen, isReading } from "../chat/attaching";
import { send, stop } from "../chat/sending";
import { assistant, current, currentKey, phase } from "../chat/state";
import { AttachButton, Chips, Drop } from "./attach";
import { draft } from "./draft";
import { activeOption, hint, offered, onPaletteKey, Palette, PALETTE_ID } from "./palette";
import { Pickers } from "./pickers";

/** The longest that the field grows (px) before it scrolls. */
const HIGHEST = 220;

/** On a touch keyboard Enter is a new line: there is no Shift to hold. */
const isTouch = (): boolean => matchMedia("(pointer: coarse)").matches;

/** Escape stops the answer, unless something nearer is closed by it. */
function useEscape(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
      if (document.querySelector("dialog[open], .side-open, .menu") === null) void stop();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}

export function Composer() {
  const field = useRef<HTMLTextAreaElement>(null);
  const isEmpty = draft.value.trim() === "" && attachments.value.length === 0;
  const run = current.value.run;
  const off = phase.value?.name === "Suspended";
  const name = assistant.value || "your assistant";
  const isBlocked = off || isEmpty || isReading.value;

  useEscape();
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
    if (isBlocked) return;
    send(draft.value, attachments.value);
    draft.value = "";
    clearChosen();
    field.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (onPaletteKey(event)) {
      event.preventDefault();
      return;
    }
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || isTouch()) return;
    submit(event);
  };
  const onPaste = (event: ClipboardEvent): void => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    void addFiles(files);
  };

  return (
    <form class="composer" onSubmit={submit}>
      <Palette />
      <Drop />
      <div class="composer-box">
        <Chips />
        <label class="sr-only" for="composer">
          Message to {name}
        </label>
        <div class="composer-field">
          <textarea
            id="composer"
            ref={field}
            rows={1}
            placeholder={phase.value?.name === "Asleep" ? `Write to wake ${name}` : `Message ${name}`}
            aria-describedby="composer-hint"
            aria-autocomplete="list"
            aria-controls={offered.value.length > 0 ? PALETTE_ID : undefined}
            aria-activedescendant={activeOption.value}
            enterkeyhint={isTouch() ? "enter" : "send"}
            value={draft.value}
            onInput={(event) => {
              draft.value = event.currentTarget.value;
            }}
            onKeyDown={onKeyDown}
            onPaste={onPaste}
          />
          {hint.value !== "" && (
            <span class="argument" aria-hidden="true">
              {draft.value}
              <i>{hint.value === "…" ? "what?" : hint.value}</i>
            </span>
          )}
        </div>
        <div class="composer-bar">
          <AttachButton isOff={off} />
          <Pickers />
          {run !== undefined && (
            <button type="button" class="button icon round stop" onClick={() => void stop()} disabled={run.stopping === true} aria-label="Stop the answer" title="Stop the answer (Esc)">
              <span class="square" aria-hidden="true" />
            </button>
          )}
          {(run === undefined || !isEmpty) && (
            <button class="button primary icon round" disabled={isBlocked} aria-label="Send" title="Send">
              <Icon name="send" />
            </button>
          )}
        </div>
      </div>
      <p id="composer-hint" class="hint">
        <span class="keys">
          <kbd>Enter</kbd> sends, <kbd>Shift</kbd> + <kbd>Enter</kbd> begins a new line, <kbd>/</kbd> lists commands.{" "}
        </span>
        It can be wrong: check what matters.
      </p>
    </form>
  );
}
