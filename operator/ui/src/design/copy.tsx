// A button that copies and says so.
import { useSignal } from "@preact/signals";

import { copyText } from "../web/clipboard";
import { Icon } from "./icons";

const SHOWN_MS = 1600;

export function CopyButton({ source, label = "Copy", bare = false }: { source: string; label?: string; bare?: boolean }) {
  const state = useSignal<"" | "Copied" | "Select and copy by hand">("");
  const copy = async (): Promise<void> => {
    state.value = (await copyText(source)) ? "Copied" : "Select and copy by hand";
    window.setTimeout(() => {
      state.value = "";
    }, SHOWN_MS);
  };
  const done = state.value === "Copied";
  return (
    <button type="button" class="button quiet small icon" onClick={() => void copy()} aria-label={label} title={state.value || label} data-done={done}>
      <Icon name={done ? "check" : "copy"} size={bare ? 16 : 18} />
      <span class="sr-only" role="status">
        {state.value}
      </span>
    </button>
  );
}

export function Command({ children }: { children: string }) {
  return (
    <div class="command">
      <code tabIndex={0} role="group" aria-label="Command">
        {children}
      </code>
      <CopyButton source={children} label="Copy command" />
    </div>
  );
}
