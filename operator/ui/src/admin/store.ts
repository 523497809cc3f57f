// The administration's one state: session, list, the Moltbot that is looked at, and what was done.
import { batch, computed, signal } from "@preact/signals";

import { listen } from "../web/events";
import { object, objects, text } from "../web/json";
import { takeFromHash } from "../web/place";
import { readMoltbot, readRow } from "./types";
import type { Moltbot, Row } from "./types";

const API = "/_admin/api";

export type View = "loading" | "locked" | "list" | "one";

export const view = signal<View>("loading");
export const rows = signal<Row[]>([]);
export const moltbot = signal<Moltbot | undefined>(undefined);
/** The stream of states is gone for now. */
export const isStale = signal(false);
/** What was done, or why not; said once. */
export const told = signal<{ tone: "good" | "bad"; words: string } | undefined>(undefined);
/** Actions under way: their buttons wait. */
export const busy = signal<ReadonlySet<string>>(new Set());
/** Why the list or the Moltbot could not be read. */
export const problem = signal<string | undefined>(undefined);
export const hasMany = computed(() => rows.value.length > 1);

class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function call(method: string, path: string, body?: object): Promise<unknown> {
  const headers: Record<string, string> = { Accept: "application/json" };
  const isChange = method !== "GET";
  if (isChange) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(API + path, { method, headers, cache: "no-store", ...(isChange ? { body: JSON.stringify(body ?? {}) } : {}) });
  } catch {
    throw new ApiError(0, "The router did not answer. Is the port-forward still there?");
  }
  const document: unknown = answer.status === 204 ? undefined : await answer.json().catch(() => undefined);
  if (answer.ok) return document;
  if (answer.status === 401 && path !== "/session") lock();
  throw new ApiError(answer.status, text(object(document)["message"]) ?? `The router answered ${answer.status}.`);
}

const words = (error: unknown): string => (error instanceof Error ? error.message : "No reason was given.");

// --- Session ---

function lock(): void {
  endEvents?.();
  batch(() => {
    view.value = "locked";
    moltbot.value = undefined;
    rows.value = [];
  });
}

/** Opens a session with the administration key; undefined when it is right, else why not. */
export async function unlock(key: string): Promise<string | undefined> {
  try {
    await call("POST", "/session", { key });
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      return "That key is not right. Take the link that the command above prints now: the key may have been changed.";
    }
    return words(error);
  }
  await load();
  return undefined;
}

export async function signOut(): Promise<void> {
  await call("DELETE", "/session").catch(() => undefined);
  lock();
}

// --- Reading ---

let endEvents: (() => void) | undefined;

const pathOf = (one: { namespace: string; name: string }): string =>
  `/moltbots/${encodeURIComponent(one.namespace)}/${encodeURIComponent(one.name)}`;

export async function load(): Promise<void> {
  problem.value = undefined;
  try {
    rows.value = objects(object(await call("GET", "/moltbots"))["items"]).map(readRow);
  } catch (error) {
    if (view.value !== "locked") {
      view.value = "list";
      problem.value = words(error);
    }
    return;
  }
  const wanted = /^#\/([^/]+)\/([^/]+)$/.exec(location.hash);
  const found =
    wanted === null
      ? undefined
      : rows.value.find((row) => row.namespace === decodeURIComponent(wanted[1] ?? "") && row.name === decodeURIComponent(wanted[2] ?? ""));
  const only = rows.value.length === 1 ? rows.value[0] : undefined;
  const shown = found ?? only;
  if (shown === undefined) showList();
  else look(shown);
}

function showList(): void {
  endEvents?.();
  endEvents = undefined;
  batch(() => {
    moltbot.value = undefined;
    view.value = "list";
  });
}

function look(one: { namespace: string; name: string }): void {
  endEvents?.();
  batch(() => {
    if (moltbot.value?.name !== one.name || moltbot.value.namespace !== one.namespace) moltbot.value = undefined;
    view.value = "one";
    problem.value = undefined;
    isStale.value = false;
  });
  const base = API + pathOf(one);
  endEvents = listen(`${base}/events`, ["state"], base, {
    onEvent: (_, data) => {
      const read = readMoltbot(data);
      if (read === undefined) return;
      batch(() => {
        moltbot.value = read;
        isStale.value = false;
      });
    },
    onOpen: () => {
      isStale.value = false;
    },
    onLost: () => {
      isStale.value = true;
    },
    onUnauthorized: lock,
  });
}

// --- Changes ---

let telling: number | undefined;
function tell(tone: "good" | "bad", said: string): void {
  told.value = { tone, words: said };
  window.clearTimeout(telling);
  // An error stays until it is read away.
  if (tone === "good") {
    telling = window.setTimeout(() => {
      told.value = undefined;
    }, 6000);
  }
}

async function act(id: string, done: string, change: () => Promise<unknown>): Promise<void> {
  busy.value = new Set([...busy.value, id]);
  try {
    const answer = await change();
    const list = object(answer)["failed"];
    const failed = Array.isArray(list) ? list.length : 0;
    if (failed > 0) tell("bad", `${failed} of them could not be approved: they may have expired. Let the device ask again.`);
    else tell("good", done);
  } catch (error) {
    tell("bad", words(error));
  } finally {
    busy.value = new Set([...busy.value].filter((one) => one !== id));
  }
}

function one(): string {
  const now = moltbot.value;
  if (now === undefined) throw new Error("no Moltbot is shown");
  return pathOf(now);
}

export type Action = "wake" | "sleep" | "restart";
const ASKED: Readonly<Record<Action, string>> = {
  wake: "Asked to wake.",
  sleep: "Asked to sleep: it is backed up first where its state needs it.",
  restart: "Asked to restart.",
};

export const ask = (action: Action): Promise<void> => act(action, ASKED[action], () => call("POST", `${one()}/actions/${action}`));
export const backUp = (): Promise<void> => act("backup", "Asked for a backup.", () => call("POST", `${one()}/backup`));
export const approve = (device: string, request: string, name: string): Promise<void> =>
  act(`approve ${device}`, `${name} is approved.`, () => call("POST", `${one()}/devices/${encodeURIComponent(device)}/approve`, { request }));
export const approveAll = (): Promise<void> => act("approve-all", "All are approved.", () => call("POST", `${one()}/devices/approve-all`));
export const remove = (device: string, name: string): Promise<void> =>
  act(`remove ${device}`, `${name} is removed: it is signed out now.`, () => call("DELETE", `${one()}/devices/${encodeURIComponent(device)}`));

// --- Start ---

export async function start(): Promise<void> {
  const key = takeFromHash("key");
  window.addEventListener("hashchange", () => {
    const again = takeFromHash("key");
    if (again !== undefined) void unlock(again);
    else if (view.value !== "locked") void load();
  });
  if (key === undefined) {
    await load();
    return;
  }
  const refused = await unlock(key);
  if (refused !== undefined) {
    lock();
    problem.value = refused;
  }
}
