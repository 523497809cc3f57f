"""The snapshot format, version 1: types, keys, JSON. No I/O; the operator image may import this module.

    <prefix>OWNER.json                     whose prefix this is; created only where absent
    <prefix>HEAD                           which snapshot is the newest; moves only by conditional write
    <prefix>snapshots/<id>.json            a manifest; id = <sequence>-<random>
    <prefix>blocks/ab/abcdef…              1 MiB of some file, zlib-compressed; key = SHA-256 of the plain bytes

A manifest is whole in itself: parent, lineage, sequence, and every file as a list of blocks. All of it is read as hostile: bounded sizes,
no path that leaves the state, no two names alike, no file that does not add up. Names are bytes to the file system: those that are no
UTF-8 travel as lone surrogates (PEP 383), which JSON in ASCII keeps.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard, cast

FORMAT = 1
BLOCK_BYTES = 1 << 20
# Level 1: five times as fast as the default here, within a few percent of its size on SQLite pages.
COMPRESSION_LEVEL = 1
# zlib's own bound: 5 bytes a 16 KiB block and a header; what is longer was not made by us.
MAX_STORED_BYTES = BLOCK_BYTES + BLOCK_BYTES // 1000 + 64
MAX_MANIFEST_BYTES = 64 << 20
MAX_HEAD_BYTES = 16 << 10
MAX_ENTRIES = 500_000
MAX_FILE_BYTES = 1 << 40
MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 255
MAX_DEPTH = 128
MAX_SKIPPED = 100

# All that a state has at its top.
DATABASE_NAME = "moltbot.sqlite"
WORKSPACE_NAME = "workspace"

OWNER_KEY = "OWNER.json"
HEAD_KEY = "HEAD"
SNAPSHOTS_PREFIX = "snapshots/"
BLOCKS_PREFIX = "blocks/"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SNAPSHOT_ID = re.compile(r"[0-9]{8,18}-[0-9a-f]{12}")
_LINEAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_MAX_SEQUENCE = 10**15


class BadFormat(Exception):
    """These bytes are not what this format says. The message names what is wrong, never more than a few characters of it."""


class NewerFormat(BadFormat):
    """Written by a newer version of this program."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A regular file. `size` in bytes, `modified` in nanoseconds since 1970, `blocks` the digests in order."""

    path: str
    mode: int
    modified: int
    size: int
    blocks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A directory; its mode is set once everything beneath it is there."""

    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class LinkEntry:
    """A symbolic link that stays beneath the workspace."""

    path: str
    target: str


Entry = FileEntry | DirectoryEntry | LinkEntry


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that is not in the snapshot, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One snapshot. `stored`: length in the bucket of each block that the files name. `skipped_total` counts, `skipped` names the first."""

    id: str
    moltbot: str
    lineage: str
    sequence: int
    parent: str | None
    created: str
    program: str
    database: int
    entries: tuple[Entry, ...]
    stored: Mapping[str, int]
    skipped: tuple[Skipped, ...] = ()
    skipped_total: int = 0

    @property
    def key(self) -> str:
        return manifest_key(self.id)

    @property
    def files(self) -> int:
        return sum(isinstance(entry, FileEntry) for entry in self.entries)

    @property
    def bytes(self) -> int:
        """Sum of the files' sizes."""
        return sum(entry.size for entry in self.entries if isinstance(entry, FileEntry))


@dataclass(frozen=True, slots=True)
class Head:
    """The object HEAD: all that a start has to know before it reads a manifest. `digest`: SHA-256 of the manifest's bytes."""

    snapshot: str
    digest: str
    moltbot: str
    lineage: str
    sequence: int
    parent: str | None
    created: str
    database: int
    bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class Owner:
    """The object OWNER.json: uid of the Moltbot that alone writes beneath the prefix."""

    uid: str
    namespace: str
    name: str
    created: str


def digest_of(content: bytes) -> str:
    """SHA-256 in hex: a block's name, a manifest's proof."""
    return hashlib.sha256(content).hexdigest()


