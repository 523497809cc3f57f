"""Whether this process takes new work: the gateway's half of the handshake before sleep (architecture, rule 5 b and d).

A pure state machine: no clock, loop or I/O. Times are monotonic seconds given by the caller. Every method is one check-and-set without an
await, which is what makes the answer trustworthy: between "nobody is busy" and "nothing new is taken" nothing can slip in.

    restoring ──opened──► open ──quiesce──► quiesced ──commit──► committed
                           ▲                   │
                           └── resume, touch, ttl ┘
    any ──SIGTERM──► committed (nothing new is ever taken again)

An id that was resumed (or ran out) is spent: its commit fails for ever, and a late copy of its quiesce is refused. Otherwise this could
happen: 1 the operator quiesces `a` and makes the last snapshot; 2 the router resumes, a turn runs and ends; 3 a delayed copy of quiesce `a`
arrives; 4 commit `a` succeeds although the snapshot lacks the turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# An operator makes a new id for every attempt; a copy of a request older than this many attempts cannot still be under way.
SPENT_IDS_KEPT = 256
# What work is told when it is refused although nobody quiesced: the process was asked to end.
TERMINATING = "terminating"


class State(StrEnum):
    """The words of `report`'s `state`."""

    RESTORING = "restoring"
    OPEN = "open"
    QUIESCED = "quiesced"
    COMMITTED = "committed"


@dataclass(frozen=True)
class Granted:
    """The wish is granted; `state` is the state after it."""

    state: State


@dataclass(frozen=True)
class Busy:
    """Refused: these things are going on."""

    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Resumed:
    """Refused: this id is no longer (or was never) the one under which the gateway is quiesced."""


@dataclass(frozen=True)
class Committed:
    """Refused: the process never serves again."""


@dataclass(frozen=True)
class NotAccepted:
    """New work is refused before it was looked at, so whoever sent it may send it again (`Moltbot-Not-Accepted: <id>`)."""

    id: str


class Handshake:
    """State of one process. Not thread-safe: all calls come from the event loop."""

    def __init__(self) -> None:
        self._state = State.RESTORING
        self._id: str | None = None
        self._ttl = 0.0
        self._expires = 0.0
        self._spent: deque[str] = deque(maxlen=SPENT_IDS_KEPT)
        self._terminating = False

    def state(self, now: float) -> State:
        """The state at `now`; a time to live that ran out counts as resumed."""
        self._expire(now)
        return self._state

    @property
    def quiesce_id(self) -> str | None:
        """The id under which new work is refused, `None` while it is taken."""
        return self._id

    @property
    def expires(self) -> float | None:
        """When a quiesced gateway resumes by itself, `None` when it is not quiesced."""
        return self._expires if self._state is State.QUIESCED else None

    @property
    def terminating(self) -> bool:
        return self._terminating

    def opened(self) -> None:
        """The state was restored and opened. A process that was told to end stays closed."""
        if self._state is State.RESTORING and not self._terminating:
            self._state = State.OPEN

    def quiesce(self, quiesce_id: str, ttl: float, now: float, busy: Sequence[str]) -> Granted | Busy | Resumed:
        """From a granted answer on all new work is refused. `ttl` in seconds; a repeat under the same id renews it.

        A different id takes over (an operator that started again), and the earlier one is spent.
        """
        self._expire(now)
        if self._state is State.COMMITTED:
            return Granted(State.COMMITTED)
        if self._state is State.RESTORING:
            return Busy(("restoring",))
        if quiesce_id in self._spent:
            return Resumed()
        if self._state is State.OPEN and busy:
            return Busy(tuple(busy))
        if self._id is not None and self._id != quiesce_id:
            self._spent.append(self._id)
        self._state, self._id, self._ttl, self._expires = State.QUIESCED, quiesce_id, ttl, now + ttl
        return Granted(State.QUIESCED)

    def commit(self, quiesce_id: str, now: float) -> Granted | Resumed:
        """After a granted answer the process never serves again. Repeats, under whatever id, are granted: nothing was taken in between."""
        self._expire(now)
        if self._state is State.COMMITTED:
            return Granted(State.COMMITTED)
        if self._state is not State.QUIESCED or self._id != quiesce_id:
            return Resumed()
        self._state = State.COMMITTED
        return Granted(State.COMMITTED)

    def resume(self, now: float) -> Granted | Committed:
        """Whoever calls this holds new work, so it resumes whatever id stands."""
        self._expire(now)
        if self._state is State.COMMITTED:
            return Committed()
        if self._state is State.QUIESCED:
            self._reopen()
        return Granted(self._state)

    def progress(self, now: float) -> None:
        """The steps towards sleep are getting on (a copy of the database is being made): the time to live begins anew."""
        self._expire(now)
        if self._state is State.QUIESCED:
            self._expires = now + self._ttl

    def terminate(self) -> None:
        """SIGTERM: no new work from here on, and no way back."""
        self._terminating = True
        if self._state is not State.COMMITTED:
            self._id = self._id or TERMINATING
            self._state = State.COMMITTED

    def admit(self, now: float) -> NotAccepted | None:
        """`None`: new work may begin, and the caller marks it as begun before its next await. Ask only once the state is not restoring."""
        self._expire(now)
        match self._state:
            case State.QUIESCED | State.COMMITTED:
                return NotAccepted(self._id or TERMINATING)
            case State.RESTORING | State.OPEN:
                return None

    def _expire(self, now: float) -> None:
        if self._state is State.QUIESCED and now >= self._expires:
            self._reopen()

    def _reopen(self) -> None:
        if self._id is not None:
            self._spent.append(self._id)
        self._state, self._id = State.OPEN, None
