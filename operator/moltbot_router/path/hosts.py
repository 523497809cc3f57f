"""Step 1 of the wake path: which Moltbot is this host (api.md, Names and hosts)."""

from __future__ import annotations

from collections.abc import Iterable

from moltbot_api.hosts import is_loopback_host, normalise_host, parse_default_host
from moltbot_router.path.facts import Key, MoltbotFacts


class HostTable:
    """The answer for every host, made anew when a Moltbot changes: a look-up is a dictionary's."""

    def __init__(self, moltbots: Iterable[MoltbotFacts], base_domain: str) -> None:
        self._base_domain = base_domain.lower().strip(".")
        self._by_name: dict[str, list[Key]] = {}
        self._claims: dict[str, Key] = {}
        everything = sorted(moltbots, key=lambda moltbot: (moltbot.created_at, moltbot.uid))
        self._only = everything[0].key if len(everything) == 1 else None
        for moltbot in everything:
            self._by_name.setdefault(moltbot.key.name, []).append(moltbot.key)
            host = normalise_host(moltbot.host)
            # A default host belongs to its name even before it exists, and loopback to nobody: neither can be claimed.
            if host and parse_default_host(host, self._base_domain) is None and not is_loopback_host(host):
                self._claims.setdefault(host, moltbot.key)

    def find(self, host_header: str) -> Key | None:
        """The Moltbot of a `Host` header, or None: then the answer is that of a wrong token."""
        host = normalise_host(host_header)
        if is_loopback_host(host):
            return self._only
        named = parse_default_host(host, self._base_domain)
        if named is not None:
            return next((key for key in self._by_name.get(named.name, ()) if named.names(key.name, key.namespace)), None)
        return self._claims.get(host)
