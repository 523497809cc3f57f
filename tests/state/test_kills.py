"""A process may die between any two steps: a half snapshot never moves HEAD, a half restore is never opened (rules 3 and 8)."""

from __future__ import annotations

import pytest

from moltbot_state import restore as restore_module
from moltbot_state import snapshot as snapshot_module
from moltbot_state.choice import HeadFound, LocalKind, NoSnapshot
from moltbot_state.layout import StateDir
from moltbot_state.lineage import Mark
from moltbot_state.ownership import look
from moltbot_state.restore import look_at_local, open_empty, recover
from tests.fakes.s3 import S3Server
from tests.state.assistant import ADA, begin, restore, said, say, snapshot, tree
from tests.state.dying import die_at

HEAD_MOVED = snapshot_module.CHECKPOINTS.index("snapshot: head moved")
IN_PLACE = restore_module.CHECKPOINTS.index("restore: state in place")


@pytest.mark.parametrize("checkpoint", snapshot_module.CHECKPOINTS)
def test_a_snapshot_killed_anywhere_is_all_or_nothing(s3: S3Server, prefix: str, state: StateDir, checkpoint: str) -> None:
    moved = snapshot_module.CHECKPOINTS.index(checkpoint) >= HEAD_MOVED
    begin(state)
    die_at(checkpoint, "snapshot", s3, prefix, state)
    found, _ = look(s3.open(prefix), ADA, None)
    if moved:
        assert isinstance(found, HeadFound) and found.mark == Mark("lineage-a", 1)
    else:
        assert isinstance(found, NoSnapshot)
    # The same pod goes on: what was left behind is not in the way, and nothing of it is mistaken for another writer's.
    recover(state)
    say(state, "more")
    made = snapshot(state, s3.open(prefix))
    assert made.created and made.known.last.sequence == (2 if moved else 1)
    back = StateDir(state.root.with_name("back"))
    restore(back, s3.open(prefix))
    assert said(back) == ["hello", "more"]
    assert list(state.stage.iterdir()) == []


@pytest.mark.parametrize("checkpoint", ["snapshot: blocks uploaded", "snapshot: pending recorded"])
def test_the_snapshot_before_stands_when_the_next_one_is_killed(s3: S3Server, prefix: str, state: StateDir, checkpoint: str) -> None:
    begin(state)
    snapshot(state, s3.open(prefix))
    head = s3.objects(prefix)["HEAD"]
    say(state, "lost with the pod")
    die_at(checkpoint, "snapshot", s3, prefix, state)
    assert s3.objects(prefix)["HEAD"] == head
    back = StateDir(state.root.with_name("back"))
    restore(back, s3.open(prefix))
    assert said(back) == ["hello"]


@pytest.mark.parametrize("checkpoint", [name for name in restore_module.CHECKPOINTS if name != "restore: set aside"])
def test_a_restore_killed_anywhere_is_all_or_nothing(s3: S3Server, prefix: str, state: StateDir, checkpoint: str) -> None:
    begin(state)
    (state.workspace / "notes").write_text("notes")
    snapshot(state, s3.open(prefix))
    back = StateDir(state.root.with_name("back"))
    die_at(checkpoint, "restore", s3, prefix, back)
    recover(back)
    local = look_at_local(back)
    assert local.kind in (LocalKind.ABSENT, LocalKind.PRESENT)
    if local.kind is LocalKind.PRESENT:
        assert local.mark == Mark("lineage-a", 1)
        assert tree(back.workspace) == tree(state.workspace) and said(back) == ["hello"]
    else:
        assert restore_module.CHECKPOINTS.index(checkpoint) < IN_PLACE
        restore(back, s3.open(prefix))
    assert said(back) == ["hello"] and not back.incoming.exists()


@pytest.mark.parametrize("checkpoint", ["restore: verified", "restore: set aside", "restore: content in place", "restore: state in place"])
def test_what_a_restore_replaces_is_never_lost(s3: S3Server, prefix: str, state: StateDir, checkpoint: str) -> None:
    begin(state)
    snapshot(state, s3.open(prefix))
    other = StateDir(state.root.with_name("other"))
    recover(other)
    open_empty(other, "lineage-b")
    say(other, "of another memory")
    die_at(checkpoint, "restore", s3, prefix, other)
    recover(other)
    local = look_at_local(other)
    assert local.mark is not None
    if local.mark.lineage == "lineage-b":
        assert said(other) == ["of another memory"]
        return
    assert said(other) == ["hello"]
    aside = StateDir(other.replaced / "0")
    assert said(aside) == ["of another memory"] and look_at_local(aside).mark == Mark("lineage-b", 0)
    # It stays until the next verified snapshot.
    say(other, "more")
    snapshot(other, s3.open(prefix))
    assert not other.replaced.exists()
