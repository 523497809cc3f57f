// Looking for a conversation: by its name at once, by what was said in it as the gateway finds it.
import { computed, effect, signal } from "@preact/signals";

import { objects, string, text, time } from "../../web/json";
import { openSession } from "./choosing";
import { loadHistory, loadOlder } from "./reading";
import { connection, conversation, shownSessions } from "./state";

export interface Hit {
  key: string;
  messageId: string;
  title: string;
  /** The found words stand between \u0002 and \u0003. */
  snippet: string;
  role: string;
  at: number | undefined;
}

export const query = signal("");
export const hits = signal<readonly Hit[]>([]);
export const isSearching = signal(false);
/** Names that have the words in them. */
export const named = computed(() => {
  const words = query.value.trim().toLowerCase();
  return shownSessions.value.filter((session) => words === "" || session.title.toLowerCase().includes(words));
});

const WAIT_MS = 200;
const MOST = 30;
/** Pages of the history that are read to get to a found message. */
const MOST_PAGES = 25;

let timer: number | undefined;
effect(() => {
  const words = query.value.trim();
  window.clearTimeout(timer);
  if (words.length < 2 || !connection.serves("sessions.search")) {
    hits.value = [];
    isSearching.value = false;
    return;
  }
  isSearching.value = true;
  timer = window.setTimeout(() => void ask(words), WAIT_MS);
});

async function ask(words: string): Promise<void> {
  const payload = await connection.request("sessions.search", { query: words, limit: MOST }).catch(() => undefined);
  // Another letter came meanwhile.
  if (query.value.trim() !== words) return;
  isSearching.value = false;
  hits.value = objects(payload?.["results"]).flatMap((row): Hit[] => {
    const key = text(row["key"]);
    if (key === undefined) return [];
    const title = shownSessions.value.find((one) => one.key === key)?.title ?? text(row["title"]) ?? "Untitled chat";
    const [messageId, snippet] = [string(row["messageId"]) ?? String(row["messageId"] ?? ""), string(row["snippet"]) ?? ""];
    return [{ key, messageId, title, snippet, role: string(row["role"]) ?? "", at: time(row["timestamp"]) }];
  });
}

/** Opens the conversation of a hit and reads back until its message is there; the key under which it is shown. */
export async function openHit(hit: Hit): Promise<string | undefined> {
  openSession(hit.key);
  const state = conversation(hit.key);
  if (!state.peek().loaded) await loadHistory(hit.key);
  for (let page = 0; page < MOST_PAGES; page++) {
    const now = state.peek();
    const item = now.wire.find((one) => String(one["id"]) === hit.messageId);
    if (item !== undefined) {
      const runId = text(item["runId"]);
      const own = now.messages.find((message) => message.id === hit.messageId);
      return (own ?? now.messages.find((message) => message.role === "assistant" && message.runId === runId))?.key;
    }
    if (now.older === undefined) return undefined;
    await loadOlder(hit.key);
  }
  return undefined;
}
