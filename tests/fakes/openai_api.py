"""A strict fake of OpenAI's chat completions (platform.openai.com/docs/api-reference/chat): what the platform refuses is refused here, with
its error shape (`openai_rules`); streaming, tool calls, usage and failures as it has them.

    fake = FakeOpenAI(); await fake.start(); …; fake.requests[-1].body; await fake.stop()
    python -m tests.fakes.openai_api --host 0.0.0.0 --port 8091 --api-key test-key

What it answers is chosen by the markers of `anthropic_api`: `[fake:call NAME {…}]`, `[fake:bad-call NAME …]`, `[fake:cut-call NAME {…}]`,
`[fake:say …]`, `[fake:then]`, `{results}`, and a scenario of `SCENARIOS` here, with `times=N`. Without one it repeats what was said.
`fake.script(Plan(…), ApiError(…))` answers the next requests in that order.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.anthropic_script import STORY, Call, Marker, read_markers
from tests.fakes.openai_rules import ApiError, check_body

__all__ = ["ApiError", "Call", "FakeOpenAI", "Plan"]

_STAMP = re.compile(r"\[\w{3} \d{4}-\d{2}-\d{2} \d{2}:\d{2} [^\]]+\]\s*")


@dataclass(frozen=True)
class Recorded:
    """One request as it came, also one that was refused."""

    path: str
    headers: Mapping[str, str]
    body: Any
    status: int = 0


@dataclass(frozen=True)
class Plan:
    """An answer. `break_after` words it breaks off in the way `break_how` says (or with that text). `uncounted`: its calls have no index;
    `same_ids`: their ids are those of other answers too."""

    text: str = ""
    finish: str = ""
    said: str = ""
    calls: tuple[Call, ...] = ()
    thought: str = ""
    refusal: str = ""
    cut_call: bool = False
    break_after: int | None = None
    break_how: str = "end"
    uncounted: bool = False
    same_ids: bool = False
    head_pause: bool = False
    response: tuple[int, str, str] | None = None
    headers: Mapping[str, str] | None = None


def _error(status: int, message: str, *, kind: str = "server_error", code: str | None = None, **headers: str) -> ApiError:
    return ApiError(status, message, kind=kind, code=code, headers={name.replace("_", "-"): value for name, value in headers.items()})


_LIMIT = "Rate limit reached for requests"
SCENARIOS: Mapping[str, Plan | ApiError] = {
    "refusal": Plan(refusal="I can't help with that."),
    "content-filter": Plan("I", "content_filter"),
    "max-tokens": Plan(STORY, "length"),
    "all-thought": Plan("", "length"),
    "empty": Plan(""),
    "reasoning": Plan(STORY, thought="Let me see."),
    "uncounted": Plan("", calls=(Call("a", {"n": 1}), Call("b", {"n": 2})), uncounted=True),
    "stall": Plan(STORY, break_after=3, break_how="stall"),
    "quiet": Plan(STORY, break_after=3, break_how="pings"),
    "cut": Plan(STORY, break_after=3, break_how="cut"),
    "early-end": Plan(STORY, break_after=3, break_how="end"),
    "malformed": Plan(STORY, break_after=3, break_how="data: {broken\n\n"),
    "no-chunk": Plan(STORY, break_after=3, break_how="data: []\n\n"),
    "error-midway": Plan(
        STORY, break_after=3, break_how='data: {"error": {"message": "The server had an error", "type": "server_error"}}\n\n'
    ),
    "slow-head": Plan(STORY, head_pause=True),
    "unauthorized": _error(401, "Incorrect API key provided", kind="invalid_request_error", code="invalid_api_key"),
    "forbidden": _error(403, "Country, region, or territory not supported", kind="request_forbidden"),
    "not-found": _error(404, "The model `gpt-none` does not exist", kind="invalid_request_error", code="model_not_found"),
    "quota": _error(429, "You exceeded your current quota", kind="insufficient_quota", code="insufficient_quota"),
    "rate-limit": _error(429, _LIMIT, kind="requests", code="rate_limit_exceeded", retry_after="1"),
    "rate-limit-long": _error(429, _LIMIT, kind="requests", code="rate_limit_exceeded", retry_after="3600"),
    "rate-limit-reset": _error(
        429,
        _LIMIT,
        kind="tokens",
        code="rate_limit_exceeded",
        x_ratelimit_reset_requests="2h",
        x_ratelimit_remaining_requests="12",
        x_ratelimit_reset_tokens="2m3s",
        x_ratelimit_remaining_tokens="0",
    ),
    "too-long": _error(
        400,
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens.",
        kind="invalid_request_error",
        code="context_length_exceeded",
    ),
    "bad-request": _error(400, "Invalid value: 'wrong'", kind="invalid_request_error"),
    "server-error": _error(500, "The server had an error while processing your request"),
    "overloaded": _error(503, "The engine is currently overloaded, please try again later"),
    "bad-gateway": Plan(response=(502, "<html><h1>502 Bad Gateway</h1></html>", "text/html")),
    "google": Plan(response=(400, '[{"error": {"code": 400, "message": "Request contains an invalid argument."}}]', "application/json")),
    "cloudflare": Plan(
        response=(401, '{"success": false, "errors": [{"code": 10000, "message": "Authentication error"}]}', "application/json")
    ),
    "web-page": Plan(response=(200, "<html>a login page</html>", "text/html")),
}


@dataclass
class FakeOpenAI:
    """`prefix`: the path before `/chat/completions`. `gateway_token`: an AI Gateway stands before it. `naive`: it knows neither
    `stream_options` nor anything of reasoning. `elsewhere`: redirects there. `hold`: seconds of a stall."""

    api_key: str = "sk-openai-test-key"
    prefix: str = "/v1"
    gateway_token: str | None = None
    naive: bool = False
    elsewhere: str = ""
    hold: float = 30.0
    requests: list[Recorded] = field(default_factory=list)
    open_streams: int = 0
    url: str = ""
    _script: deque[Plan | ApiError] = field(default_factory=deque)
    _seen: dict[tuple[str, int], int] = field(default_factory=dict)
    _ids: Any = field(default_factory=lambda: itertools.count(1))
    _kept: list[str] = field(default_factory=list)
    _runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Returns the base URL, as it would be put into OPENAI_BASE_URL."""
        application = web.Application(client_max_size=64 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        address, bound = self._runner.addresses[0][:2]
        self.url = f"http://{address}:{bound}{self.prefix}"
        return self.url

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def script(self, *plans: Plan | ApiError) -> None:
        """The next requests are answered so, in this order."""
        self._script.extend(plans)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = None
        self.requests.append(Recorded(request.path, {name.lower(): value for name, value in request.headers.items()}, body))
        number = len(self.requests) - 1
        try:
            if self.elsewhere:
                return web.Response(status=307, headers={"Location": self.elsewhere})
            self._check_head(request)
            checked = check_body(body)
            return await self._carry_out(request, checked)
        except ApiError as error:
            self.requests[number] = dataclasses.replace(self.requests[number], status=error.status)
            return web.json_response(error.to_json(), status=error.status, headers=error.headers)

    def _check_head(self, request: web.Request) -> None:
        if request.path != f"{self.prefix}/chat/completions" or request.method != "POST":
            raise ApiError(404, f"Invalid URL ({request.method} {request.path})")
        if self.gateway_token is not None and request.headers.get("cf-aig-authorization") != f"Bearer {self.gateway_token}":
            raise ApiError(401, "Unauthorized", code="2009")
        if request.headers.get("Authorization") != f"Bearer {self.api_key}":
            raise ApiError(401, "Incorrect API key provided", code="invalid_api_key")
        if request.content_type != "application/json":
            raise ApiError(400, "you must provide a JSON body")

    async def _carry_out(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if self.naive and "stream_options" in body:
            raise ApiError(400, "Extra inputs are not permitted: stream_options")
        plan = self._script.popleft() if self._script else self._marked(body)
        if isinstance(plan, ApiError):
            raise plan
        if plan.head_pause:
            await asyncio.sleep(self.hold)
        if plan.response is not None:
            return web.Response(status=plan.response[0], text=plan.response[1], content_type=plan.response[2], headers=plan.headers)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
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

    def _marked(self, body: dict[str, Any]) -> Plan | ApiError:
        said, step, results = _conversation(body["messages"])
        steps, words = read_markers(said)
        count = self._seen[said, step] = self._seen.get((said, step), 0) + 1
        planned = Plan()
        for marker in steps[step] if step < len(steps) else []:
            if marker.call is not None:
                planned = dataclasses.replace(planned, calls=(*planned.calls, marker.call), cut_call=marker.name == "cut-call")
            elif marker.name == "say":
                planned = dataclasses.replace(planned, said=marker.text)
            elif count <= int(marker.options.get("times", count)):
                return _scenario(marker)
        if planned.calls:
            return planned
        if len(steps) > 1 or any(marker.call for each in steps for marker in each):
            return Plan((words or "Done: {results}").replace("{results}", "\n".join(results)))
        return Plan(f"You said: {words}\n\nAnswered by {body['model']}.")

    async def _events(self, body: dict[str, Any], plan: Plan) -> AsyncIterator[str]:
        head = {"id": f"chatcmpl-{next(self._ids)}", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        counted = bool(body.get("stream_options", {}).get("include_usage"))

        def chunk(delta: Mapping[str, Any], finish: str | None = None) -> str:
            data = head | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}
            return f"data: {json.dumps(data | ({'usage': None} if counted else {}))}\n\n"

        yield chunk({"role": "assistant", "content": "", "refusal": None})
        if plan.thought:
            yield chunk({"reasoning_content": plan.thought})
        if plan.refusal:
            yield chunk({"refusal": plan.refusal})
        words = re.findall(r"\s*\S+", plan.said or plan.text)
        for number, word in enumerate(words):
            yield chunk({"content": word})
            if plan.break_after is not None and number + 1 >= plan.break_after:
                async for item in self._break(plan):
                    yield item
                return
        for piece in _pieces(plan, next(self._ids)):
            yield chunk({"tool_calls": [piece]})
        finish = plan.finish or ("length" if plan.cut_call else "tool_calls" if plan.calls else "stop")
        yield chunk({}, finish)
        if counted:
            yield f"data: {json.dumps(head | {'choices': [], 'usage': self._usage(body, len(words))})}\n\n"
        yield "data: [DONE]\n\n"

    async def _break(self, plan: Plan) -> AsyncIterator[str]:
        match plan.break_how:
            case "stall":
                await asyncio.sleep(self.hold)
            case "pings":
                for _ in range(int(self.hold / 0.02)):
                    yield ": ping\n\n"
                    await asyncio.sleep(0.02)
            case "cut":
                yield "cut"
            case "end":
                return
            case text:
                yield text

    def _usage(self, body: dict[str, Any], words: int) -> dict[str, object]:
        """A prefix of at least 1,024 tokens that was there before is read from the cache, in steps of 128."""
        text = json.dumps([body.get("tools"), body["messages"]])
        shared = max((_common(text, kept) for kept in self._kept), default=0) // 4
        self._kept.append(text)
        cached = shared // 128 * 128 if shared >= 1_024 else 0
        prompt = len(text) // 4
        return {
            "prompt_tokens": prompt,
            "completion_tokens": max(1, words),
            "total_tokens": prompt + max(1, words),
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }


def _scenario(marker: Marker) -> Plan | ApiError:
    plan = SCENARIOS.get(marker.name)
    if plan is None:
        raise ApiError(400, f"this fake has no scenario {marker.name}")
    if isinstance(plan, ApiError) and "retry-after" in marker.options:
        return ApiError(plan.status, plan.message, kind=plan.kind, code=plan.code, headers={"retry-after": marker.options["retry-after"]})
    return plan


def _conversation(messages: list[dict[str, Any]]) -> tuple[str, int, list[str]]:
    """What the person said last, how many answers were given since, and the results since."""
    step = 0
    results: list[str] = []
    for message in reversed(messages):
        match message["role"]:
            case "assistant":
                step += 1
            case "tool":
                results.insert(0, message["content"])
            case "user":
                content = message["content"]
                texts = [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]
                return _STAMP.sub("", texts[-1]) if texts else "", step, results
            case _:
                pass
    return "", step, results


def _pieces(plan: Plan, number: int) -> list[dict[str, Any]]:
    """Calls in pieces, side by side: the second one begins before the first has ended."""
    if plan.same_ids:
        number = 0
    started: list[dict[str, Any]] = []
    rest: list[list[dict[str, Any]]] = []
    for index, call in enumerate(plan.calls):
        written = call.input if isinstance(call.input, str) else json.dumps(call.input)
        if plan.uncounted:
            started.append({"id": f"call_{number}_{index}", "type": "function", "function": {"name": call.name, "arguments": written}})
            continue
        if plan.cut_call and index == len(plan.calls) - 1:
            written = written[: len(written) // 2]
        function = {"name": call.name, "arguments": ""}
        started.append({"index": index, "id": f"call_{number}_{index}", "type": "function", "function": function})
        rest.append([{"index": index, "function": {"arguments": written[at : at + 4]}} for at in range(0, len(written), 4)])
    mixed = [piece for group in itertools.zip_longest(*rest) for piece in group if piece is not None]
    return started + mixed


def _common(left: str, right: str) -> int:
    """How long both begin alike."""
    return next((index for index, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


async def _serve(arguments: argparse.Namespace) -> None:
    fake = FakeOpenAI(api_key=arguments.api_key, prefix=arguments.prefix)
    print(f"listening on {await fake.start(arguments.host, arguments.port)}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8091)
    parser.add_argument("--prefix", default="/v1")
    parser.add_argument("--api-key", default="sk-openai-test-key")
    asyncio.run(_serve(parser.parse_args()))
