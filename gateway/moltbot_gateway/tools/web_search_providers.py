"""What each search provider wants to be asked and how it answers.

Brave: api-dashboard.search.brave.com, "Web Search API". Tavily: docs.tavily.com, "Tavily Search". SearXNG: docs.searxng.org, "Search API".
"""

from __future__ import annotations

import html
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from moltbot_gateway.errors import WebError
from moltbot_gateway.tools.web_client import WebClient

# Characters of what is kept of one result.
MAX_TITLE = 200
MAX_SNIPPET = 600


@dataclass(frozen=True)
class Found:
    """`age`: as the provider says it, empty where it does not."""

    title: str
    url: str
    snippet: str
    age: str = ""


@dataclass(frozen=True)
class Question:
    """`base`: without a slash at its end. `key`: empty where none is needed."""

    base: str
    key: str
    query: str
    count: int


@dataclass(frozen=True)
class Provider:
    """`address`: where it is unless the resource says otherwise. `rows` finds the list of results in an answer; `snippet` and `age` are
    their names in a row."""

    label: str
    needs_key: bool
    address: str
    ask: Callable[[WebClient, Question], Awaitable[tuple[int, object]]]
    rows: Callable[[Mapping[str, object]], object]
    snippet: str
    age: str

    async def search(self, web: WebClient, question: Question) -> list[Found]:
        """Raises WebError with the provider's words where it refuses."""
        status, body = await self.ask(web, question)
        if status != 200:
            raise WebError(_refusal(self, status, body, question.key))
        if not isinstance(body, dict):
            raise WebError(f"{self.label} answered something that is no JSON object. Is the address right?")
        rows = self.rows(body)
        found = [self._found(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return [one for one in found if one.url.startswith(("http://", "https://"))][: question.count]

    def _found(self, row: Mapping[str, object]) -> Found:
        url = row.get("url")
        return Found(
            _plain(row.get("title"), MAX_TITLE) or "(no title)",
            url.strip()[:2000] if isinstance(url, str) and not re.search(r"\s", url.strip()) else "",
            _plain(row.get(self.snippet), MAX_SNIPPET),
            _plain(row.get(self.age), 40),
        )


def _plain(value: object, most: int) -> str:
    """One line without tags: Brave marks what was found with <strong>."""
    text = value if isinstance(value, str) else ""
    return " ".join(html.unescape(re.sub(r"</?[a-zA-Z][^<>]{0,200}>", "", text)).split())[:most]


def _refusal(provider: Provider, status: int, body: object, key: str) -> str:
    said = _said(body)
    # Whatever echoes the key back does so to a model.
    said = said.replace(key, "…") if key else said
    words = f" ({said})" if said else ""
    if status == 403 and provider is SEARXNG:
        return "SearXNG refuses: its settings.yml must list json under search.formats, and its limiter must let this address in."
    # Brave says it with 422 and a code of its own.
    if status in (401, 403) or _code(body) == "SUBSCRIPTION_TOKEN_INVALID":
        return f"{provider.label} does not take the key{words}. A person must check spec.gateway.tools.webSearch.apiKeySecretRef."
    if status == 429:
        return f"{provider.label} says that it was asked too often{words}. Try again later, or fewer searches."
    if status in (402, 432, 433):
        return f"{provider.label} says that what was paid for is used up{words}."
    if 300 <= status < 400:
        return f"{provider.label} redirects elsewhere: the address in spec.gateway.tools.webSearch.baseURL must be its final one."
    return f"{provider.label} refused the search with status {status}{words}."


def _said(body: object) -> str:
    """The error's text, in the shapes that these three have: `error.detail`, `detail.error`, `detail`, `error`, `message`."""
    for path in (("error", "detail"), ("detail", "error"), ("detail",), ("error",), ("message",)):
        value = body
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            return _plain(value, 300)
    return ""


def _code(body: object) -> object:
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("code") if isinstance(error, dict) else None


async def _ask_brave(web: WebClient, asked: Question) -> tuple[int, object]:
    query = {"q": asked.query, "count": str(asked.count), "result_filter": "web"}
    return await web.json("GET", f"{asked.base}/res/v1/web/search", headers={"X-Subscription-Token": asked.key}, query=query)


async def _ask_tavily(web: WebClient, asked: Question) -> tuple[int, object]:
    body = {"query": asked.query, "max_results": asked.count, "search_depth": "basic"}
    return await web.json("POST", f"{asked.base}/search", headers={"Authorization": f"Bearer {asked.key}"}, body=body)


async def _ask_searxng(web: WebClient, asked: Question) -> tuple[int, object]:
    headers = {"Authorization": f"Bearer {asked.key}"} if asked.key else {}
    return await web.json("GET", f"{asked.base}/search", headers=headers, query={"q": asked.query, "format": "json"})


def _brave_rows(body: Mapping[str, object]) -> object:
    web = body.get("web")
    return web.get("results") if isinstance(web, dict) else None


def _rows(body: Mapping[str, object]) -> object:
    return body.get("results")


BRAVE = Provider("Brave Search", True, "https://api.search.brave.com", _ask_brave, _brave_rows, "description", "age")
TAVILY = Provider("Tavily", True, "https://api.tavily.com", _ask_tavily, _rows, "content", "published_date")
SEARXNG = Provider("SearXNG", False, "", _ask_searxng, _rows, "content", "publishedDate")
PROVIDERS: Mapping[str, Provider] = {"brave": BRAVE, "tavily": TAVILY, "searxng": SEARXNG}
