"""Making a snapshot (rules 3 and 8): blocks, then the manifest, all read back, then HEAD by conditional write.

A process may die between any two steps. Each passes a checkpoint; before HEAD moves nothing that a reader follows has changed, and after
it state.json's `pending` says that the new HEAD is ours.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from moltbot_state.bucket import WORKERS, Bucket
from moltbot_state.errors import BackupFailed, BucketRefused, Diverged, NotFound, PreconditionFailed, SnapshotCorrupt
from moltbot_state.format import (
    BLOCKS_PREFIX,
    DATABASE_NAME,
    HEAD_KEY,
    MAX_MANIFEST_BYTES,
    MAX_STORED_BYTES,
    SNAPSHOTS_PREFIX,
    BadFormat,
    Entry,
    FileEntry,
    Head,
    LinkEntry,
    Manifest,
    block_key,
    decode_manifest,
    digest_of,
    encode_head,
    encode_manifest,
    make_snapshot_id,
    pack_block,
    read_snapshot_key,
    unpack_block,
)
from moltbot_state.known import Known, LastSnapshot, read_known, read_known_manifest, read_known_stamps, write_known
from moltbot_state.layout import StateDir, remove_tree
from moltbot_state.lineage import Mark, Pending, StateFile, read_state_file, write_state_file
from moltbot_state.ownership import HeadObject, Identity, check_owner, claim_prefix, read_head
from moltbot_state.scan import Moved, Scan, Source, hash_file, open_source, scan_state

CHECKPOINTS = (
    "snapshot: scanned",
    "snapshot: prefix claimed",
    "snapshot: blocks uploaded",
    "snapshot: blocks verified",
    "snapshot: manifest written",
    "snapshot: manifest verified",
    "snapshot: pending recorded",
    "snapshot: head moved",
    "snapshot: state recorded",
)


class DatabaseNeeded(Exception):
    """The unchanged database's blocks are not all in the bucket: stage it whole and try again."""


@dataclass(frozen=True, slots=True)
class Staged:
    """The database's copy. `path` None with `unchanged`: the gateway says that it is what the last snapshot has."""

    path: Path | None
    change: str | None
    unchanged: bool = False
    database: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """What a snapshot works with. `now`: RFC 3339 UTC and seconds since 1970."""

    state: StateDir
    bucket: Bucket
    identity: Identity
    program: str
    created: str
    now: float
    checkpoint: Callable[[str], None]
    progress: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Snapshotted:
    """`created` False: the bucket already had exactly this."""

    created: bool
    known: Known


def take_snapshot(run: Run, staged: Staged) -> Snapshotted:
    """One snapshot. Raises StateError, DatabaseNeeded, OSError."""
    file = read_state_file(run.state)
    if file is None:
        raise BackupFailed("There is no state.json beside the state: this state was not opened by this program.")
    place = run.bucket.place.fingerprint
    known = read_known(run.state, place)
    manifest = read_known_manifest(run.state, known)
    if manifest is None or (file.parent != manifest.id):
        known, manifest = None, None
    if staged.unchanged:
        if manifest is None:
            raise DatabaseNeeded
        staged = replace(staged, database=manifest.database)
    entries = {entry.path: entry for entry in manifest.entries if isinstance(entry, FileEntry)} if manifest else {}
    with open_source(run.state, staged.path) as source:
        scan = scan_state(
            run.state,
            source,
            database=staged.path,
            database_entry=entries.get(DATABASE_NAME) if staged.unchanged else None,
            known=entries,
            stamps=read_known_stamps(run.state, known),
            now=run.now,
            progress=run.progress,
        )
        run.checkpoint("snapshot: scanned")
        if known is not None and manifest is not None and file.pending is None and same_content(manifest.entries, scan.entries):
            return _unchanged(run, known, None, staged, scan)
        claim_prefix(run.bucket, run.identity, run.created)
        run.checkpoint("snapshot: prefix claimed")
        head = read_head(run.bucket)
        file = _settle(run, file, head)
        if head is not None and (manifest is None or manifest.id != head.head.snapshot):
            manifest = _fetch_parent(run.bucket, head.head)
            if manifest is not None and same_content(manifest.entries, scan.entries):
                return _unchanged(run, None, (manifest, head.head), staged, scan)
        stored = _upload(run, source, scan, dict(manifest.stored) if manifest else {}, staged)
        return _commit(run, staged, file=file, head=head, scan=scan, stored=stored)


def same_content(one: tuple[Entry, ...] | list[Entry], other: tuple[Entry, ...] | list[Entry]) -> bool:
    """Whether two trees hold the same, times aside."""

    def plain(entries: tuple[Entry, ...] | list[Entry]) -> list[Entry]:
        return [replace(entry, modified=0) if isinstance(entry, FileEntry) else entry for entry in entries]

    return len(one) == len(other) and plain(one) == plain(other)


