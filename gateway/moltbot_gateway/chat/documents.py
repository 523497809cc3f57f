"""An exported conversation, read. A document comes from anywhere: it is checked to its last value before anything of it is kept, for what
stands in a conversation goes to the model, to the page and into the next export. Pure.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence

from moltbot_gateway.chat.attachments import too_large
from moltbot_gateway.errors import InvalidRequest
from moltbot_gateway.models.base import THINKING_LEVELS
from moltbot_gateway.store.media import StoredMedia, media_of
from moltbot_gateway.store.records import NewMessage
from moltbot_gateway.store.transfer import FORMAT, MAX_MESSAGES, VERSION, Document, DocumentMessage
from moltbot_gateway.tools.signatures import media_type_of

# Milliseconds: the end of the year 9999, the last that dates know.
_LAST_MS = 253_402_300_799_000
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
# What may be said of a message, and of which type it is; anything else is left out.
_DETAIL: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(
        ("provider", "model", "stopReason", "errorMessage", "errorKind", "toolCallId", "toolName", "label", "person", "describe"), str
    ),
    **dict.fromkeys(("interrupted", "isError", "command", "withdrawn", "heartbeat", "continue"), bool),
    **dict.fromkeys(("durationMs", "steps"), int),
    **dict.fromkeys(("usage", "details", "delivered"), dict),
    "job": (str, dict),
    "task": str,
    "announce": str,
}
_BLOCKS: Mapping[str, Mapping[str, type]] = {
    "text": {"text": str},
    "thinking": {"thinking": str, "thinkingSignature": str, "redacted": str, "provider": str},
    "toolCall": {"id": str, "name": str, "arguments": dict, "malformed": str},
    "image": {"mimeType": str, "mediaId": str, "fileName": str, "bytes": int},
    "document": {"mimeType": str, "mediaId": str, "fileName": str, "bytes": int},
}
_REQUIRED = {
    "text": {"text"},
    "thinking": {"thinking"},
    "toolCall": {"id", "name", "arguments"},
    "image": {"mediaId"},
    "document": {"mediaId"},
}
_OF_ROLE = {
    "user": {"text", "image", "document"},
    "assistant": {"text", "thinking", "toolCall"},
    "toolResult": {"text", "image", "document"},
}


def read_document(document: object) -> Document:
    """Raises InvalidRequest, in words that say what is wrong."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidRequest("that is no exported conversation of a Moltbot")
    if document.get("version") != VERSION:
        raise InvalidRequest(f"the document has version {str(document.get('version'))[:20]}; this program reads version {VERSION}")
    items, about = document.get("messages"), document.get("session")
    if not isinstance(items, list) or len(items) > MAX_MESSAGES:
        raise InvalidRequest("the document has no list of messages")
    media = _media(document.get("media") or [])
    messages = [_message(item, number, media) for number, item in enumerate(items)]
    _check_calls(messages)
    told = about if isinstance(about, dict) else {}
    label, thinking = told.get("label"), told.get("thinking")
    return Document(
        messages,
        tuple(media.values()),
        label[:512] if isinstance(label, str) else None,
        thinking if thinking in THINKING_LEVELS else None,
        _summary(document.get("summary"), len(messages)),
    )


def _media(items: object) -> dict[str, StoredMedia]:
    """By their own names: a document cannot put its bytes under another's."""
    if not isinstance(items, list):
        raise InvalidRequest("the document's files are no list")
    media = {}
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("data"), str):
            raise InvalidRequest("a file in the document is none")
        try:
            data = base64.b64decode(item["data"], validate=True)
        except ValueError as error:
            raise InvalidRequest("a file in the document is not base64") from error
        kind = media_type_of(data)
        if kind is None or too_large(kind, len(data)) is not None:
            raise InvalidRequest("a file in the document is no picture or PDF of a size that can be sent")
        one = media_of(kind, str(item.get("name") or "")[:128], data)
        media[one.id] = one
    return media


def _message(item: object, number: int, media: Mapping[str, StoredMedia]) -> DocumentMessage:
    wrong = InvalidRequest(f"message {number} of the document is none")
    if not isinstance(item, dict) or item.get("role") not in _OF_ROLE or not isinstance(item.get("text"), str):
        raise wrong
    at_ms, detail, content, run = item.get("at"), item.get("detail"), item.get("content"), item.get("run")
    if isinstance(at_ms, bool) or not isinstance(at_ms, int) or not 0 <= at_ms <= _LAST_MS or not isinstance(detail, dict):
        raise wrong
    if not (run is None or (isinstance(run, str) and 0 < len(run) <= 512)) or not (content is None or isinstance(content, list)):
        raise wrong
    role = str(item["role"])
    kept = _typed(detail, _DETAIL, wrong)
    if role == "toolResult" and "toolCallId" not in kept:
        raise wrong
    blocks = None if content is None else [_block(block, role, media, wrong) for block in content]
    return DocumentMessage(NewMessage(role, item["text"], kept, blocks), at_ms, run)


def _block(block: object, role: str, media: Mapping[str, StoredMedia], wrong: InvalidRequest) -> Mapping[str, object]:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(block, dict) or not isinstance(kind, str) or kind not in _OF_ROLE[role]:
        raise wrong
    kept = _typed(block, _BLOCKS[kind], wrong)
    if not _REQUIRED[kind] <= kept.keys():
        raise wrong
    if "mediaId" in kept and kept["mediaId"] not in media:
        return {"type": "text", "text": f"[{str(kept.get('fileName', ''))[:128] or 'a file'} was here and is gone]"}
    if kind == "toolCall" and _TOOL_NAME.fullmatch(str(kept["name"])) is None:
        raise wrong
    return {"type": kind, **kept}


def _typed(given: Mapping[object, object], known: Mapping[str, type | tuple[type, ...]], wrong: InvalidRequest) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, kind in known.items():
        if name not in given:
            continue
        value = given[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise wrong
        kept[name] = value
    return kept


def _check_calls(messages: Sequence[DocumentMessage]) -> None:
    """An id names one call, or no provider takes the conversation."""
    seen: set[object] = set()
    for one in messages:
        for block in one.new.content or ():
            if block["type"] == "toolCall":
                if block["id"] in seen:
                    raise InvalidRequest("two calls of the document have one id")
                seen.add(block["id"])


def _summary(value: object, count: int) -> tuple[int, str] | None:
    """How many of the first messages it stands for, and its words."""
    if value is None:
        return None
    messages, text = (value.get("messages"), value.get("text")) if isinstance(value, dict) else (None, None)
    if isinstance(messages, bool) or not isinstance(messages, int) or not 0 < messages <= count or not isinstance(text, str):
        raise InvalidRequest("the document's summary is none")
    return messages, text
