"""The snapshot format: what is written is read back, and what is hostile is refused."""

from __future__ import annotations

import contextlib
import json
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moltbot_state.format import (
    BLOCK_BYTES,
    MAX_STORED_BYTES,
    BadFormat,
    DirectoryEntry,
    FileEntry,
    Head,
    LinkEntry,
    Manifest,
    NewerFormat,
    Owner,
    Skipped,
    decode_head,
    decode_manifest,
    decode_owner,
    digest_of,
    encode_head,
    encode_manifest,
    encode_owner,
    link_stays_beneath,
    make_snapshot_id,
    manifest_key,
    pack_block,
    read_snapshot_key,
    unpack_block,
)

D1, D2 = digest_of(b"one"), digest_of(b"two")
MANIFEST = Manifest(
    id=make_snapshot_id(7, "0123456789ab"),
    moltbot="3b1f",
    lineage="abc",
    sequence=7,
    parent=make_snapshot_id(6, "ba9876543210"),
    created="2026-11-24T08:00:00Z",
    program="0.1.0",
    database=1,
    entries=(
        FileEntry("moltbot.sqlite", 0o600, 1, BLOCK_BYTES + 1, (D1, D2)),
        DirectoryEntry("workspace", 0o755),
        FileEntry("workspace/\udcff odd\nname", 0o644, -5, 3, (D1,)),
        FileEntry("workspace/empty", 0o644, 0, 0, ()),
        LinkEntry("workspace/link", "empty"),
    ),
    stored={D1: 11, D2: 12},
    skipped=(Skipped("workspace/socket", "a socket"),),
    skipped_total=4,
)
HEAD = Head(MANIFEST.id, D1, "3b1f", "abc", 7, MANIFEST.parent, "2026-11-24T08:00:00Z", 1, 99, 3)
OWNER = Owner("3b1f", "default", "ada", "2026-11-24T08:00:00Z")


def test_manifest_head_and_owner_are_read_back() -> None:
    assert decode_manifest(encode_manifest(MANIFEST)) == MANIFEST
    assert decode_head(encode_head(HEAD)) == HEAD
    assert decode_owner(encode_owner(OWNER)) == OWNER


def entry(document: dict[str, Any], index: int) -> dict[str, Any]:
    item = document["entries"][index]
    assert isinstance(item, dict)
    return item


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "path leaves the state": lambda d: entry(d, 2).update(path="workspace/../../etc/passwd"),
    "absolute path": lambda d: entry(d, 2).update(path="/etc/passwd"),
    "dot component": lambda d: entry(d, 2).update(path="workspace/./x"),
    "empty component": lambda d: entry(d, 2).update(path="workspace//x"),
    "NUL in a path": lambda d: entry(d, 2).update(path="workspace/x\0y"),
    "surrogate that no file name has": lambda d: entry(d, 2).update(path="workspace/\ud800"),
    "name too long": lambda d: entry(d, 2).update(path="workspace/" + "x" * 256),
    "path too long": lambda d: entry(d, 2).update(path="workspace/" + "/".join(["x" * 200] * 30)),
    "path too deep": lambda d: entry(d, 2).update(path="workspace/" + "/".join(["x"] * 200)),
    "path is a number": lambda d: entry(d, 2).update(path=5),
    "same path twice": lambda d: entry(d, 3).update(path="workspace/\udcff odd\nname"),
    "file beneath a file": lambda d: entry(d, 4).update(path="workspace/empty/x"),
    "file beneath a link": lambda d: d["entries"].append({"path": "workspace/link/x", "mode": 0, "modified": 0, "size": 0, "blocks": []}),
    "no part of a state": lambda d: entry(d, 0).update(path="moltbot.sqlite-wal"),
    "database is a directory": lambda d: d["entries"].__setitem__(0, {"path": "moltbot.sqlite", "mode": 0o700, "directory": True}),
    "workspace is a link": lambda d: d["entries"].__setitem__(1, {"path": "workspace", "link": "workspace"}),
    "link leaves the workspace": lambda d: entry(d, 4).update(link="../moltbot.sqlite"),
    "absolute link": lambda d: entry(d, 4).update(link="/etc/passwd"),
    "setuid": lambda d: entry(d, 2).update(mode=0o4755),
    "mode is a boolean": lambda d: entry(d, 2).update(mode=True),
    "negative size": lambda d: entry(d, 2).update(size=-1),
    "size beyond its blocks": lambda d: entry(d, 2).update(size=BLOCK_BYTES * 5),
    "huge size": lambda d: entry(d, 2).update(size=1 << 70),
    "block that is not listed": lambda d: entry(d, 2).update(blocks=[digest_of(b"three")]),
    "block that is no digest": lambda d: d["blocks"].update({"../../HEAD": 3}),
    "listed block that no file has": lambda d: d["blocks"].update({digest_of(b"three"): 3}),
    "stored length of nothing": lambda d: d["blocks"].update({D1: 0}),
    "stored length of a bomb": lambda d: d["blocks"].update({D1: MAX_STORED_BYTES + 1}),
    "sequence is not the id's": lambda d: d.update(sequence=8),
    "sequence is negative": lambda d: d.update(sequence=-1),
    "lineage with a slash": lambda d: d.update(lineage="a/b"),
    "parent is no id": lambda d: d.update(parent="../OWNER"),
    "id is no id": lambda d: d.update(id="x"),
    "created is no time": lambda d: d.update(created="yesterday"),
    "no entries": lambda d: d.pop("entries"),
    "entries is an object": lambda d: d.update(entries={}),
    "entry is a list": lambda d: d["entries"].__setitem__(0, []),
    "no format": lambda d: d.pop("format"),
    "format 0": lambda d: d.update(format=0),
    "database is text": lambda d: d.update(database="1"),
    "too many skipped": lambda d: d["skipped"].update(first=[{"path": "x", "why": "y"}] * 101),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_manifest_is_refused(name: str) -> None:
    document = json.loads(encode_manifest(MANIFEST))
    HOSTILE[name](document)
    with pytest.raises(BadFormat) as refusal:
        decode_manifest(json.dumps(document).encode())
    assert not isinstance(refusal.value, NewerFormat)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{", b"[" * 100_000, b"\xff", b'{"format": ' + b"9" * 5000 + b"}"])
def test_garbage_is_refused(content: bytes) -> None:
    for decode in (decode_manifest, decode_head, decode_owner):
        with pytest.raises(BadFormat):
            decode(content)


def test_a_newer_format_is_told_apart() -> None:
    document = json.loads(encode_manifest(MANIFEST)) | {"format": 2}
    with pytest.raises(NewerFormat):
        decode_manifest(json.dumps(document).encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(json.loads(encode_manifest(MANIFEST)))), json_values)
