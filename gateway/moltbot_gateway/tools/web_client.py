"""The one client by which tools ask the web: guarded (`web_guard`), no cookies, no proxy of the environment, bounded in time and bytes.

A proxy would resolve the name a second time and ask what it likes, so the environment's proxy settings are not used: a pod's egress is
direct.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from moltbot_gateway.errors import WebError
from moltbot_gateway.tools.web_guard import Guard

# All of one fetch: names, connections, redirects, body.
SECONDS = 20.0
MAX_REDIRECTS = 5
MAX_BYTES = 5 * 2**20
MAX_JSON = 2 * 2**20
USER_AGENT = "Mozilla/5.0 (compatible; Moltbot)"
_ACCEPT = "text/html,application/xhtml+xml,text/markdown,text/plain,application/json,application/pdf,image/*;q=0.8,*/*;q=0.5"
_REDIRECTS = (301, 302, 303, 307, 308)
# zlib's window size for either header, gzip's or zlib's (zlib manual, inflateInit2).
_ANY_HEADER = 47


@dataclass(frozen=True)
class Answer:
    """What a server answered at `url`, after redirects. `content_type` lower case without parameters, empty where it said none. `body` is
    decompressed; `cut`: it was longer than allowed."""

    url: str
    status: int
    reason: str
    content_type: str
    charset: str | None
    body: bytes
    cut: bool = False


class WebClient:
    """Each call is a session of its own: nothing stays open between two of them, and nothing needs to be closed."""

    def __init__(self, guard: Guard | None = None, *, seconds: float = SECONDS) -> None:
        self._guard = guard or Guard()
        self._seconds = seconds

    async def get(self, url: str, limit: Callable[[str], int] = lambda content_type: MAX_BYTES) -> Answer:
        """GET, following redirects; `limit` gives the most bytes for a content type (0: only the head is wanted). Raises WebError.
        Cancellation closes the connection."""
        async with _bounded(self._seconds), self._session() as session:
            place = self._guard.check(url)
            for _ in range(MAX_REDIRECTS + 1):
                async with session.get(place, allow_redirects=False, headers={"Accept": _ACCEPT}) as response:
                    target = response.headers.get("Location") if response.status in _REDIRECTS else None
                    if target is None:
                        return await _read(response, limit)
                    try:
                        place = self._guard.check(place.join(URL(target)))
                    except ValueError as error:
                        raise WebError(f"{place} redirects to something that is no address.") from error
            raise WebError(f"{url} redirects more than {MAX_REDIRECTS} times.")

    async def json(
        self, method: str, url: str, *, headers: Mapping[str, str], query: Mapping[str, str] | None = None, body: object = None
    ) -> tuple[int, object]:
        """One call of an API: status and parsed body (`None` where it is no JSON). No redirects: a key must not travel. Raises WebError."""
        async with _bounded(self._seconds), self._session() as session:
            place = self._guard.check(url)
            async with session.request(
                method, place, params=query, json=body, headers={"Accept": "application/json", **headers}, allow_redirects=False
            ) as response:
                answer = await _read(response, lambda content_type: MAX_JSON)
            try:
                return answer.status, json.loads(answer.body)
            except (ValueError, RecursionError):
                return answer.status, None

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._guard.connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            # gzip alone: it can be undone in bounded steps with what Python brings.
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
            timeout=aiohttp.ClientTimeout(total=None),
            max_line_size=16_384,
            max_field_size=16_384,
        )


@asynccontextmanager
async def _bounded(seconds: float) -> AsyncIterator[None]:
    """Ends what takes longer, and turns what goes wrong on the way into a WebError."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise WebError(f"It took longer than {seconds:g} seconds and was given up.") from error
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
        raise WebError(f"The server's certificate cannot be trusted, or it does not speak TLS: {error}.") from error
    except aiohttp.ClientConnectorDNSError as error:
        raise WebError("There is no such host, or its name cannot be resolved now.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise WebError(f"The server cannot be reached or broke off: {str(error) or type(error).__name__}.") from error


async def _read(response: aiohttp.ClientResponse, limit: Callable[[str], int]) -> Answer:
    content_type = response.content_type.lower() if "Content-Type" in response.headers else ""
    most = limit(content_type)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate"):
        inflate: zlib._Decompress | None = zlib.decompressobj(_ANY_HEADER)
    elif encoding in ("identity", ""):
        inflate = None
    else:
        raise WebError(f"The server sent its answer as {encoding!r}, which was not asked for and is not read.")
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        # Never more than one byte over the limit is unpacked: a bomb costs what an honest page costs.
        try:
            body += chunk if inflate is None else inflate.decompress(chunk, most + 1 - len(body))
        except zlib.error as error:
            raise WebError("The server's compressed answer is damaged.") from error
        if len(body) > most:
            break
    cut = len(body) > most
    return Answer(str(response.url), response.status, response.reason or "", content_type, response.charset, bytes(body[:most]), cut)
