// What the person said: in the conversation, changed and said again, and on its way.
import { useSignal } from "@preact/signals";
import { memo } from "preact/compat";
import { useLayoutEffect, useRef } from "preact/hooks";

import { CopyButton } from "../../design/copy";
import { Icon } from "../../design/icons";
import type { Outgoing } from "../chat/conversation";
import type { Message } from "../chat/history";
import { mediaOf, textOf } from "../chat/parts";
import { isUp } from "../chat/phase";
import { discard, resend, sendAgain } from "../chat/sending";
import { connection, current, link, phase } from "../chat/state";
import { MediaView } from "./media";
import { OriginLine } from "./origin";
import { Time } from "./time";

function Editor({ message, onDone }: { message: Message; onDone: () => void }) {
  const words = useSignal(textOf(message.parts));
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(words.value.length, words.value.length);
  }, []);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (words.value.trim() === "") return;
    onDone();
    void resend(message, words.value);
  };
  return (
    <form class="editor" onSubmit={submit}>
      <label class="sr-only" for="editor">
        Your message
      </label>
      <textarea
        id="editor"
        ref={field}
        class="field"
        rows={Math.min(10, words.value.split("\n").length + 1)}
        value={words.value}
        onInput={(event) => {
          words.value = event.currentTarget.value;
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape") {
            event.stopPropagation();
            onDone();
          } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
        }}
      />
      <div class="editor-actions">
        <span class="muted small">What came after it is put aside.</span>
        <button type="button" class="button small" onClick={onDone}>
          Cancel
        </button>
        <button class="button primary small" disabled={words.value.trim() === ""}>
          Send again
        </button>
      </div>
    </form>
  );
}

export const SaidView = memo(function SaidView({ message }: { message: Message }) {
  const isEdited = useSignal(false);
  const words = textOf(message.parts);
  const media = mediaOf(message.parts);
  if (message.origin?.kind === "continue") return <OriginLine origin={message.origin} />;
  const canEdit = message.id !== undefined && message.origin === undefined && words !== "" && connection.serves("chat.rewind");
  return (
    <article class="message user" aria-label={message.origin?.label ?? "You"}>
      {message.origin !== undefined && <OriginLine origin={message.origin} />}
      {media.length > 0 && (
        <div class="media-row">
          {media.map((one, index) => (
            <MediaView key={index} media={one} />
          ))}
        </div>
      )}
      {isEdited.value ? (
        <Editor
          message={message}
          onDone={() => {
            isEdited.value = false;
          }}
        />
      ) : (
        <>
          {words !== "" && <div class="bubble">{words}</div>}
          <footer>
            {canEdit && (
              <button
                type="button"
                class="button quiet small icon"
                disabled={current.value.run !== undefined}
                onClick={() => {
                  isEdited.value = true;
                }}
                aria-label="Edit"
                title="Edit and send again"
              >
                <Icon name="pencil" size={16} />
              </button>
            )}
            {words !== "" && <CopyButton source={words} label="Copy message" bare />}
            <Time at={message.at} />
          </footer>
        </>
      )}
    </article>
  );
});

function stateWords(item: Outgoing): string {
  if (link.value.state !== "open") return "Sent as soon as the connection is back";
  if (item.state === "queued" || item.state === "waiting") return "Next in line";
  return isUp(phase.value) ? "Sending…" : "Kept until it is awake";
}

export function OutgoingView({ item }: { item: Outgoing }) {
  const files = item.files.map((file) => file.fileName);
  return (
    <article class="message user outgoing" data-state={item.state} aria-label="You, not sent yet">
      {item.text !== "" && <div class="bubble">{item.text}</div>}
      {files.length > 0 && (
        <p class="muted small">
          <Icon name="clip" size={14} /> {files.join(", ")}
        </p>
      )}
      {item.state === "failed" ? (
        <footer class="failed">
          <Icon name="warning" size={16} />
          <span role="alert">Not sent{item.reason === undefined ? "." : `: ${item.reason}`}</span>
          <button type="button" class="button small" onClick={() => sendAgain(item.id)}>
            Retry
          </button>
          <button type="button" class="button quiet small" onClick={() => void discard(item)}>
            Discard
          </button>
        </footer>
      ) : (
        <footer>
          <span class="state">{stateWords(item)}</span>
          {item.state !== "sending" && (
            <button type="button" class="button quiet small icon" onClick={() => void discard(item)} aria-label="Take back" title="Take back">
              <Icon name="close" size={16} />
            </button>
          )}
        </footer>
      )}
    </article>
  );
}
