// What of the conversation is in sight, and how others bring something into it.
import { signal } from "@preact/signals";

import { LogWindow } from "./window";

export const logWindow = new LogWindow();
/** Approvals that can be seen just now. */
export const shownApprovals = signal<ReadonlySet<string>>(new Set());
/** The message that a search led to. */
export const found = signal<string | undefined>(undefined);

export function setShown(id: string, isShown: boolean): void {
  if (shownApprovals.peek().has(id) === isShown) return;
  const next = new Set(shownApprovals.peek());
  if (isShown) next.add(id);
  else next.delete(id);
  shownApprovals.value = next;
}

/** An approval belongs to the turn that goes on, and so stands near the end. */
export function showApproval(id: string): void {
  logWindow.toEnd(false);
  requestAnimationFrame(() => {
    const card = document.querySelector<HTMLElement>(`[data-approval="${CSS.escape(id)}"]`);
    card?.scrollIntoView({ block: "center" });
    card?.querySelector<HTMLElement>(".approval-actions button")?.focus({ preventScroll: true });
  });
}
