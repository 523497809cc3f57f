"""The administration on loopback: key, host, origin, and everything that it does (lock 1)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from moltbot_router.path.ports import Action, Denied, Unavailable
from tests.router.cluster import ADA
from tests.router.world import ADMIN_KEY, Browser, World

M = "/_admin/api/moltbots/default/ada"


class Page:
    """The administration's page in a browser that has the key."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.host = f"localhost:{world.router.admin.port}"
        self.cookie = ""

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> aiohttp.ClientResponse:
        sent = {"Host": self.host, "Origin": f"http://{self.host}", "Content-Type": "application/json", "Cookie": self.cookie, **headers}
        data = json.dumps(body if body is not None else {}) if method != "GET" else None
        return await self._world.http.request(method, self._world.admin + path, headers=sent, data=data, allow_redirects=False)

    async def enter(self, key: str = ADMIN_KEY) -> aiohttp.ClientResponse:
        answer = await self.send("POST", "/_admin/api/session", {"key": key})
        if answer.status == 204:
            self.cookie = f"moltbot-admin={answer.cookies['moltbot-admin'].value}"
        return answer


@pytest.fixture
async def page(world: World) -> Page:
    made = Page(world)
    assert (await made.enter()).status == 204
    return made


async def test_the_page_is_served_and_says_nothing_without_the_key(world: World) -> None:
    page = Page(world)
    assert (await page.send("GET", "/")).headers["Location"] == "/_admin/"
    assert "administration" in await (await page.send("GET", "/_admin/")).text()
    assert (await page.send("GET", "/assets/pages.css")).status == 200
    for path in ("/_admin/api/moltbots", M, f"{M}/events"):
        assert (await page.send("GET", path)).status == 401
    for path in (f"{M}/actions/wake", f"{M}/backup", f"{M}/devices/approve-all"):
        assert (await page.send("POST", path)).status == 401
    assert world.cluster.actions == []


