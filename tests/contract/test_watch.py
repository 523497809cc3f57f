"""Watches: from a resourceVersion without holes, by selector, with bookmarks, 410 for what is too old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tests.contract.client import Client, Json
from tests.contract.widgets import widget


async def take(events: AsyncIterator[Json], count: int) -> list[tuple[str, str]]:
    """(type, name) of the next events."""
    seen: list[tuple[str, str]] = []
    async with asyncio.timeout(10):
        while len(seen) < count:
            event = await anext(events)
            seen.append((event["type"], event["object"]["metadata"].get("name", "")))
    return seen


async def test_a_watch_continues_where_the_list_ended(client: Client, widgets: str) -> None:
    await client.create(widgets, widget("before"))
    version = (await client.get(widgets)).ok()["metadata"]["resourceVersion"]
    await client.create(widgets, widget("a"))
    await client.patch(f"{widgets}/a", {"spec": {"mode": "B"}})
    await client.patch(f"{widgets}/a", {"spec": {"mode": "B"}})  # changes nothing: no event
    await client.delete(f"{widgets}/a")
    async with client.watch(widgets, resourceVersion=version) as events:
        assert await take(events, 3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
        await client.create(widgets, widget("b"))
        assert await take(events, 1) == [("ADDED", "b")]


async def test_versions_of_events_rise_and_a_deletion_has_its_own(client: Client, widgets: str) -> None:
    version = (await client.get(widgets)).ok()["metadata"]["resourceVersion"]
    made = (await client.create(widgets, widget())).ok()
    await client.delete(f"{widgets}/w")
    async with client.watch(widgets, resourceVersion=version) as events:
        async with asyncio.timeout(10):
            added, deleted = await anext(events), await anext(events)
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in (added, deleted)]
    assert int(version) < versions[0] < versions[1]
    assert added["object"] == made
    assert deleted["object"]["metadata"]["uid"] == made["metadata"]["uid"]


async def test_without_a_version_what_exists_comes_first(client: Client, widgets: str) -> None:
    await client.create(widgets, widget("a"))
    await client.create(widgets, widget("b"))
    for query in ({}, {"resourceVersion": "0"}):
        async with client.watch(widgets, **query) as events:
            assert sorted(await take(events, 2)) == [("ADDED", "a"), ("ADDED", "b")]


async def test_a_selector_turns_changes_into_arrivals_and_departures(client: Client, widgets: str) -> None:
    version = (await client.get(widgets)).ok()["metadata"]["resourceVersion"]
    await client.create(widgets, widget())
    await client.patch(f"{widgets}/w", {"metadata": {"labels": {"a": "b"}}})
    await client.patch(f"{widgets}/w", {"spec": {"mode": "B"}})
    await client.patch(f"{widgets}/w", {"metadata": {"labels": {"a": "c"}}})
    await client.delete(f"{widgets}/w")
    await client.create(widgets, widget("last", labels={"a": "b"}))
    async with client.watch(widgets, resourceVersion=version, labelSelector="a=b") as events:
        assert await take(events, 4) == [("ADDED", "w"), ("MODIFIED", "w"), ("DELETED", "w"), ("ADDED", "last")]
    async with client.watch(widgets, resourceVersion=version, fieldSelector="metadata.name=last") as events:
        assert await take(events, 1) == [("ADDED", "last")]


async def test_other_namespaces_are_seen_only_by_a_watch_of_all(client: Client, widgets: str) -> None:
    everywhere = "/apis/contract.moltbot.test/v1/widgets"
    version = (await client.get(everywhere)).ok()["metadata"]["resourceVersion"]
    await client.create(widgets, widget("mine"))
    async with client.watch(everywhere, resourceVersion=version) as events:
        found = ""
        async with asyncio.timeout(10):
            while found != client.namespace:
                found = (await anext(events))["object"]["metadata"]["namespace"]
    async with client.watch(
        client.of("contract.moltbot.test", "v1", "widgets", namespace="default"), resourceVersion=version, timeoutSeconds="1"
    ) as events:
        assert [event async for event in events] == []


async def test_a_version_that_is_too_old_is_told_as_expired(client: Client, widgets: str) -> None:
    """An adapter lists again on 410 Expired."""
    if client.local:
        from moltbot_local import history

        for index in range(history.KEPT_CHANGES + 5):
            await client.patch(client.core("configmaps", "kept"), {"data": {"n": str(index)}}) if index else await client.create(
                client.core("configmaps"), {"metadata": {"name": "kept"}}
            )
    async with client.watch(widgets, resourceVersion="1", timeoutSeconds="5") as events:
        event = await anext(events)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: 1 (")


async def test_initial_events_end_with_a_bookmark(client: Client, widgets: str) -> None:
    """The streaming list of newer clients."""
    await client.create(widgets, widget("a"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true", "timeoutSeconds": "5"}
    async with client.watch(widgets, **query) as events:
        async with asyncio.timeout(10):
            first, second = await anext(events), await anext(events)
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
    assert second["type"] == "BOOKMARK"
    assert second["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(second["object"]["metadata"]["resourceVersion"]) >= int(first["object"]["metadata"]["resourceVersion"])


async def test_a_watch_ends_when_its_time_is_up(client: Client, widgets: str) -> None:
    async with client.watch(widgets, timeoutSeconds="1") as events:
        async with asyncio.timeout(5):
            seen: list[Any] = [event async for event in events]
    assert seen == []