def block_key(digest: str) -> str:
    return f"{BLOCKS_PREFIX}{digest[:2]}/{digest}"


def manifest_key(snapshot: str) -> str:
    return f"{SNAPSHOTS_PREFIX}{snapshot}.json"


def make_snapshot_id(sequence: int, random: str) -> str:
    """`random`: 12 hex digits, so that two writers at the same sequence never write the same key."""
    return _check_id(f"{sequence:08d}-{random}", "id")


def read_snapshot_key(key: str) -> tuple[int, str] | None:
    """(sequence, id) of a manifest's key, None for any other key."""
    name = key.removeprefix(SNAPSHOTS_PREFIX).removesuffix(".json")
    if manifest_key(name) != key or not _SNAPSHOT_ID.fullmatch(name):
        return None
    return int(name.partition("-")[0]), name


def pack_block(plain: bytes) -> bytes:
    """What is stored for a block."""
    return zlib.compress(plain, COMPRESSION_LEVEL)


def unpack_block(stored: bytes, digest: str) -> bytes:
    """The plain bytes. Raises BadFormat unless they are what the key says; never makes more than one block of memory of them."""
    decompressor = zlib.decompressobj()
    try:
        plain = decompressor.decompress(stored, BLOCK_BYTES + 1)
    except zlib.error as error:
        raise BadFormat(f"block {digest[:12]}… does not decompress") from error
    if len(plain) > BLOCK_BYTES or not decompressor.eof or decompressor.unused_data or digest_of(plain) != digest:
        raise BadFormat(f"block {digest[:12]}… is not what its name says")
    return plain


def link_stays_beneath(path: str, target: str) -> bool:
    """Whether a link at `path` names, read as text, the workspace or something in it. Absolute targets never do."""
    if not target or target.startswith("/"):
        return False
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return resolved == WORKSPACE_NAME or resolved.startswith(f"{WORKSPACE_NAME}/")


