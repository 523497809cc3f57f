// Files in the composer: by button, paste or drop; each with a picture or its name, its size, and why it cannot go.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { Icon } from "../../design/icons";
import { addFiles, chosen, remove, sizeOf } from "../chat/attaching";
import type { Chosen } from "../chat/attaching";

export function AttachButton({ isOff }: { isOff: boolean }) {
  const field = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={field}
        class="sr-only"
        type="file"
        multiple
        tabIndex={-1}
        aria-label="Choose files"
        onChange={(event) => {
          void addFiles([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
      <button type="button" class="button quiet small icon" disabled={isOff} onClick={() => field.current?.click()} aria-label="Add pictures or files" title="Add pictures or files">
        <Icon name="clip" size={18} />
      </button>
    </>
  );
}

function Chip({ one }: { one: Chosen }) {
  const isPicture = one.file?.mimeType.startsWith("image/") === true;
  return (
    <li class={one.problem === undefined ? "chip" : "chip bad"} data-testid="chip">
      {isPicture && one.file?.content !== undefined ? (
        <img src={`data:${one.file.mimeType};base64,${one.file.content}`} alt="" />
      ) : (
        <Icon name={one.problem === undefined ? "file" : "warning"} size={18} />
      )}
      <span class="chip-words">
        <span class="chip-name">{one.fileName || "Pasted picture"}</span>
        <small>{one.problem ?? (one.file === undefined ? "Reading…" : sizeOf(one.bytes))}</small>
      </span>
      <button type="button" class="button quiet small icon" onClick={() => remove(one.id)} aria-label={`Remove ${one.fileName || "the picture"}`}>
        <Icon name="close" size={14} />
      </button>
    </li>
  );
}

export function Chips() {
  const problems = chosen.value.filter((one) => one.problem !== undefined);
  return (
    <>
      {chosen.value.length > 0 && (
        <ul class="chips" aria-label="Files of this message">
          {chosen.value.map((one) => (
            <Chip key={one.id} one={one} />
          ))}
        </ul>
      )}
      <span class="sr-only" role="alert">
        {problems.map((one) => `${one.fileName} is not sent: ${one.problem}`).join(". ")}
      </span>
    </>
  );
}

/** Files that are dragged over the page can be let go anywhere on it. */
export function Drop() {
  const isOver = useSignal(false);
  useEffect(() => {
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") === true;
    const over = (event: DragEvent): void => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      isOver.value = true;
    };
    const out = (event: DragEvent): void => {
      if (event.relatedTarget === null) isOver.value = false;
    };
    const drop = (event: DragEvent): void => {
      isOver.value = false;
      if (!hasFiles(event)) return;
      event.preventDefault();
      void addFiles([...(event.dataTransfer?.files ?? [])]);
    };
    window.addEventListener("dragover", over);
    window.addEventListener("dragleave", out);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragover", over);
      window.removeEventListener("dragleave", out);
      window.removeEventListener("drop", drop);
    };
  }, []);
  if (!isOver.value) return null;
  return (
    <div class="drop" aria-hidden="true">
      <Icon name="image" size={28} />
      <span>Let go to add to the message</span>
    </div>
  );
}
