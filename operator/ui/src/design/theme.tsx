// Light, dark, or as the system has it. theme.js puts the choice in place before the first paint.
import { signal } from "@preact/signals";

import { Icon } from "./icons";
import type { IconName } from "./icons";

type Theme = "system" | "light" | "dark";
const KEY = "moltbot.theme";
const NEXT: Readonly<Record<Theme, Theme>> = { system: "light", light: "dark", dark: "system" };
const ICONS: Readonly<Record<Theme, IconName>> = { system: "screen", light: "sun", dark: "moon" };
const WORDS: Readonly<Record<Theme, string>> = { system: "as the system", light: "light", dark: "dark" };

function chosen(): Theme {
  const said = document.documentElement.dataset["theme"];
  return said === "light" || said === "dark" ? said : "system";
}

const theme = signal<Theme>(chosen());

function choose(next: Theme): void {
  theme.value = next;
  if (next === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = next;
  try {
    if (next === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // Not kept then.
  }
}

export function ThemeButton() {
  const now = theme.value;
  const label = `Colours: ${WORDS[now]}. Change to ${WORDS[NEXT[now]]}`;
  return (
    <button type="button" class="button quiet icon" onClick={() => choose(NEXT[now])} aria-label={label} title={label}>
      <Icon name={ICONS[now]} />
    </button>
  );
}