def test_any_wrong_value_is_bad_format_and_nothing_else(name: str, value: object) -> None:
    """Rule 12: a bad value is a condition, never an exception."""
    document = json.loads(encode_manifest(MANIFEST)) | {name: value}
    with contextlib.suppress(BadFormat):
        decode_manifest(json.dumps(document).encode())


@given(st.binary(max_size=4096))
def test_block_is_read_back(plain: bytes) -> None:
    assert unpack_block(pack_block(plain), digest_of(plain)) == plain


def test_incompressible_block_fits_the_bound() -> None:
    plain = random.Random(1).randbytes(BLOCK_BYTES)
    assert len(pack_block(plain)) <= MAX_STORED_BYTES


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"not zlib",
        pack_block(b"other"),
        pack_block(b"plain")[:-1],
        pack_block(b"plain") + b"more",
        zlib.compress(bytes(BLOCK_BYTES * 900)),
    ],
)
def test_block_that_is_not_its_name_is_refused(stored: bytes) -> None:
    with pytest.raises(BadFormat):
        unpack_block(stored, digest_of(b"plain"))


def test_snapshot_keys_order_and_are_told_from_others() -> None:
    assert read_snapshot_key(manifest_key(MANIFEST.id)) == (7, MANIFEST.id)
    assert read_snapshot_key("snapshots/readme.txt") is None
    assert read_snapshot_key("snapshots/../HEAD.json") is None
    assert manifest_key(make_snapshot_id(9, "0" * 12)) < manifest_key(make_snapshot_id(10, "0" * 12))


@pytest.mark.parametrize(
    "path, target, stays",
    [
        ("workspace/a", "b", True),
        ("workspace/d/a", "../b", True),
        ("workspace/a", ".", True),
        ("workspace/a", "../workspace/b", True),
        ("workspace/a", "..", False),
        ("workspace/a", "../workspace2/b", False),
        ("workspace/a", "b/../../../etc", False),
        ("workspace/a", "/workspace/b", False),
        ("workspace/a", "", False),
    ],
)
def test_links_stay_beneath_the_workspace(path: str, target: str, stays: bool) -> None:
    assert link_stays_beneath(path, target) is stays
