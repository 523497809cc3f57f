"""One piece of work with the bucket, in a process of its own that ends with it: `python -m moltbot_state.worker`.

The container beside it stays small and never imports boto3 (docs/adr/0005). The job is one line of JSON on standard input; progress and
the result are lines on standard output; log lines go to standard error. When standard input ends the container is gone and so is the
work, at once: that is as safe as any other moment to die (snapshot.py, restore.py).

    in   {"do": "open"} | {"do": "snapshot", "staged": <name in stage>|null, "change": …, "unchanged": bool, "rest": bool}
    out  {"progress": n} … then one of
         {"choice": {kind, reason, message}} · {"snapshot": {result, …}} · {"again": "database"|"gateway"} · {"error": {reason, message}}
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from moltbot_state.bucket import Bucket
from moltbot_state.choice import AskBucket, Choice, ChoiceKind, decide_state
from moltbot_state.errors import BackupFailed, BucketError, StateError
from moltbot_state.layout import StateDir
from moltbot_state.opening import make_facts
from moltbot_state.ownership import look
from moltbot_state.restore import look_at_local, open_empty, read_database_version, restore_head, write_choice
from moltbot_state.settings import StateSettings
from moltbot_state.snapshot import DatabaseNeeded, Run, Staged, take_snapshot
from moltbot_state.staging import DatabaseBusy, stage_at_rest
from moltbot_trust.clock import Clock, SystemClock, format_time
from moltbot_trust.logs import configure_logging, get_logger
from moltbot_trust.settings import read_settings

PROGRESS_SECONDS = 0.1
ORPHANED = 3
log = get_logger("moltbot_state.worker")


class Reporter:
    """Lines on standard output; progress at most ten times a second."""

    def __init__(self) -> None:
        self._lock, self._count, self._said = threading.Lock(), 0, 0.0

    def say(self, document: Mapping[str, object]) -> None:
        with self._lock:
            sys.stdout.write(json.dumps(document) + "\n")
            sys.stdout.flush()

    def progress(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._count += 1
            due = now - self._said >= PROGRESS_SECONDS
            if due:
                self._said = now
            count = self._count
        if due:
            self.say({"progress": count})


def checkpoint(name: str) -> None:
    """Passed between two steps; tests kill here."""
    log.debug("checkpoint", checkpoint=name)


def open_state(settings: StateSettings, state: StateDir, reporter: Reporter) -> dict[str, object]:
    """Ask the bucket, choose, and carry the choice out."""
    bucket = Bucket(settings.place, settings.bucket_access_key_id, settings.bucket_secret_access_key)
    reporter.progress()
    answer, head = look(bucket, settings.identity, settings.recorded)
    reporter.progress()
    choice = decide_state(replace(make_facts(settings, state), bucket=answer))
    assert not isinstance(choice, AskBucket)
    match choice.kind:
        case ChoiceKind.HEAD:
            assert head is not None
            durable = settings.storage.value == "volume"
            restore_head(state, bucket, head.head, durable=durable, checkpoint=checkpoint, progress=reporter.progress)
        case ChoiceKind.EMPTY:
            open_empty(state, choice.lineage, checkpoint=checkpoint)
        case ChoiceKind.SNAPSHOT:
            raise BackupFailed("Restoring a named snapshot is not served by this version.")
        case ChoiceKind.LOCAL | ChoiceKind.WAIT:
            pass
    if choice.kind is not ChoiceKind.WAIT:
        mark = look_at_local(state).mark
        assert mark is not None
        write_choice(state, settings.pod_uid, choice.kind, mark.lineage)
    return choice_to_json(choice)


def choice_to_json(choice: Choice) -> dict[str, object]:
    return {"kind": choice.kind.value, "reason": str(choice.reason), "message": choice.message}


def make_snapshot(settings: StateSettings, reporter: Reporter, job: Mapping[str, object], clock: Clock) -> dict[str, object]:
    """One snapshot; the staged copy is removed whatever happens."""
    state = StateDir(Path(settings.state_dir))
    staged = stage_at_rest(state) if job.get("rest") else _staged(state, job)
    try:
        bucket = Bucket(settings.place, settings.bucket_access_key_id, settings.bucket_secret_access_key)
        created = format_time(clock.now())
        run = Run(state, bucket, settings.identity, _program(), created, clock.epoch(), checkpoint, reporter.progress)
        made = take_snapshot(run, staged)
    finally:
        if staged.path is not None:
            staged.path.unlink(missing_ok=True)
    return {"result": "created" if made.created else "unchanged", "snapshot": made.known.last.to_json()}


def _staged(state: StateDir, job: Mapping[str, object]) -> Staged:
    name, change = job.get("staged"), job.get("change")
    path = state.stage / Path(str(name)).name if name else None
    return Staged(
        path, str(change) if change else None, unchanged=bool(job.get("unchanged")), database=read_database_version(path or state.database)
    )


def _program() -> str:
    try:
        return importlib.metadata.version("moltbot-operator")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _end_with_the_container() -> None:
    sys.stdin.buffer.read()
    os._exit(ORPHANED)


def run_job(settings: StateSettings, job: Mapping[str, object], reporter: Reporter, clock: Clock) -> dict[str, object]:
    """The result's line. Never raises for what can go wrong with disk or bucket."""
    try:
        if job.get("do") == "open":
            return {"choice": open_state(settings, StateDir(Path(settings.state_dir)), reporter)}
        return {"snapshot": make_snapshot(settings, reporter, job, clock)}
    except DatabaseNeeded:
        return {"again": "database"}
    except DatabaseBusy:
        return {"again": "gateway"}
    except (StateError, BucketError) as error:
        return {"error": {"reason": error.reason, "message": error.message}}
    except OSError as error:
        full = " Make the volume larger." if error.errno in (28, 122) else ""
        reason = "StateWaiting" if job.get("do") == "open" else "BackupFailed"
        return {"error": {"reason": reason, "message": f"The state directory cannot be used: {error.strerror or error}.{full}"}}


def main() -> int:
    settings = read_settings(StateSettings, os.environ)
    configure_logging(settings.log_format, settings.log_level)
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_container, name="orphan", daemon=True).start()
    reporter = Reporter()
    reporter.say(run_job(settings, job, reporter, SystemClock()))
    # Nothing is left to do, and the thread above would keep an orderly exit waiting for its lock on standard input.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
