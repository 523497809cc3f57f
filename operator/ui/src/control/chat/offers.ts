// What a person can choose from: models and slash commands, as the gateway lists them.
import { computed, signal } from "@preact/signals";

import { objects, string, strings, text } from "../../web/json";
import { connection, currentSession, model } from "./state";

export interface ModelRow {
  id: string;
  name: string;
  provider: string;
  reasoning: boolean;
  available: boolean;
}

export interface CommandRow {
  name: string;
  description: string;
  /** What comes after it, in a word or two; empty: nothing. */
  hint: string;
  aliases: string[];
  /** What may stand there, when it is one of a few. */
  choices: string[];
}

export const models = signal<readonly ModelRow[]>([]);
export const commands = signal<readonly CommandRow[]>([]);

export const LEVELS = ["off", "low", "medium", "high", "xhigh"] as const;

export async function loadOffers(): Promise<void> {
  if (connection.serves("models.list")) {
    const payload = await connection.request("models.list", {}).catch(() => undefined);
    if (payload !== undefined && payload["asleep"] !== true) {
      models.value = objects(payload["models"]).flatMap((row): ModelRow[] => {
        const id = text(row["id"]);
        if (id === undefined) return [];
        const provider = string(row["provider"]) ?? "";
        return [{ id, name: text(row["name"]) ?? id, provider, reasoning: row["reasoning"] === true, available: row["available"] !== false }];
      });
    }
  }
  if (connection.serves("commands.list")) {
    const payload = await connection.request("commands.list", {}).catch(() => undefined);
    if (payload !== undefined && payload["asleep"] !== true) {
      commands.value = objects(payload["commands"]).flatMap((row): CommandRow[] => {
        const name = text(row["name"])?.replace(/^\//, "");
        if (name === undefined) return [];
        const hint = text(row["argument"]) ?? (row["acceptsArgs"] === true ? "…" : "");
        const aliases = strings(row["textAliases"]).map((one) => one.replace(/^\//, ""));
        return [{ name, description: string(row["description"]) ?? "", hint, aliases: aliases.filter((one) => one !== name), choices: strings(row["choices"]) }];
      });
    }
  }
}

/** The model that answers in the current conversation. */
export const currentModel = computed(() => currentSession.value?.model ?? model.value?.replace(/^[^/]+\//, ""));
export const thinks = computed(() => {
  const levels = currentSession.value?.thinkingLevels ?? [];
  return levels.length > 0 || models.value.some((row) => row.id === currentModel.value && row.reasoning);
});

/** Commands that begin with what was typed; the best first. */
export function matching(typed: string): CommandRow[] {
  const word = typed.toLowerCase();
  const starts = commands.value.filter((row) => row.name.startsWith(word));
  const others = commands.value.filter((row) => !row.name.startsWith(word) && row.aliases.some((one) => one.startsWith(word)));
  return [...starts, ...others];
}
