"""Rule 8's one pure function: which state a pod opens. No I/O; everything it looks at is an argument.

It is asked first with `bucket=NOT_ASKED`; where the answer does not need the bucket the bucket is not asked. Where it does not know a
safe answer it waits: with a reason of the conditions' catalogue, and a message that says what was found, that nothing was overwritten,
and what mends it with what already works.

    the wanted lineage is    restore.key, else the recorded one, else the local one, else HEAD's
    1 local of it            → LOCAL
    2 HEAD of it             → HEAD
    3 restore names one      → SNAPSHOT
    4 nothing ever recorded  → EMPTY
      else                   → WAIT
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from moltbot_state.lineage import Mark


class ChoiceKind(StrEnum):
    """What is opened."""

    LOCAL = "local"
    HEAD = "head"
    SNAPSHOT = "snapshot"
    EMPTY = "empty"
    WAIT = "wait"


class ChoiceReason(StrEnum):
    """Why. Those of WAIT are reasons of the conditions' catalogue; failures of the bucket bring theirs (errors.py)."""

    KEPT = "Kept"
    LOCAL = "Local"
    RESTORED = "Restored"
    RESTORE_ASKED = "RestoreAsked"
    EMPTY_ASKED = "EmptyAsked"
    AS_FOUND_ASKED = "AsFoundAsked"
    NOTHING_RECORDED = "NothingRecorded"
    STATE_MISSING = "StateMissing"
    STATE_OLDER = "StateOlderThanRecorded"
    STATE_UNREADABLE = "StateUnreadable"
    STATE_OF_ANOTHER = "StateOfAnotherLineage"
    DATABASE_TOO_NEW = "DatabaseTooNew"
    SNAPSHOT_MISSING = "SnapshotMissing"
    SNAPSHOT_OLDER = "SnapshotOlderThanRecorded"
    SNAPSHOT_OF_ANOTHER = "SnapshotOfAnotherLineage"


class Storage(StrEnum):
    """Where the state directory is."""

    VOLUME = "volume"
    EPHEMERAL = "ephemeral"


class LocalKind(StrEnum):
    """What the state directory holds."""

    ABSENT = "absent"  # nothing of ours
    GONE = "gone"  # state.json, and no content: emptier than it was, or made and never used
    PRESENT = "present"  # state.json and content
    UNREADABLE = "unreadable"  # content without a readable state.json


@dataclass(frozen=True, slots=True)
class Local:
    """The state directory. `mark`: of state.json, where there is one. `database`: schema of the database, 0 when there is none."""

    kind: LocalKind
    mark: Mark | None = None
    database: int = 0
    detail: str = ""


class RestoreKind(StrEnum):
    """What a person asked for with `restore`."""

    SNAPSHOT = "snapshot"
    EMPTY = "empty"
    AS_FOUND = "asFound"


@dataclass(frozen=True, slots=True)
class RestoreIntent:
    """`restore` of the spec; its key becomes the lineage, so that it is carried out once."""

    kind: RestoreKind
    key: str
    snapshot: str = ""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What this very pod chose before."""

    kind: ChoiceKind
    lineage: str


class NotAsked(StrEnum):
    """The bucket was not asked yet."""

    NOT_ASKED = "not asked"


class NoBucket(StrEnum):
    """This Moltbot has no bucket."""

    NO_BUCKET = "no bucket"


NOT_ASKED = NotAsked.NOT_ASKED
NO_BUCKET = NoBucket.NO_BUCKET


@dataclass(frozen=True, slots=True)
class NoSnapshot:
    """The bucket answered, the prefix is ours or nobody's, and there is no HEAD. `manifests`: how many manifests stand there without one,
    `newest` the greatest sequence among them: a first snapshot that was cut off leaves one of sequence 1."""

    manifests: int = 0
    newest: int = 0


@dataclass(frozen=True, slots=True)
class HeadFound:
    """The bucket answered with a HEAD of ours. `asked_for`: whether the snapshot that `restore` names is there."""

    mark: Mark
    database: int
    asked_for: bool = False


@dataclass(frozen=True, slots=True)
class BucketFailed:
    """Everything else: no such bucket, cannot reach, refused, somebody else's, unreadable. None of it means that there is no snapshot."""

    reason: str
    message: str


