"""A server that speaks the wire protocol of lists and watches and does exactly what a test wrote down: what a real one does rarely."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from moltbot_kube import Kube

HANG = "hang"  # keep the watch open and say nothing until the client goes
Step = dict[str, Any] | str


def config_map(name: str, version: int, uid: str = "u1", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def event(kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": obj}


def error_event(code: int, reason: str) -> dict[str, Any]:
    status = {"kind": "Status", "status": "Failure", "message": "too old resource version", "reason": reason, "code": code}
    return {"type": "ERROR", "object": status}


@dataclass
class Script:
    """`lists`: (items, resourceVersion) or an HTTP status, one a list request; `watches`: the steps of each watch request, in order."""

    lists: list[tuple[list[dict[str, Any]], str] | int]
    watches: list[list[Step] | int] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)  # the query of each request
    tokens: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        self.tokens.append(request.headers.get("Authorization", ""))
        if request.query.get("watch") != "true":
            answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
            if isinstance(answer, int):
                return _status(answer)
            items, version = answer
            return web.json_response({"kind": "ConfigMapList", "metadata": {"resourceVersion": version}, "items": items})
        steps = self.watches.pop(0) if self.watches else [HANG]
        if isinstance(steps, int):
            return _status(steps)
        response = web.StreamResponse()
        await response.prepare(request)
        for step in steps:
            if isinstance(step, str):
                while request.transport is not None and not request.transport.is_closing():
                    await asyncio.sleep(0.01)
                return response
            await response.write(json.dumps(step).encode() + b"\n")
        return response


def _status(code: int) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "message": "scripted", "code": code}
    return web.json_response(body, status=code, headers={"Retry-After": "7"} if code == 429 else None)


@asynccontextmanager
async def serving(script: Script, tmp_path: Path) -> AsyncIterator[Kube]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with await Kube.connect(str(write_kubeconfig(tmp_path, f"http://127.0.0.1:{port}"))) as kube:
        yield kube
    await runner.cleanup()


def write_kubeconfig(folder: Path, server: str, **user: str) -> Path:
    path = folder / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here", "namespace": "team"}}],
                "clusters": [{"name": "here", "cluster": {"server": server}}],
                "users": [{"name": "here", "user": user or {"token": "let-me-in"}}],
            }
        ),
        encoding="utf-8",
    )
    return path
