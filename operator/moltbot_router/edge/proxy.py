"""HTTP of a person to the pod: held while it wakes, sent under its seal, streamed both ways, marked as data (rules 4 and 12).

A body of at most 64 KiB is kept and may be sent again; a longer one goes upstream only after the pod has said `100 Continue`, so that a
refusal costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from moltbot_router.edge.answers import json_error, page
from moltbot_router.edge.gateways import NOT_ACCEPTED_HEADER, GatewayConnections
from moltbot_router.locks.credentials import without_own_cookies, without_token
from moltbot_router.pages import unavailable_page
from moltbot_router.path.decide import SAFE, wants_html
from moltbot_router.path.facts import Key, MoltbotFacts, PodFacts
from moltbot_router.path.forwarded import FORWARDING_HEADERS, Origin
from moltbot_router.path.ports import ClusterView
from moltbot_router.path.readiness import Why
from moltbot_router.path.upstream import Committed, UpstreamLost
from moltbot_router.path.wake import WakeError, Waker
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger
from moltbot_trust.seals import Seal

KEPT_BYTES = 64 * 1024
# A client that sends a small body must send it within this time (seconds).
BODY_SECONDS = 60.0
# Between two attempts on a pod that has just failed (seconds).
RETRY_SECONDS = 0.025
IDEMPOTENCY_HEADER = "Idempotency-Key"

# RFC 9110 §7.6.1, and what older software takes for connection headers.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# The router's and the identity proxy's business, never a pod's.
_NOT_FOR_PODS = frozenset({"authorization", "cookie", "host", "expect", "content-length"}) | FORWARDING_HEADERS
_NOT_FOR_PODS_PREFIXES = ("moltbot-", "cf-access-", "x-forwarded-")
# What a pod may not say to a browser: it answers data, never pages (rule 12).
_NOT_FOR_PEOPLE = frozenset(
    {
        "set-cookie",
        "set-cookie2",
        "content-security-policy",
        "content-security-policy-report-only",
        "x-content-type-options",
        "clear-site-data",
        "strict-transport-security",
        "service-worker-allowed",
        "www-authenticate",
        "alt-svc",
        "content-length",
    }
)

log = get_logger("moltbot_router.proxy")


class _Body:
    """A request's body: none, kept, or a stream of which nothing has been taken yet."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.kept: bytes | None = None
        self.streams = False
        self.started = False

    async def prepare(self) -> None:
        """Keep it when it is small. Raises TimeoutError for a client that does not send it."""
        request = self._request
        if not request.body_exists:
            return
        length = request.content_length
        if length is not None and length <= KEPT_BYTES:
            await self._continue()
            async with asyncio.timeout(BODY_SECONDS):
                self.kept = await request.content.readexactly(length)
            return
        self.streams = True

    def to_send(self) -> bytes | AsyncIterator[bytes] | None:
        return self._stream() if self.streams else self.kept

    async def _stream(self) -> AsyncIterator[bytes]:
        self.started = True
        await self._continue()
        async for chunk in self._request.content.iter_any():
            yield chunk

    async def _continue(self) -> None:
        """What the client may be waiting for (RFC 9110 §10.1.1)."""
        request = self._request
        if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= aiohttp.HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # The bytes above are no answer: without this aiohttp takes the response for begun.
            request.writer.output_size = 0


@dataclass(frozen=True, slots=True)
class Passage:
    """A request that passed its locks: to whom, and under which seal."""

    moltbot: MoltbotFacts
    seal: Seal
    origin: Origin


