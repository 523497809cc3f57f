// Files that a person puts to a message: what is taken, how much of it, and how it is read.
import { computed, signal } from "@preact/signals";

import { uuid } from "../../web/random";
import type { Attachment } from "./conversation";
import { hello } from "./state";

/** One file in the composer; `problem` says why it cannot go. */
export interface Chosen {
  id: string;
  file: Attachment | undefined;
  fileName: string;
  bytes: number;
  problem: string | undefined;
}

const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const PDF = "application/pdf";
/** What the gateway takes (docs/reference/agent.md, chat.send). Bytes. */
const MOST_IMAGE = 5_000_000;
const MOST_IMAGES = 20;
const MOST_PDF = 32_000_000;
const MOST_TEXT = 500_000;
/** The longer side (px) to which a picture that is too large is made smaller; models see no more. */
const SIDE = 2000;
/** Of a frame, for everything but the files. */
const FRAME_REST = 200_000;

export const chosen = signal<readonly Chosen[]>([]);
export const attachments = computed(() => chosen.value.flatMap((one) => (one.problem === undefined && one.file !== undefined ? [one.file] : [])));
export const isReading = computed(() => chosen.value.some((one) => one.file === undefined && one.problem === undefined));

export function sizeOf(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

export function remove(id: string): void {
  chosen.value = chosen.value.filter((one) => one.id !== id);
}

export function clearChosen(): void {
  chosen.value = [];
}

export async function addFiles(files: Iterable<File>): Promise<void> {
  for (const file of files) {
    const id = uuid();
    chosen.value = [...chosen.value, { id, file: undefined, fileName: file.name, bytes: file.size, problem: undefined }];
    const read = await readFile(file).catch(() => "it could not be read");
    chosen.value = chosen.value.map((one) => {
      if (one.id !== id) return one;
      if (typeof read === "string") return { ...one, problem: read };
      const problem = tooMuch(read, chosen.value.filter((other) => other.id !== id && other.problem === undefined).flatMap((other) => other.file ?? []));
      return { ...one, file: read, bytes: read.bytes, problem };
    });
  }
}

/** Why one file more does not fit beside the others; undefined when it does. */
function tooMuch(file: Attachment, others: readonly Attachment[]): string | undefined {
  const all = [...others, file];
  const isImage = (one: Attachment): boolean => IMAGES.includes(one.mimeType);
  const sum = (list: readonly Attachment[]): number => list.reduce((bytes, one) => bytes + one.bytes, 0);
  if (isImage(file) && all.filter(isImage).length > MOST_IMAGES) return `at most ${MOST_IMAGES} pictures in one message`;
  if (file.mimeType === PDF && sum(all.filter((one) => one.mimeType === PDF)) > MOST_PDF) return `PDFs have at most ${sizeOf(MOST_PDF)} together`;
  const room = (hello()?.maxPayload ?? Infinity) - FRAME_REST;
  return all.reduce((length, one) => length + (one.content?.length ?? 0), 0) > room ? `one message has at most ${sizeOf(room * 0.75)} of files` : undefined;
}

/** The file as it goes, or why it does not. */
async function readFile(file: File): Promise<Attachment | string> {
  if (IMAGES.includes(file.type)) {
    const fit = file.size <= MOST_IMAGE ? file : await smaller(file);
    if (fit === undefined || fit.size > MOST_IMAGE) return `pictures have at most ${sizeOf(MOST_IMAGE)}`;
    return encoded(fit, file.name, fit.type);
  }
  if (file.type.startsWith("image/")) return "pictures are PNG, JPEG, GIF or WebP";
  if (file.type === PDF) return file.size > MOST_PDF ? `PDFs have at most ${sizeOf(MOST_PDF)} together` : encoded(file, file.name, PDF);
  if (file.size > MOST_TEXT) return `text files have at most ${sizeOf(MOST_TEXT)}`;
  const source = new Uint8Array(await file.arrayBuffer());
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(source);
  } catch {
    return "only pictures, PDFs and text files can be read";
  }
  return encoded(file, file.name, file.type === "" ? "text/plain" : file.type);
}

async function smaller(file: File): Promise<Blob | undefined> {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? undefined), "image/jpeg", 0.88));
}

function encoded(source: Blob, fileName: string, mimeType: string): Promise<Attachment> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onerror = () => reject(reader.error ?? new Error("not read"));
    reader.onload = () => {
      const url = String(reader.result);
      resolve({ fileName: fileName || "pasted", mimeType, bytes: source.size, content: url.slice(url.indexOf(",") + 1) });
    };
    reader.readAsDataURL(source);
  });
}
