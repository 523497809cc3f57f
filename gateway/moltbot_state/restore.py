"""Opening a state: bringing a snapshot back, starting empty, and the swap that either happens whole or not at all (rule 8).

A restore is built in incoming/. Its state.json is written there last and means "whole and verified": from then on the swap is rolled
forward by whoever starts next; before it, incoming/ is thrown away. Nothing is opened before state.json stands beside current/.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from moltbot_state.bucket import WORKERS, Bucket
from moltbot_state.choice import ChoiceKind, Earlier, Local, LocalKind
from moltbot_state.errors import NotFound, SnapshotCorrupt, SnapshotIncomplete, SnapshotTooNew
from moltbot_state.format import (
    BLOCK_BYTES,
    DATABASE_NAME,
    MAX_MANIFEST_BYTES,
    MAX_STORED_BYTES,
    WORKSPACE_NAME,
    BadFormat,
    DirectoryEntry,
    FileEntry,
    Head,
    LinkEntry,
    Manifest,
    NewerFormat,
    block_key,
    decode_manifest,
    digest_of,
    manifest_key,
    unpack_block,
)
from moltbot_state.known import Known, LastSnapshot, write_known
from moltbot_state.layout import StateDir, open_beneath, open_directory, read_small_file, remove_tree, sync_directory, write_json_atomically
from moltbot_state.lineage import Mark, StateFile, new_lineage, read_state_file, write_state_file

CHECKPOINTS = (
    "restore: manifest read",
    "restore: blocks written",
    "restore: verified",
    "restore: set aside",
    "restore: content in place",
    "restore: state in place",
)
_NOTHING = "Nothing was opened or changed. Put the missing or damaged objects back beneath the prefix; it is tried again."


def look_at_local(state: StateDir) -> Local:
    """What stands in the state directory. Never raises for what it finds there."""
    has_content = _has_content(state)
    try:
        file = read_state_file(state)
    except (OSError, BadFormat) as error:
        return Local(LocalKind.UNREADABLE if has_content else LocalKind.ABSENT, detail=str(error))
    if file is None:
        return Local(LocalKind.UNREADABLE, detail="there is no state.json beside it") if has_content else Local(LocalKind.ABSENT)
    if not has_content:
        return Local(LocalKind.GONE, file.reached)
    return Local(LocalKind.PRESENT, file.reached, read_database_version(state.database))


def _has_content(state: StateDir) -> bool:
    """Whether current/ holds more than an empty workspace."""
    if not state.current.is_dir() or state.current.is_symlink():
        return os.path.lexists(state.current)
    names = {entry.name for entry in state.current.iterdir()}
    if names - {WORKSPACE_NAME}:
        return True
    return bool(names) and (state.workspace.is_symlink() or not state.workspace.is_dir() or any(state.workspace.iterdir()))


def read_database_version(path: Path) -> int:
    """`user_version` from the file's header; 0 for none, or for a file that is no database (the gateway says what is wrong with it)."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError:
        return 0
    return int.from_bytes(header[60:64], "big") if header.startswith(b"SQLite format 3\0") and len(header) == 100 else 0


def recover(state: StateDir, checkpoint: Callable[[str], None] = lambda _: None) -> None:
    """First thing at every start: finish a swap that was under way, throw away what was not whole. Nobody else may be at work here."""
    for private in (state.root, state.stage):
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in state.stage.iterdir():
        remove_tree(left)
    if (state.incoming / "state.json").exists():
        _swap(state, checkpoint)
    else:
        remove_tree(state.incoming)


def open_empty(
    state: StateDir, lineage: str | None, parent: str | None = None, checkpoint: Callable[[str], None] = lambda _: None
) -> StateFile:
    """A new, empty state. What stood there is set aside."""
    file = StateFile(Mark(lineage or new_lineage(), 0), parent)
    remove_tree(state.incoming)
    (state.incoming / "current" / "workspace").mkdir(mode=0o700, parents=True)
    write_state_file(StateDir(state.incoming), file)
    _swap(state, checkpoint)
    return file


