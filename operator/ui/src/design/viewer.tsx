// One picture over the whole window.
import { useEffect, useRef } from "preact/hooks";

import { Icon } from "./icons";

export function Viewer({ url, name, onDone }: { url: string; name: string; onDone: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const close = (): void => dialog.current?.close();
  return (
    <dialog class="viewer" ref={dialog} onClose={onDone} aria-label={name}>
      <img src={url} alt={name} onClick={close} />
      <div class="viewer-actions">
        <a class="button small" href={url} download={name}>
          <Icon name="download" size={16} />
          Save
        </a>
        <button type="button" class="button small icon" onClick={close} aria-label="Close">
          <Icon name="close" size={16} />
        </button>
      </div>
    </dialog>
  );
}
