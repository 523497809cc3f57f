"""`python -m moltbot_state` as the kubelet runs it, and `… backup` as the CronJob does."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from moltbot_state.backup import back_up, main
from moltbot_state.layout import StateDir
from moltbot_state.settings import BackupSettings
from moltbot_state.snapshot import CHECKPOINTS
from moltbot_trust.control import Refused
from moltbot_trust.keys import Purpose
from moltbot_trust.redaction import Secret
from moltbot_trust.tls import fingerprint_of
from tests.fakes.certificate import make_certificate
from tests.fakes.s3 import SECRET_KEY, Answer, Asked, S3Server
from tests.state.assistant import restore, said
from tests.state.pod import BACKUP, GATEWAY, OPERATOR, UID, FakeGateway, Process, environment


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def test_a_whole_life(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Opens, tells the gateway, is asked by the backup's client, flushes at SIGTERM, is small, and says no secret."""
    gateway = FakeGateway(state)
    runner, url = await gateway.serve()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        metrics = probe.getsockname()[1]
    process = Process(environment(s3, prefix, state, MOLTBOT_GATEWAY_URL=url, MOLTBOT_METRICS_PORT=str(metrics)))
    await process.start()
    try:
        async with await process.client(GATEWAY, Purpose.GATEWAY_STATE) as from_gateway:
            while not (answer := await from_gateway.get("/restored"))["restored"]:
                pass
        assert answer["choice"]["kind"] == "empty"  # type: ignore[index]
        gateway.open()
        gateway.say("hello")
        port = (await process.said("listening"))["port"]
        settings = BackupSettings(
            "ada", "team", UID, Secret(BACKUP.to_json()), fingerprint_of(make_certificate()[0]), f"https://127.0.0.1:{port}"
        )
        assert (await back_up(settings))[0] == 0
        async with await process.client(OPERATOR, Purpose.OPERATOR_STATE) as operator:
            report = await operator.get("/report")
            assert report["state"] == "open" and report["sequence"] == 1 and isinstance(report["lastEqual"], str)
            with pytest.raises(Refused, match="reason is one of"):
                await operator.post("/snapshot", {"reason": "because"})
        # What one purpose may ask another may not, nor for another pod.
        for ring, purpose, audience in ((GATEWAY, Purpose.GATEWAY_STATE, "pod:pod-1"), (OPERATOR, Purpose.OPERATOR_STATE, "pod:pod-2")):
            async with await process.client(ring, purpose, audience) as other:
                with pytest.raises(Refused) as refusal:
                    await other.get("/report")
                assert refusal.value.status == 401
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{metrics}/metrics") as scraped:
            assert 'moltbot_state_snapshots_total{result="created"} 1.0' in await scraped.text()
        assert resident_mib(process.process.pid) < 60, "no S3 client stays in memory"
        gateway.say("last words")
        gateway.close()
        process.process.send_signal(signal.SIGTERM)
        assert await process.end() == 0
    finally:
        await process.kill()
        await runner.cleanup()
    back = StateDir(state.root.with_name("back"))
    restore(back, s3.open(prefix))
    assert said(back) == ["hello", "last words"]
    log = "".join(process.log)
    assert all(name in log for name in CHECKPOINTS), "tests end to end kill at these lines"
    for secret in (SECRET_KEY, make_certificate()[1].splitlines()[1], environment(s3, prefix, state)["MOLTBOT_KEYS"][60:]):
        assert secret not in log


async def test_exit_leaves_at_once_and_the_next_one_keeps_the_state(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Rule 9: new keys of the bucket reach it by starting again in place."""
    process = Process(environment(s3, prefix, state))
    await process.start()
    await process.said("state opened")
    async with await process.client(OPERATOR, Purpose.OPERATOR_STATE) as operator:
        assert await operator.post("/exit", {}) == {"exiting": True}
    assert await process.end() == 0
    again = Process(environment(s3, prefix, state, MOLTBOT_BUCKET_SECRET_ACCESS_KEY="another"))
    await again.start()
    assert (await again.said("state opened"))["reason"] == "Kept"
    await again.kill()


async def test_a_killed_container_leaves_no_worker_behind(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Else two would write."""
    stuck, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def stall(asked: Asked) -> Answer | None:
        loop.call_soon_threadsafe(stuck.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(20)
        return None

    process = Process(environment(s3, prefix, state))
    with s3.faulty(stall):
        await process.start()
        async with asyncio.timeout(60):
            await stuck.wait()
        children = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()
        assert len(children) == 1
        await process.kill()
        deadline = time.monotonic() + 60
        while Path(f"/proc/{children[0]}").exists() and "State:\tZ" not in Path(f"/proc/{children[0]}/status").read_text():
            assert time.monotonic() < deadline, "the worker outlived its container"
            await asyncio.sleep(0.02)
        release.set()


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-m", "moltbot_state", *arguments],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        cwd=root,
        timeout=90,
        check=False,
    )


def test_wrong_settings_are_named_once() -> None:
    done = run(MOLTBOT_BUKET_NAME="x")
    assert done.returncode == 2
    assert "MOLTBOT_BUKET_NAME" in done.stderr and "did you mean MOLTBOT_BUCKET_NAME?" in done.stderr and "Traceback" not in done.stderr
    assert run("restore").returncode == 2


async def test_the_backup_says_why_in_one_line() -> None:
    settings = BackupSettings("ada", "team", UID, Secret(BACKUP.to_json()), fingerprint_of(make_certificate()[0]), "https://127.0.0.1:1")

    class Impatient:
        async def sleep(self, seconds: float) -> None:
            return None

        def epoch(self) -> float:
            return time.time()

    code, line = await back_up(settings, Impatient())  # type: ignore[arg-type]
    assert code == 1 and line.startswith("GatewayUnreachable: the state container of team/ada")
    code, line = await back_up(BackupSettings("ada", "team", UID, Secret("{}"), "00" * 32, "https://127.0.0.1:1"))
    assert code == 2


def test_the_backups_reason_is_in_the_termination_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = tmp_path / "termination-log"
    message.touch()
    assert main(BackupSettings("ada", "team", UID, Secret("{}"), "00" * 32, "https://127.0.0.1:1"), message) == 2
    assert message.read_text().startswith("The backup's settings are not right")
    assert capsys.readouterr().err == message.read_text() + "\n"


def test_the_container_imports_no_s3_client_nor_aiohttp_on_the_way_to_its_first_worker() -> None:
    code = "import sys, moltbot_state.__main__, moltbot_state.container, moltbot_state.settings; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"boto3", "botocore", "aiohttp", "sqlite3"} & set(done.stdout.split()) == set()
