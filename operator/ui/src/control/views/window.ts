// Which part of a long conversation is drawn: what is in sight and a little around it. Heights are measured once drawn and estimated before;
// what is in sight stays where it is when something above it turns out to be higher, or older messages come.
import { signal } from "@preact/signals";

/** Of an entry that was never drawn (px), as long as none was. */
const ESTIMATE = 120;
/** Drawn beyond the window, above and below (px). */
const AROUND = 900;
/** So near to the end counts as being there (px): new text keeps it in view. */
const NEAR = 24;
/** So near to the beginning the page before is asked for (px). */
const EARLY = 1500;

export interface Range {
  start: number;
  end: number;
  /** What stands for the entries that are not drawn (px). */
  above: number;
  below: number;
}

export class LogWindow {
  /** Grows when the range that is drawn has to change. */
  readonly version = signal(0);
  /** The person looks at something further up. */
  readonly isAway = signal(false);
  /** The beginning of what is known is near. */
  onEarly: () => void = () => undefined;

  #box: HTMLElement | null = null;
  #keys: readonly string[] = [];
  #places = new Map<string, number>();
  #tops: number[] = [0];
  #heights = new Map<string, number>();
  #estimate = ESTIMATE;
  #drawn: Range = { start: 0, end: 0, above: 0, below: 0 };
  /** The first entry in sight. */
  #anchor = "";
  /** By how much what is in sight was moved by entries that came or went above it (px). */
  #moved = 0;
  #last = 0;
  readonly #observer = new ResizeObserver((entries) => this.#measured(entries));
  readonly #frame = new ResizeObserver(() => this.settle());

  /** The element that scrolls; null when it goes. */
  attach(box: HTMLElement | null): void {
    this.#box = box;
    this.#frame.disconnect();
    this.#observer.disconnect();
    if (box !== null) this.#frame.observe(box);
  }

  observe(entry: HTMLElement | null): void {
    if (entry !== null) this.#observer.observe(entry);
  }

  unobserve(entry: HTMLElement | null): void {
    if (entry !== null) this.#observer.unobserve(entry);
  }

  /** Another conversation: nothing of the one before counts, and its end is shown. */
  reset(): void {
    this.#heights.clear();
    this.#estimate = ESTIMATE;
    this.#anchor = "";
    this.#moved = 0;
    this.isAway.value = false;
  }

