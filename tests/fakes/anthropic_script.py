"""What the fake of the Messages API answers: plans, and the markers in a person's message that choose them. `anthropic_api` tells how to
write markers; here is how they are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.anthropic_errors import ApiError, invalid

# In front of a person's words the gateway says when they were written, in a block of its own.
_STAMP = re.compile(r"\[\w{3} \d{4}-\d{2}-\d{2} \d{2}:\d{2} [^\]]+\]")
_OPTION = re.compile(r"\s+([a-z-]+)=([^\s\]]+)")


@dataclass(frozen=True)
class Call:
    """One tool call; `input` as text is sent as it is, JSON or not."""

    name: str
    input: Mapping[str, Any] | str


@dataclass(frozen=True)
class Plan:
    """An answer. `said` stands before the calls, `text` after them or alone. `break_after` words it breaks off in the way `break_how` says
    (or with that text); `cut_call`: the last call's input ends in the middle; `hold_in`: it stalls in the middle of the "thought", or of
    the first "call"."""

    text: str = ""
    stop_reason: str = ""
    said: str = ""
    calls: tuple[Call, ...] = ()
    thought: str = "Let me see."
    redacted: bool = False
    stop_details: Mapping[str, object] | None = None
    break_after: int | None = None
    break_how: str = "end"
    cut_call: bool = False
    hold_in: str = ""
    before_text: str | None = None
    stops: bool = False
    head_pause: bool = False
    response: tuple[int, str, str] | None = None
    headers: Mapping[str, str] | None = None

    @property
    def reason(self) -> str:
        return self.stop_reason or ("tool_use" if self.calls else "end_turn")


Scenario = Callable[[Mapping[str, Any], Mapping[str, str]], "Plan | ApiError"]
STORY = "Once upon a time there was an assistant that slept well and forgot nothing."


# the conversation


def said_by_person(body: Mapping[str, Any]) -> list[str]:
    """Every text of the person, also where several stand in one message."""
    return [text for message in body["messages"] if message["role"] == "user" for text in _texts(message["content"])]


def last_text(body: Mapping[str, Any]) -> str:
    """What the person said last, also where results of tools followed."""
    return ["", *said_by_person(body)][-1]


def step_of(body: Mapping[str, Any]) -> int:
    """How many answers were given since: 0 for the first."""
    count = 0
    for message in reversed(body["messages"]):
        if message["role"] == "user" and _texts(message["content"]):
            break
        count += message["role"] == "assistant"
    return count


def results_of(body: Mapping[str, Any]) -> list[str]:
    """The texts of the tool results since the person's last words, in the order of the calls."""
    found: list[str] = []
    for message in reversed(body["messages"]):
        if message["role"] == "user" and isinstance(message["content"], list):
            here = [_result_text(block) for block in message["content"] if block["type"] == "tool_result"]
            found = here + found
        if message["role"] == "user" and _texts(message["content"]):
            break
    return found


def _texts(content: Any) -> list[str]:
    texts = [content] if isinstance(content, str) else [block["text"] for block in content if block["type"] == "text"]
    return [text for text in texts if not _STAMP.fullmatch(text)]


def _result_text(block: Mapping[str, Any]) -> str:
    return "\n".join(_texts(block.get("content", "")))


# markers


@dataclass(frozen=True)
class Marker:
    name: str
    options: Mapping[str, str]
    call: Call | None = None
    text: str = ""


def read_markers(said: str) -> tuple[list[list[Marker]], str]:
    """The steps that a message asks for, each a list of markers, and its words without them."""
    steps: list[list[Marker]] = [[]]
    words: list[str] = []
    position = 0
    while (start := said.find("[fake:", position)) >= 0:
        words.append(said[position:start])
        marker, position = _read_marker(said, start)
        if marker.name == "then":
            steps.append([])
        else:
            steps[-1].append(marker)
    words.append(said[position:])
    return steps, " ".join("".join(words).split())


