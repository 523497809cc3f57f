"""Control calls between our own processes: JSON over pinned TLS, each with an assertion. Server and client; the only module here that
imports aiohttp.

ControlError
├── Refused      the other side understood and said no (its status, error word and message)
├── Unreachable  no connection, or no answer in time, or another certificate: nothing is known about what it did
└── BadAnswer    an answer that is not bounded JSON of the expected shape: what a pod says is hostile input (rule 12)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Middleware
from yarl import URL

from moltbot_trust.assertions import HEADER, Assertion, make_assertion, read_assertion
from moltbot_trust.clock import Clock, SystemClock
from moltbot_trust.errors import CredentialError
from moltbot_trust.keys import KeyRing, Purpose
from moltbot_trust.logs import get_logger
from moltbot_trust.tls import parse_fingerprint

MAX_REQUEST_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 256 * 1024
DEFAULT_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 2.0

JsonObject = Mapping[str, object]
log = get_logger("moltbot_trust.control")


class ControlError(Exception):
    """Root of the client's tree."""


class Refused(ControlError):
    """The callee's own no. `answer` is its whole JSON (for `busy` and the like)."""

    def __init__(self, status: int, error: str, message: str, answer: JsonObject | None = None) -> None:
        super().__init__(f"{status} {error}: {message}")
        self.status, self.error, self.message = status, error, message
        self.answer: JsonObject = answer or {}


class Unreachable(ControlError):
    """The call may or may not have been carried out."""


class BadAnswer(ControlError):
    """The callee answered something that cannot be used."""


class Refusal(Exception):
    """Raised by a handler of the server's side: the answer is `{"error", "message", …extra}` with this status."""

    def __init__(self, status: int, error: str, message: str, **extra: object) -> None:
        super().__init__(message)
        self.status, self.error, self.message, self.extra = status, error, message, extra


Handler = Callable[[JsonObject, Assertion], Awaitable[JsonObject]]


@dataclass(frozen=True, slots=True)
class Call:
    """One control call: who may make it, and what answers it. The handler gets the body ({} when there is none) and returns the answer."""

    method: str
    path: str
    purposes: frozenset[Purpose]
    handler: Handler


def control_application(
    calls: Sequence[Call],
    ring: KeyRing,
    audiences: Mapping[Purpose, str],
    clock: Clock | None = None,
    middlewares: Sequence[Middleware] = (),
) -> web.Application:
    """The server's side. `audiences`: for each purpose what its assertions must name (`pod:<uid>`; `moltbot:<uid>` for the backup).

    401 is all that a caller without a valid assertion learns, on known and unknown paths alike.
    """
    time = clock or SystemClock()
    table = {(call.method, call.path): call for call in calls}

    async def answer(request: web.Request) -> web.StreamResponse:
        call = table.get((request.method, request.path))
        allowed = {purpose: audiences[purpose] for purpose in (call.purposes if call else ()) if purpose in audiences}
        token = request.headers.get(HEADER, "")
        if call is None or not token:
            return _error(401, "unauthorized", "this call needs a valid assertion")
        try:
            body = await request.read()
            assertion = read_assertion(ring, allowed, token, method=request.method, path=request.raw_path, body=body, now=time.epoch())
        except web.HTTPRequestEntityTooLarge:
            return _error(413, "too-large", f"a control call has at most {MAX_REQUEST_BYTES} bytes")
        except CredentialError as error:
            log.warning("control call refused", path=call.path, fault=error.fault.value)
            return _error(401, "unauthorized", "this call needs a valid assertion")
        try:
            document = _parse_object(body) if body else {}
        except ValueError:
            return _error(400, "bad-request", "the body must be a JSON object")
        try:
            return web.json_response(dict(await call.handler(document, assertion)))
        except Refusal as refusal:
            return _error(refusal.status, refusal.error, refusal.message, refusal.extra)
        except asyncio.CancelledError:
            raise
        except Exception:  # a task boundary: logged here, told to the caller as ours
            log.exception("control call failed", path=call.path)
            return _error(500, "failed", "the call failed; the reason is in this process's log")

    application = web.Application(client_max_size=MAX_REQUEST_BYTES, middlewares=list(middlewares))
    application.router.add_route("*", "/{path:.*}", answer)
    return application


