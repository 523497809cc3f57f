"""The miniature API server: aiohttp on loopback, three users by token, everything else delegated.

async with open_server(store, {"person": token, …}, port=0) as url: …
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from . import answers, discovery, logs, openapi
from .call import Call, parse_body, parse_path
from .errors import ApiError, forbidden
from .resources import Object
from .store import Store
from .users import User, Users
from .verbs import Verbs
from .watching import Watching

log = logging.getLogger(__name__)

# etcd's limit on a request, which the real API server imposes on bodies too.
BODY_BYTES = 3 * 1024 * 1024
# What an unknown caller may ask.
_OPEN = frozenset({"/healthz", "/livez", "/readyz", "/version"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# A restart should find the port of the kubeconfig free soon; how long to wait for open requests at the end.
SHUTDOWN_SECONDS = 1.0


class Server:
    def __init__(self, store: Store, users: Users, log_root: Path | None = None) -> None:
        self._store = store
        self._users = users
        self._log_root = log_root
        self._verbs = Verbs(store)
        self.watching = Watching(store)
        self._openapi: tuple[int, dict[str, Object]] = (-1, {})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Every request. A refusal becomes a Status, an error of ours a 500 and a line in the log."""
        try:
            return await self._answer(request)
        except ApiError as error:
            return answers.refuse(error)
        except web.HTTPRequestEntityTooLarge:
            return answers.refuse(ApiError(413, f"Request entity too large: limit is {BODY_BYTES}"))
        except RecursionError:
            return answers.refuse(ApiError(400, "the body of the request is nested too deeply"))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:  # the boundary of a request
            log.exception("request failed", extra={"method": request.method, "path": request.path})
            return answers.refuse(ApiError(500, f"Internal error occurred: {type(error).__name__}"))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.rstrip("/") or "/"
        if path in _OPEN or path.startswith(("/healthz/", "/livez/", "/readyz/")):
            return answers.respond(discovery.VERSION) if path == "/version" else web.Response(text="ok")
        user = self._users.of(request.headers.get("Authorization", ""))
        if user is None:
            raise ApiError(401, "Unauthorized")
        if path.startswith("/openapi/v3") and request.method == "GET":
            return self._document(path)
        if request.method == "POST" and path.startswith(("/apis/authorization.k8s.io/v1/", "/apis/authentication.k8s.io/v1/")):
            return answers.respond(await self._review(request, user, path.rpartition("/")[2]), 201)
        if request.method == "GET" and (found := discovery.root(request, self._store.registry, path)) is not None:
            return found
        place = parse_path(self._store.registry, path)
        if place is None:
            return self._nothing(path)
        return await self._call(Call(request, user, *place))

    def _nothing(self, path: str) -> web.Response:
        if path.startswith("/api/v1/"):
            raise ApiError(404, "the server could not find the requested resource", details={})
        return web.Response(status=404, text="404 page not found\n")

    async def _call(self, call: Call) -> web.StreamResponse:
        verb = self._verb(call)
        if not call.user.may(verb, call.resource.key, call.subresource):
            raise self._forbidden(call, verb)
        match verb:
            case "watch":
                return await self.watching.serve(call)
            case "list":
                return await self._verbs.list(call)
            case "get" if call.subresource == "log":
                return await self._log(call)
            case "get":
                return await self._verbs.get(call)
            case "create":
                return await self._verbs.create(call)
            case "update":
                return await self._verbs.update(call)
            case "patch":
                return await self._verbs.patch(call)
            case "delete":
                return await self._verbs.delete(call)
        return await self._verbs.delete_collection(call)

    def _verb(self, call: Call) -> str:
        method = call.request.method
        if method in ("GET", "HEAD"):
            if call.flag("watch"):
                return "watch"
            return "get" if call.name else "list"
        verb = _VERBS.get(method)
        named = bool(call.name)
        if verb == "delete" and not named and (call.namespace is not None or not call.resource.namespaced):
            return "deletecollection"
        fits = {"create": not named and (call.namespace is not None or not call.resource.namespaced)}
        writable = named and call.subresource != "log" and not (verb == "delete" and call.subresource)
        if verb is None or not fits.get(verb, writable) or (call.subresource == "finalize" and verb != "update"):
            raise ApiError(405, "the server does not allow this method on the requested resource", details={})
        return verb

    def _forbidden(self, call: Call, verb: str) -> ApiError:
        resource = call.resource
        what = f"{resource.plural}/{call.subresource}" if call.subresource else resource.plural
        where = f' in the namespace "{call.namespace}"' if call.namespace else " at the cluster scope"
        why = f'User "{call.user.name}" cannot {verb} resource "{what}" in API group "{resource.group}"{where}'
        return forbidden(resource.group, what, call.name, why)

    async def _log(self, call: Call) -> web.StreamResponse:
        if self._log_root is None:
            raise ApiError(404, "this API server was started without a kubelet: there are no logs")
        pod = self._store.get("pods", call.name, call.namespace)
        container = logs.container_of(pod, call.query.get("container", ""))
        path = logs.file_of(self._log_root, pod, container, previous=call.flag("previous"))
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(call.request)
        options = {"tail": call.number("tailLines"), "limit": call.number("limitBytes")}
        async for chunk in logs.lines(path, self._store, pod, follow=call.flag("follow"), **options):
            await response.write(chunk)
        return response

    def _document(self, path: str) -> web.Response:
        """The OpenAPI documents, made once for each set of kinds."""
        registry = self._store.registry
        if self._openapi[0] != registry.generation:
            self._openapi = (registry.generation, {})
        kept = self._openapi[1]
        if path not in kept:
            parts = path.removeprefix("/openapi/v3").strip("/").split("/")
            body: Object | None = None
            match parts:
                case [""]:
                    body = openapi.index(registry)
                case ["api", version]:
                    body = openapi.document(registry, "", version)
                case ["apis", group, version]:
                    body = openapi.document(registry, group, version)
            if body is None:
                return web.Response(status=404, text="404 page not found\n")
            kept[path] = body
        return answers.respond(kept[path])

    async def _review(self, request: web.Request, user: User, kind: str) -> Object:
        """What `kubectl auth can-i` and `kubectl auth whoami` ask."""
        raw = await request.read()
        review: Object = parse_body(raw, request, allow_yaml=True) if raw else {}
        if kind == "selfsubjectreviews":
            info = {"username": user.name, "groups": ["system:authenticated"]}
            return {**review, "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "status": {"userInfo": info}}
        if kind == "selfsubjectrulesreviews":
            status = {"resourceRules": user.rules(), "nonResourceRules": [], "incomplete": False}
            return {**review, "kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "status": status}
        if kind != "selfsubjectaccessreviews":
            raise ApiError(404, "the server could not find the requested resource")
        asked = (review.get("spec") or {}).get("resourceAttributes") or {}
        group, plural = asked.get("group", ""), asked.get("resource", "")
        key = f"{plural}.{group}" if group else plural
        allowed = user.may(asked.get("verb", ""), key, asked.get("subresource", ""))
        return {**review, "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": {"allowed": allowed}}


@asynccontextmanager
async def open_server(
    store: Store,
    tokens: Mapping[str, str],
    *,
    port: int = 0,
    preferred_port: int = 0,
    log_root: Path | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 and yield the URL. `preferred_port` is taken when it is free and `port` is 0. Raises OSError for a used `port`."""
    server = Server(store, Users(tokens), log_root)
    app = web.Application(client_max_size=BODY_BYTES)
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]] = server.handle
    app.router.add_route("*", "/{path:.*}", handler)
    # A client that leaves ends its watch at once.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    listening = _listen(port, preferred_port)
    try:
        await web.SockSite(runner, listening, ssl_context=tls).start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await server.watching.close()
        await runner.cleanup()
        listening.close()


def _listen(port: int, preferred: int) -> socket.socket:
    for number in [port] if port else [preferred, 0] if preferred else [0]:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", number))
        except OSError:
            listening.close()
            if number != preferred or port:
                raise
            continue
        listening.listen(128)
        listening.setblocking(False)
        return listening
    raise AssertionError("unreachable: port 0 is always free")