Bucket = NotAsked | NoBucket | NoSnapshot | HeadFound | BucketFailed


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the choice depends on. `supported`: newest schema of the database that this program reads."""

    local: Local
    bucket: Bucket
    recorded: Mark | None
    storage: Storage
    lose_on_restart: bool
    supported: int
    restore: RestoreIntent | None = None
    earlier: Earlier | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """`lineage`: of the opened state; None where a new one is to be made (EMPTY) or nothing is opened (WAIT). `sets_aside`: there is local
    content that is not opened, and is kept beside it."""

    kind: ChoiceKind
    reason: str
    message: str
    lineage: str | None = None
    sets_aside: bool = False


class AskBucket(StrEnum):
    """The answer depends on the bucket."""

    ASK = "ask the bucket"


def decide_state(facts: Facts) -> Choice | AskBucket:
    """Choose. Asked again with what the bucket said, it never answers AskBucket."""
    local = facts.local
    if facts.earlier is not None and local.mark is not None and local.mark.lineage == facts.earlier.lineage:
        return Choice(facts.earlier.kind, ChoiceReason.KEPT, "This pod opened this state before.", facts.earlier.lineage)
    recorded = _recorded(facts)
    wanted = _wanted(facts, recorded)
    if local.kind is LocalKind.PRESENT and local.mark is not None and local.mark.lineage == wanted:
        return _keep_local(facts, local.mark, recorded)
    if local.kind is LocalKind.UNREADABLE and facts.restore is None:
        return _wait(
            ChoiceReason.STATE_UNREADABLE,
            f"The volume holds a state, but does not say which one ({local.detail}). Nothing was changed. Put back the state.json that "
            "belongs to it, or move current/ out of the volume; it is looked at again every few seconds.",
        )
    match facts.bucket:
        case NotAsked():
            return AskBucket.ASK
        case BucketFailed():
            return _wait(facts.bucket.reason, facts.bucket.message)
        case NoBucket():
            return _without_bucket(facts, recorded)
        case NoSnapshot():
            return _without_head(facts, facts.bucket, recorded)
        case HeadFound():
            return _with_head(facts, facts.bucket, recorded, wanted)


def _wanted(facts: Facts, recorded: Mark | None) -> str | None:
    """None: whatever HEAD has."""
    if facts.restore is not None:
        return facts.restore.key
    if recorded is not None:
        return recorded.lineage
    return facts.local.mark.lineage if facts.local.kind is LocalKind.PRESENT and facts.local.mark is not None else None


def _recorded(facts: Facts) -> Mark | None:
    """What the operator recorded, or what state.json remembers of content that is gone. A `loseOnRestart` state and one that never held
    anything (sequence 0) record nothing."""
    if facts.recorded is not None:
        return facts.recorded
    local = facts.local
    forgetful = facts.lose_on_restart and facts.storage is Storage.EPHEMERAL
    if local.kind is LocalKind.GONE and local.mark is not None and local.mark.sequence > 0 and not forgetful:
        return local.mark
    return None


def _keep_local(facts: Facts, mark: Mark, recorded: Mark | None) -> Choice:
    if recorded is not None and mark.is_older_than(recorded):
        return _wait(
            ChoiceReason.STATE_OLDER,
            f"The volume holds sequence {mark.sequence} of this assistant's state, and sequence {recorded.sequence} was recorded: the "
            "volume was put back to an older copy. Nothing was changed. Bring back the newer volume; it is looked at again.",
        )
    if facts.local.database > facts.supported:
        return _database_too_new("The state on the volume", facts.local.database, facts.supported)
    return Choice(ChoiceKind.LOCAL, ChoiceReason.LOCAL, "The state on the volume is kept.", mark.lineage)


def _without_bucket(facts: Facts, recorded: Mark | None) -> Choice:
    local, intent = facts.local, facts.restore
    if intent is not None:
        return _on_request(facts, intent, head=None, refusal="this Moltbot has no bucket to restore from")
    if local.kind is LocalKind.PRESENT:
        return _local_of_another(local, recorded)
    if recorded is None:
        return _empty_first(facts)
    if facts.storage is Storage.EPHEMERAL:
        return _wait(
            ChoiceReason.STATE_MISSING,
            f"This assistant had a state (sequence {recorded.sequence} was recorded), and now it has neither a volume nor a bucket that "
            "holds it. Set spec.persistence back to where the state is; nothing there was changed.",
        )
    return _wait(
        ChoiceReason.STATE_MISSING,
        f"The volume is empty, and sequence {recorded.sequence} of this assistant's state was recorded. It is not started empty. Bring "
        "back the volume that held it, or name the bucket that has its snapshots in spec.persistence.bucket.",
    )


def _without_head(facts: Facts, bucket: NoSnapshot, recorded: Mark | None) -> Choice:
    local, intent = facts.local, facts.restore
    if intent is not None:
        return _on_request(facts, intent, head=None, refusal="the bucket has no snapshot of this Moltbot")
    if local.kind is LocalKind.PRESENT:
        return _local_of_another(local, recorded)
    if recorded is not None:
        return _wait(
            ChoiceReason.SNAPSHOT_MISSING,
            f"The bucket has no snapshot of this assistant, and sequence {recorded.sequence} was recorded. It is not started empty. Check "
            "bucket and prefix in spec.persistence.bucket, or put the objects back beneath that prefix; it is asked again.",
        )
    if bucket.newest > 1 or bucket.manifests > 1:
        return _wait(
            ChoiceReason.SNAPSHOT_MISSING,
            f"The bucket has {bucket.manifests} snapshots of this assistant and no HEAD that says which one is the newest. It is not "
            "started empty. Put the object HEAD back beneath the prefix; it is asked again.",
        )
    return _empty_first(facts)


def _with_head(facts: Facts, bucket: HeadFound, recorded: Mark | None, wanted: str | None) -> Choice:
    intent, mark = facts.restore, bucket.mark
    if intent is not None and mark.lineage != intent.key:
        refusal = "" if bucket.asked_for else f"the bucket has no snapshot {intent.snapshot}"
        return _on_request(facts, intent, head=bucket, refusal=refusal)
    if wanted is not None and mark.lineage != wanted:
        return _wait(
            ChoiceReason.SNAPSHOT_OF_ANOTHER,
            "The newest snapshot in the bucket belongs to another memory than the one recorded for this assistant. Nothing was changed. "
            "Name the right bucket and prefix in spec.persistence.bucket, or put the right HEAD back; it is asked again.",
        )
    if recorded is not None and mark.is_older_than(recorded):
        return _wait(
            ChoiceReason.SNAPSHOT_OLDER,
            f"The newest snapshot in the bucket has sequence {mark.sequence}, and {recorded.sequence} was recorded: the bucket was put "
            "back to an older copy. Nothing was changed. Put the newer objects back, HEAD last; it is asked again.",
        )
    return _take_head(facts, bucket, mark.lineage, ChoiceReason.RESTORED, "The newest snapshot is restored.")


def _take_head(facts: Facts, bucket: HeadFound, lineage: str, reason: ChoiceReason, message: str) -> Choice:
    if bucket.database > facts.supported:
        return _database_too_new("The newest snapshot in the bucket", bucket.database, facts.supported)
    return Choice(ChoiceKind.HEAD, reason, message, lineage, sets_aside=_has_content(facts.local))


def _on_request(facts: Facts, intent: RestoreIntent, *, head: HeadFound | None, refusal: str) -> Choice:
    """`restore`, when no state has its key as lineage yet."""
    local = facts.local
    match intent.kind:
        case RestoreKind.SNAPSHOT:
            if refusal:
                return _wait(ChoiceReason.SNAPSHOT_MISSING, f"restore cannot be done: {refusal}. Nothing was changed.")
            message = f"Snapshot {intent.snapshot} is restored, as restore asks."
            return Choice(ChoiceKind.SNAPSHOT, ChoiceReason.RESTORE_ASKED, message, intent.key, sets_aside=_has_content(local))
        case RestoreKind.EMPTY:
            message = "Started empty, as restore asks."
            return Choice(ChoiceKind.EMPTY, ChoiceReason.EMPTY_ASKED, message, intent.key, sets_aside=_has_content(local))
        case RestoreKind.AS_FOUND:
            if local.kind in (LocalKind.PRESENT, LocalKind.UNREADABLE):
                if local.database > facts.supported:
                    return _database_too_new("The state on the volume", local.database, facts.supported)
                return Choice(ChoiceKind.LOCAL, ChoiceReason.AS_FOUND_ASKED, "The state on the volume is taken as found.", intent.key)
            if head is not None:
                return _take_head(facts, head, intent.key, ChoiceReason.AS_FOUND_ASKED, "The newest snapshot is taken as found.")
            return _wait(ChoiceReason.STATE_MISSING, "restore asks for the state as found, and neither volume nor bucket holds any.")


def _local_of_another(local: Local, recorded: Mark | None) -> Choice:
    known = f"sequence {recorded.sequence} of another one was recorded" if recorded else "another one was recorded"
    return _wait(
        ChoiceReason.STATE_OF_ANOTHER,
        f"The volume holds the state of another memory ({local.mark.lineage[:12] if local.mark else 'unknown'}…), and {known}. Nothing was "
        "changed. Name the right claim in spec.persistence, or the bucket that has the recorded one's snapshots.",
    )


def _empty_first(facts: Facts) -> Choice:
    # A directory made for a state that never held anything keeps its name.
    lineage = facts.local.mark.lineage if facts.local.kind is LocalKind.GONE and facts.local.mark else None
    return Choice(ChoiceKind.EMPTY, ChoiceReason.NOTHING_RECORDED, "A new assistant: nothing was ever recorded for it.", lineage)


def _database_too_new(what: str, found: int, supported: int) -> Choice:
    return _wait(
        ChoiceReason.DATABASE_TOO_NEW,
        f"{what} was written by a newer version of this program (schema {found}; this one reads up to {supported}). Nothing was changed. "
        "Upgrade moltbot-operator to the version that wrote it, or a newer one.",
    )


def _has_content(local: Local) -> bool:
    return local.kind in (LocalKind.PRESENT, LocalKind.UNREADABLE)


def _wait(reason: str, message: str) -> Choice:
    return Choice(ChoiceKind.WAIT, reason, message)
