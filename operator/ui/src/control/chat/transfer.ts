// A conversation as a file: taken away, and brought back as a conversation of its own.
import { text } from "../../web/json";
import { openSession } from "./choosing";
import { loadSessions } from "./reading";
import { connection, tell } from "./state";

/** What a file is called: letters and digits of the title, and the day. */
function fileName(title: string): string {
  const plain = title
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 60);
  return `${plain || "chat"}-${new Date().toISOString().slice(0, 10)}.json`;
}

export async function exportSession(key: string, title: string): Promise<void> {
  await tell(async () => {
    const payload = await connection.request("sessions.export", { key });
    const place = URL.createObjectURL(new Blob([JSON.stringify(payload["document"])], { type: "application/json" }));
    const link = document.createElement("a");
    link.href = place;
    link.download = fileName(title);
    link.click();
    URL.revokeObjectURL(place);
  }, "It could not be saved");
}

export async function importSession(file: File): Promise<void> {
  let key: string | undefined;
  const isDone = await tell(async () => {
    const content = await file.text();
    let document: unknown;
    try {
      document = JSON.parse(content);
    } catch {
      throw new Error(`${file.name} is no saved chat`);
    }
    key = text((await connection.request("sessions.import", { document }, "wake"))["key"]);
  }, "It could not be opened");
  if (!isDone || key === undefined) return;
  await loadSessions();
  openSession(key);
}

/** Asks for a file, then brings it in. */
export function chooseAndImport(): void {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = "application/json,.json";
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (file !== undefined) void importSession(file);
  });
  input.click();
}
