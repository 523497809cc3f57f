"""The administration of the fake router: its API as docs/reference/internals.md has it, on data that a test changes."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tests.fakes.router_ui import FakeRouter

COOKIE = "moltbot-admin"
BASE = "/_admin/api/moltbots/{namespace}/{name}"
ACTIONS = frozenset({"wake", "sleep", "restart", "refresh"})
Document = dict[str, Any]


class AdminSide:
    """`moltbots` maps `namespace/name` to the document that the page gets; `calls` is every change that was asked for."""

    def __init__(self, router: FakeRouter) -> None:
        from tests.fakes.router_ui import Pushes

        self._router = router
        self.pushes = Pushes()
        self.moltbots: dict[str, Document] = {}
        self.calls: list[str] = []
        self.failure: tuple[int, str, str] | None = None
        self._sessions: set[str] = set()
        self.changed = asyncio.Condition()

    def add_routes(self, app: web.Application, page: Path) -> None:
        async def index(request: web.Request) -> web.StreamResponse:
            return web.FileResponse(page)

        app.router.add_get("/_admin/", index)
        app.router.add_post("/_admin/api/session", self._login)
        app.router.add_delete("/_admin/api/session", self._logout)
        app.router.add_get("/_admin/api/moltbots", self._list)
        app.router.add_get(BASE, self._one)
        app.router.add_get(f"{BASE}/events", self._events)
        app.router.add_post(f"{BASE}/actions/{{action}}", self._action)
        app.router.add_post(f"{BASE}/backup", self._backup)
        app.router.add_post(f"{BASE}/devices/approve-all", self._approve_all)
        app.router.add_post(f"{BASE}/devices/{{device}}/approve", self._approve)
        app.router.add_delete(f"{BASE}/devices/{{device}}", self._remove)

    # --- what a test does ---

    def link(self) -> str:
        return f"{self._router.url}/_admin/#key={self._router.admin_key}"

    def push(self, key: str = "default/ada") -> None:
        self.pushes.push("state", self.moltbots[key])

    def end_sessions(self) -> None:
        self._sessions.clear()
        self.pushes.end()

    async def until_call(self, call: str) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: call in self.calls), 10)

    # --- edges ---

    def _lock(self, request: web.Request) -> None:
        if request.cookies.get(COOKIE, "") not in self._sessions:
            raise self._error(web.HTTPUnauthorized, "unauthorized", "Open the administration by its link, or give its key.")

    @staticmethod
    def _error(kind: type[web.HTTPException], word: str, message: str) -> web.HTTPException:
        import json

        return kind(text=json.dumps({"error": word, "message": message}), content_type="application/json")

    def _found(self, request: web.Request) -> Document:
        self._lock(request)
        found = self.moltbots.get(f"{request.match_info['namespace']}/{request.match_info['name']}")
        if found is None:
            raise self._error(web.HTTPNotFound, "not-found", "There is no such Moltbot.")
        return found

    async def _change(self, request: web.Request, call: str) -> web.Response | None:
        if request.content_type != "application/json":
            self._router.refuse(f"{request.method} {request.path} without Content-Type: application/json")
        self.calls.append(call)
        async with self.changed:
            self.changed.notify_all()
        if self.failure is None:
            return None
        status, word, message = self.failure
        return web.json_response({"error": word, "message": message}, status=status)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        document = await request.json()
        if set(document) != {"key"}:
            self._router.refuse(f"session with {sorted(document)}")
        if document["key"] != self._router.admin_key:
            return web.json_response({"error": "unauthorized", "message": "This key is not right."}, status=401)
        value = secrets.token_hex(16)
        self._sessions.add(value)
        response = web.Response(status=204)
        response.set_cookie(COOKIE, value, httponly=True, samesite="Strict", path="/_admin/")
        return response

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        self._sessions.discard(request.cookies.get(COOKIE, ""))
        return web.Response(status=204)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        self._lock(request)
        items = [
            {
                "namespace": one["namespace"],
                "name": one["name"],
                "phase": one["status"].get("phase"),
                "url": one["status"].get("url"),
                "ready": any(c["type"] == "Ready" and c["status"] == "True" for c in one["status"].get("conditions", [])),
            }
            for one in self.moltbots.values()
        ]
        return web.json_response({"items": items})

    async def _one(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._found(request))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        return await self.pushes.serve(request, [("state", self._found(request))])

    async def _action(self, request: web.Request) -> web.StreamResponse:
        self._found(request)
        action = request.match_info["action"]
        if action not in ACTIONS:
            self._router.refuse(f"action {action}")
        return await self._change(request, f"action {action}") or web.json_response({})

    async def _backup(self, request: web.Request) -> web.StreamResponse:
        self._found(request)
        return await self._change(request, "backup") or web.json_response({})

    async def _approve(self, request: web.Request) -> web.StreamResponse:
        found, device = self._found(request), request.match_info["device"]
        document = await request.json()
        if refused := await self._change(request, f"approve {device} {document.get('request')}"):
            return refused
        self._approve_device(found, device)
        self.push(f"{found['namespace']}/{found['name']}")
        return web.json_response({})

    async def _approve_all(self, request: web.Request) -> web.StreamResponse:
        found = self._found(request)
        if refused := await self._change(request, "approve-all"):
            return refused
        ids = [device["deviceId"] for device in found["devices"] if device["state"] == "pending"]
        for device in ids:
            self._approve_device(found, device)
        self.push(f"{found['namespace']}/{found['name']}")
        return web.json_response({"approved": ids, "failed": []})

    @staticmethod
    def _approve_device(found: Document, device: str) -> None:
        for one in found["devices"]:
            if one["deviceId"] == device:
                one["state"] = "approved"
                one["approved"] = {"by": "admin", "at": "2026-11-24T08:00:00Z", "roles": ["operator"], "scopes": one["request"]["scopes"]}
                one["request"] = None

    async def _remove(self, request: web.Request) -> web.StreamResponse:
        found, device = self._found(request), request.match_info["device"]
        if refused := await self._change(request, f"remove {device}"):
            return refused
        found["devices"] = [one for one in found["devices"] if one["deviceId"] != device]
        self.push(f"{found['namespace']}/{found['name']}")
        return web.json_response({})
