"""A router for the pages alone: serves what Vite built, speaks the protocol's opening, pushes events and answers the administration,
each as docs/reference/internals.md says. It is strict: what a page does that the real router would refuse is a violation, and every
test ends by asserting that there were none.

Nothing happens here by itself: a test approves, wakes, answers. The assistant behind it is a list of what it was sent.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from moltbot_router import pages
from tests.fakes.router_ui_admin import AdminSide
from tests.fakes.router_ui_socket import GatewaySide

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "operator/moltbot_router/static"
COOKIE = "moltbot"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pushes:
    """Server-sent events: what is so now at once, then every change."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[tuple[str, object] | None]] = set()

    def push(self, name: str, data: object) -> None:
        for queue in self._queues:
            queue.put_nowait((name, data))

    def end(self) -> None:
        """Drop every listener, as a restarted router does."""
        for queue in self._queues:
            queue.put_nowait(None)

    async def serve(self, request: web.Request, first: list[tuple[str, object]]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        queue: asyncio.Queue[tuple[str, object] | None] = asyncio.Queue()
        for item in first:
            queue.put_nowait(item)
        self._queues.add(queue)
        try:
            await response.prepare(request)
            # A browser waits 3 s before it comes back, unless it is told: tests should not.
            await response.write(b"retry: 50\n\n")
            while (pushed := await queue.get()) is not None:
                name, data = pushed
                await response.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
        except ConnectionError:
            pass
        finally:
            self._queues.discard(queue)
        return response


@dataclass
class FakeRouter:
    """One Moltbot, `ada`, on one host. Its fields are what a test sets and looks at."""

    token: str = "t0k3n-" + secrets.token_hex(8)
    admin_key: str = "adm1n-" + secrets.token_hex(8)
    name: str = "ada"
    namespace: str = "default"
    phase: dict[str, object] = field(default_factory=lambda: {"phase": "Awake", "message": None, "estimateSeconds": None, "reason": None})
    violations: list[str] = field(default_factory=list)
    logins: list[bool] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self.events = Pushes()
        self.cookies: set[str] = set()
        self.gateway = GatewaySide(self)
        self.admin = AdminSide(self)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        if not (STATIC / "index.html").exists():
            raise RuntimeError("the pages are not built: make ui")
        app = web.Application(middlewares=[self._harden])
        app.router.add_get("/", self._index)
        app.router.add_get("/api/status", self._status)
        app.router.add_get("/api/events", self._events)
        app.router.add_post("/api/login", self._login)
        app.router.add_static("/assets", STATIC / "assets")
        self.admin.add_routes(app, STATIC / "admin.html")
        for kind, page in PAGES.items():
            app.router.add_get(f"/pages/{kind}", self._page(page))
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://localhost:{port}"

    async def stop(self) -> None:
        self.events.end()
        self.admin.pushes.end()
        await self.gateway.drop_all()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- what a test does ---

    def set_phase(self, phase: str, message: str | None = None, estimate: float | None = None, reason: str | None = None) -> None:
        self.phase = {"phase": phase, "message": message, "estimateSeconds": estimate, "reason": reason}
        self.events.push("phase", self.phase)

    def rotate_token(self) -> None:
        """Another gateway token: cookies made from the old one count no more."""
        self.token = "t0k3n-" + secrets.token_hex(8)
        self.cookies.clear()

    def link(self) -> str:
        return f"{self.url}/?token={self.token}"

    def has_cookie(self, request: web.Request) -> bool:
        return request.cookies.get(COOKIE, "") in self.cookies

    def refuse(self, what: str) -> None:
        self.violations.append(what)

    # --- edges ---

    @web.middleware
    async def _harden(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if "token" in request.query and request.path != "/":
            self.refuse(f"token in the URL of {request.path}")
        if request.method in ("POST", "DELETE") and request.headers.get("Origin") != self.url:
            self.refuse(f"{request.method} {request.path} without this page's Origin")
            return web.json_response({"error": "origin", "message": "Open the page from its own address."}, status=403)
        response = await handler(request)
        if not response.prepared:
            response.headers.update(pages.PAGE_HEADERS)
        return response

    async def _index(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.gateway.serve(request)
        if "token" in request.query:
            if request.query["token"] != self.token:
                return self._unauthorized(request, "This token is not right.")
            response = web.Response(status=303, headers={"Location": "/"})
            self._give_cookie(response)
            return response
        if not self.has_cookie(request):
            return self._unauthorized(request)
        return web.FileResponse(STATIC / "index.html")

    def _give_cookie(self, response: web.Response) -> None:
        value = secrets.token_hex(16)
        self.cookies.add(value)
        response.set_cookie(COOKIE, value, httponly=True, samesite="Lax", path="/")

    def _unauthorized(self, request: web.Request, reason: str = "") -> web.Response:
        if "text/html" not in request.headers.get("Accept", ""):
            return web.json_response({"error": "unauthorized", "message": "A gateway token is needed."}, status=401)
        return web.Response(status=401, text=pages.token_page(reason=reason), content_type="text/html")

    async def _status(self, request: web.Request) -> web.StreamResponse:
        if not self.has_cookie(request):
            return self._unauthorized(request)
        document: Mapping[str, object] = {
            "ok": True,
            "status": "running",
            "name": self.name,
            "namespace": self.namespace,
            "phase": self.phase["phase"],
            "adminUrl": f"{self.url}/_admin/",
        }
        return web.json_response(document)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if not self.has_cookie(request):
            return self._unauthorized(request)
        first: list[tuple[str, object]] = [("phase", self.phase)]
        device = request.query.get("device", "")
        if device in self.gateway.approved:
            first.append(("device", {"deviceId": device, "state": "approved"}))
        return await self.events.serve(request, first)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/json":
            document = await request.json()
            if set(document) - {"token", "next"}:
                self.refuse(f"login with {sorted(document)}")
            token, after = document.get("token"), None
        else:
            form = await request.post()
            token, after = form.get("token"), str(form.get("next", "/"))
        good = token == self.token
        self.logins.append(good)
        if not good:
            return self._unauthorized(request, "This token is not right.")
        response = web.Response(status=204) if after is None else web.Response(status=303, headers={"Location": after})
        self._give_cookie(response)
        return response

    @staticmethod
    def _page(page: Callable[[], str]) -> Handler:
        async def serve(request: web.Request) -> web.StreamResponse:
            return web.Response(text=page(), content_type="text/html")

        return serve


# The router's real pages, so that they are looked at here in a browser.
PAGES: Mapping[str, Callable[[], str]] = {
    "token": pages.token_page,
    "waiting": lambda: pages.waiting_page("ada", "Waking", "Starting the pod", 6.0),
    "forbidden": pages.admin_page_elsewhere,
    "pairing": pages.pairing_page,
    "missing": pages.missing_page,
    "unavailable": lambda: pages.unavailable_page("ada", "The image could not be pulled.", failed=True),
    "not-built": pages.not_built_page,
    "blocked": lambda: pages.blocked_page(300),
}