async def test_session_cookie_is_strict_and_not_for_scripts(world: World) -> None:
    answer = await Page(world).enter()
    cookie = answer.cookies["moltbot-admin"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    assert cookie["path"] == "/_admin"
    assert not cookie["domain"]


async def test_wrong_key_is_refused_and_counted(world: World) -> None:
    page = Page(world)
    for _ in range(30):
        assert (await page.enter("wrong")).status == 401
    assert (await page.enter()).status == 429


@pytest.mark.parametrize("host", ["evil.example", "ada--default.localhost:8081", "10.0.0.1", "[2001:db8::1]:8081"])
async def test_only_loopback_names_are_answered(page: Page, host: str) -> None:
    """A page of another site whose name was re-pointed to 127.0.0.1."""
    answer = await page.send("GET", M, Host=host, Origin=f"http://{host}")
    assert answer.status == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8081", "[::1]:8081"])
async def test_every_loopback_name_is_answered(page: Page, host: str) -> None:
    assert (await page.send("GET", M, Host=host)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": ""},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
async def test_changes_are_taken_only_from_its_own_page(world: World, page: Page, headers: dict[str, str]) -> None:
    for method, path in (("POST", f"{M}/actions/sleep"), ("POST", f"{M}/backup"), ("DELETE", f"{M}/devices/{'a' * 64}")):
        assert (await page.send(method, path, **headers)).status in (403, 415)
    assert world.cluster.actions == []


async def test_it_lists_and_shows(world: World, page: Page) -> None:
    items = (await (await page.send("GET", "/_admin/api/moltbots")).json())["items"]
    assert items == [{"namespace": "default", "name": "ada", "phase": "Asleep", "url": "", "ready": False}]
    state = await (await page.send("GET", M)).json()
    assert (state["name"], state["uid"], state["devices"], state["snapshots"]) == ("ada", "uid-ada", [], [])
    assert (await page.send("GET", "/_admin/api/moltbots/default/eve")).status == 404
    assert (await page.send("GET", "/_admin/api/nonsense")).status == 404


@pytest.mark.parametrize("action", list(Action))
async def test_actions_become_annotations(world: World, page: Page, action: Action) -> None:
    """Rule 1: what a person asks for now."""
    assert (await page.send("POST", f"{M}/actions/{action}")).status == 200
    assert world.cluster.actions == [(ADA, action)]
    assert (await page.send("POST", f"{M}/actions/explode")).status == 404
    assert (await page.send("GET", f"{M}/actions/{action}")).status == 404


async def test_back_up_now_is_a_snapshot(world: World, page: Page) -> None:
    name = (await (await page.send("POST", f"{M}/backup")).json())["snapshot"]
    assert [snapshot.name for snapshot in world.cluster.truth[ADA].snapshots] == [name]


async def test_devices_are_approved_shown_as_connected_and_removed(world: World, page: Page) -> None:
    browser = Browser("<b>phone</b>")
    async with world.wire() as wire:
        await wire.connect(browser)
    pending = (await (await page.send("GET", M)).json())["devices"][0]
    assert (pending["state"], pending["name"], pending["connected"]) == ("pending", "<b>phone</b>", False)
    stale = await page.send("POST", f"{M}/devices/{browser.id}/approve", {"request": "another"})
    assert (stale.status, (await stale.json())["error"]) == (409, "conflict")
    assert (await page.send("POST", f"{M}/devices/{browser.id}/approve", {})).status == 400
    assert (await page.send("POST", f"{M}/devices/{browser.id}/approve", {"request": pending["request"]["id"]})).status == 200
    async with world.wire() as wire:
        assert (await wire.connect(browser))["ok"]
        shown = (await (await page.send("GET", M)).json())["devices"][0]
        assert (shown["state"], shown["connected"], shown["approved"]["by"]) == ("approved", True, "administration")
        assert (await page.send("DELETE", f"{M}/devices/{browser.id}")).status == 200
        assert await wire.closed() == (1008, "device removed")
    assert (await page.send("DELETE", f"{M}/devices/{browser.id}")).status == 404


async def test_approve_all_goes_on_after_a_failure(world: World, page: Page) -> None:
    browsers = [Browser(f"device {number}") for number in range(3)]
    for browser in browsers:
        async with world.wire() as wire:
            await wire.connect(browser)
    world.cluster.fail_next = [Unavailable("no answer")]
    result = await (await page.send("POST", f"{M}/devices/approve-all")).json()
    assert len(result["approved"]) == 2
    assert len(result["failed"]) == 1
    assert result["failed"][0]["message"] == "no answer"


async def test_the_apis_refusal_is_told(world: World, page: Page) -> None:
    world.cluster.fail_next = [Denied("an admission policy says no")]
    denied = await page.send("POST", f"{M}/actions/wake")
    assert (denied.status, (await denied.json())["message"]) == (403, "an admission policy says no")
    world.cluster.fail_next = [Unavailable("x")]
    assert (await page.send("POST", f"{M}/actions/wake")).status == 503


async def test_changes_are_pushed_at_once(world: World, page: Page) -> None:
    answer = await page.send("GET", f"{M}/events")

    async def state() -> dict[str, Any]:
        block = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)
        assert block.startswith(b"event: state\n")
        document: dict[str, Any] = json.loads(block.partition(b"data: ")[2])
        return document

    assert (await state())["devices"] == []
    browser = Browser()
    async with world.wire() as wire:
        await wire.connect(browser)
    assert (await state())["devices"][0]["state"] == "pending"
    await world.approve(browser)
    told = await state()
    while told["devices"][0]["state"] != "approved":
        told = await state()
    answer.close()


async def test_leaving_ends_the_session_and_another_key_ends_all(world: World, page: Page) -> None:
    left = await page.send("DELETE", "/_admin/api/session")
    assert left.status == 204
    assert left.cookies["moltbot-admin"]["max-age"] == "0"
    path = world.router.keys._admin_file
    path.write_text("another-key")
    world.router.keys.look()
    assert (await page.send("GET", M)).status == 401
