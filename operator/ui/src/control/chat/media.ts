// Pictures and documents of conversations: fetched when they come into view, and kept while there is room.
import { signal } from "@preact/signals";
import type { Signal } from "@preact/signals";

import { string, text } from "../../web/json";
import { connection } from "./state";

export type Fetched = { state: "loading" } | { state: "here"; url: string } | { state: "missing"; reason: string };

/** Characters of data: URLs; about 45 MB of files. */
const MOST = 60_000_000;
const kept = new Map<string, Signal<Fetched>>();

function sizeOf(one: Signal<Fetched>): number {
  const now = one.peek();
  return now.state === "here" ? now.url.length : 0;
}

/** The oldest go first; what is shown just now keeps its own hold on its signal. */
function makeRoom(): void {
  let size = [...kept.values()].reduce((sum, one) => sum + sizeOf(one), 0);
  for (const [id, one] of kept) {
    if (size <= MOST) return;
    size -= sizeOf(one);
    kept.delete(id);
  }
}

export function mediaSignal(id: string): Signal<Fetched> {
  const known = kept.get(id);
  if (known !== undefined && known.peek().state !== "missing") {
    kept.delete(id);
    kept.set(id, known);
    return known;
  }
  const fresh = known ?? signal<Fetched>({ state: "loading" });
  kept.set(id, fresh);
  void load(id, fresh);
  return fresh;
}

async function load(id: string, into: Signal<Fetched>): Promise<void> {
  try {
    const payload = await connection.request("media.get", { id });
    const data = text(payload["data"]);
    const mimeType = string(payload["mimeType"]) ?? "application/octet-stream";
    into.value = data === undefined ? { state: "missing", reason: "It is no longer kept." } : { state: "here", url: `data:${mimeType};base64,${data}` };
    makeRoom();
  } catch (error) {
    into.value = { state: "missing", reason: error instanceof Error ? error.message : "It could not be read." };
  }
}

export function forgetMedia(): void {
  kept.clear();
}
