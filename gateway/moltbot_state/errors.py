"""Errors of this package. What a person can see carries a `reason` of the conditions' catalogue and a message that says how to mend it.

StateError
├── BucketError            the bucket cannot be used as it is
│   ├── BucketMissing · BucketUnreachable · BucketCredentials · BucketRefused
│   ├── NoConditionalWrites   two writers could not be told apart on this endpoint
│   └── ForeignPrefix         the prefix belongs to another Moltbot
├── Diverged               HEAD is not what this state came from: another writer
├── SnapshotCorrupt · SnapshotIncomplete · SnapshotTooNew
└── BackupFailed           something in the pod: the gateway did not stage, the disk is full
NotFound, PreconditionFailed   answers of the bucket that callers expect
"""

from __future__ import annotations


class StateError(Exception):
    """Root of what a person is told."""

    reason = "BackupFailed"

    @property
    def message(self) -> str:
        return str(self)


class BucketError(StateError):
    """The bucket cannot be used as it is. Never the same as "there is no snapshot"."""

    reason = "BucketError"


class BucketMissing(BucketError):
    """The endpoint answers and has no such bucket."""

    reason = "BucketMissing"


class BucketUnreachable(BucketError):
    """No connection, no answer in time, or a passing fault of the endpoint."""

    reason = "BucketUnreachable"


class BucketCredentials(BucketError):
    """The keys are unknown, wrong, or not allowed to do it."""

    reason = "BucketCredentials"


class BucketRefused(BucketError):
    """Any other refusal."""


class NoConditionalWrites(BucketError):
    """The endpoint ignores If-None-Match or If-Match."""

    reason = "NoConditionalWrites"


class ForeignPrefix(BucketError):
    """OWNER.json or HEAD names another Moltbot."""

    reason = "ForeignPrefix"


class Diverged(StateError):
    """HEAD is not this state's parent: committing would hide what another writer committed."""

    reason = "Diverged"


class SnapshotCorrupt(StateError):
    """Bytes in the bucket are not what their hash says, twice."""

    reason = "SnapshotCorrupt"


class SnapshotIncomplete(StateError):
    """An object that a snapshot needs is missing, though the bucket answers."""

    reason = "SnapshotMissing"


class SnapshotTooNew(StateError):
    """Written in a format that this version does not read."""

    reason = "SnapshotTooNew"


class BackupFailed(StateError):
    """Something in the pod itself."""


class NotFound(Exception):
    """No object of that key; the bucket is there."""


class PreconditionFailed(Exception):
    """A conditional write found something else."""