def restore_head(
    state: StateDir,
    bucket: Bucket,
    head: Head,
    *,
    durable: bool,
    checkpoint: Callable[[str], None],
    progress: Callable[[], None],
) -> StateFile:
    """Bring HEAD's snapshot back, whole or not at all. `durable`: sync every file (a volume; an ephemeral one dies with the node anyway).

    Raises SnapshotCorrupt, SnapshotIncomplete, SnapshotTooNew, BucketError, OSError.
    """
    manifest = fetch_manifest(bucket, head)
    checkpoint("restore: manifest read")
    remove_tree(state.incoming)
    (state.incoming / "current").mkdir(mode=0o700, parents=True)
    with open_directory(state.incoming / "current") as root:
        _write_tree(root, bucket, manifest, durable=durable, progress=progress, checkpoint=checkpoint)
    checkpoint("restore: verified")
    file = StateFile(Mark(manifest.lineage, manifest.sequence), manifest.id)
    write_state_file(StateDir(state.incoming), file)
    _swap(state, checkpoint)
    known = Known(bucket.place.fingerprint, head.digest, LastSnapshot.of(manifest), None, None, manifest.skipped_total)
    write_known(state, known, manifest, {})
    return file


def fetch_manifest(bucket: Bucket, head: Head) -> Manifest:
    """HEAD's manifest, with the hash that HEAD names. A bad one is read twice before it is believed to be bad."""
    for attempt in (1, 2):
        try:
            content, _ = bucket.get(manifest_key(head.snapshot), MAX_MANIFEST_BYTES)
        except NotFound as error:
            raise SnapshotIncomplete(f"The manifest of snapshot {head.snapshot} is not in the bucket. {_NOTHING}") from error
        if digest_of(content) == head.digest:
            break
        if attempt == 2:
            raise SnapshotCorrupt(f"The manifest of snapshot {head.snapshot} is damaged: it has not the hash that HEAD names. {_NOTHING}")
    try:
        manifest = decode_manifest(content)
    except NewerFormat as error:
        raise SnapshotTooNew(f"{error}. Upgrade moltbot-operator.") from error
    except BadFormat as error:
        raise SnapshotCorrupt(f"The manifest of snapshot {head.snapshot} is not valid ({error}). {_NOTHING}") from error
    if (manifest.id, manifest.lineage, manifest.sequence) != (head.snapshot, head.lineage, head.sequence):
        raise SnapshotCorrupt(f"HEAD and the manifest of snapshot {head.snapshot} do not agree. {_NOTHING}")
    return manifest


