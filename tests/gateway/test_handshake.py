"""Rule 5 b and d, the gateway's half: the state machine by cases and over every interleaving that hypothesis finds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import floats, sampled_from

from moltbot_gateway.handshake import TERMINATING, Busy, Committed, Granted, Handshake, NotAccepted, Resumed, State

TTL = 30.0


def opened() -> Handshake:
    handshake = Handshake()
    handshake.opened()
    return handshake


def quiesced(quiesce_id: str = "a", now: float = 0.0) -> Handshake:
    handshake = opened()
    assert handshake.quiesce(quiesce_id, TTL, now, ()) == Granted(State.QUIESCED)
    return handshake


def committed() -> Handshake:
    handshake = quiesced()
    assert handshake.commit("a", 1.0) == Granted(State.COMMITTED)
    return handshake


CASES: dict[str, tuple[Callable[[], Handshake], Callable[[Handshake], object], object]] = {
    "restoring refuses to quiesce": (Handshake, lambda h: h.quiesce("a", TTL, 0, ()), Busy(("restoring",))),
    "restoring cannot be committed": (Handshake, lambda h: h.commit("a", 0), Resumed()),
    "busy refuses and says with what": (opened, lambda h: h.quiesce("a", TTL, 0, ("turn",)), Busy(("turn",))),
    "idle is quiesced": (opened, lambda h: h.quiesce("a", TTL, 0, ()), Granted(State.QUIESCED)),
    "quiesce repeats under its id": (quiesced, lambda h: h.quiesce("a", TTL, 1, ()), Granted(State.QUIESCED)),
    "another id takes over": (quiesced, lambda h: h.quiesce("b", TTL, 1, ()), Granted(State.QUIESCED)),
    "commit of the standing id": (quiesced, lambda h: h.commit("a", 1), Granted(State.COMMITTED)),
    "commit of another id": (quiesced, lambda h: h.commit("b", 1), Resumed()),
    "commit after the ttl": (quiesced, lambda h: h.commit("a", TTL), Resumed()),
    "commit just before the ttl": (quiesced, lambda h: h.commit("a", TTL - 0.001), Granted(State.COMMITTED)),
    "commit without quiesce": (opened, lambda h: h.commit("a", 0), Resumed()),
    "commit repeats": (committed, lambda h: h.commit("a", 2), Granted(State.COMMITTED)),
    "a new operator commits what is committed": (committed, lambda h: h.commit("b", 2), Granted(State.COMMITTED)),
    "quiesce after commit says committed": (committed, lambda h: h.quiesce("b", TTL, 2, ()), Granted(State.COMMITTED)),
    "resume opens": (quiesced, lambda h: h.resume(1), Granted(State.OPEN)),
    "resume of an open one changes nothing": (opened, lambda h: h.resume(1), Granted(State.OPEN)),
    "resume while restoring": (Handshake, lambda h: h.resume(1), Granted(State.RESTORING)),
    "resume after commit is too late": (committed, lambda h: h.resume(2), Committed()),
    "open takes work": (opened, lambda h: h.admit(0), None),
    "quiesced takes none and names the id": (quiesced, lambda h: h.admit(1), NotAccepted("a")),
    "after the ttl work is taken again": (quiesced, lambda h: h.admit(TTL), None),
    "committed takes none": (committed, lambda h: h.admit(10 * TTL), NotAccepted("a")),
}


@pytest.mark.parametrize("case", CASES)
def test_answers(case: str) -> None:
    make, act, expected = CASES[case]
    assert act(make()) == expected


def test_an_id_that_was_resumed_is_spent() -> None:
    """A delayed copy of a quiesce must not make a commit succeed whose snapshot lacks a turn."""
    handshake = quiesced("a")
    handshake.resume(1)
    assert handshake.quiesce("a", TTL, 2, ()) == Resumed()
    assert handshake.commit("a", 2) == Resumed()
    assert handshake.admit(2) is None


def test_an_id_that_was_taken_over_is_spent() -> None:
    handshake = quiesced("a")
    handshake.quiesce("b", TTL, 1, ())
    assert handshake.commit("a", 2) == Resumed()
    assert handshake.quiesce("a", TTL, 2, ()) == Resumed()
    assert handshake.commit("b", 2) == Granted(State.COMMITTED)


def test_progress_renews_the_ttl_and_only_while_quiesced() -> None:
    handshake = quiesced("a", now=0)
    handshake.progress(TTL - 1)
    assert handshake.state(2 * TTL - 2) is State.QUIESCED
    handshake.progress(2 * TTL)
    assert handshake.state(2 * TTL) is State.OPEN


def test_sigterm_takes_no_new_work_and_cannot_be_undone() -> None:
    handshake = opened()
    handshake.terminate()
    assert handshake.admit(0) == NotAccepted(TERMINATING)
    assert handshake.resume(0) == Committed()
    handshake.opened()
    assert handshake.state(0) is State.COMMITTED


def test_sigterm_before_the_state_is_open_never_opens_it() -> None:
    handshake = Handshake()
    handshake.terminate()
    handshake.opened()
    assert handshake.state(0) is State.COMMITTED


class Interleavings(RuleBasedStateMachine):
    """An operator that may start again at any step, routers with work, lost and repeated calls, and time.

    Held against a history: a commit is granted only if no work was taken since the quiesce of that id was first granted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.handshake = Handshake()
        self.running = 0
        self.is_open = False
        self.committed = False
        self.granted_at_work: dict[str, int] = {}
        self.taken = 0

    ids = sampled_from(["a", "b", "c"])

    @rule()
    @precondition(lambda self: not self.is_open)
    def open(self) -> None:
        self.handshake.opened()
        self.is_open = True

    @rule(seconds=floats(0.1, TTL))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(quiesce_id=ids)
    def quiesce(self, quiesce_id: str) -> None:
        answer = self.handshake.quiesce(quiesce_id, TTL, self.now, ("turn",) * min(self.running, 1))
        if answer == Granted(State.QUIESCED):
            assert self.running == 0
            first = self.granted_at_work.setdefault(quiesce_id, self.taken)
            assert first == self.taken, "an id outlived work that was taken after its first quiesce"

    @rule(quiesce_id=ids)
    def commit(self, quiesce_id: str) -> None:
        answer = self.handshake.commit(quiesce_id, self.now)
        if isinstance(answer, Granted) and not self.committed:
            assert self.granted_at_work.get(quiesce_id) == self.taken, "committed although work was taken since the quiesce"
            assert self.running == 0
        self.committed = self.committed or isinstance(answer, Granted)

    @rule()
    def work(self) -> None:
        if self.is_open and self.handshake.admit(self.now) is None:
            assert not self.committed, "a committed process took work"
            self.running += 1
            self.taken += 1

    @rule()
    @precondition(lambda self: self.running > 0)
    def work_ends(self) -> None:
        self.running -= 1

    @rule()
    def resume(self) -> None:
        answer = self.handshake.resume(self.now)
        assert isinstance(answer, Committed) == self.committed

    @rule()
    def progress(self) -> None:
        self.handshake.progress(self.now)

    @invariant()
    def never_back_from_committed(self) -> None:
        assert not self.committed or self.handshake.state(self.now) is State.COMMITTED


Interleavings.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestInterleavings = Interleavings.TestCase