def encode_manifest(manifest: Manifest) -> bytes:
    """Always the same bytes for the same manifest."""
    document = {
        "format": FORMAT,
        "id": manifest.id,
        "moltbot": manifest.moltbot,
        "lineage": manifest.lineage,
        "sequence": manifest.sequence,
        "parent": manifest.parent,
        "created": manifest.created,
        "program": manifest.program,
        "database": manifest.database,
        "entries": [_entry_to_json(entry) for entry in manifest.entries],
        "blocks": dict(sorted(manifest.stored.items())),
        "skipped": {"total": manifest.skipped_total, "first": [{"path": item.path, "why": item.why} for item in manifest.skipped]},
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def decode_manifest(content: bytes) -> Manifest:
    """Read and check a manifest. Raises BadFormat, NewerFormat."""
    document = _read_document(content, "manifest", MAX_MANIFEST_BYTES)
    sequence = _integer(document, "sequence", 0, _MAX_SEQUENCE)
    stored = _read_stored(document.get("blocks"))
    entries = _read_entries(document.get("entries"), stored)
    named = {digest for entry in entries if isinstance(entry, FileEntry) for digest in entry.blocks}
    if named != stored.keys():
        raise BadFormat("the list of blocks is not that of the files")
    skipped, total = _read_skipped(document.get("skipped"))
    snapshot = _check_id(_text(document, "id"), "id")
    if int(snapshot.partition("-")[0]) != sequence:
        raise BadFormat("id and sequence do not agree")
    return Manifest(
        id=snapshot,
        moltbot=_text(document, "moltbot"),
        lineage=check_lineage(_text(document, "lineage")),
        sequence=sequence,
        parent=_parent(document),
        created=_time(document),
        program=_text(document, "program"),
        database=_integer(document, "database", 0, 1 << 31),
        entries=entries,
        stored=stored,
        skipped=skipped,
        skipped_total=total,
    )


def encode_head(head: Head) -> bytes:
    document = {
        "format": FORMAT,
        "snapshot": head.snapshot,
        "sha256": head.digest,
        "moltbot": head.moltbot,
        "lineage": head.lineage,
        "sequence": head.sequence,
        "parent": head.parent,
        "created": head.created,
        "database": head.database,
        "bytes": head.bytes,
        "files": head.files,
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def decode_head(content: bytes) -> Head:
    """Raises BadFormat, NewerFormat."""
    document = _read_document(content, "HEAD", MAX_HEAD_BYTES)
    digest = _text(document, "sha256")
    if not _DIGEST.fullmatch(digest):
        raise BadFormat("sha256 is no digest")
    return Head(
        snapshot=_check_id(_text(document, "snapshot"), "snapshot"),
        digest=digest,
        moltbot=_text(document, "moltbot"),
        lineage=check_lineage(_text(document, "lineage")),
        sequence=_integer(document, "sequence", 0, _MAX_SEQUENCE),
        parent=_parent(document),
        created=_time(document),
        database=_integer(document, "database", 0, 1 << 31),
        bytes=_integer(document, "bytes", 0, 1 << 60),
        files=_integer(document, "files", 0, MAX_ENTRIES),
    )


def encode_owner(owner: Owner) -> bytes:
    document = {"format": FORMAT, "uid": owner.uid, "namespace": owner.namespace, "name": owner.name, "created": owner.created}
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def decode_owner(content: bytes) -> Owner:
    """Raises BadFormat, NewerFormat."""
    document = _read_document(content, "OWNER.json", MAX_HEAD_BYTES)
    return Owner(_text(document, "uid"), _text(document, "namespace"), _text(document, "name"), _time(document))


def check_lineage(text: str) -> str:
    """A lineage is a `restore.key` or made by us. Raises BadFormat."""
    if not _LINEAGE.fullmatch(text):
        raise BadFormat("a lineage has 1 to 63 letters, digits, '.', '_' and '-'")
    return text


def check_path(path: str) -> str:
    """A relative path, each component a plain name. Raises BadFormat."""
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise BadFormat("a path has characters that no file system has") from error
    parts = raw.split(b"/")
    if len(raw) > MAX_PATH_BYTES or len(parts) > MAX_DEPTH or b"\0" in raw:
        raise BadFormat("a path is too long, too deep, or has a NUL")
    if any(part in (b"", b".", b"..") or len(part) > MAX_NAME_BYTES for part in parts):
        raise BadFormat(f"{path[:80]!r} is not a plain path beneath the state")
    return path


def _entry_to_json(entry: Entry) -> dict[str, object]:
    match entry:
        case FileEntry():
            return {
                "path": entry.path,
                "mode": entry.mode,
                "modified": entry.modified,
                "size": entry.size,
                "blocks": list(entry.blocks),
            }
        case DirectoryEntry():
            return {"path": entry.path, "mode": entry.mode, "directory": True}
        case LinkEntry():
            return {"path": entry.path, "link": entry.target}


def _read_document(content: bytes, what: str, limit: int) -> dict[str, object]:
    if len(content) > limit:
        raise BadFormat(f"{what} is longer than {limit} bytes")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadFormat(f"{what} is not JSON") from error
    if not isinstance(document, dict):
        raise BadFormat(f"{what} is not a JSON object")
    version = document.get("format")
    if not _is_integer(version) or version < 1:
        raise BadFormat(f"{what} does not say which format it has")
    if version > FORMAT:
        raise NewerFormat(f"{what} has format {version}; this version of the program reads up to {FORMAT}")
    return document


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _integer(document: Mapping[str, object], name: str, low: int, high: int) -> int:
    value = document.get(name)
    if not _is_integer(value) or not low <= value <= high:
        raise BadFormat(f"{name} is no number from {low} to {high}")
    return value


def _text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 256:
        raise BadFormat(f"{name} is no text of 1 to 256 characters")
    return value


def _time(document: Mapping[str, object]) -> str:
    value = _text(document, "created")
    if not _TIME.fullmatch(value):
        raise BadFormat("created is no RFC 3339 time in UTC")
    return value


def _check_id(text: str, name: str) -> str:
    if not _SNAPSHOT_ID.fullmatch(text):
        raise BadFormat(f"{name} is no snapshot's id")
    return text


def _parent(document: Mapping[str, object]) -> str | None:
    value = document.get("parent")
    if value is None:
        return None
    return _check_id(_text(document, "parent"), "parent")


def _read_stored(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        raise BadFormat("blocks is no object")
    for digest, length in value.items():
        if not _DIGEST.fullmatch(digest) or not _is_integer(length) or not 1 <= length <= MAX_STORED_BYTES:
            raise BadFormat("blocks has something that is no digest with a length")
    return cast(dict[str, int], value)


def _read_entries(value: object, stored: Mapping[str, int]) -> tuple[Entry, ...]:
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise BadFormat(f"entries is no list of at most {MAX_ENTRIES}")
    directories: set[str] = set()
    seen: set[str] = set()
    entries: list[Entry] = []
    for item in value:
        if not isinstance(item, dict):
            raise BadFormat("an entry is no object")
        entry = _read_entry(item, stored)
        parent = posixpath.dirname(entry.path)
        if not parent and not _belongs_at_the_top(entry):
            raise BadFormat(f"{entry.path[:80]!r} is no part of a state")
        if entry.path in seen:
            raise BadFormat(f"{entry.path[:80]!r} is there twice")
        if parent and parent not in directories:
            raise BadFormat(f"{entry.path[:80]!r} comes without its directory before it")
        seen.add(entry.path)
        if isinstance(entry, DirectoryEntry):
            directories.add(entry.path)
        entries.append(entry)
    return tuple(entries)


def _read_entry(item: Mapping[str, object], stored: Mapping[str, int]) -> Entry:
    path = item.get("path")
    if not isinstance(path, str):
        raise BadFormat("an entry has no path")
    check_path(path)
    if "link" in item:
        target = item["link"]
        if not isinstance(target, str) or len(target) > MAX_PATH_BYTES or "\0" in target or not link_stays_beneath(path, target):
            raise BadFormat(f"the link {path[:80]!r} leaves the state")
        return LinkEntry(path, target)
    mode = _integer(item, "mode", 0, 0o777)
    if item.get("directory") is True:
        return DirectoryEntry(path, mode)
    size = _integer(item, "size", 0, MAX_FILE_BYTES)
    blocks = item.get("blocks")
    if not isinstance(blocks, list) or len(blocks) != -(-size // BLOCK_BYTES):
        raise BadFormat(f"{path[:80]!r} has not the number of blocks that its size needs")
    if not all(isinstance(digest, str) and digest in stored for digest in blocks):
        raise BadFormat(f"{path[:80]!r} names a block that is not listed")
    return FileEntry(path, mode, _integer(item, "modified", -(1 << 63), (1 << 63) - 1), size, tuple(blocks))


def _belongs_at_the_top(entry: Entry) -> bool:
    match entry:
        case FileEntry():
            return entry.path == DATABASE_NAME
        case DirectoryEntry():
            return entry.path == WORKSPACE_NAME
        case LinkEntry():
            return False


def _read_skipped(value: object) -> tuple[tuple[Skipped, ...], int]:
    if value is None:
        return (), 0
    if not isinstance(value, dict) or not isinstance(value.get("first"), list) or len(value["first"]) > MAX_SKIPPED:
        raise BadFormat("skipped is not what it should be")
    first = []
    for item in value["first"]:
        if not isinstance(item, dict) or not isinstance(item.get("path"), str) or not isinstance(item.get("why"), str):
            raise BadFormat("skipped is not what it should be")
        first.append(Skipped(item["path"][:MAX_PATH_BYTES], item["why"][:256]))
    return tuple(first), _integer(value, "total", 0, 1 << 40)