  /** What to draw of these entries. */
  rangeOf(keys: readonly string[]): Range {
    if (keys !== this.#keys) {
      const [old, tops] = [this.#keys, this.#tops];
      const first = this.#places.get(this.#anchor) ?? 0;
      this.#keys = keys;
      this.#places = new Map(keys.map((key, index) => [key, index]));
      this.#guess();
      this.#sum();
      // The first in sight that is still there (a day's name goes when older messages of that day come) stays where it is.
      const kept = old.findIndex((key, index) => index >= first && this.#places.has(key));
      const place = this.#places.get(old[kept] ?? "");
      if (kept >= 0 && place !== undefined) this.#moved += (this.#tops[place] ?? 0) - (tops[kept] ?? 0);
    }
    this.#drawn = this.#compute();
    return this.#drawn;
  }

  /** After drawing: the end, or what was in sight, is where it was. */
  settle(): void {
    const box = this.#box;
    if (box === null) return;
    if (!this.isAway.peek()) {
      box.scrollTop = box.scrollHeight;
      this.#last = box.scrollTop;
    } else if (this.#moved !== 0) {
      box.scrollTop += this.#moved;
      this.#last = box.scrollTop;
    }
    this.#moved = 0;
    this.#redraw();
  }

  scrolled(): void {
    const box = this.#box;
    if (box === null) return;
    const left = box.scrollHeight - box.scrollTop - box.clientHeight;
    // Up by a person's hand leaves the end; nothing else does.
    if (left <= NEAR) this.isAway.value = false;
    else if (box.scrollTop < this.#last - 2) this.isAway.value = true;
    this.#last = box.scrollTop;
    this.#anchor = this.#keys[this.#at(box.scrollTop)] ?? "";
    if (box.scrollTop < EARLY) this.onEarly();
    this.#redraw();
  }

  toEnd(isSmooth: boolean): void {
    const box = this.#box;
    if (box === null) return;
    const isFar = box.scrollHeight - box.scrollTop > box.clientHeight * 3;
    if (isSmooth && !isFar) {
      box.scrollTo({ top: box.scrollHeight, behavior: "smooth" });
    } else {
      this.isAway.value = false;
      this.settle();
    }
  }

  /** Brings an entry into sight; false when it is not known. */
  show(key: string): boolean {
    const index = this.#places.get(key);
    const box = this.#box;
    if (index === undefined || box === null) return false;
    this.isAway.value = true;
    this.#moved = 0;
    box.scrollTop = (this.#tops[index] ?? 0) - box.clientHeight / 4;
    this.scrolled();
    return true;
  }

  /** What was never drawn is as high as the others on the whole. */
  #guess(): void {
    if (this.#heights.size < 10) return;
    let sum = 0;
    for (const height of this.#heights.values()) sum += height;
    this.#estimate = sum / this.#heights.size;
  }

  #sum(): void {
    const tops = [0];
    for (const key of this.#keys) tops.push((tops.at(-1) ?? 0) + (this.#heights.get(key) ?? this.#estimate));
    this.#tops = tops;
  }

  /** The entry at this height. */
  #at(top: number): number {
    let [low, high] = [0, this.#keys.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#tops[middle] ?? 0) <= top) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  #compute(): Range {
    const count = this.#keys.length;
    const total = this.#tops[count] ?? 0;
    const height = this.#box?.clientHeight ?? 800;
    const top = this.isAway.peek() && this.#box !== null ? this.#box.scrollTop : total - height;
    const start = this.#at(Math.max(0, top - AROUND));
    const end = Math.min(count, this.#at(top + height + AROUND) + 1);
    return { start, end, above: this.#tops[start] ?? 0, below: total - (this.#tops[end] ?? total) };
  }

  #redraw(): void {
    const next = this.#compute();
    if (next.start === this.#drawn.start && next.end === this.#drawn.end) return;
    this.#keepFocus(next);
    this.version.value = this.version.peek() + 1;
  }

  /** What has the focus and is drawn no more leaves it to the conversation, so that the keyboard goes on from there. */
  #keepFocus(next: Range): void {
    const held = document.activeElement?.closest<HTMLElement>("[data-key]");
    if (held === null || held === undefined || this.#box?.contains(held) !== true) return;
    const index = this.#places.get(held.dataset["key"] ?? "") ?? -1;
    if (index < next.start || index >= next.end) this.#box.focus({ preventScroll: true });
  }

  #measured(entries: ResizeObserverEntry[]): void {
    const box = this.#box;
    if (box === null) return;
    let shift = 0;
    let isChanged = false;
    for (const { target, borderBoxSize } of entries) {
      const key = target instanceof HTMLElement ? target.dataset["key"] : undefined;
      const height = borderBoxSize[0]?.blockSize ?? 0;
      const index = key === undefined ? undefined : this.#places.get(key);
      if (key === undefined || index === undefined || height === 0) continue;
      const before = this.#heights.get(key) ?? this.#estimate;
      if (Math.abs(height - before) < 0.5) continue;
      this.#heights.set(key, height);
      isChanged = true;
      if ((this.#tops[index + 1] ?? 0) <= box.scrollTop + 1) shift += height - before;
    }
    if (!isChanged) return;
    this.#sum();
    if (this.isAway.peek()) {
      if (shift !== 0) {
        box.scrollTop += shift;
        this.#last = box.scrollTop;
      }
      this.#redraw();
    } else {
      this.settle();
    }
  }
}