def _unchanged(run: Run, known: Known | None, fetched: tuple[Manifest, Head] | None, staged: Staged, scan: Scan) -> Snapshotted:
    manifest = fetched[0] if fetched else None
    if fetched is not None:
        last, digest = LastSnapshot.of(fetched[0]), fetched[1].digest
    else:
        assert known is not None
        last, digest = known.last, known.digest
    fresh = Known(run.bucket.place.fingerprint, digest, last, staged.change, scan.workspace, scan.skipped_total)
    write_known(run.state, fresh, manifest, scan.stamps)
    return Snapshotted(created=False, known=fresh)


def _settle(run: Run, file: StateFile, head: HeadObject | None) -> StateFile:
    """Whether HEAD is what this state came from. Raises Diverged."""
    settled = file.settled(head.head.snapshot if head else None)
    if head is not None:
        if head.head.snapshot != settled.parent:
            raise Diverged(
                f"The bucket's newest snapshot {head.head.snapshot} was not made from this state (which came from "
                f"{settled.parent or 'none'}): another writer uses the same prefix. Nothing was overwritten. Make sure that only one "
                "Moltbot, in one cluster, uses it; give this one another spec.persistence.bucket prefix to have it backed up again."
            )
    else:
        # A new bucket, or one that was emptied: a whole snapshot harms nobody, unless newer ones stand there without their HEAD.
        keys = [read_snapshot_key(item.key) for item in run.bucket.list(SNAPSHOTS_PREFIX)]
        newest = max((key[0] for key in keys if key is not None), default=0)
        if newest > settled.mark.sequence + 1:
            raise Diverged(
                f"The bucket has snapshots up to sequence {newest}, no HEAD, and this state is at {settled.mark.sequence}. Nothing was "
                "overwritten. Put HEAD back beneath the prefix."
            )
    if settled != file:
        write_state_file(run.state, settled)
    return settled


def _fetch_parent(bucket: Bucket, head: Head) -> Manifest | None:
    """None when it is not there whole: then no length is believed, and every block is read back."""
    with contextlib.suppress(NotFound, BadFormat):
        content, _ = bucket.get(f"{SNAPSHOTS_PREFIX}{head.snapshot}.json", MAX_MANIFEST_BYTES)
        if digest_of(content) == head.digest:
            return decode_manifest(content)
    return None


def _upload(run: Run, source: Source, scan: Scan, trusted: dict[str, int], staged: Staged) -> dict[str, int]:
    """Bring every block into the bucket and read back what was brought; length in the bucket of each."""
    listed = {item.key.rpartition("/")[2]: item.size for item in run.bucket.list(BLOCKS_PREFIX)}
    stored: dict[str, int] = {}
    fresh: set[str] = set()
    while True:
        wanted: dict[str, tuple[FileEntry, int]] = {}
        for entry in scan.entries:
            if isinstance(entry, FileEntry):
                wanted.update({digest: (entry, index) for index, digest in enumerate(entry.blocks) if digest not in stored})
        moved: set[str] = set()

        def bring(digest: str, wanted: dict[str, tuple[FileEntry, int]] = wanted, moved: set[str] = moved) -> None:
            entry, index = wanted[digest]
            size = listed.get(digest)
            if size is not None and trusted.get(digest) == size:
                stored[digest] = size
                return
            if size is not None:
                with contextlib.suppress(NotFound, BadFormat):
                    content, _ = run.bucket.get(block_key(digest), MAX_STORED_BYTES)
                    unpack_block(content, digest)
                    stored[digest] = len(content)
                    run.progress()
                    return
            if staged.unchanged and entry.path == DATABASE_NAME:
                raise DatabaseNeeded
            try:
                plain = source.read(entry, index)
            except Moved:
                moved.add(entry.path)
                return
            content = pack_block(plain)
            with contextlib.suppress(PreconditionFailed):  # somebody was faster; it is read back below
                run.bucket.put(block_key(digest), content, if_absent=size is None)
            stored[digest] = len(content)
            fresh.add(digest)
            run.progress()

        _each(bring, wanted)
        if not moved:
            break
        _read_anew(source, scan, moved)
    run.checkpoint("snapshot: blocks uploaded")

    def verify(digest: str) -> None:
        stored[digest] = _read_back(run.bucket, digest)
        run.progress()

    _each(verify, fresh)
    run.checkpoint("snapshot: blocks verified")
    named = {digest for entry in scan.entries if isinstance(entry, FileEntry) for digest in entry.blocks}
    return {digest: stored[digest] for digest in named}


