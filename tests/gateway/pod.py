"""A gateway in this process, on real sockets with port 0, and one as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moltbot_gateway.app import Running, running
from moltbot_gateway.life import Given
from moltbot_gateway.models.base import Model
from moltbot_gateway.settings import Settings
from moltbot_trust.clock import Clock, SystemClock
from moltbot_trust.keys import GATEWAY_PURPOSES, KeyRing, MasterKeys, Purpose
from moltbot_trust.settings import read_settings
from tests.fakes.certificate import make_certificate
from tests.fakes.gateway_client import PodAddress

UID = "8c5a6a52-0000-4000-8000-000000000001"
_CERTIFICATE, _KEY = make_certificate()
_RING: KeyRing = MasterKeys.generate().key_ring(GATEWAY_PURPOSES, UID)


@dataclass
class Pod:
    """What a pod of one Moltbot would get; `environ` over it."""

    state_dir: Path
    pod_uid: str = "pod-1"
    environ: Mapping[str, str] = field(default_factory=dict)
    certificate: str = _CERTIFICATE
    private_key: str = _KEY
    ring: KeyRing = _RING

    def environment(self) -> dict[str, str]:
        return {
            "MOLTBOT_NAME": "ada",
            "MOLTBOT_NAMESPACE": "default",
            "MOLTBOT_UID": UID,
            "MOLTBOT_POD_UID": self.pod_uid,
            "MOLTBOT_POD_IP": "127.0.0.1",
            "MOLTBOT_STATE_DIR": str(self.state_dir),
            "MOLTBOT_KEYS": self.ring.to_json(),
            "MOLTBOT_TLS_CERTIFICATE": self.certificate,
            "MOLTBOT_TLS_PRIVATE_KEY": self.private_key,
            "MOLTBOT_MODEL_ADAPTER": "demo",
            "MOLTBOT_LISTEN_PORT": "0",
            "MOLTBOT_LISTEN_CONTROL_PORT": "0",
            "MOLTBOT_LOG_FORMAT": "json",
            **self.environ,
        }

    def settings(self) -> Settings:
        return read_settings(Settings, self.environment())

    def address(self, port: int, control_port: int, clock: Clock) -> PodAddress:
        return PodAddress(
            f"https://127.0.0.1:{port}", f"https://127.0.0.1:{control_port}", self.certificate, self.ring, self.pod_uid, clock
        )


@dataclass
class Live:
    """A gateway in this process."""

    running: Running
    address: PodAddress


@contextlib.asynccontextmanager
async def start(
    pod: Pod, *, model: Model | None = None, clock: Clock | None = None, wait: bool = True, given: Given | None = None
) -> AsyncIterator[Live]:
    """`wait`: until the state is open. `given`: what a person put into the environment, and tools beside the ordinary ones."""
    time = clock or SystemClock()
    async with running(pod.settings(), time, began=time.epoch(), model=model, given=given) as live:
        if wait:
            await until_open(live)
        yield Live(live, pod.address(live.port, live.control_port, time))


async def until_open(live: Running) -> None:
    async with asyncio.timeout(10):
        while live.gateway.timings.open is None:
            await asyncio.sleep(0.002)  # polling a flag: nothing is synchronised by this pause


async def control(live: Live, method: str, path: str, purpose: Purpose = Purpose.OPERATOR_GATEWAY, **body: object) -> dict[str, object]:
    async with live.address.control(purpose) as channel:
        return await channel.call(method, path, body if method == "POST" else None)


async def until_idle(live: Live) -> None:
    async with asyncio.timeout(10):
        while (await control(live, "GET", "/report"))["busy"]:
            await asyncio.sleep(0.002)


class Process:
    """A gateway as a process of its own. Its log is read until the ports are known."""

    def __init__(self, process: asyncio.subprocess.Process, address: PodAddress, log: list[str], drain: asyncio.Task[None]) -> None:
        self.process, self.address, self.log, self._drain = process, address, log, drain

    @classmethod
    async def start(cls, pod: Pod) -> Process:
        environment = {**{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}, **pod.environment()}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "moltbot_gateway", env=environment, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
        )
        assert process.stderr is not None
        lines: list[str] = []
        ports: tuple[int, int] | None = None
        async with asyncio.timeout(20):
            while ports is None:
                line = (await process.stderr.readline()).decode()
                if not line:
                    raise AssertionError("the gateway ended:\n" + "".join(lines))
                lines.append(line)
                if match := re.search(r'"event":"listening".*"port":(\d+),"control_port":(\d+)', line):
                    ports = int(match[1]), int(match[2])

        async def drain() -> None:
            assert process.stderr is not None
            while line := await process.stderr.readline():
                lines.append(line.decode())

        return cls(process, pod.address(*ports, SystemClock()), lines, asyncio.create_task(drain()))

    async def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self.process.kill()
        await self.wait()

    async def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.wait()

    async def wait(self) -> int:
        code = await self.process.wait()
        await self._drain
        return code
