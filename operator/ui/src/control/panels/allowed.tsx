// What was allowed for good by "Always allow": seen, and taken back.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { Icon } from "../../design/icons";
import { now } from "../../web/clock";
import { number, object, objects, string, text } from "../../web/json";
import type { JsonObject } from "../../web/json";
import { ago } from "../../web/times";
import { connection, tell } from "../chat/state";

const AGENT = "main";

/** The rows of the list in an answer of exec.approvals.get. */
const rowsOf = (payload: JsonObject): JsonObject[] => objects(object(object(object(payload["file"])["agents"])[AGENT])["allowlist"]);

export function Allowed() {
  const known = useSignal<JsonObject | undefined>(undefined);
  const failure = useSignal("");
  const read = async (): Promise<void> => {
    try {
      known.value = await connection.request("exec.approvals.get", {});
    } catch (error) {
      failure.value = error instanceof Error ? error.message : "no reason given";
    }
  };
  useEffect(() => void read(), []);
  const takeBack = async (row: JsonObject): Promise<void> => {
    const before = known.value ?? {};
    const file = object(before["file"]);
    const allowlist = rowsOf(before).filter((one) => one !== row);
    const agents = { ...object(file["agents"]), [AGENT]: { ...object(object(file["agents"])[AGENT]), allowlist } };
    const ask = { file: { ...file, agents }, baseHash: string(before["hash"]) ?? "" };
    await tell(() => connection.request("exec.approvals.set", ask, "wake"), "It could not be taken back");
    await read();
  };
  const rows = known.value === undefined ? [] : rowsOf(known.value);
  return (
    <section class="allowed" aria-label="Allowed without asking">
      <h3>Allowed without asking</h3>
      <p class="muted small">What you allowed for good when it asked. Take it back, and it asks again.</p>
      {failure.value !== "" && (
        <p class="problem" role="alert">
          The list could not be read: {failure.value}
        </p>
      )}
      {known.value !== undefined && rows.length === 0 && <p class="muted small">Nothing yet.</p>}
      <ul class="files">
        {rows.map((row) => {
          const pattern = text(row["pattern"]) ?? text(row["tool"]) ?? "";
          const usedAt = number(row["lastUsedAt"]);
          return (
            <li key={pattern} class="file-row">
              <code class="file-title">{pattern}</code>
              <span class="file-facts">{usedAt === undefined ? "" : `used ${ago(usedAt, now.value)}`}</span>
              <button type="button" class="button quiet small icon" onClick={() => void takeBack(row)} aria-label={`Take back ${pattern}`} title="Take back">
                <Icon name="close" size={16} />
              </button>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
