"""Which addresses are asked, and that a name which leads elsewhere on a second look is asked where it led at first."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest
from aiohttp import web

from moltbot_gateway.errors import WebError
from moltbot_gateway.tools.web_client import WebClient
from moltbot_gateway.tools.web_guard import AddressInfo, Guard, IpAddress, is_public

LOOPBACK = ip_address("127.0.0.1")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.0.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "100.64.0.1", "100.100.100.200", "169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.88.99.1",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "fd00:ec2::254", "fc00::1", "fe80::1", "fe80::1%eth0",
        "fec0::1", "ff02::1", "100::1",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/passwd", "Only complete http"),
        ("ftp://example.org/", "Only complete http"),
        ("gopher://example.org:70/", "Only complete http"),
        ("example.org/page", "Only complete http"),
        ("http://", "Only complete http"),
        ("http://ann:secret@example.org/", "user name"),
        ("http://example.org:22/", "Port 22"),
        ("http://example.org:25/", "Port 25"),
        ("http://example.org:6379/", "Port 6379"),
        ("http://example.org:99999/", "no address"),
        ("http://127.0.0.1/", "private or reserved"),
        ("http://[::1]:8080/", "private or reserved"),
        ("http://[::ffff:169.254.169.254]/latest/", "private or reserved"),
        ("http://169.254.169.254/latest/meta-data/", "private or reserved"),
        ("http://example.org/" + "a" * 5000, "longer than"),
    ],
)
def test_addresses_that_are_refused_say_why(url: str, words: str) -> None:
    with pytest.raises(WebError, match=words):
        Guard().check(url)


@pytest.mark.parametrize(
    "url", ["https://example.org/", "http://example.org:8080/x#part", "https://8.8.8.8:8443/", "http://bücher.example/"]
)
def test_ordinary_addresses_pass(url: str) -> None:
    assert Guard().check(url).fragment == ""


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "LOCALHOST."])
async def test_other_spellings_of_this_machine_are_refused(host: str) -> None:
    with pytest.raises(WebError):
        await WebClient(seconds=5).get(f"http://{host}/")


@pytest.fixture
async def inside() -> AsyncIterator[int]:
    """A server on this machine, as a cluster's would be: whoever reaches it was let through."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="inside")

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


def _answers(*turns: list[str]) -> tuple[list[str], Guard]:
    """A guard whose DNS gives each of `turns` in turn, the last one for ever. The list tells which names were asked for."""
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[AddressInfo]:
        addresses = turns[min(len(asked), len(turns) - 1)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return asked, Guard(lookup=lookup)


async def test_a_name_that_leads_inside_is_refused(inside: int) -> None:
    _, guard = _answers(["127.0.0.1"])
    with pytest.raises(WebError, match=r"evil\.example is at 127\.0\.0\.1"):
        await WebClient(guard).get(f"http://evil.example:{inside}/")


async def test_one_address_inside_among_public_ones_is_enough_to_refuse(inside: int) -> None:
    _, guard = _answers(["93.184.215.14", "127.0.0.1"])
    with pytest.raises(WebError, match=r"127\.0\.0\.1"):
        await WebClient(guard).get(f"http://evil.example:{inside}/")


async def test_a_name_is_resolved_once_and_its_address_is_the_one_connected_to(inside: int) -> None:
    """Rebinding: the first answer is allowed, every later one would lead inside."""
    seen: list[IpAddress] = []
    turns = ["127.0.0.1"], ["10.0.0.1"]
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[AddressInfo]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in turns[min(len(asked) - 1, 1)]]

    def allowed(address: IpAddress) -> bool:
        seen.append(address)
        return address == LOOPBACK

    answer = await WebClient(Guard(allowed, lookup)).get(f"http://once.example:{inside}/")
    assert answer.body == b"inside"
    assert asked == ["once.example"]
    assert set(seen) == {LOOPBACK}


async def test_the_address_of_the_socket_is_checked_even_where_the_resolver_was_deceived(inside: int) -> None:
    looks = iter([True, False])

    def allowed(address: IpAddress) -> bool:
        return next(looks)

    async def lookup(host: str, port: int) -> list[AddressInfo]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with pytest.raises(WebError):
        await WebClient(Guard(allowed, lookup)).get(f"http://deceived.example:{inside}/")


async def test_a_redirect_inside_is_refused() -> None:
    """The first server is allowed (as a public one would be), what it points to is not."""

    async def answer(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        port = runner.addresses[0][1]
        client = WebClient(Guard(lambda address: address == LOOPBACK))
        targets = (
            "http://169.254.169.254/latest/",
            "http://127.0.0.2/",
            "file:///etc/passwd",
            "http://[::ffff:10.0.0.1]/",
            "//10.0.0.1/x",
        )
        for target in targets:
            with pytest.raises(WebError):
                await client.get(f"http://127.0.0.1:{port}/?to={target}")
    finally:
        await runner.cleanup()


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch, inside: int) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    answer = await WebClient(Guard(lambda address: address == LOOPBACK)).get(f"http://127.0.0.1:{inside}/")
    assert answer.body == b"inside"