def _write_tree(
    root: int, bucket: Bucket, manifest: Manifest, *, durable: bool, progress: Callable[[], None], checkpoint: Callable[[str], None]
) -> None:
    places: dict[str, list[tuple[str, int]]] = {}
    for entry in manifest.entries:
        match entry:
            case DirectoryEntry():
                _make_directory(root, entry.path)
            case FileEntry():
                descriptor = open_beneath(root, entry.path.split("/"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                try:
                    os.ftruncate(descriptor, entry.size)
                finally:
                    os.close(descriptor)
                for index, digest in enumerate(entry.blocks):
                    places.setdefault(digest, []).append((entry.path, index))
            case LinkEntry():
                pass  # last, so that nothing is ever written through one
    sizes = {entry.path: entry.size for entry in manifest.entries if isinstance(entry, FileEntry)}
    broken = threading.Event()

    def bring(digest: str) -> None:
        if broken.is_set():
            return
        try:
            plain = _fetch_block(bucket, digest)
            for path, index in places[digest]:
                if len(plain) != min(BLOCK_BYTES, sizes[path] - index * BLOCK_BYTES):
                    raise SnapshotCorrupt(f"Snapshot {manifest.id} does not add up at {path[:80]!r}. {_NOTHING}")
                _write_at(root, path, plain, index * BLOCK_BYTES)
        except BaseException:
            broken.set()
            raise
        progress()

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="restore") as pool:
        for done in [pool.submit(bring, digest) for digest in places]:
            done.result()
    checkpoint("restore: blocks written")
    _finish_tree(root, manifest, durable)


def _finish_tree(root: int, manifest: Manifest, durable: bool) -> None:
    for entry in manifest.entries:
        if isinstance(entry, FileEntry):
            descriptor = open_beneath(root, entry.path.split("/"), os.O_WRONLY)
            try:
                os.fchmod(descriptor, entry.mode)
                os.utime(descriptor, ns=(entry.modified, entry.modified))
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        elif isinstance(entry, LinkEntry):
            parts = entry.path.split("/")
            parent = open_beneath(root, parts[:-1], os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.symlink(entry.target, parts[-1], dir_fd=parent)
            finally:
                os.close(parent)
    for entry in reversed(manifest.entries):
        if isinstance(entry, DirectoryEntry):
            descriptor = open_beneath(root, entry.path.split("/"), os.O_RDONLY | os.O_DIRECTORY)
            try:
                if durable:
                    os.fsync(descriptor)
                os.fchmod(descriptor, entry.mode)
            finally:
                os.close(descriptor)


def _make_directory(root: int, path: str) -> None:
    parts = path.split("/")
    if len(parts) == 1:
        os.mkdir(parts[0], 0o700, dir_fd=root)
        return
    parent = open_beneath(root, parts[:-1], os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.mkdir(parts[-1], 0o700, dir_fd=parent)
    finally:
        os.close(parent)


def _write_at(root: int, path: str, plain: bytes, offset: int) -> None:
    descriptor = open_beneath(root, path.split("/"), os.O_WRONLY)
    try:
        written = 0
        while written < len(plain):
            written += os.pwrite(descriptor, memoryview(plain)[written:], offset + written)
    finally:
        os.close(descriptor)


def _fetch_block(bucket: Bucket, digest: str) -> bytes:
    """Plain bytes of a block; a bad one is read twice before it is believed to be bad."""
    for attempt in (1, 2):
        try:
            content, _ = bucket.get(block_key(digest), MAX_STORED_BYTES)
            return unpack_block(content, digest)
        except NotFound as error:
            raise SnapshotIncomplete(f"Block {digest[:12]}… of the newest snapshot is not in the bucket. {_NOTHING}") from error
        except BadFormat as error:
            if attempt == 2:
                raise SnapshotCorrupt(f"The newest snapshot is damaged: {error}. {_NOTHING}") from error
    raise AssertionError("not reached")


def _swap(state: StateDir, checkpoint: Callable[[str], None]) -> None:
    """Roll the swap forward; every step may already be done.

    1. current/ and state.json go to replaced/, while incoming/current/ is still to come
    2. incoming/current/ becomes current/
    3. incoming/state.json becomes state.json: the state may be opened
    """
    incoming = state.incoming / "current"
    if incoming.exists():
        _set_aside(state)
        checkpoint("restore: set aside")
        incoming.rename(state.current)
        sync_directory(state.root)
        checkpoint("restore: content in place")
    for stale in (state.choice_file, state.known_file):
        stale.unlink(missing_ok=True)
    (state.incoming / "state.json").replace(state.state_file)
    sync_directory(state.root)
    checkpoint("restore: state in place")
    remove_tree(state.incoming)


def _set_aside(state: StateDir) -> None:
    if not _has_content(state):
        remove_tree(state.current)
    if os.path.lexists(state.current):
        number = 0
        while os.path.lexists(state.replaced / f"{number}"):
            number += 1
        aside = state.replaced / f"{number}"
        aside.mkdir(mode=0o700, parents=True)
        state.current.rename(aside / "current")
        if state.state_file.exists():
            state.state_file.rename(aside / "state.json")


def write_choice(state: StateDir, pod_uid: str, kind: ChoiceKind, lineage: str) -> None:
    """Keep beside the state what this pod chose."""
    write_json_atomically(state.choice_file, {"podUid": pod_uid, "kind": kind.value, "lineage": lineage})


def read_choice(state: StateDir, pod_uid: str) -> Earlier | None:
    """What this very pod chose before; None for another pod's, or what cannot be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = read_small_file(state.choice_file)
        document = json.loads(content) if content else {}
        if document["podUid"] == pod_uid and isinstance(document["lineage"], str):
            return Earlier(ChoiceKind(document["kind"]), document["lineage"])
    return None


__all__ = [
    "CHECKPOINTS",
    "DATABASE_NAME",
    "fetch_manifest",
    "look_at_local",
    "open_empty",
    "read_choice",
    "recover",
    "restore_head",
    "write_choice",
]
