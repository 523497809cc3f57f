// The conversation.
import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";

import { CopyButton } from "../../design/copy";
import { Icon } from "../../design/icons";
import { Mark } from "../../design/mark";
import { clockTime, dayName, fullTime } from "../../web/times";
import type { Conversation, Message, Outgoing, Run } from "../chat/conversation";
import { isUp } from "../chat/phase";
import { discard, retry, sendAgain } from "../chat/sending";
import { assistant, current, currentKey, link, phase } from "../chat/state";
import { draft } from "./composer";
import { Markdown } from "./markdown";

/** So near to the end counts as being there (px): new text keeps it in view. */
const NEAR = 96;

function Time({ at }: { at: number | undefined }) {
  if (at === undefined) return null;
  return (
    <time dateTime={new Date(at).toISOString()} title={fullTime(at)}>
      {clockTime(at)}
    </time>
  );
}

function Tools({ names }: { names: string[] }) {
  const unique = [...new Set(names)];
  return <p class="tools">Used {unique.join(", ")}</p>;
}

function MessageView({ message, isLast }: { message: Message; isLast: boolean }) {
  if (message.role === "user") {
    return (
      <article class="message user" aria-label="You">
        <div class="bubble">{message.text}</div>
        <footer>
          <Time at={message.at} />
        </footer>
      </article>
    );
  }
  if (message.role === "error") {
    return (
      <article class="message error" aria-label="Error">
        <div class="error-card" data-testid="model-error">
          <Icon name="warning" />
          <div>
            <strong>No answer this time</strong>
            <p>{message.text}</p>
          </div>
          {isLast && (
            <button type="button" class="button small" onClick={retry}>
              <Icon name="again" size={16} />
              Retry
            </button>
          )}
        </div>
        <footer>
          <Time at={message.at} />
        </footer>
      </article>
    );
  }
  return (
    <article class="message assistant" aria-label={assistant.value || "Assistant"}>
      {message.tools !== undefined && <Tools names={message.tools} />}
      {message.text !== "" && <Markdown source={message.text} />}
      <footer>
        <Time at={message.at} />
        {message.stopped === true && <span class="stopped">Stopped</span>}
        {message.text !== "" && <CopyButton source={message.text} label="Copy answer" bare />}
      </footer>
    </article>
  );
}

function OutgoingView({ item }: { item: Outgoing }) {
  const words =
    link.value.state !== "open"
      ? "Sent as soon as the connection is back"
      : item.state === "waiting"
        ? "Next in line"
        : isUp(phase.value)
          ? "Sending…"
          : "Kept until it is awake";
  return (
    <article class="message user outgoing" data-state={item.state} aria-label="You, not sent yet">
      <div class="bubble">{item.text}</div>
      {item.state === "failed" ? (
        <footer class="failed">
          <Icon name="warning" size={16} />
          <span role="alert">Not sent{item.reason === undefined ? "." : `: ${item.reason}`}</span>
          <button type="button" class="button small" onClick={() => sendAgain(item.id)}>
            Retry
          </button>
          <button type="button" class="button quiet small" onClick={() => discard(item.id)}>
            Discard
          </button>
        </footer>
      ) : (
        <footer>
          <span class="state">{words}</span>
        </footer>
      )}
    </article>
  );
}

function RunView({ run }: { run: Run }) {
  const name = assistant.value || "Assistant";
  return (
    <article class="message assistant running" aria-label={name} aria-busy="true" data-testid="running">
      {run.text !== "" && <Markdown source={run.text} />}
      <p class="thinking">
        <span class="dots" aria-hidden="true">
          <i />
          <i />
          <i />
        </span>
        <span>{run.stopping === true ? "Stopping…" : run.tool !== undefined ? `Using ${run.tool}…` : run.text === "" ? "Thinking…" : ""}</span>
      </p>
    </article>
  );
}

const IDEAS = [
  ["What can you do?", "What can you do for me? Give me a short tour."],
  ["Remember something", "Please remember that "],
  ["Plan my week", "Help me plan my week. Ask me what you need to know first."],
  ["Explain a text", "Explain this to me in plain words:\n\n"],
] as const;

function Welcome() {
  const name = assistant.value;
  return (
    <div class="welcome">
      <Mark size={56} />
      <h2>{name === "" ? "How can I help?" : `Hello, I'm ${name}.`}</h2>
      <p class="muted">
        Ask anything, or give me something to do. I remember what we say, also after I slept.
      </p>
      <ul class="ideas" aria-label="Ideas to begin with">
        {IDEAS.map(([label, start]) => (
          <li key={label}>
            <button
              type="button"
              class="idea"
              onClick={() => {
                draft.value = start;
                document.getElementById("composer")?.focus();
              }}
            >
              {label}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

function Skeletons() {
  return (
    <div class="skeletons" aria-label="Loading the conversation" role="status">
      <div class="skeleton mine" />
      <div class="skeleton" />
      <div class="skeleton short" />
    </div>
  );
}

function Entries({ now }: { now: Conversation }) {
  let day = "";
  return (
    <>
      {now.messages.map((message, index) => {
        const name = message.at === undefined ? day : dayName(message.at);
        const isNewDay = name !== day;
        day = name;
        return [
          isNewDay && (
            <p key={`day ${name}`} class="day">
              <span>{name}</span>
            </p>
          ),
          <MessageView key={index} message={message} isLast={index === now.messages.length - 1 && now.run === undefined} />,
        ];
      })}
      {now.run !== undefined && <RunView run={now.run} />}
      {now.outgoing.map((item) => (
        <OutgoingView key={item.id} item={item} />
      ))}
    </>
  );
}

export function Log() {
  const now = current.value;
  const place = useRef<HTMLDivElement>(null);
  const isAway = useSignal(false);
  const isEmpty = now.messages.length === 0 && now.outgoing.length === 0 && now.run === undefined;

  const toEnd = (behavior: ScrollBehavior): void => place.current?.scrollTo({ top: place.current.scrollHeight, behavior });
  const onScroll = (): void => {
    const box = place.current;
    if (box !== null) isAway.value = box.scrollHeight - box.scrollTop - box.clientHeight > NEAR;
  };

  // A banner, a keyboard or a longer draft takes room away at the end.
  useLayoutEffect(() => {
    const box = place.current;
    if (box === null) return undefined;
    const observer = new ResizeObserver(() => {
      if (!isAway.value) toEnd("instant");
    });
    observer.observe(box);
    return () => observer.disconnect();
  }, []);

  // Another conversation, or something new of mine: to its end. Text that comes keeps the end in view if it was there.
  useLayoutEffect(() => toEnd("instant"), [currentKey.value, now.outgoing.length, now.loaded]);
  useLayoutEffect(() => {
    if (!isAway.value) toEnd("instant");
  }, [now.messages, now.run]);

  return (
    <div class="log-frame">
      <section class="log" ref={place} onScroll={onScroll} aria-label="Conversation" tabIndex={0}>
        <div class="column">
          {now.problem !== undefined && (
            <p class="problem" role="alert">
              The conversation could not be read: {now.problem}
            </p>
          )}
          {isEmpty ? now.loaded ? <Welcome /> : <Skeletons /> : <Entries now={now} />}
        </div>
      </section>
      <button type="button" class="button icon to-end" onClick={() => toEnd("smooth")} hidden={!isAway.value || isEmpty} aria-label="To the newest message">
        <Icon name="down" />
      </button>
    </div>
  );
}
