// The composer's bar: which model answers, how hard it thinks, what happens to messages that come meanwhile, what the chat has cost.
import { Icon } from "../../design/icons";
import { Menu } from "../../design/menu";
import { openPanel, patchSession } from "../chat/choosing";
import { currentModel, LEVELS, models, thinks } from "../chat/offers";
import { connection, current, currentKey, currentSession } from "../chat/state";
import { dollars, tokens } from "./usageline";

const set = (settings: Record<string, string | null>): void => void patchSession(currentKey.value, settings, "It could not be set");

function ModelPicker() {
  const chosen = currentModel.value;
  const list = models.value.filter((row) => row.available);
  if (list.length === 0 || chosen === undefined) return null;
  const name = list.find((row) => row.id === chosen)?.name ?? chosen;
  const known = list.some((row) => row.id === chosen) ? list : [{ id: chosen, name: chosen, provider: "", reasoning: false, available: true }, ...list];
  return (
    <Menu
      label={`Model: ${name}`}
      look="button quiet small picker model-picker"
      side="above"
      align="left"
      items={known.map((row) => ({ id: row.id, label: row.name, ...(row.provider === "" ? {} : { note: row.provider }), isChosen: row.id === chosen }))}
      onChoose={(id) => set({ model: id })}
    >
      <span class="picker-word">{name}</span>
      <Icon name="down" size={12} />
    </Menu>
  );
}

const LEVEL_WORDS: Readonly<Record<string, string>> = { off: "Off", low: "Low", medium: "Medium", high: "High", xhigh: "Highest" };

function ThinkingPicker() {
  if (!thinks.value) return null;
  const session = currentSession.value;
  const level = session?.thinking ?? "off";
  const levels = session !== undefined && session.thinkingLevels.length > 0 ? session.thinkingLevels : LEVELS;
  return (
    <Menu
      label={`Thinking: ${LEVEL_WORDS[level] ?? level}`}
      look={`button quiet small picker${level === "off" ? "" : " on"}`}
      side="above"
      align="left"
      items={levels.map((one) => ({ id: one, label: LEVEL_WORDS[one] ?? one, isChosen: one === level }))}
      onChoose={(id) => set({ thinkingLevel: id })}
    >
      <Icon name="spark" size={15} />
      <span class="picker-word">Thinking: {LEVEL_WORDS[level] ?? level}</span>
    </Menu>
  );
}

const QUEUES = [
  ["followup", "Answer after", "One after the other, when this answer is done"],
  ["collect", "Collect", "Together in one answer, when this one is done"],
  ["steer", "Steer", "Put into the answer that is going on, at its next step"],
  ["interrupt", "Interrupt", "Stop this answer and begin with the new message"],
] as const;

/** Shown while something is answered, for only then does it matter. */
function QueuePicker() {
  const { run, outgoing } = current.value;
  if (run === undefined && outgoing.length === 0) return null;
  const mode = currentSession.value?.queueMode;
  const present = QUEUES.find(([id]) => id === mode) ?? QUEUES[0];
  return (
    <Menu
      label={`New messages: ${present[1]}`}
      look="button quiet small picker"
      side="above"
      align="left"
      items={QUEUES.map(([id, label, note]) => ({ id, label, note, isChosen: id === present[0] }))}
      onChoose={(id) => set({ queueMode: id })}
    >
      <Icon name="branch" size={15} />
      <span class="picker-word">{present[1]}</span>
    </Menu>
  );
}

function Spent() {
  const session = currentSession.value;
  if (!connection.serves("usage.cost") || session === undefined) return null;
  const words = session.cost !== undefined && session.cost > 0 ? dollars(session.cost) : (session.tokens ?? 0) > 0 ? `${tokens(session.tokens ?? 0)} tokens` : "";
  if (words === "") return null;
  return (
    <button type="button" class="button quiet small picker spent" onClick={() => openPanel("usage")} aria-label={`This chat took ${words}. Show usage`} title="Usage and cost">
      {words}
    </button>
  );
}

export function Pickers() {
  const can = connection.serves("sessions.patch");
  return (
    <>
      {can && <ModelPicker />}
      {can && <ThinkingPicker />}
      {can && <QueuePicker />}
      <span class="bar-gap" />
      <Spent />
    </>
  );
}
