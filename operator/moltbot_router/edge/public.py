"""The public port: which path is whose, lock 2, and then the answer that the path decided. Locks come before waking, and before anything
is looked up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

from aiohttp import web

from moltbot_router.edge.answers import json_answer, json_error, page
from moltbot_router.edge.events import EventStreams
from moltbot_router.edge.proxy import Passage, Proxy
from moltbot_router.edge.sockets import Sockets
from moltbot_router.edge.statics import Statics
from moltbot_router.locks.cookies import COOKIE_SECONDS, make_cookie
from moltbot_router.locks.credentials import PLAIN_COOKIE, SECURE_COOKIE, Kind, Presented, read_presented, without_token
from moltbot_router.locks.gateway_token import Pass, check_presented, check_text
from moltbot_router.locks.limit import AttemptLimit
from moltbot_router.metrics import Metrics
from moltbot_router.pages import (
    admin_page_elsewhere,
    blocked_page,
    missing_page,
    not_built_page,
    pairing_page,
    starting_page,
    token_page,
    waiting_page,
)
from moltbot_router.path.decide import SAFE, Answer, classify, decide_http, is_navigation, safe_next, wants_html
from moltbot_router.path.decide import Target as Place
from moltbot_router.path.facts import DeviceFacts, Key
from moltbot_router.path.forwarded import Network, Origin, read_origin
from moltbot_router.path.opening import Target
from moltbot_router.path.ports import ClusterView
from moltbot_router.path.readiness import Readiness, State
from moltbot_router.path.situation import describe, status_answer
from moltbot_router.path.touch import Presence
from moltbot_router.path.wake import Waker
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger
from moltbot_trust.seals import GATEWAY_TOKEN_SUBJECT, Seal

MAX_LOGIN_BYTES = 8 * 1024
LOGIN_SECONDS = 10.0
# What the gateway token itself may do over HTTP where its owner allows that (`gateway.http: token`).
TOKEN_SCOPES = ("operator.read", "operator.write")

log = get_logger("moltbot_router.public")


@dataclass(frozen=True, slots=True)
class PublicServices:
    """What this port is made of. `find_target`: the Moltbot of a host; `ready`: keys and cluster are there."""

    view: ClusterView
    waker: Waker
    proxy: Proxy
    sockets: Sockets
    presence: Presence
    streams: EventStreams
    statics: Statics
    limit: AttemptLimit
    clock: Clock
    metrics: Metrics
    find_target: Callable[[str], Target | None]
    ready: Callable[[], bool]
    trusted: tuple[Network, ...]
    admin_url: str | None
    command: str  # how a person calls `moltbot`


class PublicEdge:
    """The handler of every request on the public port."""

    def __init__(self, services: PublicServices) -> None:
        self._s = services

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path, _, query = request.raw_path.partition("?")
        if not path.startswith("/"):
            return json_error(400, "bad-request", "the request's target must be a path")
        peer = request.remote or ""
        origin = read_origin(peer, request.headers, secure=request.secure, trusted=self._s.trusted)
        place = classify(path, upgrade=request.headers.get("Upgrade", "").lower() == "websocket")
        match place:
            case Place.HEALTH:
                return web.Response(text="ok\n")
            case Place.ASSET:
                return self._s.statics.asset(request, path) if request.method in SAFE else _wrong_method("GET, HEAD")
            case Place.ADMIN:
                return self._administration_elsewhere(request)
            case _:
                pass
        if not self._s.ready():
            return self._starting(request)
        match place:
            case Place.SOCKET:
                return await self._s.sockets.serve(request, origin)
            case Place.LOGIN:
                return await self._login(request, origin)
            case _:
                return await self._locked(request, origin, place, query)

    # lock 2

    async def _locked(self, request: web.BaseRequest, origin: Origin, place: Place, query: str) -> web.StreamResponse:
        presented = read_presented(query, request.headers.get("Authorization", ""), request.cookies, secure=origin.scheme == "https")
        now = self._s.clock.monotonic()
        blocked = self._s.limit.blocked_for(origin.address, now) if presented.guess else 0.0
        if blocked > 0:
            return self._blocked(request, blocked)
        target = self._s.find_target(origin.host) if presented.any else None
        passed = self._check(target, presented)
        if target is None or passed is None:
            if presented.guess:
                self._s.limit.count_wrong(origin.address, now)
            return self._unauthorized(request, origin, wrong=presented.guess)
        if presented.guess:
            self._s.limit.forget(origin.address)
        state = self._s.waker.state(target.key) or State(Readiness.DELETING)
        navigation = is_navigation(request.method, request.headers)
        answer = decide_http(
            place,
            method=request.method,
            kind=passed.kind,
            from_query=passed.from_query,
            http_mode=target.moltbot.http,
            navigation=navigation,
            readiness=state.readiness,
        )
        self._s.metrics.answered(answer.name.lower())
        if navigation and answer in (Answer.PAGE, Answer.WAITING_PAGE):
            self._s.presence.navigated(target.moltbot)
        response = await self._answer(answer, request, origin, target, passed)
        if passed.kind is Kind.COOKIE and passed.renew and answer is Answer.PAGE:
            self._set_cookie(response, origin, target, passed)
        return response

    def _check(self, target: Target | None, presented: Presented) -> Pass | None:
        if target is None:
            return None
        return check_presented(target.ring, target.moltbot, target.devices, presented, self._s.clock.epoch())

    async def _answer(self, answer: Answer, request: web.BaseRequest, origin: Origin, target: Target, passed: Pass) -> web.StreamResponse:
        match answer:
            case Answer.CLEAN_REDIRECT:
                return self._clean_redirect(request, origin, target, passed)
            case Answer.PAGE:
                return self._s.statics.page(request, "index.html") or page(503, not_built_page())
            case Answer.STATUS:
                return self._status(target.key)
            case Answer.EVENTS:
                return await self._events(request, target, passed)
            case Answer.WAITING_PAGE:
                return self._waiting(target)
            case Answer.PROXY:
                return await self._s.proxy.serve(request, Passage(target.moltbot, _seal(passed), origin))
            case Answer.PAIRING_REQUIRED:
                return json_error(
                    403,
                    "pairing-required",
                    "use an approved device's token (the gateway token opens no pod), or set spec.gateway.http: token",
                )
            case Answer.FORBIDDEN_PAGE:
                if wants_html(request.method, request.headers):
                    return page(403, pairing_page())
                return json_error(403, "pairing-required", "the cookie opens no pod: use an approved device's token")
            case Answer.WRONG_METHOD:
                return _wrong_method("GET, HEAD")

    # answers

    def _clean_redirect(self, request: web.BaseRequest, origin: Origin, target: Target, passed: Pass) -> web.Response:
        path, _, query = request.raw_path.partition("?")
        cleaned = without_token(query)
        # One slash: `//host` would lead elsewhere.
        location = "/" + path.lstrip("/\\") + (f"?{cleaned}" if cleaned else "")
        response = web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        self._set_cookie(response, origin, target, passed)
        return response

    def _status(self, key: Key) -> web.Response:
        instance, state = self._s.view.instance(key), self._s.waker.state(key)
        if instance is None or state is None:
            return json_answer({"ok": False, "status": "not_running"})
        return json_answer(status_answer(instance, state, waking_for=self._s.waker.waking_for(key), admin_url=self._s.admin_url))

    def _waiting(self, target: Target) -> web.Response:
        instance, state = self._s.view.instance(target.key), self._s.waker.state(target.key)
        if instance is None or state is None:
            return page(404, missing_page())
        told = describe(instance, state, waking_for=self._s.waker.waking_for(target.key) or 0.0)
        return page(503, waiting_page(target.key.name, told.phase, told.message, told.estimate), {"Retry-After": "5"})

    async def _events(self, request: web.BaseRequest, target: Target, passed: Pass) -> web.StreamResponse:
        """Phase, and what becomes of one device; ends when what opened lock 2 no longer does."""
        key = target.key
        device_id = (parse_qs(request.raw_path.partition("?")[2]).get("device") or [""])[0]
        before: list[DeviceFacts | None] = [_device(target.devices, device_id)]
        was_approved = [before[0] is not None and before[0].approved is not None]

        def snapshot() -> list[tuple[str, object]] | None:
            instance, state = self._s.view.instance(key), self._s.waker.state(key)
            if instance is None or state is None or not _still_holds(passed, instance.moltbot.verifiers, self._s.view.devices(key)):
                return None
            events: list[tuple[str, object]] = [("phase", describe(instance, state, waking_for=self._s.waker.waking_for(key)).to_wire())]
            if device_id:
                device = _device(self._s.view.devices(key), device_id)
                if device is not None and device.approved is not None and (device.request is None or not was_approved[0]):
                    events.append(("device", {"deviceId": device_id, "state": "approved"}))
                elif device is None and before[0] is not None:
                    events.append(("device", {"deviceId": device_id, "state": "removed"}))
                if device is not None:
                    before[0] = device
            return events

        return await self._s.streams.follow(request, key, (self._s.view.subscribe, self._s.waker.listen), snapshot)

    async def _login(self, request: web.BaseRequest, origin: Origin) -> web.Response:
        if request.method != "POST":
            return _wrong_method("POST")
        given = request.headers.get("Origin")
        if given is not None and not origin.is_own(given):
            return json_error(403, "foreign-origin", "log in from this host's own page")
        try:
            token, next_path, is_json = await _read_login(request)
        except ValueError as error:
            return json_error(400, "bad-request", str(error))
        now = self._s.clock.monotonic()
        blocked = self._s.limit.blocked_for(origin.address, now)
        if blocked > 0:
            return self._blocked(request, blocked)
        target = self._s.find_target(origin.host)
        passed = check_text(target.ring, target.moltbot, target.devices, token) if target is not None and token else None
        if target is None or passed is None or passed.kind is not Kind.TOKEN:
            self._s.limit.count_wrong(origin.address, now)
            reason = "That is not this assistant's gateway token."
            if is_json:
                return json_error(401, "unauthorized", reason)
            return page(401, self._token_page(origin, reason, next_path))
        self._s.limit.forget(origin.address)
        headers = {"Cache-Control": "no-store"}
        if is_json:
            response = web.Response(status=204, headers=headers)
        else:
            response = web.Response(status=303, headers={**headers, "Location": safe_next(next_path)})
        self._set_cookie(response, origin, target, passed)
        return response

    def _set_cookie(self, response: web.StreamResponse, origin: Origin, target: Target, passed: Pass) -> None:
        if passed.verifier is None or response.prepared:
            return
        secure = origin.scheme == "https"
        value = make_cookie(target.ring, target.moltbot.uid, passed.verifier, self._s.clock.epoch())
        response.set_cookie(
            SECURE_COOKIE if secure else PLAIN_COOKIE,
            value,
            path="/",
            max_age=COOKIE_SECONDS,
            httponly=True,
            secure=secure,
            samesite="Lax",
        )

    # refusals: each alike on every host

    def _unauthorized(self, request: web.BaseRequest, origin: Origin, *, wrong: bool) -> web.Response:
        self._s.metrics.answered("unauthorized")
        headers = {"WWW-Authenticate": 'Bearer realm="moltbot"'}
        if wants_html(request.method, request.headers):
            reason = "That is not this assistant's gateway token." if wrong else ""
            next_path = "/" + upstream_like(request.raw_path)
            return page(401, self._token_page(origin, reason, next_path), headers)
        return json_error(401, "unauthorized", "the gateway token is missing or wrong", headers)

    def _token_page(self, origin: Origin, reason: str, next_path: str) -> str:
        return token_page(reason=reason, next_path=safe_next(next_path), insecure=_is_exposed(origin), command=self._s.command)

    def _blocked(self, request: web.BaseRequest, seconds: float) -> web.Response:
        self._s.metrics.answered("blocked")
        headers = {"Retry-After": str(int(seconds) + 1)}
        if wants_html(request.method, request.headers):
            return page(429, blocked_page(int(seconds)), headers)
        return json_error(429, "too-many-attempts", "too many wrong tokens came from your address; try again later", headers)

    def _starting(self, request: web.BaseRequest) -> web.Response:
        headers = {"Retry-After": "1"}
        if wants_html(request.method, request.headers):
            return page(503, starting_page(), headers)
        return json_error(503, "starting", "the router waits for its keys or for the cluster; try again in a moment", headers)

    def _administration_elsewhere(self, request: web.BaseRequest) -> web.Response:
        if wants_html(request.method, request.headers):
            return page(403, admin_page_elsewhere(self._s.command))
        return json_error(403, "forbidden", f"the administration is not served here: run {self._s.command} admin")


def upstream_like(raw_path: str) -> str:
    """The path to come back to after the login, without its first slashes and without the token."""
    path, mark, query = raw_path.partition("?")
    cleaned = without_token(query)
    return path.lstrip("/") + (f"?{cleaned}" if mark and cleaned else "")


def _seal(passed: Pass) -> Seal:
    device = passed.device
    if device is None or device.approved is None:
        return Seal(GATEWAY_TOKEN_SUBJECT, "operator", TOKEN_SCOPES, 0, "gateway token")
    return Seal(device.device_id, passed.role, device.approved.scopes, device.generation, device.name)


def _device(devices: object, device_id: str) -> DeviceFacts | None:
    if not device_id or not isinstance(devices, list | tuple):
        return None
    return next((device for device in devices if device.device_id == device_id), None)


def _still_holds(passed: Pass, verifiers: tuple[object, ...], devices: list[DeviceFacts]) -> bool:
    if passed.device is not None:
        now = next((device for device in devices if device.uid == passed.device.uid), None)
        return now is not None and now.approved is not None and now.generation == passed.device.generation
    return passed.verifier in verifiers


def _is_exposed(origin: Origin) -> bool:
    """Plain http that leaves this machine: everybody on the way can read the token."""
    host = origin.host.rpartition(":")[0] or origin.host
    local = host in ("localhost", "127.0.0.1", "[::1]") or host.endswith(".localhost")
    return origin.scheme == "http" and not local


async def _read_login(request: web.BaseRequest) -> tuple[str, str, bool]:
    """(token, next, whether it was JSON). Raises ValueError."""
    kind = request.content_type
    if kind not in ("application/json", "application/x-www-form-urlencoded"):
        raise ValueError("send token and next as a form or as JSON")
    if (request.content_length or 0) > MAX_LOGIN_BYTES:
        raise ValueError("too long")
    body = bytearray()
    try:
        async with asyncio.timeout(LOGIN_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_LOGIN_BYTES:
                    raise ValueError("too long")
    except TimeoutError as error:
        raise ValueError("too slow") from error
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error
    if kind == "application/json":
        try:
            document = json.loads(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(document, dict):
            raise ValueError("a JSON object is needed")
        return str(document.get("token") or "").strip(), str(document.get("next") or "/"), True
    form = parse_qs(text)
    return (form.get("token") or [""])[0].strip(), (form.get("next") or ["/"])[0], False


def _wrong_method(allowed: str) -> web.Response:
    return json_error(405, "method-not-allowed", f"use {allowed}", {"Allow": allowed})