def _each(action: Callable[[str], None], digests: dict[str, tuple[FileEntry, int]] | set[str]) -> None:
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="blocks") as pool:
        futures = [pool.submit(action, digest) for digest in digests]
        try:
            for future in futures:
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _read_anew(source: Source, scan: Scan, moved: set[str]) -> None:
    """Take files that were written meanwhile from copies that nobody writes."""
    entries: list[Entry] = []
    for entry in scan.entries:
        if not isinstance(entry, FileEntry) or entry.path not in moved:
            entries.append(entry)
        elif source.copy_aside(entry.path):
            entries.append(hash_file(source, entry.path, entry.mode, entry.modified))
        scan.stamps.pop(entry.path, None) if entry.path in moved else None
    scan.entries, scan.workspace = entries, None


def _read_back(bucket: Bucket, digest: str) -> int:
    try:
        content, _ = bucket.get(block_key(digest), MAX_STORED_BYTES)
        unpack_block(content, digest)
    except (NotFound, BadFormat) as error:
        raise SnapshotCorrupt(
            f"The bucket at {bucket.place.host} does not give back what was written to it ({error}). No snapshot was made; the one before "
            "it stands. It is tried again; if it stays so, use another bucket."
        ) from error
    return len(content)


def _commit(run: Run, staged: Staged, *, file: StateFile, head: HeadObject | None, scan: Scan, stored: dict[str, int]) -> Snapshotted:
    sequence = max(file.mark.sequence, head.head.sequence if head else 0) + 1
    manifest = Manifest(
        id=make_snapshot_id(sequence, secrets.token_hex(6)),
        moltbot=run.identity.uid,
        lineage=file.mark.lineage,
        sequence=sequence,
        parent=head.head.snapshot if head else None,
        created=run.created,
        program=run.program,
        database=staged.database,
        entries=tuple(scan.entries),
        stored=stored,
        skipped=tuple(scan.skipped),
        skipped_total=scan.skipped_total,
    )
    content = encode_manifest(manifest)
    if len(content) > MAX_MANIFEST_BYTES:
        raise BackupFailed("The workspace has too many files for one snapshot: remove some (caches, node_modules) to have it backed up.")
    check_owner(run.bucket, run.identity)
    with contextlib.suppress(PreconditionFailed):  # its name is random: only our own first try can be there
        run.bucket.put(manifest.key, content, if_absent=True)
    run.checkpoint("snapshot: manifest written")
    try:
        if run.bucket.get(manifest.key, MAX_MANIFEST_BYTES)[0] != content:
            raise SnapshotCorrupt(
                "The bucket does not give back the manifest that was written to it. No snapshot was made; it is tried again."
            )
    except NotFound as error:
        raise SnapshotCorrupt("The bucket lost the manifest that was written to it. No snapshot was made; it is tried again.") from error
    run.checkpoint("snapshot: manifest verified")
    write_state_file(run.state, replace(file, pending=Pending(manifest.id, sequence)))
    run.checkpoint("snapshot: pending recorded")
    digest = digest_of(content)
    _move_head(run, manifest, digest, head)
    run.checkpoint("snapshot: head moved")
    write_state_file(run.state, StateFile(Mark(file.mark.lineage, sequence), manifest.id))
    run.checkpoint("snapshot: state recorded")
    known = Known(run.bucket.place.fingerprint, digest, LastSnapshot.of(manifest), staged.change, scan.workspace, scan.skipped_total)
    write_known(run.state, known, manifest, scan.stamps)
    remove_tree(run.state.replaced)
    return Snapshotted(created=True, known=known)


def _move_head(run: Run, manifest: Manifest, digest: str, before: HeadObject | None) -> None:
    """Raises Diverged when somebody else moved it since it was read."""
    check_owner(run.bucket, run.identity)
    m = manifest
    head = Head(m.id, digest, m.moltbot, m.lineage, m.sequence, m.parent, m.created, m.database, m.bytes, m.files)
    try:
        run.bucket.put(HEAD_KEY, encode_head(head), if_absent=before is None, if_match=before.etag if before else None)
    except PreconditionFailed as error:
        now = read_head(run.bucket)
        if now is not None and now.head.snapshot == manifest.id:
            return  # our own first try, whose answer was lost
        raise Diverged(
            f"Another writer moved HEAD to {now.head.snapshot if now else 'nothing'} meanwhile. Nothing was overwritten. Make sure that "
            "only one Moltbot, in one cluster, uses this prefix."
        ) from error
    except NotFound as error:
        raise BucketRefused("HEAD vanished while it was moved; it is tried again.") from error


__all__ = ["CHECKPOINTS", "DatabaseNeeded", "LinkEntry", "Run", "Snapshotted", "Staged", "same_content", "take_snapshot"]
