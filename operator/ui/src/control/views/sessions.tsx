// The conversations in groups by time, with what can be done with each.
import { useSignal } from "@preact/signals";

import { Dialog } from "../../design/dialog";
import { Icon } from "../../design/icons";
import type { IconName } from "../../design/icons";
import { Menu } from "../../design/menu";
import type { Item } from "../../design/menu";
import { now } from "../../web/clock";
import { ago } from "../../web/times";
import { approvals } from "../chat/approvals";
import { clearSession, deleteSession, openSession, patchSession, renameSession } from "../chat/choosing";
import { named } from "../chat/searching";
import { grouped } from "../chat/sessions";
import type { Session, SessionKind } from "../chat/sessions";
import { connection, conversations, currentKey, panel } from "../chat/state";
import { chooseAndImport, exportSession } from "../chat/transfer";
import { isUnread } from "../chat/unread";

const ICONS: Readonly<Partial<Record<SessionKind, readonly [IconName, string]>>> = {
  cron: ["clock", "Scheduled"],
  subagent: ["branch", "Subagent"],
  group: ["group", "Group"],
};

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

const USAGE_MODES = ["off", "tokens", "full"] as const;
const USAGE_WORDS = { off: "Hide usage of answers", tokens: "Show tokens of answers", full: "Show usage of answers in full" } as const;

function actionsOf(session: Session): Item[] {
  const canPatch = connection.serves("sessions.patch");
  const mode = USAGE_MODES.find((one) => one === session.responseUsage) ?? "off";
  return [
    ...(canPatch ? [{ id: "rename", label: "Rename" }] : []),
    ...(canPatch && session.responseUsage !== undefined
      ? USAGE_MODES.filter((one) => one !== mode).map((one) => ({ id: `usage ${one}`, label: USAGE_WORDS[one] }))
      : []),
    ...(connection.serves("sessions.export") ? [{ id: "export", label: "Save as a file" }] : []),
    ...(connection.serves("sessions.import") && session.isMain ? [{ id: "import", label: "Open a saved chat…" }] : []),
    ...(connection.serves("sessions.reset") ? [{ id: "clear", label: "Clear" }] : []),
    ...(connection.serves("sessions.delete") && !session.isMain ? [{ id: "delete", label: "Delete", isDanger: true }] : []),
  ];
}

function Row({ session, onChosen, onAsk }: { session: Session; onChosen: () => void; onAsk: (what: Asked["what"]) => void }) {
  const isCurrent = session.key === currentKey.value && panel.value === undefined;
  const isActive = session.isActive || conversations.get(session.key)?.value.run !== undefined;
  const asks = approvals.value.some((one) => one.sessionKey === session.key);
  const unread = isUnread(session, currentKey.value);
  const kind = ICONS[session.kind];
  const actions = actionsOf(session);
  const choose = (id: string): void => {
    if (id === "rename" || id === "clear" || id === "delete") onAsk(id);
    else if (id === "export") void exportSession(session.key, session.title);
    else if (id === "import") chooseAndImport();
    else void patchSession(session.key, { responseUsage: id.replace("usage ", "") }, "It could not be set");
  };
  return (
    <li class={`${isCurrent ? "current" : ""}${unread ? " unread" : ""}`}>
      <button
        type="button"
        class="session"
        aria-current={isCurrent ? "page" : undefined}
        onClick={() => {
          openSession(session.key);
          onChosen();
        }}
      >
        {kind !== undefined && (
          <span class="session-kind" title={kind[1]}>
            <Icon name={kind[0]} size={15} />
            <span class="sr-only">{kind[1]}: </span>
          </span>
        )}
        <span class="session-title">{session.title}</span>
        {asks ? (
          <span class="mark-asks" title="Waits for your approval">
            <Icon name="shield" size={14} />
            <span class="sr-only">waits for your approval</span>
          </span>
        ) : isActive ? (
          <span class="mark-active" title="Answering">
            <span class="sr-only">answering</span>
          </span>
        ) : unread ? (
          <span class="mark-unread" title="New">
            <span class="sr-only">new</span>
          </span>
        ) : (
          session.updatedAt !== undefined && <span class="session-time">{ago(session.updatedAt, now.value)}</span>
        )}
      </button>
      {actions.length > 0 && (
        <Menu label={`Actions for ${session.title}`} items={actions} onChoose={choose}>
          <Icon name="more" size={18} />
        </Menu>
      )}
    </li>
  );
}

export function Sessions({ onChosen }: { onChosen: () => void }) {
  const asked = useSignal<Asked | undefined>(undefined);
  return (
    <>
      {grouped(named.value, now.value).map((group) => (
        <section key={group.name} class="session-group">
          {group.name !== "" && <h2>{group.name}</h2>}
          <ul>
            {group.sessions.map((session) => (
              <Row
                key={session.key}
                session={session}
                onChosen={onChosen}
                onAsk={(what) => {
                  asked.value = { what, session };
                }}
              />
            ))}
          </ul>
        </section>
      ))}
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
