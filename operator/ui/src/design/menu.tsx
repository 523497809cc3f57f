// A button that opens a list to choose from: arrows move, Escape closes and gives the focus back.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

export interface Item {
  id: string;
  label: string;
  /** A second line in smaller words. */
  note?: string;
  isDanger?: boolean;
  /** The present choice; undefined: not a choice but an action. */
  isChosen?: boolean;
}

interface Props {
  /** What the list is of, for who cannot see where it stands. */
  label: string;
  items: readonly Item[];
  onChoose: (id: string) => void;
  /** Classes of the button. */
  look?: string;
  /** Where the list opens. */
  side?: "above" | "below";
  align?: "left" | "right";
  children: ComponentChildren;
}

export function Menu({ label, items, onChoose, look = "button quiet small icon", side = "below", align = "right", children }: Props) {
  const isOpen = useSignal(false);
  const place = useRef<HTMLDivElement>(null);

  // Before the next key: it belongs to the list already.
  useLayoutEffect(() => {
    if (!isOpen.value) return undefined;
    const away = (event: Event): void => {
      if (event.target instanceof Node && place.current?.contains(event.target) === false) isOpen.value = false;
    };
    document.addEventListener("pointerdown", away);
    document.addEventListener("focusin", away);
    const inside = place.current;
    (inside?.querySelector<HTMLElement>("[aria-checked=true]") ?? inside?.querySelector<HTMLElement>(".menu button"))?.focus();
    return () => {
      document.removeEventListener("pointerdown", away);
      document.removeEventListener("focusin", away);
    };
  }, [isOpen.value]);

  const close = (): void => {
    isOpen.value = false;
    place.current?.querySelector("button")?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (!isOpen.value) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    }
    const all = [...(place.current?.querySelectorAll<HTMLElement>(".menu button") ?? [])];
    const at = all.findIndex((one) => one === document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1 + all.length, Home: 0, End: all.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    all[next % all.length]?.focus();
  };
  return (
    <div class="menu-place" ref={place} onKeyDown={onKeyDown}>
      <button
        type="button"
        class={look}
        aria-haspopup="menu"
        aria-expanded={isOpen.value}
        aria-label={label}
        title={label}
        onClick={() => {
          isOpen.value = !isOpen.value;
        }}
      >
        {children}
      </button>
      {isOpen.value && (
        <div class={`menu ${side} ${align}`} role="menu" aria-label={label}>
          {items.map((item) => (
            <button
              key={item.id}
              type="button"
              role={item.isChosen === undefined ? "menuitem" : "menuitemradio"}
              aria-checked={item.isChosen}
              class={item.isDanger === true ? "danger" : ""}
              onClick={() => {
                close();
                onChoose(item.id);
              }}
            >
              <span>{item.label}</span>
              {item.note !== undefined && <small>{item.note}</small>}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
