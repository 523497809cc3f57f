// What a page keeps in the browser. Where storage is forbidden or full the page works on, and forgets when it is closed.
import { parse } from "./json";

interface Place {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export class Kept {
  readonly #place: () => Place;
  readonly #memory = new Map<string, string>();

  constructor(place: () => Place) {
    this.#place = place;
  }

  read(key: string): unknown {
    const source = this.#raw(key);
    return source === null ? undefined : parse(source);
  }

  write(key: string, value: unknown): void {
    const source = JSON.stringify(value);
    this.#memory.set(key, source);
    try {
      this.#place().setItem(key, source);
    } catch {
      // Forbidden or full: the memory above has it.
    }
  }

  remove(key: string): void {
    this.#memory.delete(key);
    try {
      this.#place().removeItem(key);
    } catch {
      // As above.
    }
  }

  #raw(key: string): string | null {
    try {
      return this.#place().getItem(key) ?? this.#memory.get(key) ?? null;
    } catch {
      return this.#memory.get(key) ?? null;
    }
  }
}

/** Until the person clears it: the device's key and token. */
export const lasting = new Kept(() => localStorage);
/** As long as this tab: what was being written and read. */
export const thisTab = new Kept(() => sessionStorage);
