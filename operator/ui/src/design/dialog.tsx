// A question that stands in the way until it is answered.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

interface Props {
  title: string;
  /** The word on the button that does it. */
  action: string;
  isDanger?: boolean;
  /** What it does; the dialog closes then. */
  onSubmit: () => void;
  /** It is closed, done or not. */
  onDone: () => void;
  children?: ComponentChildren;
}

export function Dialog({ title, action, isDanger = false, onSubmit, onDone, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => dialog.current?.showModal(), []);
  const close = (): void => dialog.current?.close();
  return (
    <dialog class="card dialog" ref={dialog} onClose={onDone} aria-labelledby={id}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          onSubmit();
          close();
        }}
      >
        <h2 id={id}>{title}</h2>
        {children}
        <div class="dialog-actions">
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
          <button class={isDanger ? "button danger" : "button primary"}>{action}</button>
        </div>
      </form>
    </dialog>
  );
}
