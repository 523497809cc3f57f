"""A strict fake of Anthropic's Messages API: headers, body, errors and server-sent events as the platform has them (platform.claude.com:
docs/en/api/messages, errors, versioning, build-with-claude/streaming). What the platform refuses is refused here, with its error shape:
fields, tools and thinking in `anthropic_rules`, messages in `anthropic_blocks`; the prompt cache is counted in `anthropic_cache`.

    fake = FakeAnthropic(); await fake.start(); …; fake.requests[-1].body; await fake.stop()
    python -m tests.fakes.anthropic_api --host 0.0.0.0 --port 8090 --api-key test-key

What it answers is chosen by markers in the person's last message. Without one the answer repeats what was said and how many turns there
were, so that memory can be seen. A marker may stand anywhere in the message.

    [fake:overloaded]                      a scenario of `anthropic_script.SCENARIOS`
    [fake:rate-limit times=2]              it for the first two requests of this step, then a good answer
    [fake:call NAME {"a": 1}]              a call; several are made side by side; no input is an empty one
    [fake:bad-call NAME {"a": ]            a call whose input is no JSON
    [fake:cut-call NAME {"a": 1}]          the answer reaches max_tokens in the middle of this input
    [fake:say WORDS] [fake:think WORDS]    text before the calls of a step; what is thought there
    [fake:redacted]                        the thought of this step is a redacted one
    [fake:then]                            the next step: what is asked for after the results of the calls before it

When the steps are over, the rest of the message is the answer; `{results}` in it are the texts of all results since the message,
`{result:2}` that of the second call. Without a rest it is `Done: {results}`. So a whole turn of two steps is one message:

    [fake:say Looking.] [fake:call read {"path": "a"}] [fake:call list] [fake:then] [fake:call write {"path": "b"}] It said {result:1}

From Python: `fake.script(Plan(calls=(Call("read", {"path": "a"}),)), Plan("Done."), ApiError(529, …))` answers the next requests in that
order, whatever they say; the markers come after it.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.anthropic_blocks import Given
from tests.fakes.anthropic_cache import Counted, PromptCache, tokens_of
from tests.fakes.anthropic_errors import ApiError, invalid
from tests.fakes.anthropic_rules import MAX_BODY, VERSIONS, check_body, window_of
from tests.fakes.anthropic_script import Call, Plan, last_text, plan_for, said_by_person, step_of
from tests.fakes.anthropic_stream import Writing, events_of

__all__ = ["ApiError", "Call", "FakeAnthropic", "Plan", "Recorded", "last_text", "said_by_person"]


@dataclass(frozen=True)
class Recorded:
    """One request as it came, also one that was refused."""

    path: str
    headers: Mapping[str, str]
    body: Any
    at: float
    status: int = 0


@dataclass
class FakeAnthropic:
    """`gateway_token`: an AI Gateway stands before it, which wants `cf-aig-authorization`; with `stored_key` it brings the provider's key
    itself. `hold`: seconds that a stalling scenario stalls. `window`: tokens, instead of the model's own. `bound`: thoughts are held to the
    conversation they were thought in."""

    api_key: str = "sk-ant-test-key"
    gateway_token: str | None = None
    stored_key: bool = False
    prefix: str = ""
    hold: float = 30.0
    word_pause: float = 0.0
    window: int | None = None
    bound: bool = True
    requests: list[Recorded] = field(default_factory=list)
    cache: PromptCache = field(default_factory=PromptCache)
    _seen: dict[tuple[str, int], int] = field(default_factory=dict)
    _script: deque[Plan | ApiError] = field(default_factory=deque)
    _given: Given = field(default_factory=Given)
    _ids: Any = field(default_factory=lambda: itertools.count(1))
    _runner: web.AppRunner | None = None
    url: str = ""
    open_streams: int = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Returns the base URL, as it would be put into ANTHROPIC_BASE_URL."""
        application = web.Application(client_max_size=MAX_BODY + 2**20)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        address, bound = self._runner.addresses[0][:2]
        self.url = f"http://{address}:{bound}{self.prefix}"
        return self.url

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def script(self, *plans: Plan | ApiError) -> None:
        """The next requests are answered so, in this order."""
        self._script.extend(plans)

    # one request

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        request_id = f"req_{next(self._ids):024d}"
        raw = await request.read()
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = None
        recorded = Recorded(request.path, {name.lower(): value for name, value in request.headers.items()}, body, time.monotonic())
        self.requests.append(recorded)
        try:
            if (refused := self._gateway(request)) is not None:
                return refused
            self._check_head(request, raw)
            self._given.bound = self.bound
            message = check_body(body, request.headers["anthropic-version"], self._given)
            return await self._carry_out(request, message, request_id)
        except ApiError as error:
            self.requests[self.requests.index(recorded)] = dataclasses.replace(recorded, status=error.status)
            return _error_response(error, request_id)

    def _gateway(self, request: web.Request) -> web.Response | None:
        """Cloudflare's own refusal looks like its API, not like Anthropic's."""
        if self.gateway_token is None or request.headers.get("cf-aig-authorization") == f"Bearer {self.gateway_token}":
            return None
        body = {"success": False, "result": [], "messages": [], "error": [{"code": 2009, "message": "Unauthorized"}]}
        return web.json_response(body, status=401)

    def _check_head(self, request: web.Request, raw: bytes) -> None:
        if request.path != f"{self.prefix}/v1/messages":
            raise ApiError(404, "not_found_error", "Not found")
        if request.method != "POST":
            raise ApiError(405, "invalid_request_error", "Method Not Allowed")
        if len(raw) > MAX_BODY:
            raise ApiError(413, "request_too_large", "Request exceeds the maximum size")
        key = request.headers.get("x-api-key")
        bearer = request.headers.get("Authorization")
        if not (self.gateway_token is not None and self.stored_key and key is None and bearer is None):
            if key is None and bearer is None:
                raise ApiError(401, "authentication_error", "x-api-key header is required")
            if key is not None and key != self.api_key:
                raise ApiError(401, "authentication_error", "invalid x-api-key")
            if key is None and bearer != f"Bearer {self.api_key}":
                raise ApiError(401, "authentication_error", "Invalid bearer token")
        version = request.headers.get("anthropic-version")
        if version is None:
            raise invalid("anthropic-version: header is required")
        if version not in VERSIONS:
            raise invalid(f'anthropic-version: "{version}" is not a valid version')
        if request.content_type != "application/json":
            raise invalid("content-type: must be application/json")

    async def _carry_out(self, request: web.Request, body: dict[str, Any], request_id: str) -> web.StreamResponse:
        counted = self.cache.count(body)
        window = self.window or window_of(body["model"])
        if counted.total > window:
            raise invalid(f"prompt is too long: {counted.total} tokens > {window} maximum")
        plan = self._script.popleft() if self._script else self._marked(body)
        if isinstance(plan, ApiError):
            raise plan
        if plan.head_pause:
            await asyncio.sleep(self.hold)
        if plan.response is not None:
            return web.Response(status=plan.response[0], text=plan.response[1], content_type=plan.response[2], headers=plan.headers)
        if not body.get("stream"):
            return web.json_response(_whole(body, plan, counted), headers={"request-id": request_id})
        return await self._stream(request, Writing(body, plan, counted, self._given, next(self._ids)), request_id)

    def _marked(self, body: dict[str, Any]) -> Plan | ApiError:
        asked = (last_text(body), step_of(body))
        count = self._seen[asked] = self._seen.get(asked, 0) + 1
        return plan_for(body, count)

    async def _stream(self, request: web.Request, writing: Writing, request_id: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", "request-id": request_id})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self.open_streams += 1
        try:
            async for item in events_of(writing, hold=self.hold, word_pause=self.word_pause):
                if item == "cut":
                    assert request.transport is not None
                    request.transport.abort()
                    return response
                await response.write(item.encode())
            await response.write_eof()
        finally:
            self.open_streams -= 1
        return response


def _whole(body: dict[str, Any], plan: Plan, counted: Counted) -> dict[str, object]:
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": plan.text}],
        "stop_reason": plan.reason,
        "stop_sequence": None,
        "usage": {"input_tokens": counted.total, "output_tokens": tokens_of(plan.text)},
    }


def _error_response(error: ApiError, request_id: str) -> web.Response:
    body = {"type": "error", "error": {"type": error.kind, "message": error.message}, "request_id": request_id}
    return web.json_response(body, status=error.status, headers={"request-id": request_id, **error.headers})


async def _serve(arguments: argparse.Namespace) -> None:
    fake = FakeAnthropic(api_key=arguments.api_key, gateway_token=arguments.gateway_token, word_pause=arguments.word_pause)
    print(f"listening on {await fake.start(arguments.host, arguments.port)}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--api-key", default="sk-ant-test-key")
    parser.add_argument("--gateway-token", default=None)
    parser.add_argument("--word-pause", type=float, default=0.01)
    asyncio.run(_serve(parser.parse_args()))
