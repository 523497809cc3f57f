// Server-sent events with an end: the browser tries again by itself after a lost connection, but not after an answer that is no
// stream (401, 503); that one is asked for the reason, and only a 401 is final.
import { backoff } from "./backoff";
import { parse } from "./json";

export interface EventsHandlers {
  /** One event: its name and its data, already out of JSON. */
  onEvent: (name: string, data: unknown) => void;
  onOpen?: () => void;
  /** The stream is gone for now; it will be tried again. */
  onLost?: () => void;
  /** The credential does not count (any more); nothing more comes until `listen` is called anew. */
  onUnauthorized: () => void;
}

/** Listens to `names` at `url`; returns what ends it. `probe` is a plain URL behind the same lock. */
export function listen(url: string, names: string[], probe: string, handlers: EventsHandlers): () => void {
  let source: EventSource | undefined;
  let timer: number | undefined;
  let attempt = 0;
  let ended = false;

  const open = (): void => {
    const current = new EventSource(url);
    source = current;
    current.onopen = () => {
      attempt = 0;
      handlers.onOpen?.();
    };
    for (const name of names) {
      current.addEventListener(name, (event) => {
        if (event instanceof MessageEvent && typeof event.data === "string") handlers.onEvent(name, parse(event.data));
      });
    }
    current.onerror = () => {
      if (ended) return;
      handlers.onLost?.();
      if (current.readyState === EventSource.CLOSED) void again();
    };
  };

  const again = async (): Promise<void> => {
    try {
      const answer = await fetch(probe, { cache: "no-store", headers: { Accept: "application/json" } });
      if (ended) return;
      if (answer.status === 401) {
        end();
        handlers.onUnauthorized();
        return;
      }
    } catch {
      // Offline: try again below.
    }
    if (!ended) timer = window.setTimeout(open, backoff(attempt++));
  };

  const end = (): void => {
    ended = true;
    source?.close();
    window.clearTimeout(timer);
  };

  open();
  return end;
}
