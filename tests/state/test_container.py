"""The state container (rule 9), with real workers against a real S3-protocol server; time stands still until a test moves it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from moltbot_state.container import Container, NotOpen
from moltbot_state.errors import StateError
from moltbot_state.layout import StateDir, take_lock
from moltbot_state.settings import StateSettings
from moltbot_state.worker import Reporter, run_job
from moltbot_state.workers import WorkerFailed, Workers
from moltbot_trust.settings import read_settings
from tests.fakes.clock import FakeClock
from tests.fakes.s3 import Answer, S3Server
from tests.state.assistant import begin, restore, said, snapshot
from tests.state.pod import FakeGateway, environment


class InProcess(Workers):
    """The worker's own code, in a thread: no start of a process a job, and the test's clock."""

    def __init__(self, settings: StateSettings, clock: FakeClock) -> None:
        super().__init__({})
        self._settings, self._clock = settings, clock

    async def run(self, job: Mapping[str, object], progress: Callable[[], None]) -> Mapping[str, object]:
        progress()
        result = await asyncio.to_thread(run_job, self._settings, job, Quiet(), self._clock)
        problem = result.get("error")
        if isinstance(problem, dict):
            raise WorkerFailed(str(problem["reason"]), str(problem["message"]))
        return result


class Quiet(Reporter):
    def say(self, document: Mapping[str, object]) -> None:
        return None


class Pod:
    """`clock`: a minute ahead of the machine's, so that what a test writes counts as settled."""

    def __init__(self, s3: S3Server, prefix: str, state: StateDir, **changes: str) -> None:
        environ = environment(s3, prefix, state, **changes)
        self.settings = read_settings(StateSettings, {name: value for name, value in environ.items() if name.startswith("MOLTBOT_")})
        self.clock, self.gateway = FakeClock(datetime.now(UTC) + timedelta(minutes=1)), FakeGateway(state)
        self.container = Container(self.settings, state, InProcess(self.settings, self.clock), self.gateway, self.clock)
        self.task = asyncio.create_task(self.container.run())

    async def open(self) -> None:
        async with asyncio.timeout(60):
            await self.container.opened.wait()
        self.gateway.open()

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        self.container.close()
        self.gateway.close()


@contextlib.asynccontextmanager
async def pod(s3: S3Server, prefix: str, state: StateDir, **changes: str) -> AsyncIterator[Pod]:
    it = Pod(s3, prefix, state, **changes)
    try:
        yield it
    finally:
        await it.stop()


async def test_a_memory_lives_from_pod_to_pod(s3: S3Server, prefix: str, state: StateDir) -> None:
    async with pod(s3, prefix, state) as first:
        await first.open()
        report = await first.container.report()
        assert (report["state"], report["lineage"], report["sequence"]) == ("open", None, None), "nothing that may be recorded"
        assert first.container.conditions()[0]["reason"] == "NotBackedUpYet"
        first.gateway.say("hello")
        made = await first.container.snapshot("scheduled")
        assert made["result"] == "created"
        report = await first.container.report()
        assert report["sequence"] == 1 and report["lastSnapshot"] == made["snapshot"]
        assert first.container.conditions()[0]["reason"] == "BackedUp"
        assert list(state.stage.iterdir()) == []
    second_state = StateDir(state.root.with_name("second"))
    async with pod(s3, prefix, second_state, MOLTBOT_POD_UID="pod-2") as second:
        async with asyncio.timeout(60):
            await second.container.opened.wait()
        report = await second.container.report()
        assert report["choice"]["kind"] == "head" and report["sequence"] == 1 and report["changed"] is False  # type: ignore[index]
        second.gateway.open()
        second.gateway.say("more")
        second.clock.set(10)
        assert (await second.container.report())["changed"] is True
        second.gateway.close()
    assert said(second_state) == ["hello", "more"]