class Proxy:
    """Carries requests to pods."""

    def __init__(self, view: ClusterView, waker: Waker, gateways: GatewayConnections, clock: Clock) -> None:
        self._view, self._waker, self._gateways, self._clock = view, waker, gateways, clock

    async def serve(self, request: web.BaseRequest, passage: Passage) -> web.StreamResponse:
        """The answer of the pod, or a 503 that says why there is none."""
        key = passage.moltbot.key
        body = _Body(request)
        try:
            await body.prepare()
        except (TimeoutError, asyncio.IncompleteReadError):
            return json_error(408, "timeout", "the request's body did not come in time")
        headers = request_headers(request, passage.origin, streams=body.streams)
        path = upstream_path(request.raw_path)
        deadline = self._clock.monotonic() + self._waker.limits.seconds
        while True:
            try:
                pod = await self._waker.wait_open(key, reason="request", seconds=max(0.0, deadline - self._clock.monotonic()))
            except WakeError as error:
                return refusal(request, key, error.why, failed=error.failed, retry_after=error.retry_after)
            instance = self._view.instance(key)
            moltbot = instance.moltbot if instance is not None else passage.moltbot
            try:
                upstream = await self._gateways.request(
                    moltbot,
                    pod,
                    passage.seal,
                    method=request.method,
                    path=path,
                    headers=headers,
                    body=body.to_send(),
                    expect=body.streams,
                )
            except UpstreamLost as lost:
                self._waker.mark_lost(key, pod.uid)
                if not may_repeat(request, lost, body):
                    return refusal(request, key, _lost(), failed=False, retry_after=1)
                if self._clock.monotonic() >= deadline:
                    return refusal(request, key, Why("Unreachable", "Its pod does not answer."), failed=False, retry_after=5)
                await self._clock.sleep(RETRY_SECONDS)
                continue
            quiesced = upstream.headers.get(NOT_ACCEPTED_HEADER) if upstream.status == 503 else None
            if quiesced is None:
                return await self._relay(request, upstream)
            upstream.close()
            if body.started or self._clock.monotonic() >= deadline:
                return refusal(request, key, Why("Draining", "It is going to sleep; try again."), failed=False, retry_after=1)
            await self._resume(moltbot, pod, quiesced)

    async def _resume(self, moltbot: MoltbotFacts, pod: PodFacts, quiesced: str) -> None:
        """Rule 5b: this request is work, so the sleep stops; if it cannot any more, the next pod gets it."""
        try:
            await self._gateways.resume(moltbot, pod, quiesced)
        except (Committed, UpstreamLost):
            self._waker.mark_lost(moltbot.key, pod.uid)
            await self._clock.sleep(RETRY_SECONDS)

    async def _relay(self, request: web.BaseRequest, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        finished = False
        answer = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=response_headers(upstream))
        length = upstream.headers.get("Content-Length", "")
        if length.isdigit():
            answer.content_length = int(length)
        try:
            await answer.prepare(request)
            async for chunk in upstream.content.iter_any():
                await answer.write(chunk)
            await answer.write_eof()
            finished = True
        except (aiohttp.ClientError, TimeoutError) as error:
            # Half an answer must not look like a whole one: the connection is cut, not ended.
            log.warning("gateway broke off", path=request.path, error=type(error).__name__)
            if request.transport is not None:
                request.transport.abort()
        finally:
            if finished:
                upstream.release()
            else:
                upstream.close()
        return answer


def may_repeat(request: web.BaseRequest, lost: UpstreamLost, body: _Body) -> bool:
    """Whether sending it again cannot do it twice: nothing was sent, nothing is changed by it, or it bears a key that the gateway keeps."""
    if body.started:
        return False
    return not lost.sent or request.method in SAFE or body.streams or IDEMPOTENCY_HEADER in request.headers


def _lost() -> Why:
    return Why("Lost", "The assistant went away while this was under way; it may or may not have been done.")


def request_headers(request: web.BaseRequest, origin: Origin, *, streams: bool) -> CIMultiDict[str]:
    """What goes on to the pod: nothing of the router's credentials, nothing that a client says about its way here."""
    named = {token.strip().lower() for token in request.headers.get("Connection", "").split(",")}
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in request.headers.items():
        lower = name.lower()
        if lower in _HOP_BY_HOP or lower in _NOT_FOR_PODS or lower in named or lower.startswith(_NOT_FOR_PODS_PREFIXES):
            continue
        kept.add(name, value)
    cookies = without_own_cookies(request.headers.get("Cookie", ""))
    if cookies:
        kept["Cookie"] = cookies
    kept["X-Forwarded-For"] = origin.address
    kept["X-Forwarded-Proto"] = origin.scheme
    kept["X-Forwarded-Host"] = origin.host
    if streams and request.content_length is not None:
        kept["Content-Length"] = str(request.content_length)
    return kept


def response_headers(upstream: aiohttp.ClientResponse) -> CIMultiDict[str]:
    """What a person gets to see of the pod's answer."""
    named = {token.strip().lower() for token in upstream.headers.get("Connection", "").split(",")}
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in upstream.headers.items():
        lower = name.lower()
        if lower in _HOP_BY_HOP or lower in _NOT_FOR_PEOPLE or lower in named or lower.startswith(("moltbot-", "access-control-")):
            continue
        kept.add(name, value)
    kept["Content-Security-Policy"] = "sandbox"
    kept["X-Content-Type-Options"] = "nosniff"
    return kept


def upstream_path(raw_path: str) -> str:
    """The path and query as they came, without the token."""
    path, mark, query = raw_path.partition("?")
    cleaned = without_token(query)
    return f"{path}?{cleaned}" if mark and cleaned else path


def refusal(request: web.BaseRequest, key: Key, why: Why, *, failed: bool, retry_after: int) -> web.Response:
    """503 with the reason, as a page for a person."""
    headers = {"Retry-After": str(retry_after)}
    if wants_html(request.method, request.headers):
        return page(503, unavailable_page(key.name, why.message, failed=failed), headers)
    return json_error(503, why.reason, why.message, headers)
