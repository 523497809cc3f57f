"""Which addresses the assistant may ask, and that the address which is connected to is the one that was checked.

A model reads what strangers wrote, and asks for what they suggest: so nothing that it names may lead into the machine, the cluster or the
cloud's metadata. Names are resolved once, every address of the answer is checked, and the connection goes to exactly these; there is no
second question to DNS whose answer could differ (rebinding). A redirect is a new address and is checked anew (`web_client`).
On a cluster the NetworkPolicy says the same once more, and knows public ranges of the cluster that nobody can know here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from moltbot_gateway.errors import WebError

IpAddress = IPv4Address | IPv6Address
Allowed = Callable[[IpAddress], bool]
AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
Lookup = Callable[[str, int], Awaitable[list[AddressInfo]]]

# Beyond what `is_global` of every Python we run on says (its tables change from patch to patch).
_DENIED_4 = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared (RFC 6598); a metadata service of one cloud is in it
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's wire server: public by its number, the host's own by its place
        "169.254.0.0/16",  # link-local, and the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocol assignments; Oracle's metadata
        "192.88.99.0/24",  # 6to4 relays, withdrawn
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: what stands in its last 32 bits is asked
_DENIED_6 = tuple(
    ip_network(text)
    for text in (
        "::/96",  # unspecified, loopback, the old IPv4-compatible form
        "64:ff9b:1::/48",  # NAT64 of the local network (RFC 8215)
        "100::/64",
        "2001::/23",  # Teredo and other protocol assignments: an IPv4 address may hide in them
        "2002::/16",  # 6to4: the same
        "fc00::/7",
        "fe80::/9",  # link-local, site-local
        "ff00::/8",
    )
)
# An HTTP request says something to a mail or file server too. 80 and 443 are the web's, and from 1024 up is where people put their own
# pages; of those the ones that browsers refuse stay closed (Fetch standard, "bad port").
_BAD_PORTS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
    # and stores that take commands line by line, mostly without a password
    | {6379, 9200, 11211, 27017}
)
MAX_URL = 4096


def is_public(address: IpAddress) -> bool:
    """Whether it is an ordinary address of the internet."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(address.packed[-4:]))
        if address.scope_id is not None or any(address in network for network in _DENIED_6):
            return False
    elif any(address in network for network in _DENIED_4):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def anywhere(address: IpAddress) -> bool:
    """For an address that a person put into the resource: they may well mean their own network."""
    return True


class Guard:
    """`allowed` is given by the program alone, never by a setting that a model could reach."""

    def __init__(self, allowed: Allowed = is_public, lookup: Lookup | None = None) -> None:
        self._allowed = allowed
        self._lookup = lookup or _lookup

    def check(self, text: str | URL) -> URL:
        """The address, as it will be asked. Raises WebError with the reason."""
        if len(str(text)) > MAX_URL:
            raise WebError(f"The address is longer than {MAX_URL} characters.")
        try:
            url = text if isinstance(text, URL) else URL(text.strip())
            port = url.port
        except ValueError as error:
            raise WebError(f"This is no address: {error}.") from error
        if url.scheme not in ("http", "https") or not url.host:
            raise WebError("Only complete http:// and https:// addresses can be fetched.")
        if url.user is not None or url.password is not None:
            raise WebError("An address with a user name or password in it is not fetched.")
        if port is None or port in _BAD_PORTS or (port < 1024 and port not in (80, 443)):
            raise WebError(f"Port {port} is not fetched: only 80, 443, and those from 1024 up that belong to no other protocol.")
        try:
            literal = ip_address(url.host)
        except ValueError:
            return url.with_fragment(None)
        self.check_address(literal, url.host)
        return url.with_fragment(None)

    def check_address(self, address: IpAddress, host: str) -> None:
        if not self._allowed(address):
            raise WebError(f"{host} is at {address}, inside a private or reserved network: this tool only asks the public internet.")

    def connector(self) -> aiohttp.TCPConnector:
        """A connector for one fetch: it resolves by `resolve`, keeps no connection, and looks once more at the address of each socket."""
        return aiohttp.TCPConnector(
            resolver=_CheckedResolver(self), use_dns_cache=False, force_close=True, limit=4, socket_factory=self._socket
        )

    async def resolve(self, host: str, port: int) -> list[ResolveResult]:
        """Every address of `host`, all allowed. Raises WebError where one is not, OSError where there is none."""
        found: list[ResolveResult] = []
        for family, _, proto, _, place in await self._lookup(host, port):
            if family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(place[0], str):
                continue
            self.check_address(ip_address(place[0]), host)
            flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            found.append(
                ResolveResult(hostname=host, host=place[0], port=port, family=socket.AddressFamily(family), proto=proto, flags=flags)
            )
        if not found:
            raise OSError(f"{host} has no address")
        return found

    def _socket(self, info: AddressInfo) -> socket.socket:
        family, kind, proto, _, place = info
        host = str(place[0])
        self.check_address(ip_address(host), host)
        made = socket.socket(family, kind, proto)
        made.setblocking(False)
        return made


class _CheckedResolver(AbstractResolver):
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        return await self._guard.resolve(host, port)

    async def close(self) -> None:
        """Nothing is held."""


async def _lookup(host: str, port: int) -> list[AddressInfo]:
    loop = asyncio.get_running_loop()
    return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG))
