"""The administration on loopback: its page, its session and its API (lock 1 without an identity provider).

The Host must be a loopback name: a page of another site whose name was re-pointed to 127.0.0.1 would otherwise pass the origin check.
Every change needs this page's own Origin and a JSON body, so that no other page in the same browser can make one.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from moltbot_api.hosts import is_loopback_host, normalise_host
from moltbot_router.edge.answers import json_answer, json_error, page
from moltbot_router.edge.events import EventStreams
from moltbot_router.edge.statics import Statics
from moltbot_router.keystore import KeyStore
from moltbot_router.locks.cookies import ADMIN_SECONDS, is_admin_cookie, make_admin_cookie
from moltbot_router.locks.credentials import ADMIN_COOKIE
from moltbot_router.locks.limit import AttemptLimit
from moltbot_router.pages import missing_page, not_built_page
from moltbot_router.path.administration import Administration
from moltbot_router.path.decide import SAFE
from moltbot_router.path.facts import Key
from moltbot_router.path.ports import Action, ClusterError, ClusterView, Conflict, Denied, Missing
from moltbot_router.path.sessions import Sessions
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

MAX_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10.0
_MOLTBOT = re.compile(r"/_admin/api/moltbots/(?P<namespace>[a-z0-9-]{1,63})/(?P<name>[a-z0-9-]{1,63})(?P<rest>/.*)?")
_DEVICE = re.compile(r"/devices/(?P<device>[0-9a-f]{64})(?P<approve>/approve)?")
_ACTION = re.compile(r"/actions/(?P<action>[a-z]+)")
_ACTIONS = {action.value: action for action in Action}

log = get_logger("moltbot_router.admin")
Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class AdminServices:
    """What this port is made of."""

    administration: Administration
    view: ClusterView
    sessions: Sessions
    streams: EventStreams
    keys: KeyStore
    statics: Statics
    limit: AttemptLimit
    clock: Clock


class AdminEdge:
    """The handler of every request on the administration's port."""

    def __init__(self, services: AdminServices) -> None:
        self._s = services

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path = request.path
        host = request.headers.get("Host", "")
        if not is_loopback_host(normalise_host(host)):
            return json_error(403, "foreign-host", "the administration answers only to localhost, 127.0.0.1 and [::1]")
        if path == "/healthz":
            return web.Response(text="ok\n")
        if request.method in SAFE and path.startswith("/assets/"):
            return self._s.statics.asset(request, request.raw_path.partition("?")[0])
        if path in ("/", "/_admin"):
            return web.Response(status=303, headers={"Location": "/_admin/", "Cache-Control": "no-store"})
        if request.method in SAFE and path == "/_admin/":
            return self._s.statics.page(request, "admin.html") or page(503, not_built_page())
        if not path.startswith("/_admin/api/"):
            return page(404, missing_page())
        return await self._api(request, path, host)

    async def _api(self, request: web.BaseRequest, path: str, host: str) -> web.StreamResponse:
        body: Document = {}
        if request.method not in SAFE:
            if request.headers.get("Origin", "").lower() != f"http://{host}".lower():
                return json_error(403, "foreign-origin", "changes are taken only from the administration's own page")
            if request.content_type != "application/json":
                return json_error(415, "not-json", "send Content-Type: application/json")
            try:
                body = await _read_json(request)
            except ValueError as error:
                return json_error(400, "bad-request", str(error))
        if path == "/_admin/api/session":
            return self._session(request, body)
        key = self._s.keys.admin_key
        if key is None:
            return json_error(503, "starting", "the administration key is not there yet: the operator makes it at its first start")
        if not is_admin_cookie(key, request.cookies.get(ADMIN_COOKIE, ""), self._s.clock.epoch()):
            return json_error(401, "unauthorized", "open the administration by the link of kubectl moltbot admin")
        if path == "/_admin/api/moltbots":
            return json_answer(self._s.administration.list()) if request.method in SAFE else _wrong_method("GET")
        match = _MOLTBOT.fullmatch(path)
        if match is None:
            return _unknown_path()
        return await self._moltbot(request, Key(match["namespace"], match["name"]), match["rest"] or "", body)

    # session

    def _session(self, request: web.BaseRequest, body: Document) -> web.Response:
        key, now = self._s.keys.admin_key, self._s.clock.epoch()
        if request.method == "DELETE":
            response = web.Response(status=204)
            response.del_cookie(ADMIN_COOKIE, path="/_admin", httponly=True, samesite="Strict")
            return response
        if request.method != "POST":
            return _wrong_method("POST, DELETE")
        if key is None:
            return json_error(503, "starting", "the administration key is not there yet: the operator makes it at its first start")
        address = request.remote or ""
        wait = self._s.limit.blocked_for(address, self._s.clock.monotonic())
        if wait > 0:
            return json_error(429, "too-many-attempts", "too many wrong keys; try again later", {"Retry-After": str(int(wait) + 1)})
        given = body.get("key")
        if not isinstance(given, str) or not key.matches(given):
            self._s.limit.count_wrong(address, self._s.clock.monotonic())
            log.warning("wrong administration key", address=address)
            return json_error(401, "unauthorized", "that is not the administration key: kubectl moltbot admin prints the link")
        self._s.limit.forget(address)
        response = web.Response(status=204)
        response.set_cookie(
            ADMIN_COOKIE, make_admin_cookie(key, now), path="/_admin", max_age=ADMIN_SECONDS, httponly=True, samesite="Strict"
        )
        return response

    # one Moltbot

    async def _moltbot(self, request: web.BaseRequest, key: Key, rest: str, body: Document) -> web.StreamResponse:
        administration = self._s.administration
        if request.method in SAFE:
            if rest not in ("", "/events"):
                return _unknown_path()
            state = administration.state(key)
            if state is None:
                return json_error(404, "not-found", f"there is no Moltbot {key}")
            return json_answer(state) if rest == "" else await self._events(request, key)
        change = self._change(request.method, key, rest, body)
        if isinstance(change, web.Response):
            return change
        try:
            return json_answer(await change())
        except Missing as error:
            return json_error(404, "not-found", str(error))
        except Conflict as error:
            return json_error(409, "conflict", str(error))
        except Denied as error:
            return json_error(403, "denied", str(error))
        except ClusterError as error:
            log.warning("administration not possible now", moltbot=str(key), error=str(error))
            return json_error(503, "unavailable", "the Kubernetes API does not answer; try again", {"Retry-After": "2"})

    def _change(self, method: str, key: Key, rest: str, body: Document) -> Callable[[], Awaitable[Document]] | web.Response:
        administration = self._s.administration
        if action := _ACTION.fullmatch(rest):
            asked = _ACTIONS.get(action["action"])
            if asked is None:
                return _unknown_path()
            return (lambda: administration.act(key, asked)) if method == "POST" else _wrong_method("POST")
        if rest == "/backup":
            return (lambda: administration.back_up(key)) if method == "POST" else _wrong_method("POST")
        if rest == "/devices/approve-all":
            return (lambda: administration.approve_all(key)) if method == "POST" else _wrong_method("POST")
        device = _DEVICE.fullmatch(rest)
        if device is None:
            return _unknown_path()
        device_id = device["device"]
        if not device["approve"]:
            return (lambda: administration.remove(key, device_id)) if method == "DELETE" else _wrong_method("DELETE")
        if method != "POST":
            return _wrong_method("POST")
        request_id = body.get("request")
        if not isinstance(request_id, str) or not request_id:
            return json_error(400, "bad-request", 'name the request that was shown: {"request": "<id>"}')
        return lambda: administration.approve(key, device_id, request_id)

    async def _events(self, request: web.BaseRequest, key: Key) -> web.StreamResponse:
        cookie = request.cookies.get(ADMIN_COOKIE, "")

        def snapshot() -> list[tuple[str, object]] | None:
            admin_key = self._s.keys.admin_key
            if admin_key is None or not is_admin_cookie(admin_key, cookie, self._s.clock.epoch()):
                return None
            state = self._s.administration.state(key)
            return [("state", state)] if state is not None else None

        return await self._s.streams.follow(request, key, (self._s.view.subscribe, self._s.sessions.listen), snapshot)


async def _read_json(request: web.BaseRequest) -> Document:
    """The body as an object, {} when there is none. Raises ValueError."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise ValueError("too long")
    except TimeoutError as error:
        raise ValueError("too slow") from error
    if not body.strip():
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError("the body is not JSON") from error
    if not isinstance(document, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - one kind of error for the caller
    return document


def _wrong_method(allowed: str) -> web.Response:
    return json_error(405, "method-not-allowed", f"use {allowed}", {"Allow": allowed})


def _unknown_path() -> web.Response:
    return json_error(404, "not-found", "there is no such path")
