// The conversation. Only what is in sight of it is drawn.
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";

import { Icon } from "../../design/icons";
import { dayName } from "../../web/times";
import { approvals } from "../chat/approvals";
import type { Approval } from "../chat/approvals";
import type { Conversation, Outgoing, Run } from "../chat/conversation";
import type { Message } from "../chat/history";
import { loadOlder } from "../chat/reading";
import { current, currentKey } from "../chat/state";
import { ApprovalCard } from "./approval";
import { found, logWindow } from "./looking";
import { OutgoingView, SaidView } from "./said";
import { RunView, TurnView } from "./turn";
import { Skeletons, Welcome } from "./welcome";

type Entry = { key: string } & (
  | { kind: "day"; name: string }
  | { kind: "message"; message: Message; isLast: boolean }
  | { kind: "run"; run: Run }
  | { kind: "outgoing"; item: Outgoing }
  | { kind: "approval"; approval: Approval }
);

function messageEntries(messages: readonly Message[]): Entry[] {
  const entries: Entry[] = [];
  let day = "";
  let start = 0;
  messages.forEach((message, index) => {
    // A day is named once, not for each of its messages.
    const dayStart = message.at === undefined ? start : new Date(message.at).setHours(0, 0, 0, 0);
    if (dayStart !== start || day === "") {
      start = dayStart;
      const name = message.at === undefined ? "" : dayName(message.at);
      if (name !== "" && name !== day) entries.push({ key: `day ${dayStart} ${message.key}`, kind: "day", name });
      day = name;
    }
    entries.push({ key: message.key, kind: "message", message, isLast: index === messages.length - 1 });
  });
  return entries;
}

/** Approvals stand at the call they are about; those of none that is shown stand at the end. */
function orphans(now: Conversation): Approval[] {
  const calls = new Set(now.run?.parts.flatMap((part) => (part.kind === "call" ? [part.call.id] : [])));
  return approvals.value.filter((one) => one.sessionKey === currentKey.value && !(one.toolCallId !== undefined && calls.has(one.toolCallId)));
}

function entriesOf(now: Conversation, said: Entry[]): Entry[] {
  const last = said.at(-1);
  // What is said next makes the last answer one among others.
  const isOver = now.run === undefined && now.outgoing.length === 0;
  const before = last?.kind === "message" && !isOver ? [...said.slice(0, -1), { ...last, isLast: false }] : said;
  return [
    ...before,
    ...(now.run === undefined ? [] : [{ key: `a:${now.run.id}`, kind: "run" as const, run: now.run }]),
    ...orphans(now).map((approval): Entry => ({ key: `approval ${approval.id}`, kind: "approval", approval })),
    ...now.outgoing.flatMap((item): Entry[] => {
      const key = `u:${item.id}`;
      // The history has it already, though the answer to sending it was lost.
      return now.messages.some((message) => message.key === key) ? [] : [{ key, kind: "outgoing", item }];
    }),
  ];
}

function View({ entry }: { entry: Entry }) {
  switch (entry.kind) {
    case "day":
      return (
        <p class="day">
          <span>{entry.name}</span>
        </p>
      );
    case "message":
      return entry.message.role === "user" ? <SaidView message={entry.message} /> : <TurnView message={entry.message} isLast={entry.isLast} />;
    case "run":
      return <RunView run={entry.run} />;
    case "outgoing":
      return <OutgoingView item={entry.item} />;
    case "approval":
      return <ApprovalCard approval={entry.approval} />;
  }
}

function EntryPlace({ entry }: { entry: Entry }) {
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = place.current;
    logWindow.observe(element);
    return () => logWindow.unobserve(element);
  }, []);
  const isFound = entry.kind === "message" && found.value !== undefined && entry.message.key === found.value;
  return (
    <div class={isFound ? "entry found" : "entry"} ref={place} data-key={entry.key}>
      <View entry={entry} />
    </div>
  );
}

export function Log() {
  const now = current.value;
  const key = currentKey.value;
  const box = useRef<HTMLElement>(null);
  const said = useMemo(() => messageEntries(now.messages), [now.messages]);
  const entries = entriesOf(now, said);
  const keys = useMemo(() => entries.map((entry) => entry.key), [entries.map((entry) => entry.key).join("\n")]);
  // Drawn anew when the window says that something else came into sight.
  void logWindow.version.value;
  const { start, end, above, below } = logWindow.rangeOf(keys);
  const isEmpty = entries.length === 0;
  const seen = useRef(0);
  const isAway = logWindow.isAway.value;
  if (!isAway) seen.current = entries.length;

  useLayoutEffect(() => {
    logWindow.attach(box.current);
    logWindow.onEarly = () => void loadOlder(currentKey.peek());
    return () => logWindow.attach(null);
  }, []);
  // Another conversation, or something new of mine: to its end. Text that comes keeps the end in view if it was there.
  useLayoutEffect(() => {
    logWindow.reset();
    logWindow.settle();
  }, [key]);
  useLayoutEffect(() => {
    if (now.outgoing.some((item) => item.state === "sending" || item.state === "waiting")) logWindow.toEnd(false);
  }, [now.outgoing.length]);
  useLayoutEffect(() => logWindow.settle());

  return (
    <div class="log-frame">
      <section class="log" ref={box} onScroll={() => logWindow.scrolled()} aria-label="Conversation" tabIndex={0}>
        <div class="column">
          {now.problem !== undefined && (
            <p class="problem" role="alert">
              The conversation could not be read: {now.problem}
            </p>
          )}
          {isEmpty && (now.loaded ? <Welcome /> : <Skeletons />)}
          {above > 0 && <div class="spacer" style={{ height: `${above}px` }} />}
          {entries.slice(start, end).map((entry) => (
            <EntryPlace key={entry.key} entry={entry} />
          ))}
          {below > 0 && <div class="spacer" style={{ height: `${below}px` }} />}
        </div>
      </section>
      <button
        type="button"
        class={entries.length > seen.current ? "button small to-end fresh" : "button icon to-end"}
        onClick={() => logWindow.toEnd(true)}
        hidden={!isAway || isEmpty}
        aria-label={entries.length > seen.current ? "New messages: to the newest" : "To the newest message"}
      >
        {entries.length > seen.current && <span>New messages</span>}
        <Icon name="down" size={18} />
      </button>
    </div>
  );
}
