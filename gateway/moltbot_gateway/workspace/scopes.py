"""Which conversation a message belongs to, and whether what the assistant knows of its owner may be shown there. Pure.

The rule: nobody but the owner ever gets into a private conversation, and two people never share one unless it is a group's.

    agent:main:main                                   the owner's own
    agent:main:<name>                                 another one that the owner began in a page or app
    agent:main:<channel>:direct:<peer>                one person of a channel
    agent:main:<channel>:<account>:direct:<peer>      the same, apart for each account of ours there
    agent:main:<channel>:group:<group>                a group (or `channel`, where the platform calls it so)
    agent:main:cron:<job>   agent:main:subagent:<id>  what the assistant does by itself

Only paired devices of the owner can choose a key freely; what comes from a channel gets its key here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from moltbot_protocol.hello import DEFAULT_AGENT, MAIN_SESSION

_PREFIX = f"agent:{DEFAULT_AGENT}:"
# Characters of a name in a key before it is replaced by its hash: a key has at most 512.
_MAX_PART = 96
_PLAIN = re.compile(r"[a-z0-9._@+-]")
_CHANNEL = re.compile(r"[a-z][a-z0-9-]{0,31}")
_DIRECT, _GROUP = frozenset({"direct", "dm"}), frozenset({"group", "channel"})
_OWN = frozenset({"cron", "subagent", "hook", "main", *_DIRECT, *_GROUP})
# First parts under which the official pages keep conversations that their person began.
_PAGES = frozenset({"dashboard", "webchat"})


class DmScope(StrEnum):
    """How conversations with single people are kept apart."""

    MAIN = "main"  # the owner's from everywhere in one; anybody else's apart
    PER_PEER = "per-peer"
    PER_CHANNEL_PEER = "per-channel-peer"
    PER_ACCOUNT_CHANNEL_PEER = "per-account-channel-peer"


class Kind(StrEnum):
    MAIN = "main"
    DIRECT = "direct"
    GROUP = "group"
    CRON = "cron"
    SUBAGENT = "subagent"


@dataclass(frozen=True)
class Person:
    """Somebody on a platform: ids of different platforms are different people until somebody says otherwise."""

    channel: str
    id: str


def direct_key(scope: DmScope, person: Person, account: str, owners: Collection[Person]) -> str:
    """The conversation of one person who writes to our `account` on a channel.

    `main` puts together only what comes from the owner: anybody else gets a conversation apart, as with `per-channel-peer`. `per-peer` is
    the same as `per-channel-peer`, for nothing tells yet that two ids are one person.

    Raises:
        ValueError: no name of a channel.
    """
    channel, peer = _channel(person.channel), _part(person.id)
    match scope:
        case DmScope.MAIN if person in owners:
            return MAIN_SESSION
        case DmScope.PER_ACCOUNT_CHANNEL_PEER:
            # An account that is called as a word of our keys would read as one.
            ours = f"~{account}" if account in _OWN else _part(account)
            return f"{_PREFIX}{channel}:{ours}:direct:{peer}"
        case DmScope.MAIN | DmScope.PER_PEER | DmScope.PER_CHANNEL_PEER:
            return f"{_PREFIX}{channel}:direct:{peer}"


def group_key(channel: str, group: str) -> str:
    """The conversation of a group. Raises ValueError: no name of a channel."""
    return f"{_PREFIX}{_channel(channel)}:group:{_part(group)}"


def cron_key(job: str) -> str:
    return f"{_PREFIX}cron:{_part(job)}"


def subagent_key(name: str) -> str:
    return f"{_PREFIX}subagent:{_part(name)}"


def kind_of(key: str) -> Kind:
    """Of a canonical key. One that the owner chose freely is `direct`."""
    if key == MAIN_SESSION:
        return Kind.MAIN
    parts = key.removeprefix(_PREFIX).split(":")
    match parts[0]:
        case "cron" | "hook":
            return Kind.CRON
        case "subagent":
            return Kind.SUBAGENT
    if parts[0] in _PAGES or _peer_of(parts) is not None:
        return Kind.DIRECT
    return Kind.GROUP if len(parts) > 1 and _GROUP & set(parts) else Kind.DIRECT


def is_private(key: str, owners: Collection[Person] = ()) -> bool:
    """Whether only the owner reads and writes there. `owners`: who they are on channels. What is in doubt is not private."""
    kind = kind_of(key)
    if kind is not Kind.DIRECT:
        return kind is Kind.MAIN
    if not key.startswith(_PREFIX):
        return False
    parts = key.removeprefix(_PREFIX).split(":")
    if (who := _peer_of(parts)) is not None:
        return any((owner.channel, _part(owner.id)) == who for owner in owners)
    return len(parts) == 1 or parts[0] in _PAGES


def serves_owner(key: str, owners: Collection[Person] = ()) -> bool:
    """Whether what is done there is done for the owner alone: a private conversation, or one that the assistant began by itself. Such a one
    is always begun for the owner: tasks and jobs can be begun only from conversations of which this is true, no channel's key reads as one
    (`direct_key`, `group_key`), and what comes by a hook is a stranger's word."""
    return is_private(key, owners) or (key.startswith(_PREFIX) and key.removeprefix(_PREFIX).split(":")[0] in ("cron", "subagent"))


def _peer_of(parts: list[str]) -> tuple[str, str] | None:
    """Channel and person of a conversation with one person, as they stand in its key."""
    match parts:
        case [channel, word, peer] if word in _DIRECT:
            return channel, peer
        case [channel, account, word, peer] if word in _DIRECT and account not in _GROUP:
            return channel, peer
        case _:
            return None


def _channel(name: str) -> str:
    if _CHANNEL.fullmatch(name) is None or name in _OWN | _PAGES:
        raise ValueError(f"{name[:40]!r} is no name of a channel")
    return name


def _part(text: str) -> str:
    """A name as it stands in a key. Different names stay different, although keys are compared in lower case and `:` parts them: whatever
    is not plain is written as %xx of its UTF-8, no name at all as a lone %."""
    plain = "".join(
        char if _PLAIN.fullmatch(char) else "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass")) for char in text
    )
    if len(plain) > _MAX_PART:
        return f"~{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return plain or "%"
