"""Messages sent through sleeps, refusals and broken pods: each is answered once, reaches a gateway, and none overtakes another (rules 4,
5 and 7's first half)."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.fakes.gateway_pod import FakeGatewayPod
from tests.router.cluster import ADA
from tests.router.world import Browser, World

MESSAGES = 160


class Operator:
    """Sleeps, wakes, breaks: what a cluster does to a gateway, by a seed."""

    def __init__(self, world: World, seed: int) -> None:
        self._world, self._random = world, random.Random(seed)
        self.happened = 0
        self._pod: FakeGatewayPod | None = None
        self._pods: list[FakeGatewayPod] = []

    async def run(self) -> None:
        """Until cancelled: a pod for every 1, and every few milliseconds something happens to it."""
        while True:
            statefulset = self._world.cluster.truth[ADA].statefulset
            assert statefulset is not None
            if statefulset.replicas == 1 and self._pod is None:
                started = await self._world.make_pod(ready=False)
                self._pod = started
                self._pods.append(started)
                self._world.cluster.set_pod(ADA, started.facts())
                await asyncio.sleep(self._random.random() * 0.03)
                started.ready = True
            await asyncio.sleep(self._random.random() * 0.02)
            if self._pod is not None:
                self.happened += 1
                await getattr(self, self._random.choice(["_nothing", "_nothing", "_break", "_quiesce", "_quiesce", "_sleep", "_vanish"]))()

    async def _nothing(self) -> None:
        """It just runs."""

    async def _break(self) -> None:
        assert self._pod is not None
        await self._pod.cut()

    async def _quiesce(self) -> None:
        assert self._pod is not None
        self._pod.quiesced = f"q{self._random.random()}"

    async def _sleep(self) -> None:
        """Rule 5: quiesce, and if nobody resumes it, commit and 0."""
        pod = self._pod
        assert pod is not None
        pod.quiesced = "sleep"
        await asyncio.sleep(self._random.random() * 0.03)
        if not pod.is_quiesced:
            return
        pod.committed = True
        await asyncio.sleep(self._random.random() * 0.03)
        self._world.sleep()
        await pod.stop()
        self._pod = None

    async def _vanish(self) -> None:
        """The pod dies; the StatefulSet makes another one, 1 stays written."""
        assert self._pod is not None
        await self._pod.cut()
        await self._pod.stop()
        self._world.cluster.set_pod(ADA, None)
        self._pod = None

    @property
    def keys(self) -> list[str]:
        """Idempotency keys in the order in which gateways first took them."""
        seen: dict[str, None] = {}
        for pod in self._pods:
            for frame in pod.frames:
                if frame["method"] == "chat.send":
                    seen.setdefault(frame["params"]["idempotencyKey"])
        return list(seen)


@pytest.mark.parametrize("seed", range(4))
async def test_every_message_is_answered_and_reaches_a_gateway_in_order(world: World, seed: int) -> None:
    operator = Operator(world, seed)
    async with world.connected(Browser()) as wire:
        chaos = asyncio.create_task(operator.run())
        try:
            requests = []
            for number in range(MESSAGES):
                params = {"sessionKey": "agent:main:main", "message": "x", "idempotencyKey": f"k{number:03}"}
                requests.append(await wire.send("chat.send", params, request_id=f"r{number:03}"))
                if number % 8 == 7:
                    # As a person writes: a few at once, then they wait for the answers.
                    for request in requests:
                        response = await wire.answer(request)
                        assert response["ok"], (seed, response)
                    requests.clear()
                await asyncio.sleep(0.005)
            assert operator.happened > 20
            assert operator.keys == [f"k{number:03}" for number in range(MESSAGES)]
        finally:
            assert not chaos.done(), chaos.exception()
            chaos.cancel()
            await asyncio.gather(chaos, return_exceptions=True)
