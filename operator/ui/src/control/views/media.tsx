// Pictures and files in the conversation.
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { Icon } from "../../design/icons";
import { Viewer } from "../../design/viewer";
import { sizeOf } from "../chat/attaching";
import { mediaSignal } from "../chat/media";
import type { Fetched } from "../chat/media";
import type { Media } from "../chat/parts";

const SHOWN = ["image/png", "image/jpeg", "image/gif", "image/webp"];

function Picture({ media, url }: { media: Media; url: string }) {
  const isLarge = useSignal(false);
  return (
    <>
      <button
        type="button"
        class="picture"
        aria-label={`Show ${media.fileName} large`}
        onClick={() => {
          isLarge.value = true;
        }}
      >
        <img src={url} alt={media.fileName} decoding="async" />
      </button>
      {isLarge.value && (
        <Viewer
          url={url}
          name={media.fileName}
          onDone={() => {
            isLarge.value = false;
          }}
        />
      )}
    </>
  );
}

function FileCard({ media, now }: { media: Media; now: Fetched }) {
  const words = now.state === "missing" ? now.reason : media.bytes === undefined ? media.mimeType : sizeOf(media.bytes);
  const inside = (
    <>
      <Icon name={media.mimeType.startsWith("image/") ? "image" : "file"} />
      <span class="file-name">{media.fileName}</span>
      <span class="file-size">{words}</span>
    </>
  );
  if (now.state !== "here") return <span class="file">{inside}</span>;
  return (
    <a class="file" href={now.url} download={media.fileName}>
      <span class="sr-only">Save </span>
      {inside}
      <Icon name="download" size={16} />
    </a>
  );
}

export function MediaView({ media }: { media: Media }) {
  const known = useMemo(() => (media.data === undefined ? mediaSignal(media.id) : undefined), [media.id, media.data]);
  const now: Fetched = media.data === undefined ? (known?.value ?? { state: "loading" }) : { state: "here", url: media.data };
  if (!SHOWN.includes(media.mimeType)) return <FileCard media={media} now={now} />;
  if (now.state === "here") return <Picture media={media} url={now.url} />;
  if (now.state === "missing") return <FileCard media={media} now={now} />;
  return <span class="picture skeleton" role="img" aria-label={`${media.fileName} is loading`} />;
}
