// The time now, as a signal: what shows an age or a countdown is drawn again by itself.
import { signal } from "@preact/signals";

/** Milliseconds since 1970, ticking every second while somebody looks. */
export const now = signal(Date.now());

setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);
document.addEventListener("visibilitychange", () => {
  now.value = Date.now();
});
