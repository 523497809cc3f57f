"""Where a request really comes from: forwarding headers are believed only from `trustedProxies` (rule 4). Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# What a client says about its own way here, and what only this project's processes may say: none of it goes on to a pod.
FORWARDING_HEADERS = frozenset(
    {
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-server",
        "x-real-ip",
        "x-client-ip",
        "true-client-ip",
        "via",
    }
)
MAX_HOPS = 32


@dataclass(frozen=True, slots=True)
class Origin:
    """`scheme` http | https; `host` as the client wrote it, port included; `certain`: the scheme is known, not merely what this socket
    sees."""

    address: str
    scheme: str
    host: str
    certain: bool

    def is_own(self, origin_header: str) -> bool:
        """Whether an Origin header is exactly this host's. Behind an unlisted proxy the scheme is unknown: then https of the same host
        and port counts too, for who serves that holds the host's certificate."""
        own = f"{self.scheme}://{self.host}".lower()
        given = origin_header.strip().lower()
        return given == own or (not self.certain and given == f"https://{self.host}".lower())


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Raises ValueError that names the bad one."""
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text, strict=False))
        except ValueError as error:
            raise ValueError(f"{text!r} is no address and no network such as 10.0.0.0/8") from error
    return tuple(networks)


def read_origin(peer: str, headers: Mapping[str, str], *, secure: bool, trusted: Sequence[Network]) -> Origin:
    """`peer`: who is at the other end of the socket; `secure`: that socket is TLS."""
    host = headers.get("Host", "")
    scheme = "https" if secure else "http"
    if not _is_trusted(peer, trusted):
        return Origin(peer, scheme, host, certain=secure)
    hops = [hop.strip() for hop in headers.get("X-Forwarded-For", "").split(",") if hop.strip()][-MAX_HOPS:]
    address = peer
    # From the nearest hop outwards: the first that is not ours is the client, whatever it claims about those before it.
    for hop in reversed(hops):
        address = _without_port(hop)
        if not _is_trusted(address, trusted):
            break
    proto = headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
    forwarded_host = headers.get("X-Forwarded-Host", "").rpartition(",")[2].strip()
    known = proto in ("http", "https")
    return Origin(address, proto if known else scheme, forwarded_host or host, certain=known or secure)


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed.version == network.version and parsed in network for network in trusted)


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
