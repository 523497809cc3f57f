"""Rule 8 where there is no bucket: what the gateway calls before it opens its database.

    opened = open_without_bucket(Path("/state"), pod_uid=…, recorded=…, storage=…, lose_on_restart=…)

Each opening of a volume advances `sequence`, so that a volume that is put back to an older copy is noticed. An ephemeral state
(`loseOnRestart`) records nothing. Blocking: a few small files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from moltbot_state.choice import NO_BUCKET, AskBucket, ChoiceKind, Facts, Storage, decide_state
from moltbot_state.errors import StateError
from moltbot_state.layout import DATABASE_VERSION, LockedByAnother, StateDir, take_lock
from moltbot_state.lineage import Mark, StateFile, read_state_file, write_state_file
from moltbot_state.restore import look_at_local, open_empty, read_choice, recover, write_choice


class StateWaits(StateError):
    """No state may be opened now. Tell reason and message, keep the process, and call again in a few seconds."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class OpenedState:
    """The state may be opened. `records`: lineage and sequence are to be reported; otherwise report null. The state directory is locked
    until `close`, or until the process ends."""

    kind: ChoiceKind
    reason: str
    mark: Mark
    records: bool
    state: StateDir
    lock: int | None

    def close(self) -> None:
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def open_without_bucket(
    root: Path, *, pod_uid: str, recorded: Mark | None, storage: Storage, lose_on_restart: bool, supported: int = DATABASE_VERSION
) -> OpenedState:
    """Choose and prepare `current/`. Raises StateWaits, OSError. Never starts empty where something was recorded."""
    state = StateDir(root)
    try:
        lock = take_lock(state)
    except LockedByAnother as error:
        raise StateWaits("StateWaiting", "Another process still has this state directory; it is waited for.") from error
    try:
        recover(state)
        return _open(
            Facts(look_at_local(state), NO_BUCKET, recorded, storage, lose_on_restart, supported, earlier=read_choice(state, pod_uid)),
            state,
            pod_uid,
            lock,
        )
    except BaseException:
        os.close(lock)
        raise


def _open(facts: Facts, state: StateDir, pod_uid: str, lock: int) -> OpenedState:
    choice = decide_state(facts)
    assert not isinstance(choice, AskBucket), "it is known that there is none"
    match choice.kind:
        case ChoiceKind.WAIT | ChoiceKind.HEAD | ChoiceKind.SNAPSHOT if choice.reason != "Kept":
            raise StateWaits(str(choice.reason), choice.message)
        case ChoiceKind.EMPTY if choice.reason != "Kept":
            file = open_empty(state, choice.lineage)
        case _:
            found = read_state_file(state)
            assert found is not None, "a kept state has a state.json"
            file = _advance(state, found) if choice.reason != "Kept" else found
    write_choice(state, pod_uid, choice.kind, file.mark.lineage)
    return OpenedState(choice.kind, str(choice.reason), file.mark, facts.storage is Storage.VOLUME, state, lock)


def _advance(state: StateDir, file: StateFile) -> StateFile:
    # From what it is known to hold, should a snapshot have been under way when a bucket was there.
    fresh = replace(file, mark=Mark(file.mark.lineage, file.reached.sequence + 1))
    write_state_file(state, fresh)
    return fresh
