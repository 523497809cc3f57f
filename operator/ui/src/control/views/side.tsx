// The list of conversations, and what belongs to the whole page.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { Dialog } from "../../design/dialog";
import { Icon } from "../../design/icons";
import { Mark } from "../../design/mark";
import { ThemeButton } from "../../design/theme";
import { now } from "../../web/clock";
import { ago } from "../../web/times";
import type { Session } from "../chat/sessions";
import { clearSession, deleteSession, newSession, openSession, renameSession } from "../chat/choosing";
import { adminUrl, assistant, connection, currentKey, model, shownSessions } from "../chat/state";

function Menu({ session, onAsk }: { session: Session; onAsk: (what: "rename" | "clear" | "delete") => void }) {
  const isOpen = useSignal(false);
  const place = useRef<HTMLDivElement>(null);
  const items = [
    ["rename", "Rename", connection.serves("sessions.patch")],
    ["clear", "Clear", connection.serves("sessions.reset")],
    ["delete", "Delete", connection.serves("sessions.delete") && !session.isMain],
  ] as const;

  useEffect(() => {
    if (!isOpen.value) return undefined;
    const away = (event: Event): void => {
      if (event.target instanceof Node && place.current?.contains(event.target) === false) isOpen.value = false;
    };
    document.addEventListener("pointerdown", away);
    document.addEventListener("focusin", away);
    place.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus();
    return () => {
      document.removeEventListener("pointerdown", away);
      document.removeEventListener("focusin", away);
    };
  }, [isOpen.value]);

  if (!items.some(([, , served]) => served)) return null;
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && isOpen.value) {
      event.stopPropagation();
      isOpen.value = false;
      place.current?.querySelector("button")?.focus();
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const all = [...(place.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
    const at = all.findIndex((one) => one === document.activeElement);
    all[(at + (event.key === "ArrowDown" ? 1 : -1) + all.length) % all.length]?.focus();
  };
  return (
    <div class="menu-place" ref={place} onKeyDown={onKeyDown}>
      <button
        type="button"
        class="button quiet small icon"
        aria-haspopup="menu"
        aria-expanded={isOpen.value}
        aria-label={`Actions for ${session.title}`}
        onClick={() => {
          isOpen.value = !isOpen.value;
        }}
      >
        <Icon name="more" size={18} />
      </button>
      {isOpen.value && (
        <div class="menu" role="menu" aria-label={`Actions for ${session.title}`}>
          {items.map(
            ([what, label, served]) =>
              served && (
                <button
                  key={what}
                  type="button"
                  role="menuitem"
                  class={what === "delete" ? "danger" : ""}
                  onClick={() => {
                    isOpen.value = false;
                    onAsk(what);
                  }}
                >
                  {label}
                </button>
              ),
          )}
        </div>
      )}
    </div>
  );
}

interface Asked {
  what: "rename" | "clear" | "delete";
  session: Session;
}

const QUESTIONS = {
  rename: { title: "Rename this chat", words: "", action: "Rename" },
  clear: { title: "Clear this chat?", words: "The assistant begins it anew: what was said in it is gone from here.", action: "Clear" },
  delete: { title: "Delete this chat?", words: "It is removed with everything that was said in it.", action: "Delete" },
} as const;

function Question({ asked, onDone }: { asked: Asked; onDone: () => void }) {
  const title = useSignal(asked.session.title);
  const { what, session } = asked;
  const question = QUESTIONS[what];
  const act = (): void => {
    if (what === "rename" && title.value.trim() !== "") void renameSession(session.key, title.value.trim());
    if (what === "clear") void clearSession(session.key);
    if (what === "delete") void deleteSession(session.key);
  };
  return (
    <Dialog title={question.title} action={question.action} isDanger={what !== "rename"} onSubmit={act} onDone={onDone}>
      {what === "rename" ? (
        <>
          <label class="sr-only" for="title">
            Name of the chat
          </label>
          <input
            id="title"
            class="field"
            maxLength={64}
            required
            value={title.value}
            onInput={(event) => {
              title.value = event.currentTarget.value;
            }}
          />
        </>
      ) : (
        <>
          <p class="dialog-subject">{session.title}</p>
          <p class="muted">{question.words}</p>
        </>
      )}
    </Dialog>
  );
}

export function Side({ onChosen }: { onChosen: () => void }) {
  const asked = useSignal<Asked | undefined>(undefined);
  return (
    <>
      <div class="side-top">
        <Mark size={30} />
        <span class="side-name">{assistant.value || "Moltbot"}</span>
        <button type="button" class="button quiet icon side-close" onClick={onChosen} aria-label="Close the list of chats">
          <Icon name="close" />
        </button>
      </div>
      <button
        type="button"
        class="button new-chat"
        onClick={() => {
          newSession();
          onChosen();
        }}
      >
        <Icon name="plus" size={18} />
        New chat
      </button>
      <nav class="sessions" aria-label="Chats">
        <ul>
          {shownSessions.value.map((session) => {
            const isCurrent = session.key === currentKey.value;
            return (
              <li key={session.key} class={isCurrent ? "current" : ""}>
                <button
                  type="button"
                  class="session"
                  aria-current={isCurrent ? "page" : undefined}
                  onClick={() => {
                    openSession(session.key);
                    onChosen();
                  }}
                >
                  <span class="session-title">{session.title}</span>
                  {session.updatedAt !== undefined && <span class="session-time">{ago(session.updatedAt, now.value)}</span>}
                </button>
                <Menu
                  session={session}
                  onAsk={(what) => {
                    asked.value = { what, session };
                  }}
                />
              </li>
            );
          })}
        </ul>
      </nav>
      <div class="side-foot">
        <span class="model" title="The model that answers">
          {model.value ?? ""}
        </span>
        <a class="button quiet icon" href={adminUrl.value ?? "/_admin/"} target="_blank" rel="noopener" aria-label="Administration" title="Administration">
          <Icon name="shield" />
        </a>
        <ThemeButton />
      </div>
      {asked.value !== undefined && (
        <Question
          key={asked.value.session.key + asked.value.what}
          asked={asked.value}
          onDone={() => {
            asked.value = undefined;
          }}
        />
      )}
    </>
  );
}
