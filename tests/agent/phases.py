"""The phases of a turn, each with how to bring a turn there and how to know that it is there: where it is stopped, and where the process is
killed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.anthropic_api import ApiError, Call, FakeAnthropic, Plan
from tests.fakes.gateway_client import PATIENCE, SealedClient
from tests.gateway.pod import Pod, Process

# Words of the fake's story that come before it breaks off.
BEGINNING = "Once upon a"
ASK = {"programs": "ask"}


async def asked(fake: FakeAnthropic, count: int) -> None:
    """Until the fake got that many requests."""
    async with asyncio.timeout(PATIENCE):
        while len(fake.requests) < count:
            await asyncio.sleep(0.002)  # polling a list: nothing is synchronised by this pause


async def file_there(path: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        while not path.exists():
            await asyncio.sleep(0.002)  # polling a file: as above


def is_agent(run: str, stream: str) -> Callable[[Mapping[str, object]], bool]:
    def found(event: Mapping[str, object]) -> bool:
        payload = event["payload"]
        return event["event"] == "agent" and isinstance(payload, dict) and (payload["runId"], payload["stream"]) == (run, stream)

    return found


def is_status(run: str, phase: str) -> Callable[[Mapping[str, object]], bool]:
    def found(event: Mapping[str, object]) -> bool:
        payload = event["payload"]
        return event["event"] == "chat" and isinstance(payload, dict) and (payload["runId"], payload.get("phase")) == (run, phase)

    return found


Reached = Callable[[SealedClient, FakeAnthropic, Path, str], Awaitable[object]]


@dataclass(frozen=True)
class Phase:
    """`plans`: what the model answers. `reached` (client, fake, workspace, run id) waits until the turn is there. `kept`: what of an answer
    is on disk then. `calls`: how many calls it had begun; `before`: messages said before, where the phase needs some."""

    plans: tuple[Plan | ApiError, ...]
    reached: Reached
    kept: str = ""
    calls: int = 0
    before: tuple[str, ...] = ()
    agent: Mapping[str, object] = field(default_factory=dict)


# Long, and told from those of a test beside this one.
SLEEP_SECONDS = f"271.{os.getpid()}"
SLEEP = Call("exec", {"command": f"touch started; exec sleep {SLEEP_SECONDS}"})
TOO_LONG = ApiError(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")

PHASES: Mapping[str, Phase] = {
    "waiting for the first byte": Phase((Plan("never", head_pause=True),), lambda client, fake, workspace, run: asked(fake, 1)),
    "in the text": Phase(
        (Plan(f"{BEGINNING} time", break_after=3, break_how="stall"),),
        lambda client, fake, workspace, run: client.wait_delta(run, BEGINNING),
        BEGINNING,
    ),
    "in a thought": Phase(
        (Plan("never", thought="I should think about it", hold_in="thought"),),
        lambda client, fake, workspace, run: client.wait_for(is_agent(run, "thinking")),
    ),
    "while a call is written": Phase(
        (Plan(said="I look.", calls=(SLEEP,), hold_in="call"),),
        lambda client, fake, workspace, run: client.wait_for(is_status(run, "tool")),
        "I look.",
    ),
    "during a tool": Phase(
        (Plan(said="I work.", calls=(Call("list", {}), SLEEP)),),
        lambda client, fake, workspace, run: file_there(workspace / "started"),
        calls=2,
    ),
    "while an approval waits": Phase(
        (Plan(calls=(SLEEP,)),),
        lambda client, fake, workspace, run: client.wait_for(lambda event: event["event"] == "exec.approval.requested"),
        calls=1,
        agent=ASK,
    ),
    "while it summarises": Phase(
        (Plan("one"), TOO_LONG, Plan("never", head_pause=True)),
        lambda client, fake, workspace, run: asked(fake, 3),
        before=("first",),
    ),
}


# Processes of the present test; none outlives it (`test_kills.none_left`).
STARTED: list[Process] = []


async def started(pod: Pod) -> Process:
    """A gateway as a process of its own whose state is open."""
    process = await Process.start(pod)
    STARTED.append(process)
    async with asyncio.timeout(PATIENCE):
        while not any('"state open"' in line for line in process.log):
            await asyncio.sleep(0.002)  # polling a log: as above
    return process
