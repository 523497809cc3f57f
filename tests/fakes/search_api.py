"""Strict fakes of three search providers: their addresses, headers, parameters, limits and errors as their references have them.

Brave: api-dashboard.search.brave.com, "Web Search API". Tavily: docs.tavily.com, "Tavily Search". SearXNG: docs.searxng.org, "Search API".
`fail` answers the next requests with that status, in the provider's own error shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

BRAVE_KEY = "BSA-test-key"
TAVILY_KEY = "tvly-test-key"


@dataclass
class FakeSearch:
    """`json_format`: whether SearXNG's settings list json. `results`: what each of them finds."""

    results: list[tuple[str, str, str]] = field(default_factory=lambda: [("Moltbot", "https://example.org/moltbot", "A small crab.")])
    fail: int | None = None
    json_format: bool = True
    requests: list[web.Request] = field(default_factory=list)
    url: str = ""
    _runner: web.AppRunner | None = None

    async def start(self) -> str:
        application = web.Application()
        application.router.add_get("/res/v1/web/search", self._brave)
        application.router.add_post("/search", self._tavily)
        application.router.add_get("/search", self._searxng)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _brave(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        known = {
            "q",
            "count",
            "offset",
            "country",
            "search_lang",
            "ui_lang",
            "safesearch",
            "freshness",
            "text_decorations",
            "result_filter",
        }
        query = request.query
        count = query.get("count", "20")
        if request.headers.get("X-Subscription-Token") != BRAVE_KEY:
            return _brave_error(422, "SUBSCRIPTION_TOKEN_INVALID", "The provided subscription token is invalid.")
        if set(query) - known or not 1 <= len(query.get("q", "")) <= 400 or not count.isdigit() or not 1 <= int(count) <= 20:
            return _brave_error(422, "VALIDATION", "Unable to validate request parameter(s)")
        if self.fail is not None:
            return _brave_error(self.fail, "RATE_LIMITED", "Request rate limit exceeded for plan.")
        rows = [
            {
                "type": "search_result",
                "title": f"<strong>{title}</strong>",
                "url": url,
                "description": f"{text} &amp; more",
                "age": "2 days ago",
            }
            for title, url, text in self.results[: int(count)]
        ]
        return web.json_response({"type": "search", "query": {"original": query["q"]}, "web": {"type": "search", "results": rows}})

    async def _tavily(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        if request.headers.get("Authorization") != f"Bearer {TAVILY_KEY}":
            return web.json_response({"detail": {"error": "Unauthorized: missing or invalid API key."}}, status=401)
        body = await request.json()
        known = {"query", "max_results", "search_depth", "topic", "days", "time_range", "include_answer", "include_raw_content"}
        if set(body) - known or not body.get("query") or not 0 <= body.get("max_results", 5) <= 20:
            return web.json_response({"detail": {"error": "Invalid request."}}, status=400)
        if self.fail is not None:
            words = f"This request exceeds your plan's set usage limit; key {TAVILY_KEY}."
            return web.json_response({"detail": {"error": words}}, status=self.fail)
        rows = [{"title": title, "url": url, "content": text, "score": 0.9, "raw_content": None} for title, url, text in self.results]
        return web.json_response({"query": body["query"], "results": rows[: body.get("max_results", 5)], "response_time": 0.2})

    async def _searxng(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        if not request.query.get("q"):
            return web.Response(status=400, text="No query")
        if request.query.get("format") != "json":
            return web.Response(text="<html><body>results</body></html>", content_type="text/html")
        if not self.json_format:
            return web.Response(status=403, text="<html><body>Forbidden</body></html>", content_type="text/html")
        if self.fail is not None:
            return web.Response(status=self.fail, text="Too Many Requests")
        rows = [{"title": title, "url": url, "content": text, "engine": "fake", "publishedDate": None} for title, url, text in self.results]
        return web.json_response({"query": request.query["q"], "number_of_results": 0, "results": rows, "answers": [], "suggestions": []})


def _brave_error(status: int, code: str, detail: str) -> web.Response:
    body = {"type": "ErrorResponse", "error": {"id": "x", "status": status, "code": code, "detail": detail}, "time": 1}
    return web.json_response(body, status=status)
