"""A watch has no holes (rule 1 stands on it): what is missed while it is cut off is told after the next list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moltbot_kube import Cache, Change, Changed, Kube, Patience, Scope, WatchEvent, watch
from moltbot_kube.resources import CONFIG_MAPS
from tests.kube.scripted import HANG, Script, config_map, error_event, event, serving

SCOPE = Scope(CONFIG_MAPS, "ns")


class Pauses:
    """Waits nothing and writes down how long it was asked to wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


async def take(events: AsyncIterator[WatchEvent], count: int) -> list[tuple[str, str]]:
    told = []
    async with asyncio.timeout(5):
        for _ in range(count):
            one = await anext(events)
            told.append((one.change.value, one.object.get("metadata", {}).get("name", "")))
    return told


async def follow(kube: Kube, count: int, patience: Patience | None = None) -> list[tuple[str, str]]:
    events = watch(kube, SCOPE, patience)
    try:
        return await take(events, count)
    finally:
        await events.aclose()  # type: ignore[attr-defined]


async def test_a_list_is_told_first_and_then_synced(tmp_path: Path) -> None:
    script = Script([([config_map("a", 1), config_map("b", 2)], "5")], [[event("MODIFIED", config_map("a", 6)), HANG]])
    async with serving(script, tmp_path) as kube:
        assert await follow(kube, 4) == [("ADDED", "a"), ("ADDED", "b"), ("SYNCED", ""), ("MODIFIED", "a")]
    assert script.asked[1]["resourceVersion"] == "5"
    assert script.asked[1]["allowWatchBookmarks"] == "true"
    assert set(script.tokens) == {"Bearer let-me-in"}


async def test_a_watch_that_ends_is_resumed_from_its_last_bookmark(tmp_path: Path) -> None:
    bookmark = event("BOOKMARK", {"kind": "ConfigMap", "metadata": {"resourceVersion": "40"}})
    script = Script([([], "5")], [[event("ADDED", config_map("a", 6)), bookmark], [event("ADDED", config_map("b", 41)), HANG]])
    async with serving(script, tmp_path) as kube:
        assert await follow(kube, 3) == [("SYNCED", ""), ("ADDED", "a"), ("ADDED", "b")]
    assert [asked.get("resourceVersion") for asked in script.asked] == [None, "5", "40"]


@pytest.mark.parametrize("gone", [[error_event(410, "Expired")], 410])
async def test_after_a_410_the_new_list_is_told_as_a_difference(tmp_path: Path, gone: list[dict[str, object]] | int) -> None:
    before = [config_map("kept", 1), config_map("changed", 2), config_map("deleted", 3, "ud"), config_map("replaced", 4, "old")]
    after = [config_map("kept", 1), config_map("changed", 8), config_map("replaced", 9, "new"), config_map("new", 10)]
    script = Script([(before, "5"), (after, "11")], [gone, [HANG]])  # type: ignore[list-item]
    async with serving(script, tmp_path) as kube:
        told = (await follow(kube, 11))[5:]
    expected = [
        ("DELETED", "deleted"),
        ("MODIFIED", "changed"),
        ("DELETED", "replaced"),
        ("ADDED", "replaced"),
        ("ADDED", "new"),
        ("SYNCED", ""),
    ]
    assert told == expected


async def test_a_silent_connection_counts_as_dead(tmp_path: Path) -> None:
    script = Script([([], "5")], [[HANG], [event("ADDED", config_map("a", 6)), HANG]])
    pauses = Pauses()
    async with serving(script, tmp_path) as kube:
        assert await follow(kube, 2, Patience(silence_seconds=0.1, sleep=pauses.sleep)) == [("SYNCED", ""), ("ADDED", "a")]
    assert script.asked[2]["resourceVersion"] == "5"


async def test_failures_are_waited_out_with_growing_pauses(tmp_path: Path) -> None:
    script = Script([500, 500, 500, 429, ([config_map("a", 1)], "5")], [[HANG]])
    pauses = Pauses()
    async with serving(script, tmp_path) as kube:
        assert await follow(kube, 2, Patience(first_retry=1, last_retry=3, sleep=pauses.sleep)) == [("ADDED", "a"), ("SYNCED", "")]
    assert [0.5 <= pauses.seconds[0] <= 1, 1 <= pauses.seconds[1] <= 2, 1.5 <= pauses.seconds[2] <= 3] == [True] * 3
    assert pauses.seconds[3] == 7  # what Retry-After said


async def test_a_cache_that_loses_its_server_keeps_what_it_saw_and_catches_up(tmp_path: Path) -> None:
    script = Script(
        [([config_map("a", 1)], "5")], [[], 503, [event("ADDED", config_map("b", 6)), event("DELETED", config_map("a", 7)), HANG]]
    )
    async with serving(script, tmp_path) as kube:
        cache = Cache(kube, CONFIG_MAPS, namespaces=["ns"], patience=Patience(first_retry=0.01, last_retry=0.01))
        changes: list[Changed] = []
        cache.subscribe(changes.append)
        running = asyncio.create_task(cache.run())
        async with asyncio.timeout(5):
            await cache.wait_synced()
            assert [obj["metadata"]["name"] for obj in cache] == ["a"]
            await cache.wait_for("a", "ns", lambda obj: obj is None)
        assert cache.get("b", "ns") is not None
        assert [(change.key[1], change.old is None, change.new is None) for change in changes] == [
            ("a", True, False), ("b", True, False), ("a", False, True),
        ]  # fmt: skip
        running.cancel()


async def test_what_was_written_is_in_the_cache_before_the_watch_tells_and_is_not_undone_by_an_older_event(tmp_path: Path) -> None:
    script = Script([([], "5")], [[event("ADDED", config_map("a", 6, data="old")), event("ADDED", config_map("z", 8)), HANG]])
    async with serving(script, tmp_path) as kube:
        cache = Cache(kube, CONFIG_MAPS, namespaces=["ns"])
        cache.observe(config_map("a", 7, data="new"))
        running = asyncio.create_task(cache.run())
        async with asyncio.timeout(5):
            await cache.wait_for("z", "ns", lambda obj: obj is not None)
        found = cache.get("a", "ns")
        assert found is not None
        assert found["data"] == {"data": "new"}
        running.cancel()


async def test_one_failing_subscriber_does_not_stop_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Script([([config_map("a", 1)], "5")]), tmp_path) as kube:
        cache = Cache(kube, CONFIG_MAPS, namespaces=["ns"])
        seen: list[Changed] = []

        def fails(_: Changed) -> None:
            raise LookupError("no")

        cache.subscribe(fails)
        end = cache.subscribe(seen.append)
        running = asyncio.create_task(cache.run())
        async with asyncio.timeout(5):
            await cache.wait_synced()
        assert len(seen) == 1
        assert "cache callback failed" in caplog.text
        end()
        cache.observe(config_map("b", 2))
        assert len(seen) == 1
        running.cancel()


async def test_managed_fields_are_not_kept(tmp_path: Path) -> None:
    obj = config_map("a", 1)
    obj["metadata"]["managedFields"] = [{"manager": "somebody"}]
    async with serving(Script([([obj], "5")]), tmp_path) as kube:
        cache = Cache(kube, CONFIG_MAPS, namespaces=["ns"])
        running = asyncio.create_task(cache.run())
        async with asyncio.timeout(5):
            await cache.wait_synced()
        assert "managedFields" not in cache.get("a", "ns")["metadata"]  # type: ignore[index]
        running.cancel()


def test_change_names_are_those_of_the_api() -> None:
    assert {change.value for change in Change} >= {"ADDED", "MODIFIED", "DELETED"}
