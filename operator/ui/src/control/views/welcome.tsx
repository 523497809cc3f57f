// A conversation in which nothing was said yet.
import { Mark } from "../../design/mark";
import { assistant } from "../chat/state";
import { draft } from "./draft";

const IDEAS = [
  ["What can you do?", "What can you do for me? Give me a short tour."],
  ["Remember something", "Please remember that "],
  ["Plan my week", "Help me plan my week. Ask me what you need to know first."],
  ["Explain a text", "Explain this to me in plain words:\n\n"],
] as const;

export function Welcome() {
  const name = assistant.value;
  return (
    <div class="welcome">
      <Mark size={56} />
      <h2>{name === "" ? "How can I help?" : `Hello, I'm ${name}.`}</h2>
      <p class="muted">Ask anything, or give me something to do. I remember what we say, also after I slept.</p>
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

export function Skeletons() {
  return (
    <div class="skeletons" aria-label="Loading the conversation" role="status">
      <div class="skeleton mine" />
      <div class="skeleton" />
      <div class="skeleton short" />
    </div>
  );
}
