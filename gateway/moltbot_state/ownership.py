"""Whose prefix it is, where HEAD stands, and whether the endpoint keeps two writers apart (rules 3, 8, 9)."""

from __future__ import annotations

from dataclasses import dataclass

from moltbot_state import choice
from moltbot_state.bucket import Bucket
from moltbot_state.errors import (
    BucketError,
    ForeignPrefix,
    NoConditionalWrites,
    NotFound,
    PreconditionFailed,
    SnapshotCorrupt,
    SnapshotTooNew,
    StateError,
)
from moltbot_state.format import (
    HEAD_KEY,
    MAX_HEAD_BYTES,
    OWNER_KEY,
    SNAPSHOTS_PREFIX,
    BadFormat,
    Head,
    NewerFormat,
    Owner,
    decode_head,
    decode_owner,
    encode_owner,
    read_snapshot_key,
)
from moltbot_state.lineage import Mark

NO_SUCH_ETAG = '"00000000000000000000000000000000"'


@dataclass(frozen=True, slots=True)
class Identity:
    """The Moltbot that this process works for."""

    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class HeadObject:
    """HEAD as it was read, with the ETag that a conditional write names."""

    head: Head
    etag: str


def read_owner(bucket: Bucket) -> tuple[Owner, bytes] | None:
    """None when there is none. Raises BucketError, SnapshotCorrupt, SnapshotTooNew."""
    try:
        content, _ = bucket.get(OWNER_KEY, MAX_HEAD_BYTES)
    except NotFound:
        return None
    try:
        return decode_owner(content), content
    except NewerFormat as error:
        raise SnapshotTooNew(f"{_where(bucket)}: {error}. Upgrade moltbot-operator.") from error
    except BadFormat as error:
        raise ForeignPrefix(f"{_where(bucket)} has an OWNER.json that is not ours ({error}). Nothing was written. {_REMEDY}") from error


def read_head(bucket: Bucket) -> HeadObject | None:
    """None when there is none. Raises BucketError, SnapshotCorrupt, SnapshotTooNew."""
    try:
        content, etag = bucket.get(HEAD_KEY, MAX_HEAD_BYTES)
    except NotFound:
        return None
    try:
        return HeadObject(decode_head(content), etag)
    except NewerFormat as error:
        raise SnapshotTooNew(f"{_where(bucket)}: {error}. Upgrade moltbot-operator.") from error
    except BadFormat as error:
        raise SnapshotCorrupt(
            f"{_where(bucket)}: HEAD is damaged ({error}). Nothing was changed. Put back a whole HEAD; it is read again."
        ) from error


_REMEDY = "Give this Moltbot another spec.persistence.bucket prefix."


def _where(bucket: Bucket) -> str:
    return f"The prefix {bucket.place.prefix or '(none)'} of bucket {bucket.place.name}"


def check_owner(bucket: Bucket, identity: Identity) -> bytes | None:
    """The bytes of our OWNER.json, None when there is none. Raises ForeignPrefix when it is another's."""
    found = read_owner(bucket)
    if found is None:
        return None
    owner, content = found
    if owner.uid != identity.uid:
        raise ForeignPrefix(
            f"{_where(bucket)} belongs to Moltbot {owner.namespace}/{owner.name} (uid {owner.uid}), not to this one. Nothing was "
            f"written. {_REMEDY}"
        )
    return content


def claim_prefix(bucket: Bucket, identity: Identity, created: str) -> None:
    """Make the prefix ours unless it is another's, and prove that the endpoint honours conditions, by writes that change nothing where it
    does not. Raises ForeignPrefix, NoConditionalWrites."""
    content = check_owner(bucket, identity)
    if content is None:
        content = encode_owner(Owner(identity.uid, identity.namespace, identity.name, created))
        try:
            bucket.put(OWNER_KEY, content, if_absent=True)
        except PreconditionFailed:
            found = check_owner(bucket, identity)
            if found is None:
                raise NoConditionalWrites(_no_conditions(bucket)) from None
            content = found
    try:
        bucket.put(OWNER_KEY, content, if_absent=True)
    except PreconditionFailed:
        pass
    else:
        raise NoConditionalWrites(_no_conditions(bucket))
    try:
        bucket.put(OWNER_KEY, content, if_match=NO_SUCH_ETAG)
    except PreconditionFailed:
        return
    raise NoConditionalWrites(_no_conditions(bucket))


def _no_conditions(bucket: Bucket) -> str:
    return (
        f"The S3 service at {bucket.place.host} ignores conditions on writes (If-None-Match, If-Match), so two writers could destroy each "
        "other's snapshots. No snapshot was written. Use a service that has them: R2, AWS S3, MinIO, Garage, versitygw."
    )


def look(bucket: Bucket, identity: Identity, recorded: Mark | None) -> tuple[choice.Bucket, HeadObject | None]:
    """What a start finds, as the argument of `decide_state`. Never raises: failures are one of its cases."""
    try:
        owned = check_owner(bucket, identity) is not None
        found = read_head(bucket)
        if found is None:
            # 404 with a working listing: only so is it known that there is none.
            keys = [read_snapshot_key(item.key) for item in bucket.list(SNAPSHOTS_PREFIX)]
            sequences = [key[0] for key in keys if key is not None]
            return choice.NoSnapshot(len(sequences), max(sequences, default=0)), None
        head = found.head
        if not owned and head.moltbot != identity.uid and (recorded is None or recorded.lineage != head.lineage):
            raise ForeignPrefix(f"{_where(bucket)} has snapshots of another Moltbot (uid {head.moltbot}). Nothing was written. {_REMEDY}")
        return choice.HeadFound(Mark(head.lineage, head.sequence), head.database), found
    except (BucketError, StateError) as error:
        return choice.BucketFailed(error.reason, error.message), None
