"""Sleep and wake as they are: operator, gateway and state as processes on the miniature Kubernetes, and a real S3-protocol server.

What is decided is tested by tables and on a model; here only that it all fits together: one assistant, ephemeral, through its whole life.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from moltbot_kube import Kube, Object
from moltbot_kube.resources import MOLTBOTS, PODS, SECRETS, STATEFUL_SETS
from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.s3 import ACCESS_KEY, SECRET_KEY, S3Server

MANIFESTS = """
apiVersion: v1
kind: Secret
metadata: {{name: bucket}}
stringData: {{AWS_ACCESS_KEY_ID: {access}, AWS_SECRET_ACCESS_KEY: {secret}}}
---
apiVersion: moltbot.dev/v1alpha1
kind: Moltbot
metadata: {{name: ada}}
spec:
  sleepAfter: {sleep_after}
  persistence:
    ephemeral: true
    bucket:
      s3: {{endpoint: "{endpoint}"}}
      name: assistants
      credentials: {{secretName: bucket}}
"""
ON_A_VOLUME = """
apiVersion: moltbot.dev/v1alpha1
kind: Moltbot
metadata: {name: ada}
spec:
  sleepAfter: 10s
  model: {name: demo}
"""
WITH_A_KEY = """
apiVersion: v1
kind: Secret
metadata: {{name: ada}}
stringData: {{ANTHROPIC_API_KEY: an-old-key, ANTHROPIC_BASE_URL: "{url}"}}
---
apiVersion: moltbot.dev/v1alpha1
kind: Moltbot
metadata: {{name: ada}}
spec:
  sleepAfter: 30s
  secretsFrom: [{{name: ada}}]
"""
# A loaded machine with two cores starts three processes for each wake (seconds).
PATIENCE = 60.0


@dataclass
class Local:
    """A running `moltbot up`."""

    kube: Kube
    process: asyncio.subprocess.Process

    async def moltbot(self) -> Object:
        found = await self.kube.get(MOLTBOTS, "ada", "default")
        assert found is not None
        return found

    async def until(self, what: Callable[[dict[str, Any]], bool], why: str) -> dict[str, Any]:
        """The status once it is as wanted."""
        status: dict[str, Any] = {}
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    status = (await self.moltbot()).get("status") or {}
                    if what(status):
                        return status
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{why}: it stays {status}") from None

    async def ask(self, kind: str) -> None:
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        patch: Object = {"metadata": {"annotations": {f"moltbot.dev/{kind}": when}}}
        await self.kube.patch(MOLTBOTS, "ada", "default", patch, field_manager="test")

    async def set(self, **spec: object) -> None:
        await self.kube.patch(MOLTBOTS, "ada", "default", {"spec": spec}, field_manager="test")

    def operator(self) -> int | None:
        """Process id of the operator, one of ours; `None`: it does not run just now."""
        parents: dict[int, int] = {}
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError, IndexError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    if b"\0moltbot_operator\0" in (entry / "cmdline").read_bytes() + b"\0":
                        found.append(int(entry.name))
        for one in found:
            above: int | None = one
            while above is not None and above != self.process.pid:
                above = parents.get(above)
            if above == self.process.pid:
                return one
        return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def up(home: Path, manifests: str) -> AsyncIterator[Local]:
    file = home.parent / "ada.yaml"
    file.write_text(manifests)
    ports = ["--port", str(free_port()), "--admin-port", str(free_port())]
    command = [sys.executable, "-m", "moltbot_cli", "up", "-f", str(file), "--data-dir", str(home), *ports]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MOLTBOT_", "KUBECONFIG"))}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, env=environment, cwd=home.parent
    )
    try:
        async with asyncio.timeout(PATIENCE):
            while not (home / "kubeconfig").exists() or not (home / "running.json").exists():
                assert process.returncode is None, "it did not start"
                await asyncio.sleep(0.05)
        async with await Kube.connect(str(home / "kubeconfig")) as kube:
            yield Local(kube, process)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def is_in(phase: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status.get("phase") == phase


def done(kind: str, result: str = "done") -> Callable[[dict[str, Any]], bool]:
    return lambda status: any(one["action"] == kind and one["result"] == result for one in status.get("actions") or ())


@pytest.mark.skipif(sys.platform != "linux", reason="finds the operator's process in /proc")
@pytest.mark.timeout(300)
async def test_one_assistant_through_its_life(tmp_path: Path) -> None:
    """Rules 1, 2, 5, 8: first start, a person's sleep, an operator that is killed, wake, restart, Suspended, idleness."""
    with S3Server() as s3:
        manifests = MANIFESTS.format(access=ACCESS_KEY, secret=SECRET_KEY, endpoint=s3.endpoint, sleep_after="never")
        async with up(tmp_path / "home", manifests) as local:
            started = await local.until(is_in("Awake"), "the first start")
            assert started["lastWake"]["reason"] == "start"

            await local.ask("sleep")
            asleep = await local.until(lambda status: is_in("Asleep")(status) and done("sleep")(status), "a person's sleep")
            assert asleep["recorded"]["sequence"] >= 1
            assert asleep["lastBackup"]["snapshot"]
            assert any(key.endswith("HEAD") for key in s3.objects("default/ada/"))
            assert await local.kube.get(PODS, "ada-gateway-0", "default") is None

            # a restarted operator does not take `never` for a reason to wake what a person put to sleep
            before = local.operator()
            assert before is not None
            os.kill(before, signal.SIGKILL)
            async with asyncio.timeout(PATIENCE):
                while local.operator() in (None, before):
                    await asyncio.sleep(0.1)

            await local.ask("wake")
            awake = await local.until(lambda status: is_in("Awake")(status) and done("wake")(status), "a person's wake")
            assert [entry["phase"] for entry in awake["history"][:3]] == ["Awake", "Waking", "Asleep"]
            assert awake["recorded"]["lineage"] == asleep["recorded"]["lineage"]

            await local.ask("restart")
            again = await local.until(
                lambda status: is_in("Awake")(status) and done("restart")(status) and status["instance"] != awake["instance"], "a restart"
            )
            assert [entry["phase"] for entry in again["history"][:3]] == ["Awake", "Waking", "Draining"]
            assert again["recorded"]["lineage"] == asleep["recorded"]["lineage"]

            await local.set(operatingMode="Suspended")
            await local.until(is_in("Suspended"), "Suspended")
            scale = await local.kube.get_scale(STATEFUL_SETS, "ada-gateway", "default")
            assert scale is not None
            assert (scale["spec"].get("replicas") or 0) == 0
            await local.set(operatingMode="Auto", sleepAfter="10s")
            await local.until(is_in("Awake"), "leaving Suspended")
            await local.until(is_in("Asleep"), "idleness")


