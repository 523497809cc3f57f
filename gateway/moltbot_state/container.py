"""The state container (rule 9): opens the state, makes snapshots when asked or when nobody asks for too long, flushes at the end.

It holds the lock of the state directory and no S3 client: what needs the bucket is done by short-lived workers. One piece of work runs at a
time. Knows neither HTTP nor aiohttp; `control` is its edge.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from moltbot_state.choice import AskBucket, ChoiceKind, decide_state
from moltbot_state.errors import BackupFailed, StateError
from moltbot_state.format import BadFormat
from moltbot_state.known import Known, Stamp, read_known, sign_workspace, stamp_database
from moltbot_state.layout import LockedByAnother, StateDir, take_lock
from moltbot_state.lineage import Mark, read_state_file
from moltbot_state.opening import make_facts
from moltbot_state.restore import recover, write_choice
from moltbot_state.settings import StateSettings
from moltbot_state.workers import WorkerFailed, Workers
from moltbot_trust.clock import Clock, format_time
from moltbot_trust.logs import get_logger

# A bucket that comes back is found within half a minute, and one that stays away costs two worker starts a minute.
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
LOCK_SECONDS = 0.25
# `changed` of the report walks the workspace; asked every second it does so every fifth.
CHANGED_SECONDS = 5.0
# Reasons that say something of the bucket, and so of backups too.
_STORAGE_REASONS = frozenset({"StateMissing", "StateOlderThanRecorded", "StateUnreadable", "StateOfAnotherLineage", "StateWaiting"})

log = get_logger("moltbot_state.container")


class NotOpen(Exception):
    """The state is not open yet: there is nothing to snapshot."""


class Gateway(Protocol):
    """The gateway beside us. Implemented by `control.GatewayControl` and by tests."""

    async def stage(self, stage_id: str, unless: str | None) -> tuple[str, str | None]:
        """(change token, path beneath the state directory or None when unchanged since `unless`). Raises BackupFailed."""


@dataclass(frozen=True, slots=True)
class ChoiceView:
    """`choice` of the report."""

    kind: str
    reason: str
    message: str

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind, "reason": self.reason, "message": self.message}


RESTORING = ChoiceView("wait", "Restoring", "The state is being restored.")
_Rest = tuple[tuple[Stamp | None, ...], str | None]


@dataclass
class Counters:
    """For the metrics."""

    created: int = 0
    unchanged: int = 0
    failed: int = 0
    timings: dict[str, int] = field(default_factory=dict)


class Container:
    """One per process. `run` opens the state and then watches; the other methods may be called meanwhile, from the same loop."""

    def __init__(self, settings: StateSettings, state: StateDir, workers: Workers, gateway: Gateway, clock: Clock) -> None:
        self._settings, self._state, self._workers, self._gateway, self._clock = settings, state, workers, gateway, clock
        self._started = clock.monotonic()
        self._busy = asyncio.Lock()
        self._lock: int | None = None
        self._recovered = False
        self._known: Known | None = None
        self._rest: _Rest | None = None
        self._mark: Mark | None = None
        self._trouble: StateError | None = None
        self._asked = clock.monotonic()
        self._changed: tuple[float, bool] = (-CHANGED_SECONDS, True)
        self.choice = RESTORING
        self.opened = asyncio.Event()
        self.begun = asyncio.Event()  # the first worker runs, or none is needed
        self.progress = 0
        self.last_equal: datetime | None = None
        self.counters = Counters()

    # --- opening ------------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Open the state, for as long as it takes; then snapshot by itself whenever nobody asked for two periods. Ends only by being
        cancelled, which is safe."""
        await self._take_lock()
        attempt = 0
        while not await self._try_to_open():
            delay = RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]
            log.warning("waiting for the state", reason=self.choice.reason, message=self.choice.message, seconds=delay)
            self.begun.set()
            await self._clock.sleep(delay)
            attempt += 1
        await self._watch()

    async def _take_lock(self) -> None:
        while True:
            try:
                self._lock = take_lock(self._state)
                self._workers.keep_open = (self._lock,)
                return
            except LockedByAnother:
                self.choice = ChoiceView("wait", "StateWaiting", "Another process still has this state directory; it is waited for.")
                self.begun.set()
                await self._clock.sleep(LOCK_SECONDS)

    async def _try_to_open(self) -> bool:
        try:
            return await self._open()
        except WorkerFailed as error:
            self.choice = ChoiceView("wait", error.reason, error.message)
        except (OSError, BadFormat) as error:
            self.choice = ChoiceView("wait", "StateWaiting", _unusable(error))
        return False

    async def _open(self) -> bool:
        if not self._recovered:
            await asyncio.to_thread(recover, self._state)
            self._recovered = True
        facts = await asyncio.to_thread(make_facts, self._settings, self._state)
        choice = decide_state(facts)
        if isinstance(choice, AskBucket):
            result = await self._workers.run({"do": "open"}, self._moved)
            found = result.get("choice")
            assert isinstance(found, dict)
            view = ChoiceView(str(found["kind"]), str(found["reason"]), str(found["message"]))
        else:
            view = ChoiceView(choice.kind.value, str(choice.reason), choice.message)
            if choice.kind is ChoiceKind.LOCAL and choice.lineage is not None:
                await asyncio.to_thread(write_choice, self._state, self._settings.pod_uid, choice.kind, choice.lineage)
        self._moved()
        if view.kind == ChoiceKind.WAIT:
            self.choice = view
            return False
        await self._after_work()
        if view.kind == ChoiceKind.HEAD and view.reason != "Kept":
            # What was just restored is what the bucket has, until the gateway writes.
            self._rest = await asyncio.to_thread(self._look_at_rest)
        self.choice = view
        self.counters.timings["restoredMs"] = round((self._clock.monotonic() - self._started) * 1000)
        self._asked = self._clock.monotonic()
        self.opened.set()
        self.begun.set()
        log.info("state opened", choice=view.kind, reason=view.reason, **self._mark_fields())
        return True

    def _moved(self) -> None:
        self.progress += 1
        self.begun.set()

    def _mark_fields(self) -> dict[str, object]:
        return {"lineage": self._mark.lineage, "sequence": self._mark.sequence} if self._mark else {}

    # --- snapshots ----------------------------------------------------------------------------------------------------------------

    async def snapshot(self, reason: str, *, at_rest: bool = False) -> dict[str, object]:
        """`result` and `snapshot` of the answer; at once when nothing changed. `at_rest`: the gateway is gone.

        Raises NotOpen, StateError.
        """
        if not self.opened.is_set():
            raise NotOpen
        async with self._busy:
            self._asked = self._clock.monotonic()
            began = self._clock.now()
            try:
                try:
                    result = await (self._snapshot_at_rest() if at_rest else self._snapshot_beside_the_gateway())
                except (OSError, BadFormat) as error:
                    raise BackupFailed(_unusable(error)) from error
            except StateError as error:
                self._trouble, self.counters.failed = error, self.counters.failed + 1
                log.warning("snapshot failed", reason=error.reason, message=error.message, asked=reason)
                raise
            self._trouble = None
            self.last_equal = began
            self._changed = (-CHANGED_SECONDS, False)
            if result == "created":
                self.counters.created += 1
            else:
                self.counters.unchanged += 1
            assert self._known is not None
            last = self._known.last
            log.info("snapshot", result=result, asked=reason, snapshot=last.id, bytes=last.bytes, files=last.files)
            return {"result": result, "snapshot": last.to_json()}

    async def _snapshot_beside_the_gateway(self) -> str:
        unless = self._known.change if self._known and self._known.change else None
        for token in (unless, None):
            stage_id = secrets.token_hex(8)
            stamps = await asyncio.to_thread(stamp_database, self._state)
            change, path = await self._gateway.stage(stage_id, token)
            unchanged = path is None and token is not None
            if path is not None and path != f"stage/{stage_id}.sqlite":
                raise BackupFailed("The gateway put the copy of its database where it was not asked to.")
            if unchanged and await self._is_workspace_unchanged():
                self._rest = (stamps, self._known.workspace if self._known else None)
                return "unchanged"
            name = None if path is None else f"{stage_id}.sqlite"
            result = await self._work({"do": "snapshot", "staged": name, "change": change, "unchanged": unchanged})
            if result is not None:
                self._rest = (stamps, self._known.workspace if self._known else None)
                return result
        raise BackupFailed("The gateway staged no copy of its database.")

    async def _is_workspace_unchanged(self) -> bool:
        if self._known is None or self._known.workspace is None:
            return False
        return await asyncio.to_thread(sign_workspace, self._state, self._clock.epoch()) == self._known.workspace

    async def _snapshot_at_rest(self) -> str:
        rest = await asyncio.to_thread(self._look_at_rest)
        if self._known is not None and self._rest is not None and rest == self._rest and rest[1] is not None:
            return "unchanged"
        result = await self._work({"do": "snapshot", "rest": True})
        if result is None:  # locked out: the gateway is still there after all, and makes the copy itself
            return await self._snapshot_beside_the_gateway()
        self._rest = await asyncio.to_thread(self._look_at_rest)
        return result

    async def _work(self, job: Mapping[str, object]) -> str | None:
        """The worker's result; None when it could not have the database this way."""
        staged = job.get("staged")
        try:
            answer = await self._workers.run(job, self._moved)
        finally:
            if staged:
                (self._state.stage / str(staged)).unlink(missing_ok=True)
            await self._after_work()
        made = answer.get("snapshot")
        return str(made["result"]) if isinstance(made, dict) else None

    async def _after_work(self) -> None:
        place = self._settings.place.fingerprint
        self._known = await asyncio.to_thread(read_known, self._state, place)
        file = await asyncio.to_thread(read_state_file, self._state)
        if file is None:
            return
        self._mark = file.mark
        if self._known is not None and file.parent != self._known.last.id:
            self._known = None

    def _look_at_rest(self) -> _Rest:
        return stamp_database(self._state), sign_workspace(self._state, self._clock.epoch())

    async def _watch(self) -> None:
        period = self._settings.backup_seconds
        while True:
            await self._clock.sleep(max(1.0, self._asked + 2 * period - self._clock.monotonic()))
            if self._clock.monotonic() - self._asked < 2 * period:
                continue
            with contextlib.suppress(StateError):  # said in log and report
                await self.snapshot("unasked")

    async def flush(self) -> None:
        """The last snapshot, when the gateway is gone; nothing when the bucket has this state. Never raises; bounded by the settings."""
        if not self.opened.is_set():
            return
        try:
            async with asyncio.timeout(self._settings.flush_seconds):
                await self.snapshot("flush", at_rest=True)
        except TimeoutError:
            log.warning("the last flush took too long", seconds=self._settings.flush_seconds)
        except StateError as error:
            log.warning("the last flush failed", reason=error.reason, message=error.message)

    def close(self) -> None:
        """Let go of the state directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- what is told -------------------------------------------------------------------------------------------------------------

    @property
    def recordable(self) -> Mark | None:
        """What the operator may record (rule 8): a verified snapshot, or a volume that holds something."""
        if self._mark is None or not self.opened.is_set():
            return None
        if self._mark.sequence > 0 or (self._settings.storage.value == "volume" and os.path.lexists(self._state.database)):
            return self._mark
        return None

    async def _is_changed(self) -> bool:
        if not self.opened.is_set():
            return False
        if self._known is None or self._trouble is not None:
            return True
        at, changed = self._changed
        if self._clock.monotonic() - at >= CHANGED_SECONDS and not self._busy.locked():
            rest = await asyncio.to_thread(self._look_at_rest)
            changed = rest[1] is None or rest != self._rest
            self._changed = (self._clock.monotonic(), changed)
        return changed

    def conditions(self) -> list[dict[str, object]]:
        """BackupReady, as this container sees it."""
        if not self.opened.is_set():
            if self.choice is RESTORING or self.choice.reason in _STORAGE_REASONS:
                return []
            return [_condition("False", self.choice.reason, self.choice.message)]
        if self._trouble is not None:
            return [_condition("False", self._trouble.reason, self._trouble.message)]
        if self._known is None:
            return [_condition("False", "NotBackedUpYet", "No snapshot of this state was made yet.")]
        left = (
            f" {self._known.skipped} things were left out (links out of the workspace, sockets, unreadable files)."
            if self._known.skipped
            else ""
        )
        return [_condition("True", "BackedUp", f"Snapshot {self._known.last.id} is verified.{left}")]

    async def report(self) -> dict[str, object]:
        """`GET /report`."""
        mark = self.recordable
        return {
            "podUid": self._settings.pod_uid,
            "state": "open" if self.opened.is_set() else "restoring" if self.choice is RESTORING else "waiting",
            "progress": self.progress,
            "choice": self.choice.to_json(),
            "lineage": mark.lineage if mark else None,
            "sequence": mark.sequence if mark else None,
            "changed": await self._is_changed(),
            "lastSnapshot": self._known.last.to_json() if self._known else None,
            "lastEqual": format_time(self.last_equal) if self.last_equal else None,
            "conditions": self.conditions(),
            "bucketRevision": self._settings.bucket_revision,
            "timings": dict(self.counters.timings),
        }

    async def restored(self, seconds: float = 1.0) -> dict[str, object]:
        """`GET /restored`: waits at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.opened.wait()
        # On a volume the gateway is about to make the database, and reports only once it has.
        mark = self._mark if self._settings.storage.value == "volume" else self.recordable
        if not self.opened.is_set():
            return {"restored": False, "choice": {**self.choice.to_json(), "kind": "wait"}}
        return {
            "restored": True,
            "choice": self.choice.to_json(),
            "lineage": mark.lineage if mark else None,
            "sequence": mark.sequence if mark else None,
        }


def _unusable(error: OSError | BadFormat) -> str:
    words = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return f"The state directory cannot be used: {words}. It is tried again; look at the volume and at who may write to it."


def _condition(status: str, reason: str, message: str) -> dict[str, object]:
    return {"type": "BackupReady", "status": status, "reason": reason, "message": message}
