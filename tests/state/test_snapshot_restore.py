"""Snapshots and restores against a real S3-protocol server (rules 3, 8, 9)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moltbot_state.bucket import Bucket, BucketKind, Place
from moltbot_state.choice import BucketFailed, HeadFound, NoSnapshot
from moltbot_state.errors import (
    BucketCredentials,
    BucketMissing,
    BucketRefused,
    BucketUnreachable,
    Diverged,
    ForeignPrefix,
    NoConditionalWrites,
    SnapshotCorrupt,
    SnapshotIncomplete,
    StateError,
)
from moltbot_state.format import BLOCK_BYTES, MAX_HEAD_BYTES, decode_head, decode_manifest
from moltbot_state.known import LastSnapshot
from moltbot_state.layout import StateDir, remove_tree
from moltbot_state.lineage import Mark, read_state_file
from moltbot_state.ownership import Identity, look
from moltbot_state.restore import look_at_local, open_empty, recover
from moltbot_trust.redaction import Secret
from tests.fakes.s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, Answer, Asked, S3Server
from tests.state.assistant import ADA, begin, restore, said, say, snapshot, tree

EVE = Identity("uid-eve", "team", "ada")


def elsewhere(state: StateDir) -> StateDir:
    """The state directory of the next pod."""
    return StateDir(state.root.with_name("next"))


def test_a_memory_comes_back(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    (state.workspace / "notes.md").write_text("remember me")
    made = snapshot(state, s3.open(prefix))
    assert made.created and made.known.last.sequence == 1 and made.known.last.parent is None
    restored = restore(elsewhere(state), s3.open(prefix))
    assert restored.mark == Mark("lineage-a", 1) and restored.parent == made.known.last.id
    assert said(elsewhere(state)) == ["hello"]
    assert (elsewhere(state).workspace / "notes.md").read_text() == "remember me"


def test_an_unchanged_state_asks_the_bucket_nothing(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    bucket = s3.open(prefix)
    first = snapshot(state, bucket)
    s3.requests.clear()
    again = snapshot(state, bucket)
    assert not again.created and again.known.last == first.known.last
    assert s3.requests == []


def test_after_a_restore_the_same_state_is_not_written_again(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    (state.workspace / "notes.md").write_text("x")
    snapshot(state, s3.open(prefix))
    restore(elsewhere(state), s3.open(prefix))
    s3.requests.clear()
    assert not snapshot(elsewhere(state), s3.open(prefix)).created
    assert [asked for asked in s3.requests if asked.method == "PUT"] == []


def test_a_state_that_lost_what_it_knew_compares_with_the_bucket(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    snapshot(state, s3.open(prefix))
    state.known_file.unlink()
    assert not snapshot(state, s3.open(prefix)).created
    assert decode_head(s3.objects(prefix)["HEAD"]).sequence == 1


@pytest.mark.parametrize("name", ["known.json", "known-manifest.json", "known-files.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 1, "place": 3, "files": [1], "digest": null}'])
def test_what_it_knew_may_be_anything(s3: S3Server, prefix: str, state: StateDir, name: str, content: bytes) -> None:
    """It lies beside what the assistant's tools write, and losing it costs time and nothing else."""
    begin(state)
    snapshot(state, s3.open(prefix))
    (state.root / name).write_bytes(content)
    say(state, "more")
    assert snapshot(state, s3.open(prefix)).known.last.sequence == 2
    restore(elsewhere(state), s3.open(prefix))
    assert said(elsewhere(state)) == ["hello", "more"]