def runs_of_jobs(home: Path) -> list[tuple[str, str]]:
    """(job, how it went) as the sleeping assistant's own file has them."""
    (file,) = [found for found in home.rglob("moltbot.sqlite") if found.parent.name == "current"]
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        return database.execute("SELECT jobs.name, job_runs.status FROM job_runs JOIN jobs ON jobs.id = job_runs.job_id").fetchall()


@pytest.mark.skipif(sys.platform != "linux", reason="pods are confined there alone")
@pytest.mark.timeout(300)
async def test_a_job_that_is_added_while_it_sleeps_is_done_at_its_time(tmp_path: Path) -> None:
    """Rule 2: woken once to read it, awake until it is done, asleep again; the words of a job wake nothing."""
    async with up(tmp_path / "home", ON_A_VOLUME) as local:
        asleep = await local.until(lambda status: is_in("Asleep")(status) and "nextWakeTime" not in status, "the first sleep")
        assert asleep["jobs"] == []
        due = (datetime.now(UTC) + timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
        once = {"name": "once", "at": due, "prompt": "Say hello."}

        await local.set(schedule=[once])
        awake = await local.until(is_in("Awake"), "a wake to read the new job")
        assert awake["lastWake"]["reason"] == "schedule"
        assert next(entry["reason"] for entry in awake["history"] if entry["phase"] == "Waking") == "its schedule has a new time"
        slept = await local.until(is_in("Asleep"), "sleep after the job")
        assert slept["history"][0]["time"] > due
        assert runs_of_jobs(tmp_path / "home") == [("once", "ok")]

        # a job that rests, and other words, are nothing to be woken for
        resting = {"name": "resting", "every": "1h", "prompt": "Say hello.", "suspend": True}
        await local.set(schedule=[{**once, "prompt": "Say good bye."}, resting])
        read = await local.until(lambda status: status["observedGeneration"] > slept["observedGeneration"], "the change is seen")
        assert read["phase"] == "Asleep"

        await local.set(schedule=[{**resting, "suspend": False}])
        again = await local.until(is_in("Awake"), "a wake for the job that rests no more")
        assert len(again["jobs"]) == 1
        known = await local.until(is_in("Asleep"), "sleep until the next due time")
        assert known["nextWakeTime"] > known["history"][0]["time"]


def says_of_model(status: dict[str, Any]) -> tuple[str, str]:
    return next(((one["status"], one["reason"]) for one in status.get("conditions") or () if one["type"] == "ModelReady"), ("", ""))


@pytest.mark.skipif(sys.platform != "linux", reason="pods are confined there alone")
@pytest.mark.timeout(300)
async def test_what_the_model_said_to_the_old_key_is_not_said_of_the_new_one(tmp_path: Path) -> None:
    """A job asks the model, so that nobody has to."""

    def ask_soon() -> dict[str, str]:
        moment = datetime.now(UTC) + timedelta(seconds=15)
        return {"name": f"at-{moment:%H%M%S}", "at": moment.strftime("%Y-%m-%dT%H:%M:%SZ"), "prompt": "Say hello."}

    fake = FakeAnthropic(api_key="the-new-key")
    await fake.start()
    try:
        async with up(tmp_path / "home", WITH_A_KEY.format(url=fake.url)) as local:
            first = await local.until(is_in("Awake"), "the first start")
            assert says_of_model(first) == ("Unknown", "Configured")
            await local.set(schedule=[ask_soon()])
            refused = await local.until(lambda status: says_of_model(status)[0] == "False", "the old key is refused")
            assert says_of_model(refused) == ("False", "ModelAuthenticationFailed")

            await local.kube.patch(SECRETS, "ada", "default", {"stringData": {"ANTHROPIC_API_KEY": "the-new-key"}}, field_manager="test")
            await local.ask("refresh")
            again = await local.until(
                lambda status: is_in("Awake")(status) and status["instance"] != refused["instance"], "a pod with the new key"
            )
            assert says_of_model(again) == ("Unknown", "Configured")
            await local.set(schedule=[ask_soon()])
            await local.until(lambda status: says_of_model(status)[0] == "True", "the new key is taken")
    finally:
        await fake.stop()