def _error(status: int, error: str, message: str, extra: Mapping[str, object] | None = None) -> web.Response:
    return web.json_response({"error": error, "message": message, **(extra or {})}, status=status)


def _parse_object(body: bytes) -> dict[str, object]:
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("not an object")  # noqa: TRY004 - to the callers it is one more way not to be what was expected
    return document


@dataclass
class ControlClient:
    """The client's side, for one pod: its URL, fingerprint and audience stand together, from one Pod object.

    `session`: share one between clients (its owner closes it); without one the client makes its own and `close` ends it. The
    `aiohttp.Fingerprint` is made once: it has no equality, and a fresh one per call would mean a fresh connection per call.
    """

    url: str
    fingerprint: str
    ring: KeyRing
    purpose: Purpose
    audience: str
    clock: Clock = field(default_factory=SystemClock)
    session: aiohttp.ClientSession | None = None
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS

    def __post_init__(self) -> None:
        if not self.url.startswith("https://"):
            raise ValueError(f"a control URL is https, for only there a fingerprint is looked at: {self.url}")
        self.url = self.url.rstrip("/")
        self._pin = aiohttp.Fingerprint(parse_fingerprint(self.fingerprint))
        self._own_session = self.session is None

    async def get(self, path: str, *, timeout_seconds: float | None = None) -> dict[str, object]:
        """As `call` with GET."""
        return await self.call("GET", path, timeout_seconds=timeout_seconds)

    async def post(self, path: str, body: JsonObject, *, timeout_seconds: float | None = None) -> dict[str, object]:
        """As `call` with POST."""
        return await self.call("POST", path, body, timeout_seconds=timeout_seconds)

    async def call(
        self, method: str, path: str, body: JsonObject | None = None, *, timeout_seconds: float | None = None
    ) -> dict[str, object]:
        """One call, bounded in time and size; never retried here. Raises Refused, Unreachable, BadAnswer. A cancelled call may have been
        carried out."""
        content = b"" if body is None else json.dumps(dict(body), separators=(",", ":")).encode()
        assertion = make_assertion(
            self.ring, self.purpose, audience=self.audience, method=method, path=path, body=content, now=self.clock.epoch()
        )
        headers = {HEADER: assertion, "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.session is None:
            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8), trust_env=False)
        limit = aiohttp.ClientTimeout(
            total=self.timeout_seconds if timeout_seconds is None else timeout_seconds, sock_connect=CONNECT_TIMEOUT_SECONDS
        )
        try:
            async with self.session.request(
                method,
                URL(self.url + path, encoded=True),
                data=content or None,
                headers=headers,
                ssl=self._pin,
                timeout=limit,
                allow_redirects=False,
            ) as response:
                return _read_answer(response.status, await _read_bounded(response.content))
        except aiohttp.ServerFingerprintMismatch as error:
            raise Unreachable(f"{self.url} shows another certificate: that address is not this pod any more") from error
        except TimeoutError as error:
            raise Unreachable(f"{self.url}{path} did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{self.url}{path}: {type(error).__name__}") from error

    async def close(self) -> None:
        """End the client's own session; a shared one is left to its owner."""
        if self._own_session and self.session is not None:
            await self.session.close()
            self.session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()


async def _read_bounded(stream: aiohttp.StreamReader) -> bytes:
    parts, size = [], 0
    async for chunk in stream.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise BadAnswer(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
        parts.append(chunk)
    return b"".join(parts)


def _read_answer(status: int, content: bytes) -> dict[str, object]:
    try:
        document = _parse_object(content)
    except ValueError as error:
        raise BadAnswer(f"{status} without a JSON object") from error
    if status == 200:
        return document
    word, message = document.get("error"), document.get("message")
    raise Refused(status, word if isinstance(word, str) else "unknown", message if isinstance(message, str) else "", document)
