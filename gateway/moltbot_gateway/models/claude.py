"""Claude by the Anthropic SDK: directly, at another base URL, or through an AI Gateway with a provider key, with none, or with both.

The SDK is imported when it is first wanted, in a thread: its types alone take half a second and 50 MiB, and neither belongs to a start.
The key goes as `x-api-key`, which the API documents and which everything that speaks as it does understands (the SDK's own header since
2.0 is `Authorization: Bearer`). Redirects are not followed: the key would go with them.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from moltbot_gateway.models import claude_failures as failures
from moltbot_gateway.models.base import Completed, ModelEvent, ModelRequest, Text, TextDelta, Usage
from moltbot_gateway.models.claude_failures import ApiError, Place
from moltbot_gateway.models.failure import ModelFailure
from moltbot_trust.redaction import Secret

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

DEFAULT_BASE_URL = "https://api.anthropic.com"
# Long enough for a long answer, and below the output limit of every model that the SDK names.
MAX_TOKENS = 16_384
# Requests that found nobody or a busy provider are sent again this often by the SDK, with growing, jittered pauses and Retry-After kept.
MAX_RETRIES = 3
# Streams that failed before the first word: asked anew by ourselves, for the SDK only looks at the response's head.
STREAM_RETRIES = 2
_MODEL_VERSION = re.compile(r"claude-[a-z]+-(\d+)(?:-(\d{1,2}))?(?:-|$)")


@dataclass(frozen=True)
class Connection:
    """How the provider is reached; each key optional."""

    base_url: str = ""
    api_key: Secret | None = None
    gateway_authorization: Secret | None = None


@dataclass(frozen=True)
class Limits:
    """Seconds. `connect`: TCP asks a third time after 3 s, and whoever waits for an answer is told after four of these; `silence`: no byte
    (the API pings a quiet stream); `quiet`: pings, but no event."""

    connect: float = 4.0
    silence: float = 60.0
    quiet: float = 180.0


def clean_base_url(url: str) -> str:
    """The base that the SDK appends `/v1/messages` to; people copy it with a slash, `/v1` or the whole path at its end."""
    cleaned = url.strip().rstrip("/") or DEFAULT_BASE_URL
    for tail in ("/messages", "/v1"):
        cleaned = cleaned.removesuffix(tail).rstrip("/")
    return cleaned


def thinks(model: str) -> bool:
    """Effort and adaptive thinking exist since Claude 4.6; older ones refuse the parameters."""
    match = _MODEL_VERSION.search(model)
    return match is not None and (int(match[1]), int(match[2] or 0)) >= (4, 6)


def build_body(request: ModelRequest) -> dict[str, Any]:
    """The Messages API's parameters. Turns of one role become one message; the last block is marked for the prompt cache."""
    turns: list[dict[str, Any]] = []
    for said in request.turns:
        blocks = [{"type": "text", "text": block.text} for block in said.blocks if isinstance(block, Text)]
        if turns and turns[-1]["role"] == said.role:
            turns[-1]["content"].extend(blocks)
        else:
            turns.append({"role": said.role, "content": blocks})
    turns[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
    body: dict[str, Any] = {"model": request.model, "max_tokens": MAX_TOKENS, "system": "\n\n".join(request.system), "messages": turns}
    if request.thinking not in (None, "off") and thinks(request.model):
        body["thinking"] = {"type": "adaptive"}
        body["output_config"] = {"effort": request.thinking}
    return body


class ClaudeModel:
    """`sleep` waits between tries of a stream; tests bring one that does not."""

    provider = "anthropic"

    def __init__(
        self,
        connection: Connection,
        *,
        limits: Limits | None = None,
        max_retries: int = MAX_RETRIES,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connection = connection
        self._base_url = clean_base_url(connection.base_url)
        self._limits = limits or Limits()
        self._max_retries = max_retries
        self._sleep = sleep
        self._client: AsyncAnthropic | None = None
        self._loading: asyncio.Task[Any] | None = None

    async def warm(self) -> None:
        await self._sdk()

    def thinks(self, model: str) -> bool:
        return thinks(model)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        place = Place(request.model, urlsplit(self._base_url).netloc, self._connection.gateway_authorization is not None)
        tries = 0
        while True:
            spoke = False
            try:
                async for event in self._once(request, place):
                    spoke = True
                    yield event
            except ModelFailure as failure:
                # Text that was shown is not taken back: only a stream that had said nothing is asked for again.
                if spoke or not failure.again or tries >= STREAM_RETRIES:
                    raise
            else:
                return
            tries += 1
            await self._sleep(2**tries * random.uniform(0.25, 0.5))  # noqa: S311 - jitter, not a secret

    async def _once(self, request: ModelRequest, place: Place) -> AsyncIterator[ModelEvent]:
        sdk = await self._sdk()
        assert self._client is not None
        try:
            stream = await self._client.messages.create(stream=True, **build_body(request))
        except sdk.APIError as error:
            raise self._translate(sdk, error, place, asked=True) from error
        answer = _Answer(place, request.model)
        try:
            events = aiter(stream)
            while True:
                try:
                    async with asyncio.timeout(self._limits.quiet):
                        event = await anext(events)
                except StopAsyncIteration:
                    break
                for told in answer.take(event):
                    yield told
            yield answer.end()
        except (sdk.APIError, OSError, ValueError, AttributeError, TypeError) as error:
            raise self._translate(sdk, error, place) from error
        except Exception as error:
            # The stream's transport raises its own errors, of the HTTP library that the SDK brings.
            if type(error).__module__.startswith("httpx"):
                raise self._translate(sdk, error, place) from error
            raise
        finally:
            await asyncio.shield(stream.close())

    def _translate(self, sdk: Any, error: BaseException, place: Place, *, asked: bool = False) -> ModelFailure:
        if isinstance(error, sdk.APIStatusError):
            return failures.describe(_api_error(error), place)
        names = {kind.__name__ for kind in type(error).__mro__}
        if _never_connected(error):
            # Packets that a network policy drops end so: no refusal, only silence before there is a connection.
            failure = failures.unreachable(place, f"no connection within {self._limits.connect:g} s")
            failure.again = False
            return failure
        if isinstance(error, TimeoutError) or names & {"APITimeoutError", "TimeoutException"}:
            # The SDK has asked again by itself before it gives up on a request.
            failure = failures.timed_out(place)
            failure.again = failure.again and not asked
            return failure
        if "APIConnectionError" in names:
            failure = failures.unreachable(place, _deepest(error))
            failure.again = False
            return failure
        if isinstance(error, OSError) or names & {"TransportError"}:
            return failures.cut(place)
        return failures.malformed(place)

    async def _sdk(self) -> Any:
        if self._loading is None:
            self._loading = asyncio.ensure_future(asyncio.to_thread(importlib.import_module, "anthropic"))
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
        if self._connection.api_key:
            headers["X-Api-Key"] = self._connection.api_key.reveal().strip()
        if self._connection.gateway_authorization:
            token = self._connection.gateway_authorization.reveal().strip()
            headers["cf-aig-authorization"] = token if token.lower().startswith("bearer ") else f"Bearer {token}"
        timeout = sdk.Timeout(self._limits.silence, connect=self._limits.connect)
        client: AsyncAnthropic = sdk.AsyncAnthropic(
            api_key="",
            base_url=self._base_url,
            default_headers=headers,
            max_retries=self._max_retries,
            timeout=timeout,
            http_client=sdk.DefaultAsyncHttpxClient(follow_redirects=False, timeout=timeout),
        )
        return client


class _Answer:
    """Events of one stream, read with care: what speaks as the API does may speak it badly."""

    def __init__(self, place: Place, model: str) -> None:
        self._place = place
        self._model = model
        self._started = self._stopped = self._has_text = False
        self._stop_reason = ""
        self._explanation = ""
        self._usage = Usage()

    def take(self, event: Any) -> list[ModelEvent]:
        match getattr(event, "type", None):
            case "message_start":
                self._started = True
                self._model = str(event.message.model or self._model)
                self._count(event.message.usage)
            case "content_block_delta" if event.delta.type == "text_delta" and event.delta.text:
                self._has_text = True
                return [TextDelta(str(event.delta.text))]
            case "message_delta":
                self._stop_reason = str(event.delta.stop_reason or "")
                self._explanation = str(getattr(event.delta.stop_details, "explanation", None) or "")
                self._count(event.usage)
            case "message_stop":
                self._stopped = True
            case _:
                pass  # the API may add events at any time (platform.claude.com/docs/en/api/versioning)
        return []

    def end(self) -> Completed:
        """Raises ModelFailure unless the answer is whole and good."""
        if not self._started:
            raise failures.malformed(self._place)
        if not self._stopped:
            raise failures.cut(self._place)
        failure = failures.stopped(self._stop_reason, has_text=self._has_text, explanation=self._explanation)
        if failure is not None:
            failure.usage = self._usage
            raise failure
        return Completed("stop", self._model, self._usage)

    def _count(self, usage: Any) -> None:
        """Counts are cumulative; what a later event leaves out stays."""
        old = self._usage

        def number(name: str, before: int) -> int:
            value = getattr(usage, name, None)
            return value if isinstance(value, int) and value >= 0 else before

        self._usage = Usage(
            number("input_tokens", old.input),
            number("output_tokens", old.output),
            number("cache_read_input_tokens", old.cache_read),
            number("cache_creation_input_tokens", old.cache_write),
        )


def _api_error(error: Any) -> ApiError:
    retry_after = str(error.response.headers.get("retry-after") or "")
    status = int(error.status_code)
    kind, message = str(error.type or ""), str(error.api_message or "")
    if not message and not kind and isinstance(error.body, str):
        # A proxy's page; its first words may say more than nothing.
        message = re.sub(r"<[^>]*>", " ", error.body)[:200]
    return ApiError(status, kind, message, retry_after)


def _never_connected(error: BaseException | None) -> bool:
    """Whether what gave up was the attempt to connect, and not the wait for an answer."""
    while error is not None:
        if type(error).__name__ == "ConnectTimeout":
            return True
        error = error.__cause__ or error.__context__
    return False


def _deepest(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__