async def test_unchanged_is_answered_without_worker_or_bucket(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Rule 9: in milliseconds, and it counts as backed up now."""
    async with pod(s3, prefix, state) as it:
        await it.open()
        it.gateway.say("hello")
        (state.workspace / "notes").write_text("x")
        made = await it.container.snapshot("scheduled")
        s3.requests.clear()
        it.clock.set(300)
        moved = it.container.progress
        answer = await it.container.snapshot("scheduled")
        assert answer == {"result": "unchanged", "snapshot": made["snapshot"]}
        assert s3.requests == [] and it.container.progress == moved
        assert it.container.last_equal == it.clock.now()
        # A changed file alone: the database is not copied again.
        (state.workspace / "notes").write_text("y")
        assert (await it.container.snapshot("scheduled"))["result"] == "created"
        assert it.gateway.staged[-1] == ("run.1", False)


async def test_a_block_of_the_unchanged_database_that_was_lost_is_brought_again(s3: S3Server, prefix: str, state: StateDir) -> None:
    async with pod(s3, prefix, state) as it:
        await it.open()
        it.gateway.say("hello")
        await it.container.snapshot("scheduled")
        for key in s3.objects(prefix):
            if key.startswith("blocks/"):
                s3.client().delete_object(Bucket=s3.bucket, Key=prefix + key)
        (state.workspace / "notes").write_text("y")
        assert (await it.container.snapshot("scheduled"))["result"] == "created"
    back = StateDir(state.root.with_name("back"))
    restore(back, s3.open(prefix))
    assert said(back) == ["hello"]


async def test_the_same_pod_restores_nothing(s3: S3Server, prefix: str, state: StateDir) -> None:
    async with pod(s3, prefix, state) as it:
        await it.open()
        it.gateway.say("hello")
        await it.container.snapshot("scheduled")
        it.gateway.say("not in the bucket")
        it.gateway.close()
    s3.requests.clear()
    async with pod(s3, prefix, state) as again:
        await again.open()
        assert again.container.choice.reason == "Kept" and s3.requests == []
        again.gateway.close()
    assert said(state) == ["hello", "not in the bucket"]


async def test_it_waits_while_the_bucket_cannot_be_reached_and_never_starts_empty(s3: S3Server, prefix: str, state: StateDir) -> None:
    s3.fault = lambda _: Answer(503, "ServiceUnavailable")
    async with pod(s3, prefix, state) as it:
        while it.clock.sleepers == 0:
            await asyncio.sleep(0.01)
        report = await it.container.report()
        assert (report["state"], it.container.choice.reason) == ("waiting", "BucketUnreachable")
        assert it.container.conditions()[0]["reason"] == "BucketUnreachable"
        assert not state.current.exists()
        with pytest.raises(NotOpen):
            await it.container.snapshot("scheduled")
        assert (await it.container.restored(0.01))["restored"] is False
        s3.fault = None
        await it.clock.advance(2)
        await it.open()
        told = await it.container.restored()
        assert told["restored"] is True and told["lineage"] is None, "ephemeral and no snapshot yet: nothing is recorded"


async def test_an_opened_volume_may_be_recorded_once_it_holds_something(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Rule 8."""
    async with pod(s3, prefix, state, MOLTBOT_STORAGE="volume") as it:
        async with asyncio.timeout(60):
            await it.container.opened.wait()
        assert (await it.container.report())["lineage"] is None
        lineage = (await it.container.restored())["lineage"]
        it.gateway.open()
        report = await it.container.report()
        assert isinstance(lineage, str) and (report["lineage"], report["sequence"]) == (lineage, 0)


@pytest.mark.parametrize(
    "changes, reason, words",
    [
        ({"MOLTBOT_BUCKET_NAME": "absent"}, "BucketMissing", "create-bucket --bucket absent"),
        ({"MOLTBOT_BUCKET_SECRET_ACCESS_KEY": "wrong-secret"}, "BucketCredentials", "SignatureDoesNotMatch"),
        ({"MOLTBOT_UID": "uid-eve"}, "ForeignPrefix", "belongs to Moltbot team/ada"),
        ({"MOLTBOT_RECORDED_LINEAGE": "lineage-a", "MOLTBOT_RECORDED_SEQUENCE": "9"}, "SnapshotOlderThanRecorded", "older copy"),
        ({"MOLTBOT_RECORDED_LINEAGE": "lineage-b", "MOLTBOT_RECORDED_SEQUENCE": "1"}, "SnapshotOfAnotherLineage", "another memory"),
    ],
)
async def test_each_trouble_waits_with_its_reason(
    s3: S3Server, prefix: str, state: StateDir, changes: dict[str, str], reason: str, words: str
) -> None:
    begin(state)
    snapshot(state, s3.open(prefix))
    before = s3.objects(prefix)
    other = StateDir(state.root.with_name("other"))
    async with pod(s3, prefix, other, **changes) as it:
        while it.clock.sleepers == 0:
            await asyncio.sleep(0.01)
        assert it.container.choice.kind == "wait" and it.container.choice.reason == reason
        assert words in it.container.choice.message and "wrong-secret" not in it.container.choice.message
        assert not other.current.exists() and s3.objects(prefix) == before


async def test_a_failed_snapshot_is_a_condition_until_one_succeeds(s3: S3Server, prefix: str, state: StateDir) -> None:
    async with pod(s3, prefix, state) as it:
        await it.open()
        it.gateway.say("hello")
        s3.fault = lambda asked: Answer(403, "AccessDenied") if asked.method == "PUT" else None
        with pytest.raises(WorkerFailed):
            await it.container.snapshot("scheduled")
        assert it.container.conditions()[0]["reason"] == "BucketCredentials"
        assert list(state.stage.iterdir()) == []
        s3.fault = None
        await it.container.snapshot("scheduled")
        assert it.container.conditions()[0]["status"] == "True"


async def test_not_asked_for_two_periods_it_snapshots_by_itself(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Rule 9."""
    async with pod(s3, prefix, state) as it:
        await it.open()
        it.gateway.say("hello")
        await it.clock.advance(599)
        assert it.gateway.staged == []
        await it.clock.advance(2)
        async with asyncio.timeout(60):
            while it.container.counters.created == 0:
                await asyncio.sleep(0.01)
        assert "HEAD" in s3.objects(prefix)


async def test_the_last_flush_takes_what_the_gateway_left(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Rule 5: the state container outlives the gateway."""
    async with pod(s3, prefix, state) as it:
        await it.open()
        it.gateway.say("hello")
        await it.container.snapshot("scheduled")
        it.gateway.say("last words")
        it.gateway.close()
        await it.container.flush()
        assert it.container.counters.created == 2
        # Skipped when HEAD equals the state: nothing is asked of the bucket.
        s3.requests.clear()
        await it.container.flush()
        assert s3.requests == [] and it.container.counters.unchanged == 1
    back = StateDir(state.root.with_name("back"))
    restore(back, s3.open(prefix))
    assert said(back) == ["hello", "last words"]


async def test_a_flush_after_a_staged_snapshot_of_the_same_state_writes_nothing(s3: S3Server, prefix: str, state: StateDir) -> None:
    async with pod(s3, prefix, state) as it:
        await it.open()
        it.gateway.say("hello")
        await it.container.snapshot("final")
        it.gateway.close()
        s3.requests.clear()
        await it.container.flush()
        assert it.container.counters.created == 1
        assert [asked for asked in s3.requests if asked.method == "PUT"] == []


async def test_a_flush_beside_a_gateway_that_is_still_there_has_it_copy(s3: S3Server, prefix: str, state: StateDir) -> None:
    async with pod(s3, prefix, state) as it:
        await it.open()
        it.gateway.say("hello")
        await it.container.flush()
        assert it.container.counters.created == 1 and it.gateway.staged


async def test_a_flush_is_bounded(s3: S3Server, prefix: str, state: StateDir) -> None:
    async with pod(s3, prefix, state, MOLTBOT_FLUSH_SECONDS="0") as it:
        await it.open()
        it.gateway.say("hello")
        it.gateway.close()
        await it.container.flush()
        assert it.container.counters.created == 0 and "HEAD" not in s3.objects(prefix)


async def test_a_state_directory_that_cannot_be_used_is_waited_for(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Never a crash loop."""
    state.stage.write_text("in the way")
    async with pod(s3, prefix, state) as it:
        while it.clock.sleepers == 0:
            await asyncio.sleep(0.01)
        assert it.container.choice.reason == "StateWaiting" and "cannot be used" in it.container.choice.message
        state.stage.unlink()
        await it.clock.advance(2)
        await it.open()
        it.gateway.say("hello")
        good = state.state_file.read_bytes()
        state.state_file.write_bytes(b"{")
        with pytest.raises(StateError):
            await it.container.snapshot("scheduled")
        state.state_file.write_bytes(good)
        assert (await it.container.snapshot("scheduled"))["result"] == "created"


async def test_nobody_else_has_the_state_directory(s3: S3Server, prefix: str, state: StateDir) -> None:
    import os

    held = take_lock(state)
    async with pod(s3, prefix, state) as it:
        async with asyncio.timeout(5):
            await it.container.begun.wait()
        assert not it.container.opened.is_set() and "Another process" in it.container.choice.message
        os.close(held)
        await it.clock.advance(1)
        await it.open()


async def test_a_gateway_that_puts_its_copy_elsewhere_is_refused(s3: S3Server, prefix: str, state: StateDir, tmp_path: Path) -> None:
    """Rule 12."""

    async def stage(_id: str, _unless: str | None) -> tuple[str, str | None]:
        return "x", "../../etc/passwd"

    async with pod(s3, prefix, state) as it:
        await it.open()
        it.gateway.stage = stage  # type: ignore[method-assign,assignment]
        with pytest.raises(Exception, match="where it was not asked to"):
            await it.container.snapshot("scheduled")


async def test_a_worker_that_dies_is_an_error_in_words(tmp_path: Path) -> None:
    async def run(code: str) -> Mapping[str, object]:
        import sys

        return await Workers({}, [sys.executable, "-c", code]).run({"do": "open"}, lambda: None)

    with pytest.raises(WorkerFailed, match=r"signal 9.*out of memory"):
        await run("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(WorkerFailed, match="exit code 5"):
        await run("raise SystemExit(5)")
    with pytest.raises(WorkerFailed, match="no JSON"):
        await run("print('{')")
