// Which folds are open. Kept apart from what draws them, since a message that scrolls out of sight is not drawn any more.
import { signal } from "@preact/signals";

const open = signal<ReadonlyMap<string, boolean>>(new Map());

export const isUnfolded = (key: string, byDefault = false): boolean => open.value.get(key) ?? byDefault;

export function unfold(key: string, value: boolean): void {
  open.value = new Map([...open.value, [key, value]]);
}
