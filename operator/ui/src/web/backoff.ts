/** Milliseconds to wait before try number `attempt` (0, 1, …): doubling from `first` to `most`, spread so that many pages do not come at once. */
export function backoff(attempt: number, first = 500, most = 15_000, random = Math.random): number {
  const full = Math.min(most, first * 2 ** Math.min(attempt, 20));
  return Math.round(full * (0.75 + random() * 0.5));
}
