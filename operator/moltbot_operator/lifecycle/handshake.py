"""The sleep handshake as a step machine (rule 5). Pure: it says which call comes next and what follows from an answer.

    snapshot → quiesce → final snapshot → record → read version → commit → end
       2          3            4                                     5       6

What stands behind the order:
- The final snapshot is made under the same id that is committed. A commit fails when that id was ever resumed, so what is committed is what
  was snapshotted.
- The StatefulSet's version is read before the commit. A gateway that restarts after its commit changes it (readiness), so the end fails
  and it begins again at the reading; the restarted gateway refuses the commit.
- Nothing depends on an answer having been seen: after a lost one it begins again at the reading as well, where a commit that went through
  is granted again, and a scale that went through is seen as 0.
- Nothing has to be undone: who gives up leaves the gateway to its ttl, or to a router with new work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from moltbot_operator.lifecycle.ports import Busy, Committed, Quiesced, Resumed, ScaleFacts, SnapshotRefused, SnapshotTaken
from moltbot_operator.lifecycle.reports import SnapshotReport
from moltbot_operator.lifecycle.sleep import Sleep

# Rule 5e: the scale is written at most this long after the commit was sent (seconds); the committed process ends by itself after 15.
COMMIT_VALID_SECONDS = 10.0
# How often it begins again at the reading before it gives up; conflicts come from readiness and controllers, a few within a second.
ATTEMPTS = 5
# The state container says this while it has not restored: there is nothing new to keep.
RESTORING = "restoring"


class Step(StrEnum):
    """The call that comes next."""

    SNAPSHOT = "snapshot"
    QUIESCE = "quiesce"
    FINAL_SNAPSHOT = "final snapshot"
    RECORD = "record"
    READ_VERSION = "read version"
    COMMIT = "commit"
    END = "end"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The call may or may not have been carried out."""

    why: str


@dataclass(frozen=True, slots=True)
class Conflicted:
    """A write met another version of the object than the one that was read."""


@dataclass(frozen=True, slots=True)
class Written:
    """A write went through."""


Answer = SnapshotTaken | SnapshotRefused | Quiesced | Busy | Resumed | Committed | ScaleFacts | NoAnswer | Conflicted | Written | None


class StopReason(StrEnum):
    """Why it was given up; the assistant stays awake."""

    BUSY = "busy"
    RESUMED = "new work came"
    NO_BACKUP = "its state could not be kept"
    NO_ANSWER = "no answer"
    CHANGED = "the StatefulSet changed"
    NOT_WANTED = "no longer wanted"
    TOO_SLOW = "out of time"


