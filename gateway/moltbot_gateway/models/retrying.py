"""When a request that failed is sent again, for every adapter alike: before anything was told, a few times, after what the provider asked
for or a growing, jittered pause.

What was told is never taken back, so a failure after the first word, thought or call is final. A provider that wants to be left alone for
longer than a person waits is not waited for: its failure names the time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from moltbot_gateway.models.base import ModelEvent, Retrying
from moltbot_gateway.models.failure import ErrorKind, ModelFailure, Reason

Event = TypeVar("Event")
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class RetryPolicy:
    """`retries` after the first try, of them `timeouts` where the wait itself was the failure. Seconds: the first pause, doubled each time
    up to `longest_pause`; `longest_wait`: what a provider may ask for."""

    retries: int = 3
    timeouts: int = 1
    first_pause: float = 0.5
    longest_pause: float = 8.0
    longest_wait: float = 60.0

    def pause(self, failure: ModelFailure, tries: int, jitter: float) -> float | None:
        """Seconds before the next try; `None`: there is none. `tries` so far, at least 1; `jitter` in 0…1."""
        allowed = min(self.retries, self.timeouts) if failure.kind is ErrorKind.TIMEOUT else self.retries
        if not failure.again or tries > allowed:
            return None
        if failure.wait is not None:
            # A little later than asked: many are let in again at the same second.
            return None if failure.wait > self.longest_wait else failure.wait + jitter * self.first_pause
        return float(min(self.first_pause * 2 ** (tries - 1), self.longest_pause)) * (0.75 + 0.25 * jitter)


async def with_retries(
    once: Callable[[], AsyncGenerator[ModelEvent, None]], model: str, *, policy: RetryPolicy, sleep: Sleep
) -> AsyncGenerator[ModelEvent, None]:
    """Events of the first try that tells something, or the last failure. `once` is an async generator function; each try is closed."""
    tries = 0
    while True:
        told = False
        tries += 1
        try:
            async with aclosing(once()) as events:
                async for event in events:
                    told = True
                    yield event
        except ModelFailure as failure:
            pause = None if told else policy.pause(failure, tries, random.random())  # noqa: S311 - jitter, not a secret
            if pause is None:
                raise
            yield Retrying(_words(failure, pause), model)
            await sleep(pause)
        else:
            return


def _words(failure: ModelFailure, pause: float) -> str:
    why = {
        Reason.RATE_LIMITED: "The provider's limit is reached",
        Reason.OVERLOADED: "The model's provider is overloaded",
        Reason.UNREACHABLE: "The model's provider cannot be reached",
        Reason.TIMED_OUT: "The model's provider does not answer",
    }
    said = "The model's provider failed" if failure.reason is None else why.get(failure.reason, "The model's provider failed")
    return f"{said}; asking again{f' in {round(pause)} seconds' if pause >= 2 else ''}."


async def within(events: AsyncIterator[Event], seconds: float) -> AsyncGenerator[Event, None]:
    """The events, each in time. Raises TimeoutError."""
    while True:
        try:
            async with asyncio.timeout(seconds):
                event = await anext(events)
        except StopAsyncIteration:
            return
        yield event
