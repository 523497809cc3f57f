"""Fallbacks: who is asked when the first cannot answer, for how long it is left alone, and that nothing is ever stuck."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from moltbot_gateway.agent_config import AgentConfig
from moltbot_gateway.models.base import Completed, ModelEvent, ModelRequest, Retrying, Text, TextDelta, ThinkingDelta, ToolUseStarted
from moltbot_gateway.models.building import build_model
from moltbot_gateway.models.demo import DemoModel
from moltbot_gateway.models.failure import ErrorKind, ModelFailure, Reason
from moltbot_gateway.models.fallback import COOLDOWNS, FallbackModel, Routes
from moltbot_gateway.models.unset import UnsetModel
from moltbot_gateway.settings import Settings
from moltbot_trust.settings import read_settings
from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.clock import FakeClock
from tests.fakes.openai_api import FakeOpenAI
from tests.gateway.pod import Pod
from tests.models.asking import TOOLS, answered, ask, fail, request


@dataclass
class Scripted:
    """Answers by name: a failure, or its name. `before`: what it tells before it fails."""

    provider: str = "anthropic"
    failures: dict[str, ModelFailure] = field(default_factory=dict)
    before: list[ModelEvent] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    closed: int = 0

    async def warm(self) -> None:
        return None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.asked.append(request.model)
        if (failure := self.failures.get(request.model)) is not None:
            for event in self.before:
                yield event
            raise failure
        yield TextDelta(request.model)
        yield Completed(model=request.model, blocks=(Text(request.model),))

    def thinks(self, model: str) -> bool:
        return model == "thinker"

    async def close(self) -> None:
        self.closed += 1


def overloaded(wait: float | None = None) -> ModelFailure:
    return ModelFailure(ErrorKind.RATE_LIMIT, "It is overloaded.", reason=Reason.OVERLOADED, again=True, wait=wait)


def three(**failures: ModelFailure) -> tuple[Scripted, FallbackModel, FakeClock]:
    scripted, clock = Scripted(failures=dict(failures)), FakeClock()
    return scripted, FallbackModel(Routes(scripted, {}, ("b", "c")), clock), clock


def asked(model: str = "a") -> ModelRequest:
    return request("hello", model=model)


BY_THE_PROVIDER = [
    Reason.BILLING, Reason.UNKNOWN_MODEL, Reason.RATE_LIMITED, Reason.OVERLOADED, Reason.PROVIDER_FAILED, Reason.UNREACHABLE,
    Reason.TIMED_OUT, Reason.BAD_ANSWER,
]  # fmt: skip


@pytest.mark.parametrize("reason", BY_THE_PROVIDER)
async def test_the_next_is_asked_when_the_provider_failed_and_that_is_told(reason: Reason) -> None:
    scripted, model, _ = three(a=ModelFailure(ErrorKind.UNKNOWN, "It failed.", reason=reason))
    told = await ask(model, asked())
    assert told.text == "b"
    assert told.events[0] == Retrying("a does not answer now; asking b instead.", "b")
    assert told.end.model == "b"
    assert scripted.asked == ["a", "b"]
    assert "b answers in place of a" in model.standing_in
    assert "It failed." in model.standing_in


@pytest.mark.parametrize(
    "failure",
    [
        ModelFailure(ErrorKind.REFUSAL, "no"),
        ModelFailure(ErrorKind.CONTEXT_LENGTH, "full"),
        ModelFailure(ErrorKind.UNKNOWN, "wrong request"),
        ModelFailure(ErrorKind.UNKNOWN, "wrong key", reason=Reason.KEY_REFUSED),
        ModelFailure(ErrorKind.UNKNOWN, "may not", reason=Reason.FORBIDDEN),
    ],
    ids=lambda failure: failure.message,
)
async def test_what_would_be_the_same_anywhere_stays(failure: ModelFailure) -> None:
    scripted, model, _ = three(a=failure)
    _, caught = await fail(model, asked())
    assert caught is failure
    assert scripted.asked == ["a"]
    await fail(model, asked())
    assert scripted.asked == ["a", "a"], "it was put aside for something that was not its fault"


@pytest.mark.parametrize("event", [TextDelta("Once"), ThinkingDelta("hm"), ToolUseStarted("1", "read")], ids=["text", "thought", "call"])
async def test_what_was_told_is_never_taken_back(event: ModelEvent) -> None:
    scripted, model, _ = three(a=overloaded())
    scripted.before = [event]
    told, failure = await fail(model, asked())
    assert told.events == [event]
    assert failure.reason is Reason.OVERLOADED
    assert scripted.asked == ["a"]


async def test_being_asked_again_is_nothing_told() -> None:
    scripted, model, _ = three(a=overloaded())
    scripted.before = [Retrying("again", "a")]
    assert (await ask(model, asked())).text == "b"


async def test_it_is_left_alone_longer_each_time_and_asked_first_again() -> None:
    scripted, model, clock = three(a=overloaded())
    for pause in (*COOLDOWNS, COOLDOWNS[-1]):
        scripted.asked.clear()
        await ask(model, asked())
        assert scripted.asked == ["a", "b"], "it was not asked first once its time was over"
        clock.set(pause - 1)
        await ask(model, asked())
        assert scripted.asked == ["a", "b", "b"], "it was asked before its time was over"
        clock.set(1)
    scripted.failures.clear()
    assert (await ask(model, asked())).text == "a"
    assert model.standing_in == ""
    scripted.failures["a"] = overloaded()
    await ask(model, asked())
    clock.set(COOLDOWNS[0])
    scripted.asked.clear()
    await ask(model, asked())
    assert scripted.asked == ["a", "b"], "an answer did not make it forget"


async def test_a_provider_that_says_when_is_believed_up_to_an_hour() -> None:
    scripted, model, clock = three(a=overloaded(wait=600))
    await ask(model, asked())
    clock.set(599)
    assert (await ask(model, asked())).text == "b"
    clock.set(1)
    scripted.failures["a"] = overloaded(wait=86_400)
    await ask(model, asked())
    clock.set(COOLDOWNS[-1])
    scripted.asked.clear()
    await ask(model, asked())
    assert scripted.asked[0] == "a"


async def test_with_all_put_aside_the_first_to_come_back_is_asked() -> None:
    """The official one stays stuck here: nobody is asked, for as long as somebody asks."""
    scripted, model, clock = three(a=overloaded(), b=overloaded(), c=overloaded(wait=30))
    _, failure = await fail(model, asked())
    assert scripted.asked == ["a", "b", "c"]
    assert failure.reason is Reason.OVERLOADED
    assert "b, c could not answer either" in failure.message
    clock.set(COOLDOWNS[0] - 1)
    scripted.failures.clear()
    scripted.failures["b"] = overloaded()
    scripted.asked.clear()
    assert (await ask(model, asked())).text == "a", "all three come back at once: the order is the person's"
    await ask(model, asked())
    assert scripted.asked == ["a", "a"]


async def test_with_all_put_aside_nobody_else_is_asked_than_the_next_to_come_back() -> None:
    scripted, model, _ = three(a=overloaded(wait=600), b=overloaded(wait=300), c=overloaded())
    await fail(model, asked())
    scripted.asked.clear()
    _, failure = await fail(model, asked())
    assert scripted.asked == ["c"]
    assert failure.message == "It is overloaded."


async def test_ten_failures_in_a_row_and_then_an_answer() -> None:
    scripted, model, clock = three(a=overloaded(), b=overloaded(), c=overloaded())
    for _ in range(10):
        await fail(model, asked())
    assert len(scripted.asked) == 3 + 9, "somebody is asked each time, and only one"
    scripted.failures.clear()
    assert (await ask(model, asked())).text
    clock.set(COOLDOWNS[-1])
    assert (await ask(model, asked())).text == "a"


async def test_the_models_own_choice_of_a_session_is_asked_first() -> None:
    scripted, model, _ = three(b=overloaded())
    assert (await ask(model, asked("c"))).text == "c"
    assert (await ask(model, asked("b"))).text == "c"
    assert scripted.asked == ["c", "b", "c"], "b is its own fallback"


async def test_a_refusal_of_a_fallback_is_an_answer() -> None:
    refusal = ModelFailure(ErrorKind.REFUSAL, "no")
    _, model, _ = three(a=overloaded(), b=refusal)
    _, failure = await fail(model, asked())
    assert failure is refusal


async def test_a_fallback_that_cannot_take_the_request_is_passed_over() -> None:
    scripted, model, _ = three(a=overloaded(), b=ModelFailure(ErrorKind.CONTEXT_LENGTH, "full"))
    assert (await ask(model, asked())).text == "c"
    assert scripted.asked == ["a", "b", "c"]


async def test_names_find_their_adapter() -> None:
    main, other = Scripted(), Scripted("openai")
    model = FallbackModel(Routes(main, {"anthropic": main, "openai": other, "workers-ai": other}, ()), FakeClock())
    for name in ("claude-x", "anthropic/claude-y", "openai/gpt-x", "workers-ai/@cf/m", "meta/llama", "anthropic/thinker"):
        await ask(model, asked(name))
    assert main.asked == ["claude-x", "claude-y", "meta/llama", "thinker"]
    assert other.asked == ["openai/gpt-x", "workers-ai/@cf/m"]
    assert model.thinks("anthropic/thinker")
    await model.close()
    assert (main.closed, other.closed) == (1, 1)


# built from settings, against both fakes


@pytest.fixture
async def anthropic() -> AsyncIterator[FakeAnthropic]:
    server = FakeAnthropic()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def openai() -> AsyncIterator[FakeOpenAI]:
    server = FakeOpenAI()
    await server.start()
    yield server
    await server.stop()


def settings(**environ: str) -> Settings:
    from pathlib import Path

    return read_settings(
        Settings, {**Pod(Path("state")).environment(), **{f"MOLTBOT_MODEL_{name}": value for name, value in environ.items()}}
    )


def claude_settings(anthropic: FakeAnthropic, openai: FakeOpenAI | None = None, **more: str) -> Settings:
    beside = {} if openai is None else {"OPENAI_API_KEY": openai.api_key, "OPENAI_BASE_URL": openai.url}
    return settings(ADAPTER="anthropic", API_KEY=anthropic.api_key, BASE_URL=anthropic.url, **beside, **more)


async def test_another_provider_takes_over_in_the_middle_of_a_loop_and_hands_back(anthropic: FakeAnthropic, openai: FakeOpenAI) -> None:
    clock = FakeClock()
    model = build_model(claude_settings(anthropic, openai), AgentConfig(fallbacks=("openai/gpt-5-mini",)), clock)
    first = request("[fake:call list] [fake:then] [fake:call list] Done {results}", model="claude-sonnet-5-5", tools=TOOLS, thinking="high")
    step = await ask(model, first)
    second = answered(first, step.end, {"list": "a"})
    from tests.fakes.anthropic_api import ApiError

    anthropic.script(ApiError(529, "overloaded_error", "Overloaded", {"retry-after": "120"}))
    step = await ask(model, second)
    assert [event.model for event in step.retries] == ["openai/gpt-5-mini"]
    assert (step.end.provider, step.started) == ("openai", ["list"])
    clock.set(119)
    third = answered(second, step.end, {"list": "b"})
    assert (await ask(model, third)).end.provider == "openai"
    clock.set(1)
    told = await ask(model, third)
    assert (told.end.provider, told.text) == ("anthropic", "Done a\nb")
    await model.close()


async def test_no_key_for_the_other_provider_is_said(anthropic: FakeAnthropic) -> None:
    model = build_model(claude_settings(anthropic), AgentConfig(), FakeClock())
    _, failure = await fail(model, request("hello", model="openai/gpt-5"))
    assert failure.reason is Reason.NOT_CONFIGURED
    assert "OPENAI_API_KEY" in failure.message
    assert (await ask(model, request("hello", model="anthropic/claude-sonnet-5-5"))).text
    await model.close()


async def test_the_key_of_each_provider_goes_to_it_alone(anthropic: FakeAnthropic, openai: FakeOpenAI) -> None:
    model = build_model(claude_settings(anthropic, openai, GATEWAY_AUTHORIZATION="cf-token"), AgentConfig(), FakeClock())
    await ask(model, request("hello", model="openai/gpt-5-mini"))
    await ask(model, request("hello", model="claude-sonnet-5-5"))
    sent = str(openai.requests[0].headers)
    assert anthropic.api_key not in sent
    assert "cf-token" not in sent
    assert openai.api_key not in str(anthropic.requests[0].headers)
    await model.close()


async def test_chat_completions_as_the_main_provider(openai: FakeOpenAI) -> None:
    made = settings(ADAPTER="openai", API_KEY=openai.api_key, BASE_URL=openai.url)
    model = build_model(made, AgentConfig(fallbacks=("gpt-5",)), FakeClock())
    assert model.provider == "openai"
    assert (await ask(model, request("hello", model="openai/gpt-5-mini"))).end.model == "gpt-5-mini"
    told = await ask(model, request("hello", model="gpt-none"))
    assert told.end.model == "gpt-5"
    await model.close()


def test_the_demo_and_nobody_stay_what_they_are() -> None:
    assert isinstance(build_model(settings(ADAPTER="demo"), AgentConfig(), FakeClock()), DemoModel)
    assert isinstance(build_model(settings(ADAPTER="none"), AgentConfig(fallbacks=("b",)), FakeClock()), UnsetModel)


async def test_nobody_waits_long_for_the_first_when_there_is_another(anthropic: FakeAnthropic) -> None:
    clock = FakeClock()
    model = build_model(claude_settings(anthropic), AgentConfig(fallbacks=("claude-haiku-5-5",)), clock)
    task = asyncio.ensure_future(ask(model, request("[fake:overloaded times=2] please", model="claude-sonnet-5-5")))
    async with asyncio.timeout(10):
        while not task.done():
            await asyncio.sleep(0.01)
            await clock.advance(1)
    assert task.result().end.model == "claude-haiku-5-5"
    assert len(anthropic.requests) == 3
    await model.close()
