// The list of slash commands over the composer, while one is typed.
import { computed, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { matching } from "../chat/offers";
import type { CommandRow } from "../chat/offers";
import { draft } from "./draft";

export const PALETTE_ID = "palette";
const MOST = 40;

/** The text for which Escape has closed it. */
const closedFor = signal<string | undefined>(undefined);
const place = signal(0);

const typed = computed(() => /^\/(\S*)$/.exec(draft.value)?.[1]);
export const offered = computed<CommandRow[]>(() =>
  typed.value === undefined || closedFor.value === draft.value ? [] : matching(typed.value).slice(0, MOST),
);
const at = computed(() => Math.min(place.value, offered.value.length - 1));
export const activeOption = computed(() => (offered.value.length === 0 ? undefined : `${PALETTE_ID}-${at.value}`));

/** The command that is written out, when it takes something that is not there yet. */
export const hint = computed(() => {
  const name = /^\/(\S+) $/.exec(draft.value)?.[1];
  const row = name === undefined ? undefined : matching(name).find((one) => one.name === name || one.aliases.includes(name));
  return row?.hint ?? "";
});

function take(row: CommandRow | undefined): void {
  if (row === undefined) return;
  draft.value = row.hint === "" ? `/${row.name}` : `/${row.name} `;
  closedFor.value = draft.value;
  place.value = 0;
  document.getElementById("composer")?.focus();
}

/** A key in the composer while the list is open; true when it was for the list. */
export function onPaletteKey(event: KeyboardEvent): boolean {
  const list = offered.value;
  if (list.length === 0 || event.isComposing) return false;
  switch (event.key) {
    case "ArrowDown":
      place.value = (at.value + 1) % list.length;
      return true;
    case "ArrowUp":
      place.value = (at.value - 1 + list.length) % list.length;
      return true;
    case "Tab":
      if (event.shiftKey) return false;
      take(list[at.value]);
      return true;
    case "Enter": {
      const row = list[at.value];
      // What is written out already is sent.
      if (row === undefined || event.shiftKey || (typed.value === row.name && row.hint === "")) return false;
      take(row);
      return true;
    }
    case "Escape":
      closedFor.value = draft.value;
      return true;
    default:
      place.value = 0;
      return false;
  }
}

export function Palette() {
  const list = offered.value;
  const box = useRef<HTMLUListElement>(null);
  useEffect(() => {
    box.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [at.value]);
  return (
    <>
      {list.length > 0 && (
        <ul class="palette" id={PALETTE_ID} role="listbox" aria-label="Commands" ref={box}>
          {list.map((row, index) => (
            <li
              key={row.name}
              id={`${PALETTE_ID}-${index}`}
              role="option"
              aria-selected={index === at.value}
              onPointerDown={(event) => {
                event.preventDefault();
                take(row);
              }}
            >
              <code>
                /{row.name}
                {row.hint !== "" && <span class="palette-hint"> {row.hint === "…" ? "…" : `<${row.hint}>`}</span>}
              </code>
              <span>{row.description}</span>
            </li>
          ))}
        </ul>
      )}
      <span class="sr-only" role="status">
        {list.length > 0 ? `${list.length} commands` : ""}
      </span>
    </>
  );
}
