"""What speaks OpenAI's chat completions, over aiohttp: OpenAI, Cloudflare's AI Gateway (`…/openai`, `…/compat`, `…/workers-ai/v1`), Workers
AI, local servers (docs/adr/0010-chat-completions-without-an-sdk.md).

The key goes to the one address that was configured: redirects are not followed, no proxy of the environment is asked, no cookie is kept.
A parameter that a server does not understand is left out, and that is remembered as long as the process lives.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from moltbot_gateway.models import provider_failures as failures
from moltbot_gateway.models.base import ModelEvent, ModelRequest, ToolResult, ToolUse
from moltbot_gateway.models.connection import GATEWAY_HEADER, Connection, Limits
from moltbot_gateway.models.facts import facts_of
from moltbot_gateway.models.failure import ModelFailure
from moltbot_gateway.models.openai_answer import OpenAIAnswer, read_data, read_error
from moltbot_gateway.models.openai_body import PROVIDER, Relaxed, build_body, clean_base_url, relaxation_for
from moltbot_gateway.models.provider_failures import ApiError, Place, wait_of
from moltbot_gateway.models.retrying import RetryPolicy, Sleep, with_retries, within

# Bytes of an error that are read.
_MAX_ERROR = 64 * 1024


class OpenAIModel:
    """`sleep` waits between tries; tests bring one that does not."""

    provider = PROVIDER

    def __init__(
        self, connection: Connection, *, limits: Limits | None = None, policy: RetryPolicy | None = None, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._connection = connection
        self._base_url = clean_base_url(connection.base_url)
        self._limits = limits or Limits()
        self._policy = policy or RetryPolicy()
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        self._relaxed: dict[str, tuple[Relaxed, ...]] = {}

    async def warm(self) -> None:
        return None

    def thinks(self, model: str) -> bool:
        return facts_of(model).thinks

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        gateway = bool(self._connection.gateway_authorization)
        place = Place(request.model, urlsplit(self._base_url).netloc, gateway, "OPENAI_API_KEY", "chat completions of OpenAI")
        tries = with_retries(lambda: self._once(request, place), request.model, policy=self._policy, sleep=self._sleep)
        async with aclosing(tries):
            async for event in tries:
                yield event

    async def _once(self, request: ModelRequest, place: Place) -> AsyncGenerator[ModelEvent, None]:
        after_results = bool(request.turns) and any(isinstance(block, ToolResult) for block in request.turns[-1].blocks)
        taken = (block.id for turn in request.turns for block in turn.blocks if isinstance(block, ToolUse))
        answer = OpenAIAnswer(place, request.model, after_results=after_results, taken=taken)
        response = None
        try:
            response = await self._open(request, place)
            async with aclosing(within(read_data(response.content.iter_any()), self._limits.quiet)) as events:
                async for data in events:
                    if data == "[DONE]":
                        break
                    for told in answer.take(data):
                        yield told
            yield answer.end()
        except (aiohttp.ClientError, OSError, ValueError, AttributeError, TypeError) as error:
            raise self._translate(error, place) from error
        finally:
            if response is not None:
                response.close()

    async def _open(self, request: ModelRequest, place: Place) -> aiohttp.ClientResponse:
        """A response whose body is the answer. Raises ModelFailure for any other."""
        while True:
            relaxed = self._relaxed.get(request.model, ())
            body = build_body(request, self._base_url, relaxed)
            response = await self._post(body)
            if response.status == 200:
                if response.content_type == "text/event-stream":
                    return response
                response.close()
                raise failures.malformed(place)
            error = await _read_error(response)
            mended = relaxation_for(error, body) if response.status in (400, 422) else None
            if mended is None or mended in relaxed:
                raise failures.describe(error, place)
            self._relaxed[request.model] = (*relaxed, mended)

    async def _post(self, body: dict[str, Any]) -> aiohttp.ClientResponse:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect, sock_read=self._limits.silence)
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        headers = {"Accept": "text/event-stream"}
        if key := self._connection.key_value:
            headers["Authorization"] = f"Bearer {key}"
        if token := self._connection.gateway_value:
            headers[GATEWAY_HEADER] = token
        return await self._session.post(f"{self._base_url}/chat/completions", json=body, headers=headers, allow_redirects=False)

    def _translate(self, error: BaseException, place: Place) -> ModelFailure:
        match error:
            case aiohttp.ConnectionTimeoutError():
                return failures.unreachable(place, f"no connection within {self._limits.connect:g} s")
            case TimeoutError():
                return failures.timed_out(place)
            case aiohttp.ClientConnectorError():
                return failures.unreachable(place, failures.why_unreached(error.os_error))
            case aiohttp.InvalidURL():
                failure = failures.unreachable(place, "the base URL is no address")
                failure.again = False
                return failure
            case aiohttp.ClientError() | OSError():
                return failures.cut(place)
            case _:
                return failures.malformed(place)


async def _read_error(response: aiohttp.ClientResponse) -> ApiError:
    wait = wait_of(response.headers, time.time())
    raw = b""
    try:
        while len(raw) < _MAX_ERROR and (more := await response.content.read(_MAX_ERROR - len(raw))):
            raw += more
    finally:
        response.close()
    text = raw.decode("utf-8", "replace")
    try:
        return read_error(response.status, json.loads(text), wait)
    except ValueError:
        # A proxy's page; its first words may say more than nothing.
        return ApiError(response.status, "", re.sub(r"<[^>]*>", " ", text)[:200], wait)
