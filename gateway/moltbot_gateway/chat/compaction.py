"""When a conversation no longer fits the model's window: what matters is written into memory first, then a summary stands for the older
part when the model is asked. Nothing is removed: people see everything that was said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from moltbot_gateway.chat.calls import Calls
from moltbot_gateway.chat.context import MAX_MESSAGES, build_context, count_messages, estimate_tokens, guess_tokens
from moltbot_gateway.chat.ledger import Ledger
from moltbot_gateway.models.base import Completed, Model, ModelFacts, ModelRequest, Text, TextDelta, ToolResult, ToolUse, Turn, said
from moltbot_gateway.models.failure import ErrorKind, ModelFailure
from moltbot_gateway.store import conversations
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.records import Connection, Message, Session
from moltbot_gateway.tools.base import Risk, Tool, ToolCall
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.compaction")

# Parts of the model's window: beyond the first it is time, of the second what is newest stays word for word. The same parts of the messages
# that are read at most: beyond those the oldest would fall away unsaid, and with them, at every message, the provider's cache.
DUE, KEPT = 0.75, 0.15
# Tokens, instead of the second: where a person asks for it; and where the provider found no room, so that our guesses are no good.
KEPT_IF_ASKED, KEPT_IF_FULL = 1_000, 0
# Of a transcript that is summarised: characters of one tool result, and of all (a part of the window).
RESULT_SHOWN = 600
TRANSCRIPT = 0.6
FLUSH_STEPS = 6
SUMMARY_TOKENS = 4000

FLUSH = (
    "This conversation is about to be summarised and its older part will no longer be in front of you. Write down now, in the files of "
    "your memory, what you will need later and have not written yet: facts about the person, decisions, open tasks, agreements. Use your "
    "tools. When there is nothing to write, or you are done, answer with the single word NOTED."
)
SUMMARISE = (
    "Summarise this conversation for the assistant that will continue it and can no longer see it. Keep: what the person wants and why, "
    "decisions and their reasons, names, numbers, paths, commands and identifiers exactly as they are, what was tried and how it "
    "went, what is open, what was promised, and how the person likes to be answered. Leave out courtesies. Write it as notes, newest last."
)


class Facts(Protocol):
    def __call__(self, model: str) -> ModelFacts: ...


@dataclass(frozen=True)
class CompactionSettings:
    """`default_model` answers where the session has no own. `flush_tools`: with which tools the memory is
    written from that conversation, none where it is not."""

    default_model: str
    facts: Facts
    flush_tools: Callable[[str], Sequence[Tool]] = lambda session_key: ()


class Compaction:
    def __init__(
        self, database: Database, model: Model, calls: Calls, ledger: Ledger, *, clock: Clock, settings: CompactionSettings
    ) -> None:
        self._database, self._model, self._calls, self._ledger, self._clock = database, model, calls, ledger, clock
        self._settings = settings

    def is_due(self, request: ModelRequest) -> bool:
        """Whether what is about to be sent comes near the model's window, or near the messages that are read at most."""
        if count_messages(request.turns) > MAX_MESSAGES * DUE:
            return True
        fixed = sum(len(part) for part in request.system) + sum(
            len(str(tool.input_schema)) + len(tool.description) for tool in request.tools
        )
        window = self._settings.facts(request.model).context_tokens
        return estimate_tokens(request.turns) + fixed // 4 > window * DUE

    async def compact(
        self, session: Session, *, keep_tokens: int | None = None, keep_run: str | None = None, request: ModelRequest | None = None
    ) -> bool:
        """Summarise all but the newest part: `keep_tokens`, by default a part of the window (`keep_run` and what follows it always stays).
        `request`: as the model would be asked now; with it the memory is written first. False: there is nothing to summarise. Raises
        ModelFailure; safe to cancel."""
        await self._ledger.check()
        model = session.model or self._settings.default_model
        window = self._settings.facts(model).context_tokens

        def read(db: Connection) -> tuple[str, list[Message]]:
            upto, summary = conversations.get_compaction(db, session) or (0, "")
            return summary, conversations.list_messages(db, session, limit=MAX_MESSAGES, after_id=upto)

        summary, messages = await self._database.read(read)
        older = _older(messages, keep_run, int(window * KEPT) if keep_tokens is None else keep_tokens)
        if not older:
            return False
        if request is not None:
            await self._flush(session, request)
        text = await self._summarise(model, summary, older, int(window * TRANSCRIPT) * 4, session.key)
        now_ms = int(self._clock.epoch() * 1000)
        await self._database.write(lambda db: conversations.add_compaction(db, session, older[-1].id, text, now_ms))
        log.info("conversation summarised", messages=len(older), characters=len(text))
        return True

    async def _flush(self, session: Session, request: ModelRequest) -> None:
        """A few steps of the model alone with its memory; what it says is not part of the conversation. A failure is not the person's."""
        tools = {tool.name: tool for tool in self._settings.flush_tools(session.key)}
        if not tools:
            return
        turns = [*request.turns, said("user", FLUSH)]
        try:
            for step in range(FLUSH_STEPS):
                completed = await self._ask(replace(request, turns=turns), session.key)
                uses = [block for block in completed.blocks if isinstance(block, ToolUse)]
                if not uses:
                    return
                turns = [*turns, Turn("assistant", completed.blocks), await self._results(uses, tools, session.key, step)]
        except ModelFailure as failure:
            if failure.kind is not ErrorKind.CONTEXT_LENGTH:
                log.warning("memory not written before the summary", kind=failure.kind.value)

    async def _results(self, uses: Sequence[ToolUse], tools: Mapping[str, Tool], session_key: str, step: int) -> Turn:
        results = []
        for use in uses:
            done = await self._calls.carry_out(
                tools, use, ToolCall(use.id, use.name, use.input, session_key, f"flush-{step}", private=True)
            )
            results.append(ToolResult(use.id, (Text(done.outcome.model),), done.outcome.error))
        return Turn("user", tuple(results))

    async def _summarise(self, model: str, before: str, older: Sequence[Message], limit: int, session_key: str) -> str:
        transcript = _transcript(older, limit)
        parts = ([f"What was summarised before:\n{before}"] if before else []) + [f"The conversation:\n{transcript}", SUMMARISE]
        request = ModelRequest(
            model, ("You summarise conversations.",), [said("user", "\n\n".join(parts))], max_tokens=SUMMARY_TOKENS, cache=False
        )
        completed = await self._ask(request, session_key)
        text = "\n\n".join(block.text for block in completed.blocks if isinstance(block, Text)).strip()
        if not text:
            raise ModelFailure(ErrorKind.CONTEXT_LENGTH, "The conversation is too long and could not be summarised. Begin anew with /new.")
        return text

    async def _ask(self, request: ModelRequest, session_key: str) -> Completed:
        words = ""
        try:
            async for event in self._model.stream(request):
                match event:
                    case Completed():
                        await self._ledger.record(session_key, event.model or request.model, event.usage)
                        return event if event.blocks else replace(event, blocks=(Text(words),))
                    case TextDelta():
                        words += event.text
                    case _:
                        pass
        except ModelFailure as failure:
            await self._ledger.record(session_key, request.model, failure.usage)
            raise
        raise ModelFailure(ErrorKind.UNKNOWN, "The model ended without an end. Ask again.")


