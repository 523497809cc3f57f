// Times as people say them.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const clockTime = (at: number): string => clock.format(at);
export const fullTime = (at: number): string => full.format(at);
/** To the minute: what is planned. */
export const dayAndTime = (at: number): string => moment.format(at);

export function dayName(at: number, today = Date.now()): string {
  const start = new Date(today).setHours(0, 0, 0, 0);
  if (at >= start && at < start + 86_400_000) return "Today";
  if (at < start && at >= start - 86_400_000) return "Yesterday";
  return day.format(at);
}

/** "just now", "12 s ago", "3 min ago", "2 h ago", "5 d ago". */
export function ago(at: number, today: number): string {
  const seconds = Math.max(0, Math.round((today - at) / 1000));
  return seconds < 5 ? "just now" : `${span(seconds)} ago`;
}

/** A length of time: "12 s", "3 min", "2 h", "5 d". */
export function span(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
