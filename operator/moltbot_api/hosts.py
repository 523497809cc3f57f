"""Hosts: which name in a URL is which Moltbot (api.md, Names and hosts).

Pure text. Which Moltbot exists, and who claimed a host first, is decided by who knows the Moltbots.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass

from moltbot_api.names import is_moltbot_name

# RFC 1035 §2.3.4: one label of a name is at most 63 octets.
LABEL_LENGTH = 63
SEPARATOR = "--"


def default_host(name: str, namespace: str, base_domain: str) -> str:
    """``<name>--<namespace>.<base domain>``; a label that would be too long carries 12 hex digits of the namespace's SHA-256 instead."""
    label = f"{name}{SEPARATOR}{namespace}"
    if len(label) > LABEL_LENGTH:
        label = f"{name}{SEPARATOR}{hashlib.sha256(namespace.encode()).hexdigest()[:12]}"
    return f"{label}.{base_domain}"


@dataclass(frozen=True)
class DefaultHost:
    """What a default host says: a Moltbot's name, and its namespace or the first digits of the namespace's SHA-256."""

    name: str
    namespace: str

    def names(self, name: str, namespace: str) -> bool:
        """Whether this host is the default host of that Moltbot."""
        if name != self.name:
            return False
        if len(f"{name}{SEPARATOR}{namespace}") <= LABEL_LENGTH:
            return namespace == self.namespace
        return hashlib.sha256(namespace.encode()).hexdigest()[:12] == self.namespace


def parse_default_host(host: str, base_domain: str) -> DefaultHost | None:
    """The Moltbot that a host names by its form alone, or ``None`` when it is not a default host of this base domain."""
    label, dot, rest = host.partition(".")
    if not dot or rest != base_domain:
        return None
    # A Moltbot's name holds no two hyphens in a row, a namespace may: the first pair separates.
    name, separator, namespace = label.partition(SEPARATOR)
    if not separator or not namespace or not is_moltbot_name(name):
        return None
    return DefaultHost(name, namespace)


def normalise_host(header: str) -> str:
    """The host of a ``Host`` header: lower case, without port, brackets or a trailing dot; empty when there is none."""
    host = header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if host.count(":") == 1:
        host = host.partition(":")[0]
    return host.rstrip(".")


def is_loopback_host(host: str) -> bool:
    """Whether a normalised host is this machine itself: ``localhost`` or a loopback literal."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
