// The files that make the assistant what it is: read, and changed by hand.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { Dialog } from "../../design/dialog";
import { Icon } from "../../design/icons";
import { now } from "../../web/clock";
import { number, object, objects, string, text } from "../../web/json";
import { ago } from "../../web/times";
import { sizeOf } from "../chat/attaching";
import { connection, tell } from "../chat/state";
import "./panels.css";

interface FileRow {
  name: string;
  size: number;
  updatedAt: number | undefined;
  isMissing: boolean;
}

const PURPOSES: Readonly<Record<string, string>> = {
  "AGENTS.md": "How it works",
  "SOUL.md": "Its character",
  "USER.md": "Who you are",
  "IDENTITY.md": "Its name and looks",
  "TOOLS.md": "Notes on tools",
  "HEARTBEAT.md": "What to look after",
  "BOOTSTRAP.md": "The first conversation",
  "MEMORY.md": "What it remembers",
};

/** What makes the assistant what it is; the rest of the workspace is its work. */
const isItsOwn = (name: string): boolean => name in PURPOSES || /^(memory|skills)\//.test(name);

async function loadFiles(): Promise<FileRow[]> {
  const payload = await connection.request("agents.files.list", {});
  return objects(payload["files"]).flatMap((row): FileRow[] => {
    const name = text(row["name"]);
    if (name === undefined) return [];
    return [{ name, size: number(row["size"]) ?? 0, updatedAt: number(row["updatedAtMs"]), isMissing: row["missing"] === true }];
  });
}

function Editor({ row, onSaved, onClose }: { row: FileRow; onSaved: () => void; onClose: () => void }) {
  const kept = useSignal<string | undefined>(row.isMissing ? "" : undefined);
  const words = useSignal("");
  const failure = useSignal("");
  const isBusy = useSignal(false);
  const isLeaving = useSignal(false);
  useEffect(() => {
    if (row.isMissing) return;
    connection.request("agents.files.get", { name: row.name }).then(
      (payload) => {
        const content = string(object(payload["file"])["content"]) ?? "";
        kept.value = content;
        words.value = content;
      },
      (error: unknown) => {
        failure.value = error instanceof Error ? error.message : "no reason given";
      },
    );
  }, [row.name]);
  const isChanged = kept.value !== undefined && kept.value !== words.value;
  const canSave = connection.serves("agents.files.set");
  const leave = (): void => {
    if (isChanged) isLeaving.value = true;
    else onClose();
  };
  const save = async (): Promise<void> => {
    isBusy.value = true;
    const [name, content] = [row.name, words.value];
    const isDone = await tell(() => connection.request("agents.files.set", { name, content }, "wake"), "The file could not be kept");
    isBusy.value = false;
    if (!isDone) return;
    kept.value = content;
    onSaved();
  };
  return (
    <form
      class="card file-editor"
      aria-label={row.name}
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
      onKeyDown={(event) => {
        if (event.key !== "s" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        if (isChanged) void save();
      }}
    >
      <div class="job-top">
        <h3>{row.name}</h3>
        {isChanged && <span class="tag">Not saved</span>}
        <span class="bar-gap" />
        <button type="button" class="button small" onClick={leave}>
          Close
        </button>
        {canSave && (
          <button class="button primary small" disabled={!isChanged || isBusy.value}>
            Save
          </button>
        )}
      </div>
      {failure.value !== "" && (
        <p class="problem" role="alert">
          The file could not be read: {failure.value}
        </p>
      )}
      {kept.value === undefined ? (
        <div class="skeleton file-wait" role="status" aria-label="Loading the file" />
      ) : (
        <textarea
          class="field mono"
          aria-label={`Content of ${row.name}`}
          rows={18}
          spellcheck={false}
          readOnly={!canSave}
          value={words.value}
          onInput={(event) => {
            words.value = event.currentTarget.value;
          }}
        />
      )}
      {isLeaving.value && (
        <Dialog
          title="Leave without saving?"
          action="Leave"
          isDanger
          onSubmit={onClose}
          onDone={() => {
            isLeaving.value = false;
          }}
        >
          <p class="muted">What you changed in {row.name} is lost.</p>
        </Dialog>
      )}
    </form>
  );
}

function FileList({ label, rows, onOpen }: { label: string; rows: readonly FileRow[]; onOpen: (row: FileRow) => void }) {
  return (
    <ul class="files" aria-label={label}>
      {rows.map((row) => (
        <li key={row.name}>
          <button type="button" class="file-row" onClick={() => onOpen(row)}>
            <Icon name="file" size={18} />
            <span class="file-title">{row.name}</span>
            <span class="muted">{PURPOSES[row.name] ?? ""}</span>
            <span class="file-facts">
              {row.isMissing ? "Not there yet" : [sizeOf(row.size), row.updatedAt === undefined ? "" : ago(row.updatedAt, now.value)].filter(Boolean).join(" · ")}
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}

export default function FilesView() {
  const files = useSignal<FileRow[] | undefined>(undefined);
  const failure = useSignal("");
  const open = useSignal<FileRow | undefined>(undefined);
  const read = async (): Promise<void> => {
    try {
      files.value = await loadFiles();
      failure.value = "";
    } catch (error) {
      failure.value = error instanceof Error ? error.message : "no reason given";
    }
  };
  useEffect(() => void read(), []);
  const own = files.value?.filter((row) => isItsOwn(row.name)) ?? [];
  const others = files.value?.filter((row) => !isItsOwn(row.name)) ?? [];
  const choose = (row: FileRow): void => {
    open.value = row;
  };
  return (
    <>
      <p class="muted">The first ones are read at the beginning of its conversations. Change them, and it is so from the next message on.</p>
      {failure.value !== "" && (
        <p class="problem" role="alert">
          The files could not be read: {failure.value}
        </p>
      )}
      {open.value !== undefined ? (
        <Editor
          key={open.value.name}
          row={open.value}
          onSaved={() => void read()}
          onClose={() => {
            open.value = undefined;
          }}
        />
      ) : (
        <>
          <FileList label="Its own files" rows={own} onOpen={choose} />
          {others.length > 0 && (
            <>
              <h3 class="files-title">In its workspace</h3>
              <FileList label="In its workspace" rows={others} onOpen={choose} />
            </>
          )}
        </>
      )}
    </>
  );
}
