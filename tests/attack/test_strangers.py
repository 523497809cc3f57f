"""What somebody without any credential can do to a router: nothing that lasts (rule 4, before the locks)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from moltbot_router.edge.listener import Listener
from tests.router.test_http import cookie_of
from tests.router.world import ADMIN_KEY, HOST, NAVIGATION, World, running_router

DEEP = "[" * 7000


async def _answer(port: int, sent: str) -> bytes:
    """Everything that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent.encode("latin-1"))
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


@pytest.fixture(name="world")
async def _world(tmp_path: Path) -> object:
    async with running_router(tmp_path / "router") as world:
        yield world


HEAD = f"POST /v1/x HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(f"{HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="length and chunks"),
        pytest.param(f"{HEAD}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", id="two lengths"),
        pytest.param(f"{HEAD}Content-Length: 4, 4\r\n\r\nabcd", id="a list of lengths"),
        pytest.param(f"{HEAD}Content-Length: +4\r\n\r\nabcd", id="a signed length"),
        pytest.param(f"{HEAD}Transfer-Encoding: xchunked\r\n\r\n", id="unknown coding"),
        pytest.param(f"{HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", id="two codings"),
        pytest.param(f"{HEAD}X-Folded: a\r\n b\r\n\r\n", id="a folded header"),
        pytest.param(f"{HEAD}Host: bob--default.localhost\r\n\r\n", id="two hosts"),
        pytest.param(f"{HEAD}X-A: a\0b\r\n\r\n", id="a zero byte"),
        pytest.param(f"{HEAD}X-A : a\r\n\r\n", id="a space before the colon"),
        pytest.param(f"{HEAD}X-A: {'a' * 70_000}\r\n\r\n", id="a huge header"),
        pytest.param(f"GET /{'a' * 70_000} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", id="a huge target"),
        pytest.param(f"GET /api/status HTTP/1.1\nHost: {HOST}\n\n", id="bare line feeds"),
        pytest.param("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="another version"),
    ],
)
async def test_requests_that_two_programs_could_read_differently_are_refused(
    world: World, sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One 400 and the end of the connection: nothing behind it is taken for a second request, and nobody can fill a log with it."""
    answer = await _answer(world.router.public.port, sent + f"GET /healthz HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
    assert answer[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.0 400 "), answer[:80]
    assert answer.count(b"HTTP/1.") == 1
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert world.cluster.scale_writes == []


@pytest.mark.parametrize("sent", ["GET /?token={0}\x01 HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nAuthorization: Bearer {0}\0\r\n\r\n"])
async def test_a_token_in_a_malformed_request_reaches_no_log(world: World, sent: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    answer = await _answer(world.router.public.port, sent.format("a-token-by-mistake"))
    assert b" 400 " in answer[:14]
    assert "a-token-by-mistake" not in caplog.text
    assert b"a-token-by-mistake" not in answer


@pytest.mark.parametrize(
    "path", ["/_ADMIN/", "//_admin/", "/%5fadmin/", "/_admin%2f", "/./_admin/", "/x/../_admin/", "/index.html", "/admin.html"]
)
async def test_no_spelling_of_a_path_leads_around_a_lock(world: World, path: str) -> None:
    answer = await _answer(world.router.public.port, f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 "), answer[:80]


@pytest.mark.parametrize("path", ["/assets/../index.html", "/assets/%2e%2e/admin.html", "/assets/..%2fadmin.html", "/assets//etc/passwd"])
async def test_assets_are_only_what_was_built(world: World, path: str) -> None:
    answer = await _answer(world.router.public.port, f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 "), answer[:80]


async def test_a_body_nested_too_deeply_is_a_bad_request_at_both_doors(world: World) -> None:
    login = await world.request("POST", "/api/login", data=DEEP, headers={"Content-Type": "application/json"})
    assert login.status == 400
    admin = {"Host": "localhost", "Origin": "http://localhost", "Content-Type": "application/json"}
    session = await world.http.post(world.admin + "/_admin/api/session", data=DEEP, headers=admin)
    assert session.status == 400
    good = await world.http.post(world.admin + "/_admin/api/session", data=json.dumps({"key": ADMIN_KEY}), headers=admin)
    assert good.status == 204


async def test_existing_and_other_hosts_look_alike_before_the_locks(world: World) -> None:
    """Rule 4: status, headers and page."""
    for path in ("/", "/anything", "/?token=wrong", "/api/events", "/_admin/", "/healthz"):
        for headers in ({}, NAVIGATION):
            seen = set()
            for host in (HOST, "bob--default.localhost", "ada--other.localhost"):
                answer = await world.get(path, host=host, headers=headers)
                kept = {name: value for name, value in answer.headers.items() if name != "Date"}
                seen.add((answer.status, await answer.text(), json.dumps(kept, sort_keys=True)))
            assert len(seen) == 1, (path, seen)
    assert world.cluster.scale_writes == []


async def test_sockets_that_pass_no_lock_are_bounded_and_disturb_nobody(world: World) -> None:
    headers = await cookie_of(world)
    sockets = [await world.http.ws_connect(world.public + "/", headers={"Host": world.host}) for _ in range(32)]
    refused = await world.get("/", headers={"Upgrade": "websocket", "Connection": "Upgrade"})
    assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
    assert (await world.get("/api/status", headers=headers)).status == 200
    for socket in sockets:
        await socket.close()
    async with world.wire() as wire:
        assert (await wire.receive())["event"] == "connect.challenge"


class TestHeads:
    """A request's head must come in time: on a new connection, and on one in use."""

    @pytest.fixture
    async def port(self) -> object:
        from aiohttp import web

        async def answer(request: web.BaseRequest) -> web.Response:
            if request.path == "/slow":
                await asyncio.sleep(0.4)
            return web.Response(text="ok")

        listener = Listener(answer, "127.0.0.1", 0, grace=0.1, head_seconds=0.2)
        await listener.start()
        yield listener.port
        await listener.close()

    @pytest.mark.parametrize("sent", ["", "GET / HTTP/1.1\r\nHost: a\r\nX-A: "])
    async def test_a_connection_without_a_whole_head_is_cut(self, port: int, sent: str) -> None:
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent.encode())
            await asyncio.wait_for(reader.readexactly(1), 5)

    async def test_bytes_one_by_one_win_no_time(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ")
        ended = asyncio.create_task(reader.read())
        async with asyncio.timeout(5):
            while not ended.done():
                writer.write(b"a")
                await asyncio.sleep(0.02)
        assert isinstance(ended.exception(), ConnectionError) or ended.result() == b""

    async def test_a_second_head_on_the_same_connection_must_come_in_time_too(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.write(b"GET / HT")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)

    async def test_a_long_answer_and_an_unused_connection_are_left_alone(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), 5)).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.4)  # longer than a head may take: between requests nothing is owed
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), 5)).startswith(b"HTTP/1.1 200")
        writer.close()
