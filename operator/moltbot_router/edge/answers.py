"""Small answers that several parts of the edge give: JSON errors and pages, with the headers that every one of them bears."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from moltbot_router.pages import PAGE_HEADERS

JSON_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def page(status: int, html: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """One of the router's own pages."""
    return web.Response(status=status, text=html, content_type="text/html", charset="utf-8", headers={**PAGE_HEADERS, **(headers or {})})


def json_answer(document: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return web.Response(status=status, text=text, content_type="application/json", headers={**JSON_HEADERS, **(headers or {})})


def json_error(status: int, error: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """`{"error": <word>, "message": <sentence that says what to do>}`."""
    return json_answer({"error": error, "message": message}, status, headers)
