"""Rule 8 without a bucket: what the gateway calls."""

from __future__ import annotations

import shutil

import pytest

from moltbot_state.choice import ChoiceKind, Storage
from moltbot_state.layout import StateDir
from moltbot_state.lineage import Mark
from moltbot_state.local_volume import OpenedState, StateWaits, open_without_bucket
from tests.state.assistant import said, say


def open_it(
    state: StateDir, pod: str = "pod-1", recorded: Mark | None = None, storage: Storage = Storage.VOLUME, lose: bool = False
) -> OpenedState:
    opened = open_without_bucket(state.root, pod_uid=pod, recorded=recorded, storage=storage, lose_on_restart=lose)
    opened.close()
    return opened


def test_a_new_assistant_starts_empty_and_is_kept(state: StateDir) -> None:
    first = open_it(state)
    assert (first.kind, first.mark.sequence, first.records) == (ChoiceKind.EMPTY, 0, True)
    say(state, "hello")
    second = open_it(state, "pod-2", first.mark)
    assert (second.kind, second.mark) == (ChoiceKind.LOCAL, Mark(first.mark.lineage, 1))
    assert said(state) == ["hello"]


def test_the_same_pod_opens_again_without_counting(state: StateDir) -> None:
    first = open_it(state)
    again = open_it(state)
    assert again.mark == first.mark and again.reason == "Kept"


def test_an_emptied_volume_waits(state: StateDir) -> None:
    opened = open_it(state)
    say(state, "hello")
    shutil.rmtree(state.root)
    with pytest.raises(StateWaits, match="not started empty") as waits:
        open_it(state, "pod-2", opened.mark)
    assert waits.value.reason == "StateMissing"
    assert not state.current.exists()


def test_content_removed_from_the_volume_waits(state: StateDir) -> None:
    open_it(state)
    say(state, "hello")
    opened = open_it(state, "pod-2")
    shutil.rmtree(state.current)
    with pytest.raises(StateWaits):
        open_it(state, "pod-3")
    assert opened.mark.sequence == 1 and not state.current.exists()


def test_a_volume_put_back_to_an_older_copy_waits(state: StateDir) -> None:
    open_it(state)
    say(state, "hello")
    shutil.copytree(state.root, state.root.with_name("copy"))
    newer = open_it(state, "pod-2")
    shutil.rmtree(state.root)
    state.root.with_name("copy").rename(state.root)
    with pytest.raises(StateWaits) as waits:
        open_it(state, "pod-3", newer.mark)
    assert waits.value.reason == "StateOlderThanRecorded"
    assert said(state) == ["hello"]


def test_a_volume_of_another_assistant_waits(state: StateDir) -> None:
    open_it(state)
    say(state, "mine")
    with pytest.raises(StateWaits) as waits:
        open_it(state, "pod-2", Mark("another", 3))
    assert waits.value.reason == "StateOfAnotherLineage" and said(state) == ["mine"]


def test_lose_on_restart_records_nothing(state: StateDir) -> None:
    opened = open_it(state, storage=Storage.EPHEMERAL, lose=True)
    assert not opened.records


def test_a_gateway_that_never_wrote_is_no_memory(state: StateDir) -> None:
    """It crashed before it made its database, and the pod was replaced."""
    first = open_it(state)
    again = open_it(state, "pod-2")
    assert again.kind is ChoiceKind.EMPTY and again.mark == Mark(first.mark.lineage, 0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"version": 1, "lineage": "../x", "sequence": 1}', b'{"version": 9}'])
def test_an_unreadable_state_file_waits_and_touches_nothing(state: StateDir, content: bytes) -> None:
    open_it(state)
    say(state, "hello")
    state.state_file.write_bytes(content)
    with pytest.raises(StateWaits) as waits:
        open_it(state, "pod-2")
    assert waits.value.reason == "StateUnreadable"
    assert said(state) == ["hello"] and state.state_file.read_bytes() == content


def test_anything_in_current_counts_as_content(state: StateDir) -> None:
    """What a person put there by hand is never removed as "empty"."""
    state.current.mkdir()
    (state.current / "moltbot.sqlite-wal").write_text("half a database")
    with pytest.raises(StateWaits) as waits:
        open_it(state)
    assert waits.value.reason == "StateUnreadable" and (state.current / "moltbot.sqlite-wal").exists()


def test_two_processes_never_have_one_state(state: StateDir) -> None:
    held = open_without_bucket(state.root, pod_uid="pod-1", recorded=None, storage=Storage.VOLUME, lose_on_restart=False)
    with pytest.raises(StateWaits, match="Another process"):
        open_it(state, "pod-2")
    held.close()
    open_it(state, "pod-2")


def test_the_database_of_a_newer_program_waits(state: StateDir) -> None:
    open_it(state)
    say(state, "hello")
    with pytest.raises(StateWaits) as waits:
        open_without_bucket(state.root, pod_uid="pod-2", recorded=None, storage=Storage.VOLUME, lose_on_restart=False, supported=0)
    assert waits.value.reason == "DatabaseTooNew"


def test_the_gateways_schema_is_the_one_that_we_say_we_read() -> None:
    from moltbot_gateway.store.schema import VERSION
    from moltbot_state.layout import DATABASE_VERSION

    assert DATABASE_VERSION == VERSION
