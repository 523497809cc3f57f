// Names of the API in the words of the page.

export type Tone = "good" | "warn" | "bad" | "calm";

const PHASES: Readonly<Record<string, readonly [Tone, string]>> = {
  Pending: ["warn", "Being set up"],
  Waking: ["warn", "Waking"],
  Awake: ["good", "Awake"],
  Draining: ["calm", "Going to sleep"],
  Asleep: ["calm", "Asleep"],
  Suspended: ["calm", "Suspended"],
  Failed: ["bad", "Failed"],
};

export const phaseWords = (phase: string): readonly [Tone, string] => PHASES[phase] ?? ["warn", phase || "Unknown"];
export const isMoving = (phase: string): boolean => phase === "Pending" || phase === "Waking" || phase === "Draining";

const CONDITIONS: Readonly<Record<string, string>> = {
  Ready: "Ready",
  Sleeping: "Sleep",
  SecretsReady: "Secrets",
  StorageReady: "Storage",
  ModelReady: "Model",
  BackupReady: "Backups",
  Exposed: "Address",
  Progressing: "Changes",
  NameTaken: "Names",
  ForeignFields: "Other managers",
  Degraded: "Health",
};

/** The reason of a condition about what nobody has asked for. */
export const NOT_CONFIGURED = "NotConfigured";

/** Conditions whose True is the bad or the passing state. */
const TRUE_IS: Readonly<Record<string, Tone>> = { NameTaken: "bad", ForeignFields: "warn", Progressing: "warn", Degraded: "bad", Sleeping: "calm" };

export const conditionWords = (type: string): string => CONDITIONS[type] ?? type.replace(/([a-z])([A-Z])/g, "$1 $2");

export function conditionTone(type: string, status: string, reason = ""): Tone {
  // A choice, and no fault: memory on a volume needs no bucket.
  if (reason === NOT_CONFIGURED) return "calm";
  if (status === "Unknown") return "warn";
  const special = TRUE_IS[type];
  if (special !== undefined) return status === "True" ? special : "good";
  return status === "True" ? "good" : "bad";
}

/** Begins as a sentence does. */
export const sentence = (said: string): string => said.charAt(0).toUpperCase() + said.slice(1);

/** "PreviousPodStuck" → "Previous pod stuck"; what is in words already stays. */
export function reasonWords(reason: string): string {
  return sentence(/\s/.test(reason) ? reason : reason.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase());
}

const PARTS: Readonly<Record<string, string>> = {
  pod: "Got a pod",
  address: "Got an address",
  started: "Started its containers",
  listening: "Started the gateway",
  restored: "Restored the memory",
  open: "Opened the memory",
};

export const partWords = (name: string): string => PARTS[name] ?? reasonWords(name);

const CAUSES: Readonly<Record<string, string>> = {
  page: "by a visit to its page",
  request: "by a request",
  message: "by a message",
  job: "by a scheduled job",
  schedule: "to read a new time in its schedule",
  person: "by hand",
  start: "for the first time",
};

export const causeWords = (reason: string): string => CAUSES[reason.toLowerCase()] ?? (reason === "" ? "" : `by: ${reasonWords(reason).toLowerCase()}`);

export function bytesWords(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ""}`;
}

export const millisecondsWords = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`);

export const shortId = (id: string): string => (id.length > 8 ? `${id.slice(0, 4)}-${id.slice(4, 8)}` : id);
