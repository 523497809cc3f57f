// What the assistant has learnt to do, and what keeps some of it from working.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { object, objects, string, strings, text } from "../../web/json";
import { connection } from "../chat/state";
import { Allowed } from "./allowed";
import "./panels.css";

interface Skill {
  key: string;
  name: string;
  description: string;
  source: string;
  state: "ready" | "missing" | "off";
  /** What is needed and not there, each in words. */
  missing: string[];
  isAlways: boolean;
  path: string;
}

const SOURCES: Readonly<Record<string, string>> = { workspace: "Workspace", managed: "Moltbot's spec", bundled: "Built in" };
const STATES = { ready: ["good", "Ready"], missing: ["warn", "Something is missing"], off: ["", "Off"] } as const;

async function load(): Promise<Skill[]> {
  const payload = await connection.request("skills.status", {});
  return objects(payload["skills"]).map((row) => {
    const missing = object(row["missing"]);
    return {
      key: text(row["skillKey"]) ?? string(row["name"]) ?? "",
      name: text(row["name"]) ?? "Unnamed skill",
      description: string(row["description"]) ?? "",
      source: string(row["source"]) ?? "",
      state: row["disabled"] === true ? "off" : row["eligible"] === true ? "ready" : "missing",
      missing: [...strings(missing["bins"]).map((one) => `the program ${one}`), ...strings(missing["env"]).map((one) => `the variable ${one}`)],
      isAlways: row["always"] === true,
      path: string(row["filePath"]) ?? "",
    };
  });
}

function SkillView({ skill }: { skill: Skill }) {
  const [kind, word] = STATES[skill.state];
  return (
    <li class="card skill" data-testid="skill">
      <div class="job-top">
        <h3>{skill.name}</h3>
        <span class="tag">{SOURCES[skill.source] ?? skill.source}</span>
        {skill.isAlways && <span class="tag">Always read</span>}
        <span class={`pill ${kind}`}>{word}</span>
      </div>
      <p>{skill.description}</p>
      {skill.missing.length > 0 && <p class="missing">It needs {skill.missing.join(", ")}.</p>}
      {skill.path !== "" && <p class="muted small path">{skill.path}</p>}
    </li>
  );
}

export default function SkillsView() {
  const skills = useSignal<Skill[] | undefined>(undefined);
  const failure = useSignal("");
  useEffect(() => {
    load().then(
      (list) => {
        skills.value = list;
      },
      (error: unknown) => {
        failure.value = error instanceof Error ? error.message : "no reason given";
      },
    );
  }, []);
  return (
    <>
      <p class="muted">
        Instructions that your assistant reads when a task calls for them. Put a folder with a <code>SKILL.md</code> into <code>skills</code> of its workspace,
        or write one into the Moltbot's spec.
      </p>
      {failure.value !== "" && (
        <p class="problem" role="alert">
          The skills could not be read: {failure.value}
        </p>
      )}
      {skills.value?.length === 0 && <p class="empty">No skills are installed.</p>}
      <ul class="jobs" aria-label="Skills">
        {skills.value?.map((skill) => (
          <SkillView key={skill.key} skill={skill} />
        ))}
      </ul>
      {connection.serves("exec.approvals.get") && <Allowed />}
    </>
  );
}