@dataclass(frozen=True, slots=True)
class Stopped:
    """Given up."""

    reason: StopReason
    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The scale is 0, or the pod is deleted."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """One attempt. `id` is new for every attempt (an id that was resumed is spent).

    `final`: there is a bucket with something to keep in it, and the state is not on a volume; otherwise step 4 is passed over.
    `consent`: the gateway is asked to quiesce and commit.
    """

    id: str
    sleep: Sleep
    final: bool
    step: Step
    consent: bool
    attempts: int = 0
    version: ScaleFacts | None = None
    committed_at: float | None = None
    next_due: datetime | None = None
    snapshot: SnapshotReport | None = None

    @property
    def replaces(self) -> bool:
        """Whether it ends by deleting the pod rather than by scaling to 0."""
        return self.sleep.cause.replaces


def begin_handshake(handshake_id: str, sleep: Sleep, *, has_bucket: bool, on_volume: bool) -> Handshake:
    """The first step of an attempt."""
    keep = has_bucket and sleep.keep
    final = keep and not on_volume
    if keep and sleep.consent:
        step = Step.SNAPSHOT
    elif sleep.consent:
        step = Step.QUIESCE
    else:
        step = Step.FINAL_SNAPSHOT if final else Step.RECORD
    return Handshake(id=handshake_id, sleep=sleep, final=final, step=step, consent=sleep.consent)


def advance(handshake: Handshake, answer: Answer, *, sent_at: float, now: float) -> Handshake | Stopped | Finished:
    """What follows from the answer to `handshake.step`. Monotonic seconds: when the call was sent, and now."""
    match handshake.step:
        case Step.SNAPSHOT:
            return _after_snapshot(handshake, answer)
        case Step.QUIESCE:
            return _after_quiesce(handshake, answer)
        case Step.FINAL_SNAPSHOT:
            return _after_final_snapshot(handshake, answer)
        case Step.RECORD:
            if isinstance(answer, Written):
                return replace(handshake, step=Step.READ_VERSION)
            return Stopped(StopReason.NO_ANSWER, "the status could not be written")
        case Step.READ_VERSION:
            return _after_reading(handshake, answer)
        case Step.COMMIT:
            return _after_commit(handshake, answer, sent_at)
        case Step.END:
            return _after_end(handshake, answer)


def may_end(handshake: Handshake, now: float) -> bool:
    """Whether the end may still be written (rule 5e): else it begins again at the reading. Ask right before the call."""
    return handshake.committed_at is None or now - handshake.committed_at <= COMMIT_VALID_SECONDS


def again(handshake: Handshake) -> Handshake | Stopped:
    """Begin again at the reading of the version; the same id, so that a commit that went through is found."""
    if handshake.attempts + 1 >= ATTEMPTS:
        return Stopped(StopReason.CHANGED, "the StatefulSet kept changing; it is tried again later")
    return replace(handshake, step=Step.READ_VERSION, attempts=handshake.attempts + 1, version=None, committed_at=None)


def _after_snapshot(handshake: Handshake, answer: Answer) -> Handshake | Stopped:
    """An ordinary snapshot that fails matters only where the final one would have to succeed."""
    if isinstance(answer, SnapshotTaken):
        return replace(handshake, step=Step.QUIESCE, snapshot=answer.snapshot)
    if handshake.final:
        return _not_kept(answer)
    return replace(handshake, step=Step.QUIESCE)


def _after_quiesce(handshake: Handshake, answer: Answer) -> Handshake | Stopped:
    match answer:
        case Quiesced():
            step = Step.FINAL_SNAPSHOT if handshake.final else Step.RECORD
            return replace(handshake, step=step, next_due=answer.next_due)
        case Busy():
            return Stopped(StopReason.BUSY, "busy: " + ", ".join(answer.reasons))
        case Resumed():
            return Stopped(StopReason.RESUMED, "new work came")
        case _:
            return _no_answer("the gateway", answer)


def _after_final_snapshot(handshake: Handshake, answer: Answer) -> Handshake | Stopped:
    match answer:
        case SnapshotTaken() if answer.snapshot.verified:
            return replace(handshake, step=Step.RECORD, snapshot=answer.snapshot)
        case SnapshotTaken():
            return Stopped(StopReason.NO_BACKUP, "the last snapshot was not verified")
        case SnapshotRefused() if answer.reason == RESTORING and not handshake.consent:
            # it never opened: what the bucket has is all there is
            return replace(handshake, step=Step.RECORD)
        case _:
            return _not_kept(answer)


def _after_reading(handshake: Handshake, answer: Answer) -> Handshake | Stopped | Finished:
    if answer is None:
        return Stopped(StopReason.CHANGED, "the StatefulSet is gone")
    if not isinstance(answer, ScaleFacts):
        return _no_answer("the Kubernetes API", answer)
    if answer.replicas == 0:
        return Finished()
    return replace(handshake, version=answer, step=Step.COMMIT if handshake.consent else Step.END)


def _after_commit(handshake: Handshake, answer: Answer, sent_at: float) -> Handshake | Stopped:
    match answer:
        case Committed():
            return replace(handshake, step=Step.END, committed_at=sent_at)
        case Resumed():
            return Stopped(StopReason.RESUMED, "new work came")
        case _:
            return again(handshake)


def _after_end(handshake: Handshake, answer: Answer) -> Handshake | Stopped | Finished:
    match answer:
        case Written():
            return Finished()
        case Conflicted() if handshake.replaces:
            return Finished()  # another pod has the name: this one is gone
        case _:
            return again(handshake)


def _not_kept(answer: Answer) -> Stopped:
    if isinstance(answer, SnapshotRefused):
        return Stopped(StopReason.NO_BACKUP, answer.message or answer.reason)
    return Stopped(StopReason.NO_BACKUP, "the state container did not answer")


def _no_answer(whom: str, answer: Answer) -> Stopped:
    why = f": {answer.why}" if isinstance(answer, NoAnswer) else ""
    return Stopped(StopReason.NO_ANSWER, f"{whom} did not answer{why}")
