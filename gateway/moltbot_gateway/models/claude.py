"""Claude by the Anthropic SDK: directly, at another base URL, or through an AI Gateway with a provider key, with none, or with both.

The SDK is imported when it is first wanted, in a thread: its types alone take half a second and 50 MiB, and neither belongs to a start.
The key goes as `x-api-key`, which the API documents and which everything that speaks as it does understands (the SDK's own header since
2.0 is `Authorization: Bearer`). Redirects are not followed: the key would go with them. The SDK's own retries are off: nobody would be
told of them (`retrying`).

Newer models take a thought back only if nothing before it was changed (docs/en/build-with-claude/preserved-thinking): after a compaction,
a changed prompt or a changed tool they refuse the request. It is then sent without those thoughts, and so are all later ones.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from moltbot_gateway.models import provider_failures as failures
from moltbot_gateway.models.base import ModelEvent, ModelRequest, ToolResult
from moltbot_gateway.models.claude_answer import ClaudeAnswer
from moltbot_gateway.models.claude_body import PROVIDER, build_body, signatures, thinks
from moltbot_gateway.models.connection import GATEWAY_HEADER, Connection, Limits
from moltbot_gateway.models.failure import ModelFailure
from moltbot_gateway.models.provider_failures import ApiError, Place, wait_of
from moltbot_gateway.models.retrying import RetryPolicy, Sleep, with_retries, within

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

DEFAULT_BASE_URL = "https://api.anthropic.com"
# Thoughts that were refused are remembered up to this many: each is a signature of some hundred characters.
_MAX_STALE = 4_096


def clean_base_url(url: str) -> str:
    """The base that the SDK appends `/v1/messages` to; people copy it with a slash, `/v1` or the whole path at its end."""
    cleaned = url.strip().rstrip("/") or DEFAULT_BASE_URL
    for tail in ("/messages", "/v1"):
        cleaned = cleaned.removesuffix(tail).rstrip("/")
    return cleaned


class ClaudeModel:
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
        self._client: AsyncAnthropic | None = None
        self._loading: asyncio.Task[Any] | None = None
        self._stale: dict[str, None] = {}

    async def warm(self) -> None:
        await self._sdk()

    def thinks(self, model: str) -> bool:
        return thinks(model)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        place = Place(request.model, urlsplit(self._base_url).netloc, bool(self._connection.gateway_authorization))
        tries = with_retries(lambda: self._once(request, place), request.model, policy=self._policy, sleep=self._sleep)
        async with aclosing(tries):
            async for event in tries:
                yield event

    async def _once(self, request: ModelRequest, place: Place) -> AsyncGenerator[ModelEvent, None]:
        sdk = await self._sdk()
        stream = await self._open(sdk, request, place)
        after_results = bool(request.turns) and any(isinstance(block, ToolResult) for block in request.turns[-1].blocks)
        answer = ClaudeAnswer(place, request.model, after_results=after_results)
        try:
            async with aclosing(within(aiter(stream), self._limits.quiet)) as events:
                async for event in events:
                    for told in answer.take(event):
                        yield told
            yield answer.end()
        except ModelFailure:
            raise
        except Exception as error:
            # The stream's transport raises its own errors, of the HTTP library that the SDK brings.
            known = (sdk.APIError, OSError, ValueError, AttributeError, TypeError)
            if not isinstance(error, known) and not type(error).__module__.startswith("httpx"):
                raise
            failure = self._translate(sdk, error, place)
            failure.usage = answer.usage
            raise failure from error
        finally:
            await asyncio.shield(stream.close())

    async def _open(self, sdk: Any, request: ModelRequest, place: Place) -> Any:
        assert self._client is not None
        try:
            try:
                return await self._client.messages.create(stream=True, **build_body(request, without=self._stale))
            except sdk.BadRequestError as error:
                if not self._put_aside(request, str(error.api_message or "")):
                    raise
                return await self._client.messages.create(stream=True, **build_body(request, without=self._stale))
        except sdk.APIError as error:
            raise self._translate(sdk, error, place) from error

    def _put_aside(self, request: ModelRequest, message: str) -> bool:
        """Whether the request was refused for its thoughts, and is worth sending without them."""
        lower = message.lower()
        if "thinking" not in lower or "signature" not in lower:
            return False
        refused = signatures(request.turns) - self._stale.keys()
        self._stale |= dict.fromkeys(refused)
        while len(self._stale) > _MAX_STALE:
            del self._stale[next(iter(self._stale))]
        return bool(refused)

    def _translate(self, sdk: Any, error: BaseException, place: Place) -> ModelFailure:
        if isinstance(error, sdk.APIStatusError):
            return failures.describe(_api_error(error), place)
        names = {kind.__name__ for kind in type(error).__mro__}
        if _never_connected(error):
            # Packets that a network policy drops end so: no refusal, only silence before there is a connection.
            return failures.unreachable(place, f"no connection within {self._limits.connect:g} s")
        if isinstance(error, TimeoutError) or names & {"APITimeoutError", "TimeoutException"}:
            return failures.timed_out(place)
        if "APIConnectionError" in names:
            return failures.unreachable(place, failures.why_unreached(error))
        if isinstance(error, OSError) or names & {"TransportError"}:
            return failures.cut(place)
        return failures.malformed(place)

    async def _sdk(self) -> Any:
        if self._loading is None:
            self._loading = asyncio.ensure_future(asyncio.to_thread(_import_sdk))
        # Shielded: a turn that is aborted meanwhile does not make the next one begin anew.
        sdk = await asyncio.shield(self._loading)
        if self._client is None:
            self._client = self._connect(sdk)
        return sdk

    def _connect(self, sdk: Any) -> AsyncAnthropic:
        # At DEBUG the SDK and its HTTP library log whole requests: what a person said is in no log of ours.
        for name in ("anthropic", "httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        # `api_key=""` keeps the SDK from looking for credentials in environment and files; the header it would make of it is left out.
        headers: dict[str, Any] = {"Authorization": sdk.Omit()}
        if key := self._connection.key_value:
            headers["X-Api-Key"] = key
        if token := self._connection.gateway_value:
            headers[GATEWAY_HEADER] = token
        timeout = sdk.Timeout(self._limits.silence, connect=self._limits.connect)
        client: AsyncAnthropic = sdk.AsyncAnthropic(
            api_key="",
            base_url=self._base_url,
            default_headers=headers,
            max_retries=0,
            timeout=timeout,
            http_client=sdk.DefaultAsyncHttpxClient(follow_redirects=False, timeout=timeout),
        )
        return client


def _import_sdk() -> Any:
    """Its 150,000 objects stay for good. Left to the garbage collector, they would be looked through again and again: a tenth of a second
    each time, in which nobody is answered."""
    gc.disable()
    try:
        return importlib.import_module("anthropic")
    finally:
        gc.freeze()
        gc.enable()


def _api_error(error: Any) -> ApiError:
    status = int(error.status_code)
    kind, message = str(error.type or ""), str(error.api_message or "")
    if not message and not kind and isinstance(error.body, str):
        # A proxy's page; its first words may say more than nothing.
        message = re.sub(r"<[^>]*>", " ", error.body)[:200]
    return ApiError(status, kind, message, wait_of(error.response.headers, time.time()))


def _never_connected(error: BaseException | None) -> bool:
    """Whether what gave up was the attempt to connect, and not the wait for an answer."""
    while error is not None:
        if type(error).__name__ == "ConnectTimeout":
            return True
        error = error.__cause__ or error.__context__
    return False
