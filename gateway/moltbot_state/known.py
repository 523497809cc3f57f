"""What the last verified snapshot contained, kept beside the state: so that an unchanged state is known without the bucket, and a changed
one is hashed only where it changed. Losing these files costs time, nothing else.

    known.json            small: place, which snapshot, the gateway's change token, the workspace's signature
    known-manifest.json   that snapshot's manifest, by its digest
    known-files.json      by path what lstat said when it was hashed
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from moltbot_state.format import (
    DATABASE_NAME,
    MAX_MANIFEST_BYTES,
    BadFormat,
    Manifest,
    decode_manifest,
    digest_of,
    encode_manifest,
)
from moltbot_state.layout import (
    Found,
    StateDir,
    open_directory,
    read_small_file,
    walk_workspace,
    write_file_atomically,
    write_json_atomically,
)

# A change within this time of the look may bear the same time stamp as what was looked at (as git's "racy" files).
SETTLED_SECONDS = 2.0
Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LastSnapshot:
    """`lastSnapshot` of the report. `time`: RFC 3339 UTC; `bytes`: of the plain files."""

    id: str
    time: str
    bytes: int
    files: int
    lineage: str
    sequence: int
    parent: str | None

    @classmethod
    def of(cls, manifest: Manifest) -> LastSnapshot:
        m = manifest
        return cls(m.id, m.created, m.bytes, m.files, m.lineage, m.sequence, m.parent)

    def to_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "time": self.time,
            "bytes": self.bytes,
            "files": self.files,
            "lineage": self.lineage,
            "sequence": self.sequence,
            "parent": self.parent,
            "verified": True,
        }


@dataclass(frozen=True, slots=True)
class Known:
    """known.json. `change`: the gateway's token of the staged database, None when it was copied at rest. `workspace`: signature, None when
    something had changed too recently to be sure. `skipped`: how many things the snapshot left out."""

    place: str
    digest: str
    last: LastSnapshot
    change: str | None
    workspace: str | None
    skipped: int = 0


def stamp_of(status: os.stat_result) -> Stamp:
    """Differs whenever a file was written, renamed over or had its mode changed; ctime cannot be set back."""
    return (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def sign(items: Iterable[Found], now: float) -> str | None:
    """One hash of a walk. None when something changed less than SETTLED_SECONDS before `now` (seconds since 1970)."""
    hasher, newest = hashlib.sha256(), 0
    for item in items:
        newest = max(newest, item.status.st_ctime_ns)
        hasher.update(repr((item.path, stamp_of(item.status))).encode("utf-8", "surrogateescape"))
    return hasher.hexdigest() if newest < (now - SETTLED_SECONDS) * 1e9 else None


def sign_workspace(state: StateDir, now: float) -> str | None:
    """Signature of the workspace as it is; a few milliseconds for hundreds of files."""
    with contextlib.suppress(FileNotFoundError), open_directory(state.current) as root:
        return sign(walk_workspace(root, lambda _path, _error: None), now)
    return None


def stamp_database(state: StateDir) -> tuple[Stamp | None, ...]:
    """Of the database and its log: unchanged means that nobody wrote; changed may also mean that the log was folded in."""
    stamps: list[Stamp | None] = []
    for suffix in ("", "-wal"):
        try:
            stamps.append(stamp_of((state.current / (DATABASE_NAME + suffix)).lstat()))
        except OSError:
            stamps.append(None)
    return tuple(stamps)


def read_known(state: StateDir, place: str) -> Known | None:
    """None when there is none for this place, or it cannot be used."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        content = read_small_file(state.known_file)
        document = json.loads(content) if content else None
        if isinstance(document, dict) and document["version"] == 1 and document["place"] == place:
            last = document["last"]
            last.pop("verified")
            return Known(place, document["digest"], LastSnapshot(**last), document["change"], document["workspace"], document["skipped"])
    return None


def read_known_manifest(state: StateDir, known: Known | None) -> Manifest | None:
    """None when it is not there whole."""
    if known is None:
        return None
    with contextlib.suppress(OSError, BadFormat):
        content = read_small_file(_manifest_file(state), MAX_MANIFEST_BYTES)
        if content is not None and digest_of(content) == known.digest:
            return decode_manifest(content)
    return None


def read_known_stamps(state: StateDir, known: Known | None) -> Mapping[str, Stamp]:
    """By path; empty when there are none for that snapshot."""
    if known is None:
        return {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = read_small_file(_stamps_file(state), MAX_MANIFEST_BYTES)
        document = json.loads(content) if content else {}
        if document["digest"] == known.digest:
            return {cast(str, path): tuple(stamp) for path, stamp in document["files"].items()}
    return {}


def write_known(state: StateDir, known: Known, manifest: Manifest | None, stamps: Mapping[str, Stamp]) -> None:
    """`manifest` None: that of known.digest is already there. known.json comes last, for it names the others."""
    if manifest is not None:
        write_file_atomically(_manifest_file(state), encode_manifest(manifest))
    write_json_atomically(_stamps_file(state), {"digest": known.digest, "files": {path: list(stamp) for path, stamp in stamps.items()}})
    write_json_atomically(
        state.known_file,
        {
            "version": 1,
            "place": known.place,
            "digest": known.digest,
            "last": known.last.to_json(),
            "change": known.change,
            "workspace": known.workspace,
            "skipped": known.skipped,
        },
    )


def _manifest_file(state: StateDir) -> Path:
    return state.root / "known-manifest.json"


def _stamps_file(state: StateDir) -> Path:
    return state.root / "known-files.json"