def test_one_message_changes_few_blocks(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    (state.workspace / "big").write_bytes(os.urandom(5 * BLOCK_BYTES + 17))
    snapshot(state, s3.open(prefix))
    say(state, "more")
    s3.requests.clear()
    made = snapshot(state, s3.open(prefix))
    assert made.created and made.known.last.sequence == 2
    assert sum(asked.method == "PUT" and "/blocks/" in asked.key for asked in s3.requests) == 1


def test_head_names_a_chain_of_parents(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    made: list[LastSnapshot] = []
    for text in ("one", "two", "three"):
        say(state, text)
        made.append(snapshot(state, s3.open(prefix)).known.last)
    assert [last.sequence for last in made] == [1, 2, 3]
    assert [last.parent for last in made] == [None, made[0].id, made[1].id]
    assert read_state_file(state) is not None


def test_empty_state(s3: S3Server, prefix: str, state: StateDir) -> None:
    recover(state)
    open_empty(state, "lineage-a")
    assert snapshot(state, s3.open(prefix)).created
    restore(elsewhere(state), s3.open(prefix))
    assert tree(elsewhere(state).current) == tree(state.current)


def test_two_hundred_files(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    for number in range(200):
        path = state.workspace / f"d{number % 7}" / f"file-{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(f"{number}".encode() * number)
    snapshot(state, s3.open(prefix))
    restore(elsewhere(state), s3.open(prefix))
    assert tree(elsewhere(state).workspace) == tree(state.workspace)
    s3.requests.clear()
    began = time.monotonic()
    assert not snapshot(state, s3.open(prefix), now=time.time() + 60).created
    assert not s3.requests and time.monotonic() - began < 2


def test_odd_names_modes_and_times(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    for name in (b"new\nline", b"\xff\xfe not utf-8", b"sp ace", b"'\"$`\\", "æøå 漢字 🦞".encode(), b"-rf", b"~", b"x" * 255):
        (state.workspace / os.fsdecode(name)).write_bytes(name)
    (state.workspace / "tool.sh").write_text("#!/bin/sh\n")
    (state.workspace / "tool.sh").chmod(0o755)
    (state.workspace / "empty directory").mkdir(mode=0o711)
    os.utime(state.workspace / "tool.sh", ns=(1, 1_234_567_890_123_456_789))
    snapshot(state, s3.open(prefix))
    restore(elsewhere(state), s3.open(prefix))
    assert tree(elsewhere(state).workspace) == tree(state.workspace)
    assert (elsewhere(state).workspace / "tool.sh").stat().st_mtime_ns == 1_234_567_890_123_456_789


def test_links_inside_are_kept_and_links_outside_are_skipped_and_told(s3: S3Server, prefix: str, state: StateDir, tmp_path: Path) -> None:
    begin(state)
    secret = tmp_path / "secret"
    secret.write_text("not the assistant's")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("neither")
    (state.workspace / "inside").symlink_to("notes")
    (state.workspace / "to-file").symlink_to(secret)
    (state.workspace / "to-directory").symlink_to(outside)
    (state.workspace / "up").symlink_to("../moltbot.sqlite")
    os.mkfifo(state.workspace / "pipe")
    made = snapshot(state, s3.open(prefix))
    manifest = decode_manifest(s3.objects(prefix)[f"snapshots/{made.known.last.id}.json"])
    assert {item.path for item in manifest.skipped} == {f"workspace/{name}" for name in ("to-file", "to-directory", "up", "pipe")}
    assert made.known.skipped == 4
    restore(elsewhere(state), s3.open(prefix))
    assert (elsewhere(state).workspace / "inside").readlink() == Path("notes")
    assert not os.path.lexists(elsewhere(state).workspace / "to-directory")


def test_a_workspace_that_is_a_link_leads_nowhere(s3: S3Server, prefix: str, state: StateDir, tmp_path: Path) -> None:
    begin(state)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("not the assistant's")
    state.workspace.rmdir()
    state.workspace.symlink_to(outside)
    made = snapshot(state, s3.open(prefix))
    manifest = decode_manifest(s3.objects(prefix)[f"snapshots/{made.known.last.id}.json"])
    assert [entry.path for entry in manifest.entries] == ["moltbot.sqlite"]


def test_a_file_that_is_written_meanwhile_is_whole(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    log = state.workspace / "log"
    log.write_bytes(b"a" * 3000)

    def write(name: str) -> None:
        if name == "snapshot: prefix claimed":
            log.write_bytes(b"b" * 5000)

    snapshot(state, s3.open(prefix), checkpoint=write)
    restore(elsewhere(state), s3.open(prefix))
    assert (elsewhere(state).workspace / "log").read_bytes() == b"b" * 5000
    assert list(state.stage.iterdir()) == []


def test_a_file_removed_meanwhile_is_left_out(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    (state.workspace / "gone").write_text("x")
    snapshot(state, s3.open(prefix), checkpoint=lambda name: (state.workspace / "gone").unlink(missing_ok=True))
    restore(elsewhere(state), s3.open(prefix))
    assert not (elsewhere(state).workspace / "gone").exists()


def test_what_programs_put_into_their_temporary_directory_is_nobodys(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    (state.workspace / ".tmp").mkdir()
    (state.workspace / ".tmp" / "scratch").write_text("x")
    (state.workspace / "deep").mkdir()
    (state.workspace / "deep" / ".tmp").write_text("a file of the person's")
    assert snapshot(state, s3.open(prefix)).created
    (state.workspace / ".tmp" / "scratch").write_text("y")
    assert not snapshot(state, s3.open(prefix)).created
    restore(elsewhere(state), s3.open(prefix))
    assert not (elsewhere(state).workspace / ".tmp").exists()
    assert (elsewhere(state).workspace / "deep" / ".tmp").read_text() == "a file of the person's"


def test_two_writers_the_second_commits_nothing(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Rule 3."""
    begin(state)
    snapshot(state, s3.open(prefix))
    other = elsewhere(state)
    restore(other, s3.open(prefix))
    say(state, "first")
    snapshot(state, s3.open(prefix))
    before = s3.objects(prefix)["HEAD"]
    say(other, "second")
    with pytest.raises(Diverged, match="Nothing was overwritten"):
        snapshot(other, s3.open(prefix))
    assert s3.objects(prefix)["HEAD"] == before


def test_two_writers_at_once_one_moves_head(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Rule 3: the other one read the same HEAD and comes a moment later."""
    begin(state)
    snapshot(state, s3.open(prefix))
    other = elsewhere(state)
    restore(other, s3.open(prefix))
    say(state, "first")
    say(other, "second")

    def overtake(name: str) -> None:
        if name == "snapshot: pending recorded":
            snapshot(state, s3.open(prefix))

    with pytest.raises(Diverged):
        snapshot(other, s3.open(prefix), checkpoint=overtake)
    third = StateDir(state.root.with_name("third"))
    restore(third, s3.open(prefix))
    assert said(third) == ["hello", "first"]


def test_another_moltbots_prefix_is_neither_read_nor_written(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Rule 9."""
    begin(state)
    snapshot(state, s3.open(prefix))
    before = s3.objects(prefix)
    found, _ = look(s3.open(prefix), EVE, None)
    assert isinstance(found, BucketFailed) and found.reason == "ForeignPrefix" and "team/ada" in found.message
    other = elsewhere(state)
    begin(other, "lineage-e")
    with pytest.raises(ForeignPrefix):
        snapshot(other, s3.open(prefix), EVE)
    assert s3.objects(prefix) == before


def test_snapshots_without_an_owner_are_nobodys_unless_recorded(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    snapshot(state, s3.open(prefix))
    s3.client().delete_object(Bucket=BUCKET, Key=f"{prefix}OWNER.json")
    assert isinstance(look(s3.open(prefix), EVE, None)[0], BucketFailed)
    assert isinstance(look(s3.open(prefix), ADA, None)[0], HeadFound)
    assert isinstance(look(s3.open(prefix), EVE, Mark("lineage-a", 1))[0], HeadFound)


def test_owner_without_manifest_records_nothing(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Rule 8."""
    begin(state)
    with contextlib.suppress(KeyboardInterrupt):
        snapshot(state, s3.open(prefix), checkpoint=stop_at("snapshot: prefix claimed"))
    assert set(s3.objects(prefix)) == {"OWNER.json"}
    assert look(s3.open(prefix), ADA, None)[0] == NoSnapshot(0, 0)


def stop_at(wanted: str):  # type: ignore[no-untyped-def]
    def checkpoint(name: str) -> None:
        if name == wanted:
            raise KeyboardInterrupt

    return checkpoint


def test_endpoint_without_conditional_writes_is_refused(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Rule 8."""
    begin(state)
    s3.conditions = False
    with pytest.raises(NoConditionalWrites, match="R2, AWS S3, MinIO"):
        snapshot(state, s3.open(prefix))
    assert set(s3.objects(prefix)) == {"OWNER.json"}


def test_endpoint_that_only_ignores_if_match_is_refused(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    puts = 0

    def ignore(asked: Asked) -> Answer | None:
        nonlocal puts
        puts += asked.method == "PUT"
        return Answer(200, body=b"") if puts == 3 else None

    with s3.faulty(ignore), pytest.raises(NoConditionalWrites):
        snapshot(state, s3.open(prefix))


def test_wrong_credentials_and_a_missing_bucket_are_told_apart(s3: S3Server, prefix: str) -> None:
    place = s3.place(prefix)
    cases: list[tuple[Bucket, type[StateError], str]] = [
        (Bucket(place, Secret("nobody"), Secret(SECRET_KEY)), BucketCredentials, "InvalidAccessKeyId"),
        (Bucket(place, Secret(ACCESS_KEY), Secret("wrong")), BucketCredentials, "SignatureDoesNotMatch"),
        (Bucket(s3.place(prefix, "absent"), Secret(ACCESS_KEY), Secret(SECRET_KEY)), BucketMissing, "create-bucket --bucket absent"),
    ]
    for bucket, kind, words in cases:
        with pytest.raises(kind, match=words) as refusal:
            bucket.get("HEAD", MAX_HEAD_BYTES)
        assert SECRET_KEY not in str(refusal.value) and "wrong" not in str(refusal.value)
        found, _ = look(bucket, ADA, None)
        assert isinstance(found, BucketFailed) and found.reason == kind.reason


@pytest.mark.parametrize(
    "status, code, kind, words",
    [
        (400, "AuthorizationHeaderMalformed", BucketRefused, "region"),
        (301, "PermanentRedirect", BucketRefused, "region"),
        (403, "RequestTimeTooSkewed", BucketUnreachable, "clock"),
        (501, "NotImplemented", NoConditionalWrites, "conditional writes"),
        (400, "KeyTooLongError", BucketRefused, "KeyTooLongError"),
        (507, "QuotaExceeded", BucketUnreachable, "QuotaExceeded"),
    ],
)
def test_other_refusals_are_said(s3: S3Server, prefix: str, status: int, code: str, kind: type[StateError], words: str) -> None:
    with s3.faulty(lambda asked: Answer(status, code)), pytest.raises(kind, match=words):
        s3.open("refused/").put("x", b"y", if_absent=True)
    assert {asked.method for asked in s3.requests} == {"PUT"}


def test_r2_is_told_in_its_own_words(s3: S3Server, prefix: str) -> None:
    place = Place(s3.endpoint, "auto", "absent", prefix, BucketKind.R2)
    with pytest.raises(BucketMissing, match="npx wrangler r2 bucket create absent"):
        Bucket(place, Secret(ACCESS_KEY), Secret(SECRET_KEY)).get("HEAD", 100)
    denied = Bucket(Place(s3.endpoint, "auto", BUCKET, prefix, BucketKind.R2), Secret(ACCESS_KEY), Secret(SECRET_KEY))
    with s3.faulty(lambda asked: Answer(403, "AccessDenied")), pytest.raises(BucketCredentials, match="Object Read & Write"):
        denied.get("HEAD", 100)


def test_no_call_is_about_the_bucket_itself(s3: S3Server, prefix: str, state: StateDir) -> None:
    """An R2 object token may neither create nor head nor list buckets."""
    begin(state)
    snapshot(state, s3.open(prefix))
    restore(elsewhere(state), s3.open(prefix))
    about_bucket = [asked for asked in s3.requests if not asked.key and asked.method != "GET"]
    assert about_bucket == [] and {asked.method for asked in s3.requests} <= {"GET", "PUT"}


def test_a_private_endpoint_that_cannot_be_reached_names_the_egress_entry(prefix: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    bucket = Bucket(Place(f"http://127.0.0.1:{port}", REGION, BUCKET, prefix), Secret("a"), Secret("b"))
    with pytest.raises(BucketUnreachable) as refusal:
        bucket.get("HEAD", 100)
    assert f"{{cidr: 127.0.0.1/32, ports: [{{port: {port}}}]}}" in str(refusal.value)


def test_a_name_that_does_not_resolve_is_said(prefix: str) -> None:
    bucket = Bucket(Place("http://s3.nowhere.invalid:9000", REGION, BUCKET, prefix), Secret("a"), Secret("b"))
    with pytest.raises(BucketUnreachable, match="does not resolve"):
        bucket.get("HEAD", 100)


def damage(s3: S3Server, key: str, content: bytes) -> None:
    s3.client().put_object(Bucket=BUCKET, Key=key, Body=content)


def test_a_corrupt_block_is_never_opened(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    snapshot(state, s3.open(prefix))
    key = next(key for key in s3.objects(prefix) if key.startswith("blocks/"))
    damage(s3, prefix + key, b"rotten")
    with pytest.raises(SnapshotCorrupt, match="Nothing was opened"):
        restore(elsewhere(state), s3.open(prefix))
    assert look_at_local(elsewhere(state)).mark is None and not elsewhere(state).current.exists()


def test_a_block_that_is_bad_once_is_read_again(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    snapshot(state, s3.open(prefix))
    bad: list[str] = []

    def once(asked: Asked) -> Answer | None:
        if "/blocks/" in asked.key and asked.key not in bad:
            bad.append(asked.key)
            return Answer(200, body=b"noise")
        return None

    with s3.faulty(once):
        restore(elsewhere(state), s3.open(prefix))
    assert bad and said(elsewhere(state)) == ["hello"]


@pytest.mark.parametrize("what", ["manifest", "block"])
def test_a_missing_object_waits(s3: S3Server, prefix: str, state: StateDir, what: str) -> None:
    begin(state)
    snapshot(state, s3.open(prefix))
    key = next(key for key in s3.objects(prefix) if key.startswith("snapshots/" if what == "manifest" else "blocks/"))
    s3.client().delete_object(Bucket=BUCKET, Key=prefix + key)
    with pytest.raises(SnapshotIncomplete):
        restore(elsewhere(state), s3.open(prefix))


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"[" * 1000, b'{"format": 1}'])
def test_a_damaged_head_or_manifest_waits(s3: S3Server, prefix: str, state: StateDir, content: bytes) -> None:
    begin(state)
    made = snapshot(state, s3.open(prefix))
    damage(s3, f"{prefix}snapshots/{made.known.last.id}.json", content)
    with pytest.raises(SnapshotCorrupt):
        restore(elsewhere(state), s3.open(prefix))
    damage(s3, f"{prefix}HEAD", content)
    found, _ = look(s3.open(prefix), ADA, None)
    assert isinstance(found, BucketFailed) and found.reason == "SnapshotCorrupt"


def test_a_newer_format_asks_for_an_upgrade(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    snapshot(state, s3.open(prefix))
    document = json.loads(s3.objects(prefix)["HEAD"]) | {"format": 2}
    damage(s3, f"{prefix}HEAD", json.dumps(document).encode())
    found, _ = look(s3.open(prefix), ADA, None)
    assert isinstance(found, BucketFailed) and found.reason == "SnapshotTooNew"


def test_a_block_lost_from_the_bucket_is_brought_again(s3: S3Server, prefix: str, state: StateDir) -> None:
    """Rule 8: verified means that every other block is listed with its length."""
    begin(state)
    (state.workspace / "keep").write_bytes(b"keep" * 1000)
    snapshot(state, s3.open(prefix))
    blocks = [key for key in s3.objects(prefix) if key.startswith("blocks/")]
    s3.client().delete_object(Bucket=BUCKET, Key=prefix + blocks[0])
    damage(s3, prefix + blocks[1], b"cut off")
    say(state, "more")
    snapshot(state, s3.open(prefix))
    restore(elsewhere(state), s3.open(prefix))
    assert tree(elsewhere(state).workspace) == tree(state.workspace)


def test_a_bucket_that_gives_back_something_else_makes_no_snapshot(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)

    def lie(asked: Asked) -> Answer | None:
        return Answer(200, body=b"not that") if asked.method == "GET" and "/blocks/" in asked.key else None

    with s3.faulty(lie), pytest.raises(SnapshotCorrupt, match="does not give back"):
        snapshot(state, s3.open(prefix))
    assert "HEAD" not in s3.objects(prefix)


def test_a_lost_answer_to_the_move_of_head_is_not_divergence(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    snapshot(state, s3.open(prefix))
    say(state, "more")
    with contextlib.suppress(KeyboardInterrupt):
        snapshot(state, s3.open(prefix), checkpoint=stop_at("snapshot: head moved"))
    say(state, "and more")
    assert snapshot(state, s3.open(prefix)).known.last.sequence == 3


def test_a_new_bucket_gets_a_whole_snapshot(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    snapshot(state, s3.open(prefix))
    made = snapshot(state, s3.open(f"{prefix}new/"))
    assert made.created and made.known.last.sequence == 2 and made.known.last.parent is None
    restore(elsewhere(state), s3.open(f"{prefix}new/"))
    assert said(elsewhere(state)) == ["hello"]


def test_snapshots_newer_than_the_state_without_head_are_not_hidden(s3: S3Server, prefix: str, state: StateDir) -> None:
    begin(state)
    shutil.copytree(state.root, elsewhere(state).root)
    for text in ("a", "b", "c"):
        say(state, text)
        snapshot(state, s3.open(prefix))
    s3.client().delete_object(Bucket=BUCKET, Key=f"{prefix}HEAD")
    with pytest.raises(Diverged, match="no HEAD"):
        snapshot(elsewhere(state), s3.open(prefix))


names = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= 255
)
contents = st.one_of(st.binary(max_size=300), st.integers(0, 255).map(lambda n: bytes([n]) * (BLOCK_BYTES + n)))
edits = st.lists(
    st.tuples(st.sampled_from(["write", "append", "remove", "mkdir", "chmod"]), names, names, contents), min_size=1, max_size=6
)


def apply(workspace: Path, what: str, one: str, two: str, content: bytes) -> None:
    with contextlib.suppress(OSError):
        match what:
            case "write":
                (workspace / one).mkdir(exist_ok=True)
                (workspace / one / two).write_bytes(content)
            case "append":
                with (workspace / one).open("ab") as file:
                    file.write(content)
            case "remove":
                for target in sorted(workspace.iterdir())[:1]:
                    remove_tree(target)
            case "mkdir":
                (workspace / one / two).mkdir(parents=True)
            case "chmod":
                for target in sorted(workspace.iterdir())[-1:]:
                    target.chmod(0o700 if target.is_dir() else 0o640)


@given(st.lists(edits, min_size=1, max_size=3))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_restore_is_identical_for_any_tree_and_edits(
    s3: S3Server, tmp_path_factory: pytest.TempPathFactory, rounds: list[list[tuple[str, str, str, bytes]]]
) -> None:
    root = tmp_path_factory.mktemp("any")
    state = StateDir(root / "state")
    bucket = s3.open(f"any/{root.name}/")
    begin(state)
    for number, changes in enumerate(rounds):
        for what, one, two, content in changes:
            apply(state.workspace, what, one, two, content)
        snapshot(state, bucket)
        back = StateDir(root / f"back-{number}")
        restore(back, bucket)
        assert tree(back.workspace) == tree(state.workspace)
        assert said(back) == said(state)
    remove_tree(root)
