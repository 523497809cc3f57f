// What is being written; it outlives a reload.
import { effect, signal } from "@preact/signals";

import { string } from "../../web/json";
import { thisTab } from "../../web/storage";

const KEY = "moltbot.draft";

export const draft = signal(string(thisTab.read(KEY)) ?? "");
effect(() => thisTab.write(KEY, draft.value));
