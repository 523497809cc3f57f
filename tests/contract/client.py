"""A tiny Kubernetes client for the contract tests: raw JSON over aiohttp, any kubeconfig (bearer token or client certificate)."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

Json = Any
MERGE, JSON_PATCH, STRATEGIC, APPLY = (
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)


@dataclass
class Answer:
    code: int
    body: Json
    warnings: list[str] = field(default_factory=list)

    def ok(self) -> Json:
        """The body of what must have worked."""
        assert self.code < 300, f"{self.code}: {json.dumps(self.body)[:2000]}"
        return self.body

    def refused(self, code: int, reason: str = "") -> Json:
        """The Status of what must have been refused."""
        assert self.code == code, f"expected {code}, got {self.code}: {json.dumps(self.body)[:2000]}"
        assert self.body["kind"] == "Status"
        assert self.body["code"] == code
        if reason:
            assert self.body["reason"] == reason, self.body
        return self.body


class Client:
    """One user at one API server. `local`: the miniature one."""

    def __init__(self, session: aiohttp.ClientSession, server: str, *, local: bool) -> None:
        self._session = session
        self.server = server
        self.local = local
        self.namespace = ""

    async def call(self, method: str, path: str, body: Json = None, *, content_type: str = "application/json", **query: str) -> Answer:
        data = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if data is not None else {}
        async with self._session.request(method, self.server + path, data=data, params=query, headers=headers) as response:
            raw = await response.read()
            try:
                parsed = json.loads(raw)
            except ValueError:
                parsed = raw.decode()
            return Answer(response.status, parsed, response.headers.getall("Warning", []))

    async def get(self, path: str, **query: str) -> Answer:
        return await self.call("GET", path, **query)

    async def create(self, path: str, body: Json, **query: str) -> Answer:
        return await self.call("POST", path, body, **query)

    async def put(self, path: str, body: Json, **query: str) -> Answer:
        return await self.call("PUT", path, body, **query)

    async def patch(self, path: str, body: Json, content_type: str = MERGE, **query: str) -> Answer:
        return await self.call("PATCH", path, body, content_type=content_type, **query)

    async def apply(self, path: str, body: Json, manager: str, **query: str) -> Answer:
        return await self.call("PATCH", path, body, content_type=APPLY, fieldManager=manager, **query)

    async def delete(self, path: str, body: Json = None, **query: str) -> Answer:
        return await self.call("DELETE", path, body, **query)

    @asynccontextmanager
    async def watch(self, path: str, **query: str) -> AsyncIterator[AsyncIterator[Json]]:
        async with self._session.get(self.server + path, params={"watch": "1", **query}) as response:
            assert response.status == 200, await response.text()

            async def events() -> AsyncIterator[Json]:
                async for line in response.content:
                    yield json.loads(line)

            yield events()

    # Paths in this test's own namespace

    def core(self, plural: str, name: str = "", *, namespace: str = "") -> str:
        return self.of("", "v1", plural, name, namespace=namespace)

    def of(self, group: str, version: str, plural: str, name: str = "", *, namespace: str = "") -> str:
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        return f"{root}/namespaces/{namespace or self.namespace}/{plural}" + (f"/{name}" if name else "")


@asynccontextmanager
async def from_kubeconfig(path: Path) -> AsyncIterator[Client]:
    config = yaml.safe_load(path.read_text())
    chosen = next(item["context"] for item in config["contexts"] if item["name"] == config["current-context"])
    cluster = next(item["cluster"] for item in config["clusters"] if item["name"] == chosen["cluster"])
    user = next(item["user"] for item in config["users"] if item["name"] == chosen["user"])
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    tls: ssl.SSLContext | bool = True
    if cluster["server"].startswith("https"):
        authority = cluster.get("certificate-authority-data")
        tls = ssl.create_default_context(
            cafile=cluster.get("certificate-authority"), cadata=base64.b64decode(authority).decode() if authority else None
        )
        # The test is of the API, not of the certificate's names.
        tls.check_hostname = False
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for word in ("client-certificate", "client-key"):
                if word + "-data" in user:
                    files.append(Path(folder) / word)
                    files[-1].write_bytes(base64.b64decode(user[word + "-data"]))
                elif word in user:
                    files.append(Path(user[word]))
            if files:
                tls.load_cert_chain(files[0], files[1])
    connector = aiohttp.TCPConnector(ssl=tls)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        yield Client(session, cluster["server"].rstrip("/"), local=False)
