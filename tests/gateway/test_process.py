"""The gateway as a process: a cold start, kills at every phase of a turn, SIGTERM, what it logs (rules 5, 7, 8; numbers to design for)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from moltbot_gateway.store import schema
from moltbot_trust.keys import Purpose
from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.gateway_client import MAIN, CallFailed, SealedClient, text_of
from tests.gateway.pod import Pod, Process

HEAVY = (
    "anthropic",
    "cryptography",
    "mcp",
    "lxml",
    "boto3",
    "botocore",
    "pydantic",
    "prometheus_client",
    "kubernetes",
    "kopf",
    "httpx2",
    "moltbot_state",
)


@contextlib.asynccontextmanager
async def running(pod: Pod) -> AsyncIterator[Process]:
    process = await Process.start(pod)
    try:
        await until_open(process)
        yield process
    finally:
        if process.process.returncode is None:
            await process.kill()


async def until_open(process: Process) -> dict[str, Any]:
    async with asyncio.timeout(20), process.address.control() as control:
        while (report := await control.get("/report"))["state"] != "open":
            await asyncio.sleep(0.01)
    return report


def test_nothing_heavy_is_imported_at_start() -> None:
    """Rule "gateway process": ready in half a second. What is `None` in `sys.modules` was refused."""
    code = "import sys, moltbot_gateway.__main__; print(*(name for name, module in sys.modules.items() if module is not None))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    imported = {name.partition(".")[0] for name in result.stdout.split()}
    assert "aiohttp" in imported
    assert not imported & set(HEAVY)


async def test_a_cold_start_is_small_and_says_how_long_it_took(tmp_path: Path) -> None:
    """Goals are 500 ms and 90 MB; the time here only has to be sane, bench/ measures it."""
    async with running(Pod(tmp_path)) as process:
        report = await until_open(process)
        timings = report["timings"]
        assert 0 < timings["listeningMs"] <= timings["openMs"] < 10_000
        if sys.platform == "linux":
            resident = int(Path(f"/proc/{process.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            assert resident < 90 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_DUMPABLE is Linux's")
async def test_nobody_reads_its_memory_or_environment(tmp_path: Path) -> None:
    async with running(Pod(tmp_path)) as process:
        # An undumpable process's /proc entries belong to root (proc(5)).
        status = Path(f"/proc/{process.process.pid}/environ").stat()
        assert status.st_uid == 0


@pytest.fixture
async def provider() -> AsyncIterator[FakeAnthropic]:
    fake = FakeAnthropic(hold=60)
    await fake.start()
    yield fake
    await fake.stop()


def with_claude(tmp_path: Path, provider: FakeAnthropic) -> Pod:
    environ = {"MOLTBOT_MODEL_ADAPTER": "anthropic", "MOLTBOT_MODEL_API_KEY": provider.api_key, "MOLTBOT_MODEL_BASE_URL": provider.url}
    return Pod(tmp_path, environ=environ)


async def test_killed_while_the_model_is_silent_the_question_is_kept_and_marked(tmp_path: Path, provider: FakeAnthropic) -> None:
    pod = with_claude(tmp_path, provider)
    async with running(pod) as process, SealedClient.connect(process.address) as client:
        await client.send("[fake:slow-head] are you there?", key="k1")
        async with asyncio.timeout(20):
            while not provider.requests:
                await asyncio.sleep(0.01)
        await process.kill()
    async with running(pod) as process, SealedClient.connect(process.address) as client:
        messages = (await client.call("chat.history", sessionKey=MAIN))["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant"]
        assert messages[1]["interrupted"] is True
        again = await client.call("chat.send", sessionKey=MAIN, message="[fake:slow-head] are you there?", idempotencyKey="k1")
        assert again["status"] == "ok"
        assert len(provider.requests) == 1


async def test_killed_while_it_streams_what_was_kept_is_there_and_what_waited_is_answered(tmp_path: Path, provider: FakeAnthropic) -> None:
    pod = with_claude(tmp_path, provider)
    async with running(pod) as process, SealedClient.connect(process.address) as client:
        run = await client.send("[fake:quiet] a story", key="k1")
        await client.wait_delta(run, contains="Once upon a")
        await client.send("and then?", key="k2")
        await asyncio.sleep(0.2)  # the first piece is kept at once, and this is about what a kill finds, not when
        await process.kill()
    async with running(pod) as process, SealedClient.connect(process.address) as client:
        async with asyncio.timeout(20):
            while len(messages := (await client.call("chat.history", sessionKey=MAIN))["messages"]) < 4:
                await asyncio.sleep(0.02)
        texts = [text_of({"message": message}) for message in messages]
        assert texts[0] == "[fake:quiet] a story"
        assert "Once upon a time".startswith(texts[1])
        assert texts[1]
        assert messages[1]["stopReason"] == "interrupted"
        assert texts[2] == "and then?"
        assert texts[3].startswith("You said: and then?")
        for key, text in (("k1", texts[0]), ("k2", texts[2])):
            assert (await client.call("chat.send", sessionKey=MAIN, message=text, idempotencyKey=key))["status"] == "ok"
        await asyncio.sleep(0)
        assert len(provider.requests) == 2


def length(key: str) -> int:
    return int(key) % 7 + 2


def question(key: str) -> str:
    return f"count to {length(key)}"


async def test_killed_again_and_again_nothing_is_lost_and_nothing_twice(tmp_path: Path) -> None:
    """Every message that was accepted is in the history exactly once, with one answer or a mark that it was interrupted; a message whose
    acceptance was lost with the socket is sent again under its key, as the router does."""
    pod = Pod(tmp_path)
    keys: list[str] = []
    for round_ in range(5):
        async with running(pod) as process, SealedClient.connect(process.address) as client:
            for key in keys[-1:]:
                await client.call("chat.send", sessionKey=MAIN, message=question(key), idempotencyKey=key)
            delay = round_ * 0.015
            asyncio.get_running_loop().call_later(delay, process.process.kill)
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                while True:
                    key = str(len(keys) + 1)
                    try:
                        await client.call("chat.send", sessionKey=MAIN, message=question(key), idempotencyKey=key)
                    except CallFailed:
                        break  # the queue is full: nothing was accepted
                    except BaseException:
                        keys.append(key)  # accepted or not: nobody knows
                        raise
                    keys.append(key)
            await process.wait()
    async with running(pod) as process, SealedClient.connect(process.address) as client:
        await client.call("chat.send", sessionKey=MAIN, message=question(keys[-1]), idempotencyKey=keys[-1])
        async with process.address.control() as control, asyncio.timeout(60):
            while (await control.get("/report"))["busy"]:
                await asyncio.sleep(0.02)
        messages = (await client.call("chat.history", sessionKey=MAIN, limit=1000))["messages"]
        questions = [message["runId"] for message in messages if message["role"] == "user"]
        answers = [message for message in messages if message["role"] == "assistant"]
        assert sorted(questions, key=int) == keys
        assert sorted((message["runId"] for message in answers), key=int) == keys
        for message in answers:
            whole = " ".join(str(number) for number in range(1, length(message["runId"]) + 1))
            text = text_of({"message": message})
            assert text == whole or (message.get("interrupted") and whole.startswith(text))


async def test_sigterm_ends_in_order(tmp_path: Path) -> None:
    async with running(Pod(tmp_path)) as process, SealedClient.connect(process.address) as client:
        await client.say("remember the milk")
        assert await process.terminate() == 0
        await client.lost.wait()
        assert client.close_code == 1012
        assert client.events[-1]["event"] == "shutdown"
    assert not (tmp_path / "current" / "moltbot.sqlite-wal").exists()
    async with running(Pod(tmp_path, pod_uid="pod-2")) as process, SealedClient.connect(process.address) as client:
        assert "remember the milk" in await client.say("what did I say?")


async def test_the_demo_remembers_across_a_restart(tmp_path: Path) -> None:
    async with running(Pod(tmp_path)) as process, SealedClient.connect(process.address) as client:
        assert "demo model" in await client.say("hello")
        await client.say("my name is Grace")
        assert "1499117" in (await client.say("847293 + 651824")).replace(",", "")
        await process.terminate()
    async with running(Pod(tmp_path, pod_uid="pod-2")) as process, SealedClient.connect(process.address) as client:
        assert "Grace" in await client.say("what is my name?")


async def test_no_model_says_what_is_missing(tmp_path: Path) -> None:
    problem = "ANTHROPIC_API_KEY is missing from Secret ada."
    async with running(Pod(tmp_path, environ={"MOLTBOT_MODEL_ADAPTER": "none", "MOLTBOT_MODEL_PROBLEM": problem})) as process:
        async with SealedClient.connect(process.address) as client:
            end = await client.wait_end(await client.send("hello"))
            assert (end["state"], end["errorMessage"]) == ("error", problem)
            assert (await client.call("models.list"))["models"] == []
        async with process.address.control() as control:
            conditions = (await control.get("/report"))["conditions"]
        assert isinstance(conditions, list)
        assert {"type": "ModelReady", "status": "False", "reason": "NoModel", "message": problem} in conditions


async def test_logs_hold_no_message_and_no_secret(tmp_path: Path, provider: FakeAnthropic) -> None:
    pod = with_claude(tmp_path, provider)
    pod.environ = {**pod.environ, "MOLTBOT_LOG_LEVEL": "debug"}
    async with running(pod) as process, SealedClient.connect(process.address) as client:
        await client.say("a very private sentence")
        await client.wait_end(await client.send("[fake:bad-request] another private sentence"))
        with pytest.raises(CallFailed):
            await client.call("no.such.method")
        async with aiohttp.ClientSession() as session:
            await session.get(f"{process.address.url}/x?token=abcdefgh", ssl=process.address.pin())
        await process.terminate()
    log = "".join(process.log)
    assert "listening" in log
    assert "closed" in log
    for secret in ("private sentence", provider.api_key, "abcdefgh", "BEGIN", pod.ring.to_json()[20:60]):
        assert secret not in log, secret
    keys = re.findall(r'"(?:1)":"([^"]+)"', pod.ring.to_json())
    assert keys
    assert not [key for key in keys if key in log]


async def test_bad_settings_are_named_and_end_the_process(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], **Pod(tmp_path).environment(), "MOLTBOT_MODEL_ADAPTOR": "demo"}
    del environment["MOLTBOT_NAME"]
    result = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "moltbot_gateway"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 2
    assert "MOLTBOT_NAME is missing" in result.stderr
    assert "did you mean MOLTBOT_MODEL_ADAPTER" in result.stderr


async def test_a_newer_database_is_no_crash_loop(tmp_path: Path) -> None:
    """Rule 8: it stays up, not ready, and says which version is needed."""
    import sqlite3

    async with running(Pod(tmp_path)) as process:
        await process.terminate()
    database = sqlite3.connect(tmp_path / "current" / "moltbot.sqlite")
    database.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    database.close()
    process = await Process.start(Pod(tmp_path, pod_uid="pod-2"))
    try:
        async with process.address.control() as control, asyncio.timeout(10):
            while "DatabaseTooNew" not in str(report := await control.get("/report")):
                await asyncio.sleep(0.02)
        assert report["state"] == "restoring"
        assert "newer version" in str(report["conditions"])
        assert await process.terminate() == 0
    finally:
        if process.process.returncode is None:
            await process.kill()


async def test_metrics_are_served_plain_on_their_own_port(tmp_path: Path, unused_tcp_port: int) -> None:
    async with running(Pod(tmp_path, environ={"MOLTBOT_METRICS_PORT": str(unused_tcp_port)})) as process:
        async with SealedClient.connect(process.address) as client:
            await client.say("hello")
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{unused_tcp_port}/metrics") as response:
                        text = await response.text()
                        break
                await asyncio.sleep(0.02)
    assert 'moltbot_gateway_state{state="open"} 1.0' in text
    assert 'moltbot_gateway_turns_total{end="done"} 1.0' in text
    assert "moltbot_gateway_open_seconds" in text
    assert "hello" not in text


def test_control_purposes_are_those_of_a_gateway() -> None:
    assert Purpose.OPERATOR_GATEWAY in Pod(Path("/nowhere")).ring.keys
