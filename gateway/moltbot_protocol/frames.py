"""The three frames of the wire, parsed and written. A connection is not closed for a bad frame after the opening: its sender gets an
error response.

Sizes are the caller's business (the WebSocket library enforces them before a text gets here); depth is Python's own limit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from moltbot_protocol.errors import ErrorShape, FrameError, ParamsError
from moltbot_protocol.schema import anything, boolean, integer, mapping, one_of, shape, text

MAX_ID = 256
MAX_METHOD = 128
# What the official servers put into `id` of an error for a frame whose id could not be read.
UNKNOWN_ID = "invalid"
# Where half a character may be: as an escape of JSON, or as itself in text that was read so.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")

_REQUEST = shape({"type": one_of("req"), "id": text(1, MAX_ID), "method": text(1, MAX_METHOD)}, params=anything())
_ERROR = shape({"code": text(1, 64), "message": text(0, 8192)}, details=anything(), retryable=boolean(), retryAfterMs=integer())
_RESPONSE = shape({"type": one_of("res"), "id": text(1, MAX_ID), "ok": boolean()}, payload=anything(), error=_ERROR)
_EVENT = shape({"type": one_of("event"), "event": text(1, MAX_METHOD)}, payload=anything(), seq=integer(), stateVersion=mapping(integer()))
_CANCEL = shape({"type": one_of("cancel"), "id": text(1, MAX_ID)})


@dataclass(frozen=True, slots=True)
class Request:
    """Client to server. `params` is None when the frame has none."""

    id: str
    method: str
    params: object = None

    def to_wire(self) -> dict[str, object]:
        wire: dict[str, object] = {"type": "req", "id": self.id, "method": self.method}
        if self.params is not None:
            wire["params"] = self.params
        return wire


@dataclass(frozen=True, slots=True)
class Cancel:
    """Client to server (version 4): the client waits no longer for that request. Advice; the answer may still come."""

    id: str


@dataclass(frozen=True, slots=True)
class Response:
    """Server to client. `error` is the wire's object, as it came or from `ErrorShape.to_wire`."""

    id: str
    ok: bool
    payload: object = None
    error: Mapping[str, object] | None = None

    def to_wire(self) -> dict[str, object]:
        wire: dict[str, object] = {"type": "res", "id": self.id, "ok": self.ok}
        if self.error is not None:
            wire["error"] = dict(self.error)
        elif self.payload is not None:
            wire["payload"] = self.payload
        return wire


@dataclass(frozen=True, slots=True)
class Event:
    """Server to client. `seq` counts per connection; the router numbers what it sends itself."""

    event: str
    payload: object = None
    seq: int | None = None
    state_version: Mapping[str, int] | None = None

    def to_wire(self) -> dict[str, object]:
        wire: dict[str, object] = {"type": "event", "event": self.event}
        if self.payload is not None:
            wire["payload"] = self.payload
        if self.seq is not None:
            wire["seq"] = self.seq
        if self.state_version is not None:
            wire["stateVersion"] = dict(self.state_version)
        return wire


def answer(request_id: str, payload: object) -> Response:
    """A good answer; a null payload is sent as such by `to_wire` leaving it out, as the official servers do."""
    return Response(request_id, True, payload)


def refuse(request_id: str | None, error: ErrorShape) -> Response:
    """An error answer; without a readable id it bears `invalid`."""
    return Response(request_id or UNKNOWN_ID, False, error=error.to_wire())


def serialise(frame: Request | Response | Event) -> str:
    """The text of a frame. Half a surrogate pair, which models and programs may say, has no bytes in UTF-8: a question mark stands for
    it."""
    text = json.dumps(frame.to_wire(), separators=(",", ":"), ensure_ascii=False)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def parse_client_frame(data: str) -> Request | Cancel:
    """What a client sent. Raises FrameError, whose `request_id` is set when the id could be read."""
    document = _object(data)
    kind = document.get("type")
    try:
        if kind == "cancel":
            _CANCEL(document)
            return Cancel(str(document["id"]))
        _REQUEST(document)
    except ParamsError as error:
        raise FrameError(f"invalid request frame: {error.message}", request_id=_readable_id(document)) from error
    return Request(str(document["id"]), str(document["method"]), document.get("params"))


def parse_server_frame(data: str) -> Response | Event:
    """What a server sent (the router reads the gateway so). Raises FrameError."""
    document = _object(data)
    try:
        if document.get("type") == "event":
            _EVENT(document)
            return Event(
                str(document["event"]), document.get("payload"), _integer(document.get("seq")), _versions(document.get("stateVersion"))
            )
        _RESPONSE(document)
    except ParamsError as error:
        raise FrameError(f"invalid server frame: {error.message}", request_id=_readable_id(document)) from error
    error_object = document.get("error")
    return Response(
        str(document["id"]), document["ok"] is True, document.get("payload"), error_object if isinstance(error_object, dict) else None
    )


def _object(data: str) -> dict[str, object]:
    try:
        document = _whole_characters(json.loads(data)) if _SURROGATE.search(data) else json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FrameError("invalid request frame: not JSON") from error
    if not isinstance(document, dict):
        raise FrameError("invalid request frame: at root: must be object")
    return document


def _whole_characters(document: object) -> object:
    """Half a character becomes U+FFFD. A browser sends one where an emoji was cut in two; no UTF-8 text, so no frame, can hold it."""
    text = json.dumps(document, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _readable_id(document: Mapping[str, object]) -> str | None:
    value = document.get("id")
    return value if isinstance(value, str) and 0 < len(value) <= MAX_ID else None


def _integer(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _versions(value: object) -> dict[str, int] | None:
    return {name: int(item) for name, item in value.items()} if isinstance(value, dict) else None
