"""What comes with a message beside its words: checked at the edge, kept once, and turned into blocks. Text files become part of the words.

Limits are the Messages API's (platform.claude.com/docs/en/build-with-claude/vision, …/pdf-support): beyond them it refuses the whole
request.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from moltbot_gateway.errors import InvalidRequest
from moltbot_gateway.store.media import StoredMedia, media_of
from moltbot_gateway.tools.signatures import media_type_of

# Bytes; and how many in one message. Documents are bounded by what one frame carries (25 MiB of text, base64 included).
MAX_IMAGE = 5 * 2**20
MAX_DOCUMENTS = 18 * 2**20
MAX_TEXT_FILE = 200_000
MAX_ATTACHMENTS = 20


@dataclass(frozen=True)
class Attached:
    """`known`: ids of media that is here already. `texts`: files that are text, by name."""

    media: tuple[StoredMedia, ...] = ()
    known: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = field(default=())

    def words(self, message: str) -> str:
        """The message with its text files behind it."""
        parts = [message] if message.strip() else []
        parts += [f"File {name}:\n```\n{text}\n```" for name, text in self.texts]
        return "\n\n".join(parts)


def read_attachments(items: object) -> Attached:
    """Raises InvalidRequest, in words that say which file and why."""
    if not isinstance(items, list) or not items:
        return Attached()
    if len(items) > MAX_ATTACHMENTS:
        raise InvalidRequest(f"a message has at most {MAX_ATTACHMENTS} attachments")
    media: list[StoredMedia] = []
    known: list[str] = []
    texts: list[tuple[str, str]] = []
    for item in items:
        if not isinstance(item, dict):
            raise InvalidRequest("an attachment is an object")
        if isinstance(item.get("mediaId"), str):
            known.append(item["mediaId"])
            continue
        name = _name(item)
        data = _decode(item, name)
        kind = media_type_of(data)
        if kind is None:
            texts.append((name, _text(data, name)))
        else:
            media.append(media_of(kind, name, data))
    check_together(media)
    return Attached(tuple(media), tuple(known), tuple(texts))


def _name(item: Mapping[str, object]) -> str:
    name = item.get("fileName")
    plain = "".join(character for character in name if character.isprintable()) if isinstance(name, str) else ""
    return plain.replace("`", "'")[:128] or "file"


def _decode(item: Mapping[str, object], name: str) -> bytes:
    content = item.get("content")
    if not isinstance(content, str) or not content:
        raise InvalidRequest(f"{name} is empty")
    try:
        return base64.b64decode(content.partition(",")[2] if content.startswith("data:") else content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{name} is not base64") from error


def _text(data: bytes, name: str) -> str:
    if len(data) > MAX_TEXT_FILE:
        raise InvalidRequest(f"{name} is larger than {MAX_TEXT_FILE // 1000} KB of text; send a part of it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{name} is neither a picture (PNG, JPEG, GIF, WebP), a PDF nor text") from error
    if "\x00" in text:
        raise InvalidRequest(f"{name} is neither a picture (PNG, JPEG, GIF, WebP), a PDF nor text")
    return text


def too_large(mime_type: str, size: int) -> str | None:
    """What is wrong with one file of that many bytes, as the end of a sentence."""
    if mime_type.startswith("image/"):
        return f"is larger than {MAX_IMAGE // 2**20} MB; make the picture smaller" if size > MAX_IMAGE else None
    return f"is larger than {MAX_DOCUMENTS // 2**20} MB; send fewer pages" if size > MAX_DOCUMENTS else None


def check_together(media: Sequence[StoredMedia]) -> None:
    """Of one message, with what was here already. Raises InvalidRequest."""
    if len(media) > MAX_ATTACHMENTS:
        raise InvalidRequest(f"a message has at most {MAX_ATTACHMENTS} attachments")
    for one in media:
        if (problem := too_large(one.mime_type, len(one.data))) is not None:
            raise InvalidRequest(f"{one.name} {problem}")
    documents = sum(len(one.data) for one in media if not one.mime_type.startswith("image/"))
    if documents > MAX_DOCUMENTS:
        raise InvalidRequest(f"PDFs together are larger than {MAX_DOCUMENTS // 2**20} MB; send fewer pages")
