"""The offline model: no key, no network, and it says so. It can do just enough to show that a conversation is remembered across a sleep,
and how tools look (`demo_calls`).

`compose` is a pure function of the conversation; the adapter streams its words.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from moltbot_gateway.models.base import TOOL_USE, Completed, ModelEvent, ModelRequest, Text, TextDelta, ToolUse, ToolUseStarted, Turn, Usage
from moltbot_gateway.models.demo_calls import call_for, remembers, say_of_results
from moltbot_protocol.models import DEMO_MODEL

# Between two words, so that streaming can be seen (seconds).
WORD_PAUSE = 0.02
MAX_COUNT = 200
# Longer numbers would take the loop's time; nobody checks a demo with them.
MAX_DIGITS = 30

INTRODUCTION = (
    "I am the built-in **demo model**: I run offline, without a key, and I am not an AI. I can repeat (`say …`), count (`count to 5`), "
    "calculate (`847293 + 651824`), remember (`remember …`, `my name is …`, `what did I say?`) and use the assistant's tools: `run date`, "
    "`list files`, `read SOUL.md`, `write notes.md: …`, `remind me in 2 minutes to …`. For real answers give the assistant a key: "
    "`ANTHROPIC_API_KEY=… make run`, or that key in the Secret that the Moltbot names in `secretsFrom`."
)

_ARITHMETIC = re.compile(r"(?<![\w.])(-?\d+(?:\.\d+)?)\s*([-+*/x×÷−])\s*(-?\d+(?:\.\d+)?)(?![\w])")
_COUNT = re.compile(r"\bcount\s+(?:from\s+(-?\d+)\s+)?(?:up\s+)?to\s+(-?\d+)", re.IGNORECASE)
_SAY = re.compile(r"^\s*(?:please\s+)?(?:say|repeat|echo)\b[:,]?\s+(?P<what>\S.*)", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r"\bmy name(?:'s| is)\s+([^\s.,!?;:]+)", re.IGNORECASE)
_ASK_NAME = re.compile(r"\bwhat(?:'s| is| was)\s+my name\b|\bwho am i\b", re.IGNORECASE)
_REMEMBER = re.compile(r"^\s*(?:please\s+)?remember(?:\s+(?:that|this))?\b[:,]?\s+(?P<what>\S.*)", re.IGNORECASE | re.DOTALL)
_RECALL = re.compile(
    r"\bwhat\b.*\b(?:did i|have i|i)\b.*\b(?:say|said|tell|told|asked?)\b|\b(?:what|do) (?:do )?you remember\b"
    r"|\bwhat (?:was|is) (?:it|the)\b",
    re.IGNORECASE,
)
_GREETING = re.compile(r"^\s*(?:hi|hello|hey|good (?:morning|evening|day))\b", re.IGNORECASE)


def compose(messages: Sequence[Turn]) -> str:
    """The answer to the last message."""
    asked = _words(messages[-1])
    earlier = [_words(message) for message in messages[:-1] if message.role == "user"]
    if (what := remembers(asked)) is not None:
        return f"I will remember: {what}"
    if match := _SAY.match(asked):
        return match["what"].strip()
    if match := _COUNT.search(asked):
        return _count(int(match[1] or 1), int(match[2]))
    if match := _ARITHMETIC.search(asked):
        return _calculate(*match.groups())
    if _ASK_NAME.search(asked):
        names = [match[1] for text in earlier for match in _NAME.finditer(text)]
        return f"Your name is {names[-1]}. You told me earlier in this conversation." if names else "You have not told me your name yet."
    if match := _REMEMBER.match(asked):
        return f"I will remember: {match['what'].strip()}"
    if match := _NAME.search(asked):
        return f"Hello {match[1]}, I will remember your name. (I am the demo model.)"
    if _RECALL.search(asked):
        return _recall(earlier)
    if not earlier or _GREETING.match(asked) or "help" in asked.lower():
        return INTRODUCTION
    return (
        f"You said: “{_shorten(asked)}” – as a demo model I cannot say more to that. This is message {len(earlier) + 1} of our "
        "conversation; ask `what did I say?` and I list them."
    )


def _words(turn: Turn) -> str:
    """What the person wrote: in front of it stands when."""
    texts = [block.text for block in turn.blocks if isinstance(block, Text)]
    return texts[-1] if texts else ""


def _calculate(left: str, operator: str, right: str) -> str:
    if max(len(left), len(right)) > MAX_DIGITS:
        return f"Those numbers are too long for a demo; up to {MAX_DIGITS} digits I can do."
    if "." in left or "." in right:
        first, second = float(left), float(right)
        match operator:
            case "+":
                return f"{left} + {right} = {first + second:g}"
            case "-" | "−":
                return f"{left} − {right} = {first - second:g}"
            case "*" | "x" | "×":
                return f"{left} × {right} = {first * second:g}"
            case _:
                return _divide(left, right, first, second)
    match operator:
        case "+":
            return f"{left} + {right} = {int(left) + int(right)}"
        case "-" | "−":
            return f"{left} − {right} = {int(left) - int(right)}"
        case "*" | "x" | "×":
            return f"{left} × {right} = {int(left) * int(right)}"
        case _:
            return _divide(left, right, int(left), int(right))


def _divide(left: str, right: str, first: float, second: float) -> str:
    if second == 0:
        return f"{left} ÷ {right}: nothing can be divided by zero."
    exact = isinstance(first, int) and isinstance(second, int) and first % second == 0
    return f"{left} ÷ {right} = {first // second if exact else format(first / second, 'g')}"


def _count(start: int, end: int) -> str:
    step = 1 if end >= start else -1
    if abs(end - start) >= MAX_COUNT:
        return f"That is a long way to count; I stop at {MAX_COUNT} numbers."
    return " ".join(str(number) for number in range(start, end + step, step))


def _recall(earlier: Sequence[str]) -> str:
    if not earlier:
        return "This is the first thing you say in this conversation."
    lines = "\n".join(f"{number}. {_shorten(text)}" for number, text in enumerate(earlier, 1))
    return f"Earlier in this conversation you said:\n\n{lines}"


def _shorten(text: str, limit: int = 200) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


class DemoModel:
    """`pause` waits between words; tests bring one that does not."""

    provider = "demo"

    def __init__(self, pause: Callable[[float], Awaitable[None]]) -> None:
        self._pause = pause

    async def warm(self) -> None:
        return None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        call = None
        text = say_of_results(request.turns)
        if text is None:
            call = call_for(_words(request.turns[-1]), {tool.name for tool in request.tools})
            text = compose(request.turns) if call is None else ""
        words = re.findall(r"\S+\s*|\s+", text)
        for number, word in enumerate(words):
            if number:
                await self._pause(WORD_PAUSE)
            yield TextDelta(word)
        if call is not None:
            use = ToolUse(f"demo_{uuid.uuid4().hex[:16]}", *call)
            yield ToolUseStarted(use.id, use.name)
            yield Completed(TOOL_USE, DEMO_MODEL, Usage(input=1, output=1), (use,))
            return
        read = sum(len(message.text.split()) for message in request.turns)
        yield Completed("stop", DEMO_MODEL, Usage(input=read, output=len(words)))

    def thinks(self, model: str) -> bool:
        return False

    async def close(self) -> None:
        return None
