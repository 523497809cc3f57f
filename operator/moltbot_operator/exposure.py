"""Under which host and URL a Moltbot is reached, and who has a host when two want it (api.md, Names and hosts). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from moltbot_api.conditions import Reason
from moltbot_api.hosts import default_host, parse_default_host
from moltbot_operator.lifecycle.observed import Key
from moltbot_operator.lifecycle.status import Truth
from moltbot_operator.says import Says


@dataclass(frozen=True, slots=True)
class Claim:
    """A host that a Moltbot asks for besides its default one."""

    key: Key
    uid: str
    created_at: datetime
    host: str


@dataclass(frozen=True, slots=True)
class Exposure:
    """`host` and `url` are None when another Moltbot has the host."""

    host: str | None
    url: str | None
    says: Says


def wanted_host(key: Key, spec_host: str | None, public_url: str | None, base_domain: str) -> str:
    """The host that a Moltbot asks for: the spec's, else that of WORKER_URL, else the default one."""
    if spec_host:
        return spec_host.lower()
    if public_url:
        return (urlsplit(public_url).hostname or "").lower()
    return default_host(key.name, key.namespace, base_domain)


def format_url(host: str, port: int) -> str:
    """As people type it."""
    if port == 443:
        return f"https://{host}"
    return f"http://{host}" if port == 80 else f"http://{host}:{port}"


def decide_exposure(mine: Claim, public_url: str | None, others: Iterable[Claim], base_domain: str, port: int) -> Exposure:
    """A default host belongs to its name, even before that exists; another one to the oldest claim (creation time, then uid)."""
    own_default = default_host(mine.key.name, mine.key.namespace, base_domain)
    if mine.host != own_default:
        named = parse_default_host(mine.host, base_domain)
        if named is not None and not named.names(mine.key.name, mine.key.namespace):
            return _conflict(
                mine.host, f"it is the host of Moltbot {named.name} in namespace {named.namespace}, whether that exists or not"
            )
        rivals = [other for other in others if other.uid != mine.uid and other.host == mine.host]
        first = min(rivals, key=lambda claim: (claim.created_at, claim.uid), default=None)
        if first is not None and (first.created_at, first.uid) < (mine.created_at, mine.uid):
            return _conflict(mine.host, f"Moltbot {first.key} has had it for longer")
    url = public_url if public_url and urlsplit(public_url).hostname == mine.host else format_url(mine.host, port)
    return Exposure(mine.host, url, Says(Truth.TRUE, Reason.ROUTED, f"The router answers for {mine.host}."))


def _conflict(host: str, why: str) -> Exposure:
    message = f"host {host} is taken: {why}; choose another one in spec.exposure.host"
    return Exposure(None, None, Says(Truth.FALSE, Reason.HOST_CONFLICT, message))
