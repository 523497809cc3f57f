"""Who hears what: the connections that are open now. Events to nobody are not kept; a client that comes back asks for the history."""

from __future__ import annotations

from typing import Protocol

from moltbot_protocol.events import SESSION_MESSAGE, SESSIONS_CHANGED
from moltbot_protocol.frames import Event, serialise
from moltbot_protocol.methods import Scope


class Listener(Protocol):
    """One connection. `hear` never waits; `merge` names events of which a slow reader needs only the sum."""

    hears_sessions: bool
    hears_messages: set[str]
    may_read: bool

    def may(self, scope: Scope) -> bool:
        """Whether it holds that scope, or one that implies it."""

    def hear(self, event: Event, text: str, merge: str | None) -> None:
        """Take the event over."""


class Hub:
    def __init__(self) -> None:
        self.listeners: set[Listener] = set()

    def tell(self, name: str, payload: dict[str, object], *, merge: str | None = None) -> None:
        """To every connection that may read."""
        self._send([listener for listener in self.listeners if listener.may_read], Event(name, payload), merge)

    def tell_scope(self, scope: Scope, name: str, payload: dict[str, object]) -> None:
        """To every connection that holds that scope."""
        self._send([listener for listener in self.listeners if listener.may(scope)], Event(name, payload), None)

    def tell_session_changed(self, payload: dict[str, object]) -> None:
        """To those who subscribed to sessions."""
        self._send([listener for listener in self.listeners if listener.hears_sessions], Event(SESSIONS_CHANGED, payload), None)

    def tell_message(self, session_key: str, payload: dict[str, object]) -> None:
        """To those who subscribed to that session's messages."""
        hearers = [listener for listener in self.listeners if session_key in listener.hears_messages]
        self._send(hearers, Event(SESSION_MESSAGE, payload), None)

    @staticmethod
    def _send(listeners: list[Listener], event: Event, merge: str | None) -> None:
        if listeners:
            text = serialise(event)
            for listener in listeners:
                listener.hear(event, text, merge)
