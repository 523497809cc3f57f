"""Rule 9: a changed bucket has the state container start again in place, once, and replaces no pod."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from moltbot_operator.bucket_change import BucketChange
from moltbot_operator.lifecycle.observed import Key, PodFacts
from moltbot_operator.lifecycle.ports import Unavailable

KEY = Key("team", "ada")


@dataclass
class FakeState:
    """A state container: it reads the revision at its start."""

    reads: str | None
    there: bool = True
    asked: int = 0
    exits: list[str] = field(default_factory=list)

    async def bucket_revision(self, pod: PodFacts, *, timeout: float) -> str | None:
        self.asked += 1
        if not self.there:
            raise Unavailable("gone")
        return self.reads

    async def exit(self, pod: PodFacts, *, timeout: float) -> None:
        self.exits.append(pod.uid)


def pod(restarts: int = 0, uid: str = "pod-1", **state: Any) -> dict[str, Any]:
    status = {"name": "state", "restartCount": restarts, "state": state or {"running": {"startedAt": "2026-11-24T08:00:00Z"}}}
    metadata = {"name": "ada-gateway-0", "uid": uid, "creationTimestamp": "2026-11-24T08:00:00Z"}
    return {"metadata": metadata, "status": {"initContainerStatuses": [status]}}


async def test_a_container_that_read_the_present_bucket_is_asked_once() -> None:
    state = FakeState("r1")
    change = BucketChange(state)
    for _ in range(3):
        await change.apply(KEY, pod(), "r1")
    assert (state.asked, state.exits) == (1, [])


async def test_a_changed_bucket_ends_the_container_until_its_next_life_has_read_it() -> None:
    state = FakeState("r1")
    change = BucketChange(state)
    await change.apply(KEY, pod(), "r1")
    await change.apply(KEY, pod(), "r2")
    assert state.exits == ["pod-1"]
    state.reads = "r2"
    await change.apply(KEY, pod(restarts=1), "r2")
    await change.apply(KEY, pod(restarts=1), "r2")
    assert (state.asked, len(state.exits)) == (3, 1)


async def test_an_operator_that_was_away_during_the_change_finds_it() -> None:
    state = FakeState("r1")
    await BucketChange(state).apply(KEY, pod(), "r2")
    assert state.exits == ["pod-1"]


async def test_who_does_not_answer_is_asked_again_and_who_does_not_say_is_left_alone() -> None:
    state = FakeState("r1", there=False)
    change = BucketChange(state)
    await change.apply(KEY, pod(), "r2")
    state.there = True
    await change.apply(KEY, pod(), "r2")
    assert len(state.exits) == 1
    old = FakeState(None)
    await BucketChange(old).apply(KEY, pod(), "r2")
    assert old.exits == []


async def test_a_container_that_does_not_run_is_not_asked() -> None:
    state = FakeState("r1")
    change = BucketChange(state)
    await change.apply(KEY, pod(waiting={"reason": "PodInitializing"}), "r2")
    ending = pod()
    ending["metadata"]["deletionTimestamp"] = "2026-11-24T08:00:00Z"
    await change.apply(KEY, ending, "r2")
    assert state.asked == 0
