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

/** One line of the list, and what is written when it is taken. */
interface Option {
  words: string;
  hint: string;
  description: string;
  written: string;
}

const commandOption = (row: CommandRow): Option => ({
  words: `/${row.name}`,
  hint: row.hint,
  description: row.description,
  written: row.hint === "" ? `/${row.name}` : `/${row.name} `,
});

/** The command that is written out, with what follows it so far. */
const begun = computed(() => {
  const [, name, rest] = /^\/(\S+) (\S*)$/.exec(draft.value) ?? [];
  const row = name === undefined ? undefined : matching(name).find((one) => one.name === name || one.aliases.includes(name));
  return row === undefined ? undefined : { row, rest: rest ?? "" };
});

function optionsOf(source: string): Option[] {
  const typed = /^\/(\S*)$/.exec(source)?.[1];
  if (typed !== undefined) return matching(typed).map(commandOption);
  const now = begun.value;
  if (now === undefined || now.row.choices.includes(now.rest)) return [];
  return now.row.choices
    .filter((choice) => choice.startsWith(now.rest))
    .map((choice) => ({ words: `/${now.row.name} ${choice}`, hint: "", description: "", written: `/${now.row.name} ${choice}` }));
}

export const offered = computed<Option[]>(() => (closedFor.value === draft.value ? [] : optionsOf(draft.value).slice(0, MOST)));
const at = computed(() => Math.min(place.value, offered.value.length - 1));
export const activeOption = computed(() => (offered.value.length === 0 ? undefined : `${PALETTE_ID}-${at.value}`));

/** What the command that is written out takes. */
export const hint = computed(() => (begun.value?.rest === "" ? begun.value.row.hint : ""));

function take(option: Option | undefined): void {
  if (option === undefined) return;
  draft.value = option.written;
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
      const option = list[at.value];
      // What is written out already is sent.
      if (option === undefined || event.shiftKey || option.written === draft.value) return false;
      take(option);
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
          {list.map((option, index) => (
            <li
              key={option.written}
              id={`${PALETTE_ID}-${index}`}
              role="option"
              aria-selected={index === at.value}
              onPointerDown={(event) => {
                event.preventDefault();
                take(option);
              }}
            >
              <code>
                {option.words}
                {option.hint !== "" && <span class="palette-hint"> {option.hint === "…" ? "…" : `<${option.hint}>`}</span>}
              </code>
              {option.description !== "" && <span>{option.description}</span>}
            </li>
          ))}
        </ul>
      )}
      <span class="sr-only" role="status">
        {list.length > 0 ? `${list.length} to choose from` : ""}
      </span>
    </>
  );
}