def _read_marker(said: str, start: int) -> tuple[Marker, int]:
    match = re.compile(r"\[fake:([a-z-]+)").match(said, start)
    if match is None:
        raise invalid(f"this fake cannot read the marker at {said[start : start + 30]!r}")
    name, at = match[1], match.end()
    call: Call | None = None
    text = ""
    if name in ("call", "cut-call"):
        head = re.compile(r"\s+([a-zA-Z0-9_-]+)\s*").match(said, at)
        if head is None:
            raise invalid("this fake wants [fake:call NAME {…}]")
        try:
            value, at = json.JSONDecoder().raw_decode(said, head.end()) if said[head.end() : head.end() + 1] == "{" else ({}, head.end())
        except ValueError as error:
            raise invalid(f"this fake cannot read the input of {head[1]}: {error}") from error
        call = Call(head[1], value)
    elif name == "bad-call":
        head = re.compile(r"\s+([a-zA-Z0-9_-]+)\s*([^\]]*)").match(said, at)
        if head is None:
            raise invalid("this fake wants [fake:bad-call NAME text]")
        call, at = Call(head[1], head[2]), head.end()
    elif name in ("say", "think"):
        end = said.find("]", at)
        text, at = said[at : max(at, end)].strip(), max(at, end)
    options = {}
    while option := _OPTION.match(said, at):
        options[option[1]] = option[2]
        at = option.end()
    if said[at : at + 1] != "]":
        raise invalid(f"this fake misses the end of the marker {name}")
    return Marker(name, options, call, text), at + 1


def plan_for(body: Mapping[str, Any], seen: int) -> Plan | ApiError:
    """What the person's last message asks for at this step. `seen`: which request of this message and step it is, 1 for the first."""
    steps, words = read_markers(last_text(body))
    step = step_of(body)
    markers = steps[step] if step < len(steps) else []
    planned = Plan()
    for marker in markers:
        if marker.name in ("call", "bad-call", "cut-call"):
            assert marker.call is not None
            planned = replace(planned, calls=(*planned.calls, marker.call))
            if marker.name == "cut-call":
                planned = replace(planned, cut_call=True, stop_reason="max_tokens")
        elif marker.name == "say":
            planned = replace(planned, said=marker.text)
        elif marker.name == "think":
            planned = replace(planned, thought=marker.text)
        elif marker.name == "redacted":
            planned = replace(planned, redacted=True)
        elif "times" not in marker.options or seen <= int(marker.options["times"]):
            scenario = SCENARIOS.get(marker.name)
            if scenario is None:
                raise invalid(f"this fake has no scenario {marker.name}")
            return scenario(body, marker.options)
    if planned.calls:
        return planned
    return replace(planned, text=_final(body, words, many=len(steps) > 1 or any(marker.call for each in steps for marker in each)))


def _final(body: Mapping[str, Any], words: str, *, many: bool) -> str:
    results = results_of(body)
    if many:
        numbered = {f"result:{number}": text for number, text in enumerate(results, 1)} | {"results": "\n".join(results)}
        return re.sub(r"\{(results|result:\d+)\}", lambda match: numbered.get(match[1], ""), words or "Done: {results}") or "Done."
    said = said_by_person(body)
    return f"You said: {words}\n\nThis was turn {len(said)} of our talk with {body['model']}."


# scenarios


def _recall(body: Mapping[str, Any], options: Mapping[str, str]) -> Plan:
    return Plan("You told me: " + " | ".join(said_by_person(body)[:-1]))


def _refuse(status: int, kind: str, message: str, **headers: str) -> Scenario:
    def scenario(body: Mapping[str, Any], options: Mapping[str, str]) -> ApiError:
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
    "recall": _recall,
    "long": _plan(Plan(" ".join(f"word{number}" for number in range(400)))),
    "refusal": _plan(Plan("I", "refusal", stop_details={"type": "refusal", "category": "cyber", "explanation": "This asks for malware."})),
    "max-tokens": _plan(Plan(STORY, "max_tokens")),
    "all-thought": _plan(Plan("", "max_tokens")),
    "window": _plan(Plan(STORY, "model_context_window_exceeded")),
    "pause": _plan(Plan(STORY, "pause_turn")),
    "stop-sequence": _plan(Plan(STORY, "stop_sequence")),
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