def _older(messages: Sequence[Message], keep_run: str | None, keep_tokens: int) -> list[Message]:
    """What is summarised: all before the newest messages that fit `keep_tokens` and are not too many; the cut is in front of a person's
    message."""
    end = len(messages)
    if keep_run is not None:
        end = next((index for index, message in enumerate(messages) if message.run_id == keep_run), end)
    cut, tokens = end, estimate_tokens(build_context(messages[end:], {}, run_id=keep_run or ""))
    for index in range(end - 1, -1, -1):
        tokens += max(1, guess_tokens(messages[index].text))
        if tokens > keep_tokens or end - index > MAX_MESSAGES * KEPT:
            break
        if messages[index].role == "user":
            cut = index
    return list(messages[:cut])


def _transcript(messages: Sequence[Message], limit: int) -> str:
    lines = []
    for message in messages:
        if message.detail.get("command"):
            continue
        who = {"user": "Person", "assistant": "Assistant"}.get(message.role, f"Result of {message.detail.get('toolName', 'a tool')}")
        text = message.text if message.role != "toolResult" else message.text[:RESULT_SHOWN]
        calls = [str(block.get("name")) for block in message.content or () if block.get("type") == "toolCall"]
        lines.append(f"{who}: {text}" + (f" [called {', '.join(calls)}]" if calls else ""))
    whole = "\n".join(lines)
    if len(whole) <= limit:
        return whole
    return f"{whole[: limit // 3]}\n[… the middle is left out …]\n{whole[-(limit * 2 // 3) :]}"


# Tools that only touch the assistant's own files: what a flush may use without asking anybody.
def only_files(tools: Sequence[Tool]) -> tuple[Tool, ...]:
    return tuple(tool for tool in tools if tool.risk is Risk.FILES or tool.name.startswith("memory_"))
