"""A strict fake of Anthropic's Messages API: headers, body, errors and server-sent events as the platform has them (platform.claude.com:
docs/en/api/messages, errors, versioning, build-with-claude/streaming). What the platform refuses is refused here, with its error shape.

    fake = FakeAnthropic(); await fake.start(); …; fake.requests[-1].body; await fake.stop()
    python -m tests.fakes.anthropic_api --host 0.0.0.0 --port 8090 --api-key test-key

A marker in the person's last message chooses what happens: `[fake:overloaded]`, `[fake:rate-limit times=2]` (the first two requests with
that text, then a good answer). Without one the answer repeats what was said and how many turns there were, so that memory can be seen.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.anthropic_rules import MAX_BODY, VERSIONS, ApiError, check_body, invalid

_MARKER = re.compile(r"\[fake:([a-z-]+)((?: [a-z-]+=[^\s\]]+)*)\]")


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
    itself. `hold`: seconds that a stalling scenario stalls."""

    api_key: str = "sk-ant-test-key"
    gateway_token: str | None = None
    stored_key: bool = False
    prefix: str = ""
    hold: float = 30.0
    word_pause: float = 0.0
    requests: list[Recorded] = field(default_factory=list)
    _seen: dict[str, int] = field(default_factory=dict)
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
            message = check_body(body, request.headers["anthropic-version"])
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
        said = last_text(body)
        match = _MARKER.search(said)
        name, options = ("ok", {}) if match is None else (match[1], dict(part.split("=", 1) for part in match[2].split()))
        count = self._seen[said] = self._seen.get(said, 0) + 1
        if "times" in options and count > int(options["times"]):
            name = "ok"
        scenario = SCENARIOS.get(name)
        if scenario is None:
            raise invalid(f"this fake has no scenario {name}")
        plan = scenario(body, options)
        if isinstance(plan, ApiError):
            raise plan
        if plan.head_pause:
            await asyncio.sleep(self.hold)
        if plan.response is not None:
            return web.Response(status=plan.response[0], text=plan.response[1], content_type=plan.response[2], headers=plan.headers)
        if not body.get("stream"):
            return web.json_response(_whole(body, plan), headers={"request-id": request_id})
        return await self._stream(request, body, plan, request_id)

    async def _stream(self, request: web.Request, body: dict[str, Any], plan: Plan, request_id: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", "request-id": request_id})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self.open_streams += 1
        try:
            async for item in self._events(body, plan):
                if item == "cut":
                    assert request.transport is not None
                    request.transport.abort()
                    return response
                await response.write(item.encode())
            await response.write_eof()
        finally:
            self.open_streams -= 1
        return response

    async def _events(self, body: dict[str, Any], plan: Plan) -> AsyncIterator[str]:
        """In the platform's order; a plan may break off anywhere."""
        usage = {"input_tokens": _tokens(json.dumps(body["messages"])), "output_tokens": 1}
        usage |= {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
        message = {
            "id": "msg_01",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        yield sse("message_start", {"type": "message_start", "message": message})
        index = 0
        if body.get("thinking", {}).get("type") in ("adaptive", "enabled"):
            block = {"type": "thinking", "thinking": "", "signature": ""}
            yield sse("content_block_start", {"type": "content_block_start", "index": 0, "content_block": block})
            yield sse("content_block_delta", _delta(0, {"type": "thinking_delta", "thinking": "Let me see."}))
            yield sse("content_block_delta", _delta(0, {"type": "signature_delta", "signature": "c2lnbmF0dXJl"}))
            yield sse("content_block_stop", {"type": "content_block_stop", "index": 0})
            index = 1
        if plan.before_text is not None:
            yield plan.before_text
            if plan.stops:
                return
        words = re.findall(r"\s*\S+|\s+$", plan.text)
        if words:
            yield sse("content_block_start", {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}})
        yield sse("ping", {"type": "ping"})
        for number, word in enumerate(words):
            if self.word_pause:
                await asyncio.sleep(self.word_pause)
            yield sse("content_block_delta", _delta(index, {"type": "text_delta", "text": word}))
            if plan.break_after is not None and number + 1 >= plan.break_after:
                async for item in self._break(plan):
                    yield item
                return
        if words:
            yield sse("content_block_stop", {"type": "content_block_stop", "index": index})
        delta: dict[str, object] = {"stop_reason": plan.stop_reason, "stop_sequence": None}
        if plan.stop_details:
            delta["stop_details"] = plan.stop_details
        yield sse("message_delta", {"type": "message_delta", "delta": delta, "usage": {"output_tokens": max(1, len(words))}})
        yield sse("message_stop", {"type": "message_stop"})

    async def _break(self, plan: Plan) -> AsyncIterator[str]:
        match plan.break_how:
            case "stall":
                await asyncio.sleep(self.hold)
            case "pings":
                deadline = time.monotonic() + self.hold
                while time.monotonic() < deadline:
                    yield sse("ping", {"type": "ping"})
                    await asyncio.sleep(0.02)
            case "cut":
                yield "cut"
            case "end":
                return
            case text:
                yield text


# what happens


@dataclass(frozen=True)
class Plan:
    """An answer. `break_after` words it breaks off in the way `break_how` says (or with that text)."""

    text: str = ""
    stop_reason: str = "end_turn"
    stop_details: Mapping[str, object] | None = None
    break_after: int | None = None
    break_how: str = "end"
    before_text: str | None = None
    stops: bool = False
    head_pause: bool = False
    response: tuple[int, str, str] | None = None
    headers: Mapping[str, str] | None = None


Scenario = Callable[[dict[str, Any], Mapping[str, str]], "Plan | ApiError"]
STORY = "Once upon a time there was an assistant that slept well and forgot nothing."


def _good(body: dict[str, Any], options: Mapping[str, str]) -> Plan:
    said = said_by_person(body)
    plain = _MARKER.sub("", said[-1]).strip()
    return Plan(f"You said: {plain}\n\nThis was turn {len(said)} of our talk with {body['model']}.")


def _recall(body: dict[str, Any], options: Mapping[str, str]) -> Plan:
    said = said_by_person(body)
    return Plan("You told me: " + " | ".join(said[:-1]))


def _refuse(status: int, kind: str, message: str, **headers: str) -> Scenario:
    def scenario(body: dict[str, Any], options: Mapping[str, str]) -> ApiError:
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        if "retry-after" in options:
            extra["retry-after"] = options["retry-after"]
        return ApiError(status, kind, message, extra)

    return scenario


def _plan(plan: Plan) -> Scenario:
    return lambda body, options: plan


def sse(event: str, data: Mapping[str, object]) -> str:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"


def _error_event(kind: str, message: str) -> str:
    return sse("error", {"type": "error", "error": {"type": kind, "message": message}})


SCENARIOS: Mapping[str, Scenario] = {
    "ok": _good,
    "recall": _recall,
    "long": _plan(Plan(" ".join(f"word{number}" for number in range(400)))),
    "refusal": _plan(Plan("I", "refusal", {"type": "refusal", "category": "cyber", "explanation": "This asks for malware."})),
    "max-tokens": _plan(Plan(STORY, "max_tokens")),
    "window": _plan(Plan(STORY, "model_context_window_exceeded")),
    "empty": _plan(Plan("")),
    "unknown-event": _plan(Plan(STORY, before_text=sse("message_weather", {"type": "message_weather", "sun": True}))),
    "stall": _plan(Plan(STORY, break_after=3, break_how="stall")),
    "quiet": _plan(Plan(STORY, break_after=3, break_how="pings")),
    "cut": _plan(Plan(STORY, break_after=3, break_how="cut")),
    "early-end": _plan(Plan(STORY, break_after=3, break_how="end")),
    "malformed": _plan(Plan(STORY, break_after=3, break_how="event: content_block_delta\ndata: {broken\n\n")),
    "overloaded-midway": _plan(Plan(STORY, break_after=3, break_how=_error_event("overloaded_error", "Overloaded"))),
    "overloaded-early": _plan(Plan(STORY, before_text=_error_event("overloaded_error", "Overloaded"), stops=True)),
    "overloaded": _refuse(529, "overloaded_error", "Overloaded"),
    "rate-limit": _refuse(429, "rate_limit_error", "This request would exceed your organization's rate limit", retry_after="1"),
    "server-error": _refuse(500, "api_error", "Internal server error"),
    "timeout": _refuse(504, "timeout_error", "Request timed out"),
    "unauthorized": _refuse(401, "authentication_error", "invalid x-api-key"),
    "billing": _refuse(402, "billing_error", "There is an issue with your payment"),
    "forbidden": _refuse(403, "permission_error", "Your API key does not have permission to use the specified resource"),
    "not-found": _refuse(404, "not_found_error", "model: claude-none"),
    "too-large": _refuse(413, "request_too_large", "Request exceeds the maximum size"),
    "too-long": _refuse(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "credit": _refuse(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    "bad-request": _refuse(400, "invalid_request_error", "messages.0.content: something is wrong"),
    "slow-head": _plan(Plan(STORY, head_pause=True)),
    "bad-gateway": _plan(Plan(response=(502, "<html><h1>502 Bad Gateway</h1></html>", "text/html"))),
    "web-page": _plan(Plan(response=(200, "<html>a login page</html>", "text/html"))),
    "redirect": _plan(Plan(response=(307, "", "text/plain"), headers={"Location": "http://127.0.0.1:9/elsewhere"})),
}


# In front of a person's words the gateway says when they were written, in a block of its own.
_STAMP = re.compile(r"\[\w{3} \d{4}-\d{2}-\d{2} \d{2}:\d{2} [^\]]+\]")


def said_by_person(body: Mapping[str, Any]) -> list[str]:
    """Every text of the person, also where several stand in one message."""
    contents = [message["content"] for message in body["messages"] if message["role"] == "user"]
    blocks = [[content] if isinstance(content, str) else [block.get("text", "") for block in content] for content in contents]
    return [text for content in blocks for text in content if text and not _STAMP.fullmatch(text)]


def last_text(body: Mapping[str, Any]) -> str:
    """The last block of the last message: what the person said now."""
    content = body["messages"][-1]["content"]
    return str(content if isinstance(content, str) else content[-1]["text"])


def _delta(index: int, delta: Mapping[str, object]) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _tokens(text: str) -> int:
    return max(1, len(text) // 4)


def _whole(body: dict[str, Any], plan: Plan) -> dict[str, object]:
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": plan.text}],
        "stop_reason": plan.stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": _tokens(json.dumps(body["messages"])), "output_tokens": _tokens(plan.text)},
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
