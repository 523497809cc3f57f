"""The built pages and their assets: read once into memory, with entity tags; what has a hash in its name never changes."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from moltbot_router.pages import PAGE_HEADERS

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}
_COMPRESSIBLE = frozenset({".html", ".js", ".mjs", ".css", ".svg", ".json", ".webmanifest", ".txt"})
_HASHED = re.compile(r"-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$")
MAX_FILE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    packed: bytes | None
    kind: str
    tag: str
    immutable: bool


class Statics:
    """Everything under the built `static/`; nothing else can be asked for, for only what was listed is known."""

    def __init__(self, directory: Path) -> None:
        self._files: dict[str, _File] = {}
        if directory.is_dir():
            for path in sorted(directory.rglob("*")):
                if path.is_file() and path.suffix in _TYPES and path.stat().st_size <= MAX_FILE_BYTES:
                    self._files["/" + path.relative_to(directory).as_posix()] = _read(path)

    def asset(self, request: web.BaseRequest, path: str) -> web.Response:
        """`/assets/…`, before any lock and alike on every host."""
        file = self._files.get(path)
        if file is None or not path.startswith("/assets/"):
            return web.Response(status=404, text="not found\n")
        caching = "public, max-age=31536000, immutable" if file.immutable else "no-cache"
        return _answer(request, file, {"Cache-Control": caching, "X-Content-Type-Options": "nosniff"})

    def page(self, request: web.BaseRequest, name: str) -> web.Response | None:
        """`index.html` or `admin.html`; None when it is not built."""
        file = self._files.get("/" + name)
        return _answer(request, file, {**PAGE_HEADERS, "Cache-Control": "no-cache"}) if file is not None else None


def _read(path: Path) -> _File:
    content = path.read_bytes()
    packed = gzip.compress(content, 9, mtime=0) if path.suffix in _COMPRESSIBLE and len(content) > 1024 else None
    tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    return _File(content, packed, _TYPES[path.suffix], tag, _HASHED.search(path.name) is not None)


def _answer(request: web.BaseRequest, file: _File, headers: dict[str, str]) -> web.Response:
    headers = {**headers, "ETag": file.tag, "Vary": "Accept-Encoding"}
    if file.tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    body = file.content
    if file.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        body = file.packed
        headers["Content-Encoding"] = "gzip"
    headers["Content-Type"] = file.kind
    return web.Response(body=body, headers=headers)
