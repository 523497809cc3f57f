// Beside the conversation: the list of all, search, the other views, and what belongs to the whole page.
import { Icon } from "../../design/icons";
import type { IconName } from "../../design/icons";
import { Mark } from "../../design/mark";
import { ThemeButton } from "../../design/theme";
import { ago } from "../../web/times";
import { now } from "../../web/clock";
import { newSession, openPanel } from "../chat/choosing";
import { hits, isSearching, named, openHit, query } from "../chat/searching";
import type { Hit } from "../chat/searching";
import { adminUrl, assistant, connection, model, panel } from "../chat/state";
import type { Panel } from "../chat/state";
import { found, logWindow } from "./looking";
import { Sessions } from "./sessions";

const VIEWS: readonly (readonly [Panel, IconName, string, string])[] = [
  ["schedule", "clock", "Schedule", "cron.list"],
  ["skills", "spark", "Skills", "skills.status"],
  ["files", "folder", "Files", "agents.files.list"],
  ["usage", "coins", "Usage", "usage.cost"],
];

function Snippet({ source }: { source: string }) {
  return (
    <>
      {source.split(/(\u0002[^\u0003]*\u0003)/).map((part, index) =>
        part.startsWith("\u0002") ? <mark key={index}>{part.slice(1, -1)}</mark> : part,
      )}
    </>
  );
}

/** How long a found message stays marked (ms). */
const MARKED_MS = 2500;

async function goTo(hit: Hit): Promise<void> {
  const key = await openHit(hit);
  if (key === undefined) return;
  found.value = key;
  // Drawn first, so that it is known where it stands.
  requestAnimationFrame(() => logWindow.show(key));
  window.setTimeout(() => {
    if (found.value === key) found.value = undefined;
  }, MARKED_MS);
}

function Hits({ onChosen }: { onChosen: () => void }) {
  if (query.value.trim().length < 2) return null;
  return (
    <section class="session-group" aria-label="Found in messages">
      {hits.value.length > 0 && <h2>In messages</h2>}
      <ul>
        {hits.value.map((hit) => (
          <li key={`${hit.key} ${hit.messageId}`}>
            <button
              type="button"
              class="hit"
              onClick={() => {
                void goTo(hit);
                onChosen();
              }}
            >
              <span class="hit-top">
                <span class="session-title">{hit.title}</span>
                {hit.at !== undefined && <span class="session-time">{ago(hit.at, now.value)}</span>}
              </span>
              <span class="hit-text">
                <Snippet source={hit.snippet} />
              </span>
            </button>
          </li>
        ))}
      </ul>
      <p class="none" role="status">
        {isSearching.value ? "Searching…" : hits.value.length === 0 && named.value.length === 0 ? "Nothing found." : ""}
      </p>
    </section>
  );
}

export function Side({ onChosen }: { onChosen: () => void }) {
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
      <div class="search">
        <Icon name="search" size={16} />
        <input
          type="search"
          aria-label="Search chats"
          placeholder="Search"
          value={query.value}
          onInput={(event) => {
            query.value = event.currentTarget.value;
          }}
          onKeyDown={(event) => {
            if (event.key !== "Escape" || query.value === "") return;
            event.stopPropagation();
            event.preventDefault();
            query.value = "";
          }}
        />
      </div>
      <nav class="sessions" aria-label="Chats">
        <Sessions onChosen={onChosen} />
        <Hits onChosen={onChosen} />
      </nav>
      <nav class="views" aria-label="Views">
        {VIEWS.filter(([, , , method]) => connection.serves(method)).map(([name, icon, label]) => (
          <button
            key={name}
            type="button"
            class={panel.value === name ? "view-link current" : "view-link"}
            aria-current={panel.value === name ? "page" : undefined}
            onClick={() => {
              openPanel(name);
              onChosen();
            }}
          >
            <Icon name={icon} size={18} />
            {label}
          </button>
        ))}
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
    </>
  );
}
