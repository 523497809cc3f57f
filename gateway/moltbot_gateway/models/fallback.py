"""Which model answers: the one that was asked for, or, while its provider fails, one of the fallbacks; each by the adapter that its name
belongs to.

    asked for → fails before it told anything, by its provider's doing → put aside for 1, 5, 15, then 60 minutes → the next is asked
    time is over → it is asked first again; an answer forgets what was

A refusal, a wrong request and a full window are nobody's to mend, and text that was shown is never taken back: those failures stay. When
all are put aside, the one whose time is over first is asked, so that nothing is ever stuck here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import cast

from moltbot_gateway.models.base import Completed, Model, ModelEvent, ModelRequest, Retrying
from moltbot_gateway.models.failure import ErrorKind, ModelFailure
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.models")

# Seconds that a model is left alone for after each failure in a row; the last one from then on.
COOLDOWNS = (60.0, 300.0, 900.0, 3600.0)


@dataclass(frozen=True)
class Routes:
    """Adapters by the first word of a model's name (`openai/…`), and the one for all other names."""

    main: Model
    by_prefix: Mapping[str, Model] = field(default_factory=dict)
    fallbacks: Sequence[str] = ()

    def adapter_for(self, model: str) -> tuple[Model, str]:
        """The adapter and the name as it knows it."""
        prefix, _, rest = model.partition("/")
        adapter = self.by_prefix.get(prefix)
        if adapter is None or not rest:
            return self.main, model
        # The adapter of chat completions decides by its address whether the provider belongs to the name.
        return adapter, rest if adapter.provider == "anthropic" else model


@dataclass
class _Aside:
    failures: int = 0
    until: float = 0.0


class FallbackModel:
    """Keeps to `Model`. `clock` tells how long a model is left alone."""

    def __init__(self, routes: Routes, clock: Clock) -> None:
        self._routes, self._clock = routes, clock
        self._aside: dict[str, _Aside] = {}
        self._standing_in = ""
        self.provider = routes.main.provider

    @property
    def standing_in(self) -> str:
        """A sentence while the last answer came from another model than the one that was asked for; else empty."""
        return self._standing_in

    async def warm(self) -> None:
        await self._routes.main.warm()

    def thinks(self, model: str) -> bool:
        adapter, name = self._routes.adapter_for(model)
        return adapter.thinks(name)

    async def close(self) -> None:
        for adapter in {id(each): each for each in (self._routes.main, *self._routes.by_prefix.values())}.values():
            await adapter.close()

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        first: ModelFailure | None = None
        candidates = self._candidates(request.model)
        for number, model in enumerate(candidates):
            told = False
            try:
                async with aclosing(self._ask(model, request)) as events:
                    async for event in events:
                        if isinstance(event, Completed):
                            self._answered(model, request.model, first)
                        told = told or not isinstance(event, Retrying)
                        yield event
                return
            except ModelFailure as failure:
                if told or (first is None and not failure.of_provider) or failure.kind is ErrorKind.REFUSAL:
                    raise
                if failure.of_provider:
                    self._put_aside(model, failure)
                first = first or failure
                following = candidates[number + 1] if number + 1 < len(candidates) else None
                if following is None:
                    raise _of_all(first, candidates) from failure
                log.warning("another model is asked", model=model, instead=following, reason=str(failure.reason or failure.kind))
                yield Retrying(f"{model} does not answer now; asking {following} instead.", following)

    def _ask(self, model: str, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        adapter, name = self._routes.adapter_for(model)
        # Every adapter's `stream` is an async generator; closing it ends the request.
        return cast("AsyncGenerator[ModelEvent, None]", adapter.stream(replace(request, model=name)))

    def _candidates(self, model: str) -> list[str]:
        """Whom to ask, in order: those that are not put aside, or the one that is so for the shortest time."""
        known = list(dict.fromkeys((model, *self._routes.fallbacks)))
        now = self._clock.monotonic()
        free = [each for each in known if self._until(each) <= now]
        return free or [min(known, key=self._until)]

    def _until(self, model: str) -> float:
        aside = self._aside.get(model)
        return 0.0 if aside is None else aside.until

    def _put_aside(self, model: str, failure: ModelFailure) -> None:
        aside = self._aside.setdefault(model, _Aside())
        pause = COOLDOWNS[min(aside.failures, len(COOLDOWNS) - 1)]
        aside.failures += 1
        # A provider that says when it may be asked again is believed, up to the longest time.
        aside.until = self._clock.monotonic() + max(pause, min(failure.wait or 0.0, COOLDOWNS[-1]))

    def _answered(self, model: str, asked_for: str, failure: ModelFailure | None) -> None:
        self._aside.pop(model, None)
        if model == asked_for:
            self._standing_in = ""
        elif failure is not None or not self._standing_in:
            why = f" {failure.message}" if failure is not None else ""
            self._standing_in = f"{model} answers in place of {asked_for}, which cannot.{why}"


def _of_all(first: ModelFailure, candidates: Sequence[str]) -> ModelFailure:
    """The failure of the one that was asked first, for that is whom the person chose; who else was asked is said with it."""
    if len(candidates) == 1:
        return first
    failure = ModelFailure(
        first.kind, f"{first.message} {', '.join(candidates[1:])} could not answer either.", reason=first.reason, wait=first.wait
    )
    failure.usage = first.usage
    return failure
