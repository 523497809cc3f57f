"""What a handler gets: the gateway, who asks, and params that were checked already. And what handlers share: session keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from moltbot_gateway.errors import InvalidRequest
from moltbot_gateway.gateway import Gateway
from moltbot_gateway.hub import Listener
from moltbot_protocol.hello import DEFAULT_AGENT, MAIN_KEY, MAIN_SESSION
from moltbot_trust.seals import Seal

MAX_KEY = 512


@dataclass(frozen=True)
class Context:
    gateway: Gateway
    seal: Seal
    listener: Listener
    params: dict[str, object]

    def text(self, name: str) -> str:
        """A checked string, empty when it is not there."""
        value = self.params.get(name)
        return value if isinstance(value, str) else ""

    def number(self, name: str, default: int) -> int:
        value = self.params.get(name)
        return int(value) if isinstance(value, int | float) else default

    def session_key(self, name: str = "sessionKey") -> str:
        """The canonical key. Raises InvalidRequest."""
        return canonical_key(self.text(name))

    def agent(self) -> None:
        """There is one agent. Raises InvalidRequest for another one."""
        if self.params.get("agentId") not in (None, "", DEFAULT_AGENT):
            raise InvalidRequest(f"unknown agent: {self.text('agentId')[:64]}")


# Digits of an id of a message: SQLite's greatest has 19.
_MAX_ID_DIGITS = 18


def is_message_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_ID_DIGITS


Handler = Callable[[Context], Awaitable[object]]


def canonical_key(key: str) -> str:
    """`main` and its like are the main session; a short key belongs to the one agent. Keys are free text otherwise, in lower case as the
    official servers keep them.

    Raises:
        InvalidRequest: empty, too long, of another agent, or with characters that are none.
    """
    cleaned = key.strip().lower()
    if not cleaned or len(cleaned) > MAX_KEY or not cleaned.isprintable():
        raise InvalidRequest("a session key is 1 to 512 printable characters")
    if cleaned in (MAIN_KEY, MAIN_SESSION):
        return MAIN_SESSION
    if not cleaned.startswith("agent:"):
        return f"agent:{DEFAULT_AGENT}:{cleaned}"
    agent, _, rest = cleaned.removeprefix("agent:").partition(":")
    if agent != DEFAULT_AGENT or not rest:
        raise InvalidRequest(f"unknown agent: {agent[:64]}")
    return cleaned
