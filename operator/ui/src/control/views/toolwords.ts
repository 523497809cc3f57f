// Words and pictures for tools: a name, and one line of what a call does. The gateway's own words win.
import type { IconName } from "../../design/icons";
import { text } from "../../web/json";
import type { Call } from "../chat/parts";

const KNOWN: Readonly<Record<string, readonly [IconName, string]>> = {
  read: ["file", "Read a file"],
  write: ["file", "Write a file"],
  edit: ["pencil", "Edit a file"],
  list: ["folder", "List files"],
  search: ["search", "Search files"],
  exec: ["terminal", "Run a program"],
  process: ["terminal", "Program in the background"],
  web_fetch: ["globe", "Read a web page"],
  web_search: ["search", "Search the web"],
  memory_search: ["memory", "Search the memory"],
  memory_get: ["memory", "Read from the memory"],
  cron: ["clock", "Schedule"],
  message: ["chat", "Send a message"],
  session_status: ["info", "Look at this conversation"],
  sessions_list: ["chat", "List conversations"],
  sessions_history: ["chat", "Read a conversation"],
  sessions_send: ["chat", "Write to a conversation"],
  sessions_spawn: ["branch", "Give a task to a subagent"],
};

/** What the gateway called a tool once, it is called from then on. */
const learnt = new Map<string, string>();

export const iconOf = (call: Call): IconName => KNOWN[call.name]?.[0] ?? "tool";

export function labelOf(call: Call): string {
  if (call.label !== undefined) learnt.set(call.name, call.label);
  return call.label ?? learnt.get(call.name) ?? KNOWN[call.name]?.[1] ?? plain(call.name);
}

const plain = (name: string): string => {
  const words = name.replace(/[_.-]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
};

const TELLING = ["command", "path", "query", "url", "pattern", "task", "message", "text", "action", "name", "key", "id"];

/** One line of what this call does. */
export function summaryOf(call: Call): string {
  if (call.describe !== undefined) return call.describe;
  for (const name of TELLING) {
    const value = text(call.args[name]);
    if (value !== undefined) return value.trim().split("\n", 1)[0] ?? "";
  }
  return "";
}

export function durationOf(ms: number): string {
  if (ms < 950) return `${Math.max(0.1, ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
