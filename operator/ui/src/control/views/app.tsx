// The page: a gate, or the chat with its side.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { Icon } from "../../design/icons";
import { isExposed } from "../../web/place";
import { announcement, assistant, currentKey, link, notice, panel, shownSessions } from "../chat/state";
import { ApprovalNotice } from "./approval";
import { Composer } from "./composer";
import { currentGate } from "./gate";
import { Log } from "./log";
import { PanelView } from "./panel";
import { Side } from "./side";
import { StatusBanner, StatusPill } from "./status";

const NARROW = "(max-width: 860px)";

function Chat() {
  const isOpen = useSignal(false);
  const side = useRef<HTMLElement>(null);
  const opener = useRef<HTMLButtonElement>(null);
  const isWarned = useSignal(isExposed());
  const title = shownSessions.value.find((session) => session.key === currentKey.value)?.title ?? assistant.value;

  const close = (): void => {
    isOpen.value = false;
  };
  useEffect(() => {
    if (!isOpen.value) return undefined;
    side.current?.querySelector<HTMLElement>(".side-close")?.focus();
    const onKey = (event: KeyboardEvent): void => {
      if (event.key === "Escape") close();
    };
    document.addEventListener("keydown", onKey);
    return () => {
      document.removeEventListener("keydown", onKey);
      opener.current?.focus();
    };
  }, [isOpen.value]);

  return (
    <div class={isOpen.value ? "app side-open" : "app"} data-view="chat">
      <aside class="side" ref={side} aria-label="Chats and settings">
        <Side onChosen={close} />
      </aside>
      <div class="veil" onClick={close} />
      <main class="chat" inert={isOpen.value && matchMedia(NARROW).matches}>
        <header class="chat-top">
          <button
            type="button"
            ref={opener}
            class="button quiet icon opener"
            onClick={() => {
              isOpen.value = true;
            }}
            aria-label="Show the list of chats"
            aria-expanded={isOpen.value}
          >
            <Icon name="menu" />
          </button>
          <h1>{title || "Moltbot"}</h1>
          <StatusPill />
        </header>
        {isWarned.value && (
          <div class="strip" role="note">
            <Icon name="unlocked" size={18} />
            <span>
              This connection is not encrypted: others in the network can read along. Put HTTPS in front, or use a port-forward and <code>localhost</code>.
            </span>
            <button
              type="button"
              class="button quiet small icon"
              aria-label="Dismiss"
              onClick={() => {
                isWarned.value = false;
              }}
            >
              <Icon name="close" size={16} />
            </button>
          </div>
        )}
        {link.value.state === "open" && !link.value.hello.modelConfigured && (
          <div class="strip bad" role="note">
            <Icon name="warning" size={18} />
            <span>No model is set up, so it cannot answer. Give it a key, as its conditions in the administration say.</span>
          </div>
        )}
        {panel.value === undefined ? <Log /> : <PanelView name={panel.value} />}
        <div class="dock" data-bare={panel.value !== undefined}>
          <div class="column">
            {notice.value !== undefined && (
              <div class="banner bad" role="alert">
                <Icon name="warning" />
                <div class="banner-text">{notice.value}</div>
                <button
                  type="button"
                  class="button quiet small icon"
                  aria-label="Dismiss"
                  onClick={() => {
                    notice.value = undefined;
                  }}
                >
                  <Icon name="close" size={16} />
                </button>
              </div>
            )}
            <StatusBanner />
            <ApprovalNotice />
            {panel.value === undefined && <Composer />}
          </div>
        </div>
      </main>
      <p class="sr-only" aria-live="polite">
        {announcement.value}
      </p>
    </div>
  );
}

export function App() {
  return currentGate() ?? <Chat />;
}
