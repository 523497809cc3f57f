"""Frames on their way: one request with its place and its deadline, and the bounded queue of those that wait for an upstream. No I/O, no
clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from moltbot_protocol.frames import Request
from moltbot_protocol.methods import Asleep, Method, idempotency_key

# Frames that one connection may have held, and their bytes together.
MAX_HELD, MAX_HELD_BYTES = 32, 32 * 1024 * 1024


@dataclass(slots=True)
class Frame:
    """A request. `deadline` in monotonic seconds: until then it may be held. `order`: its place among the client's frames."""

    request: Request
    method: Method
    size: int
    deadline: float
    order: int

    @property
    def work(self) -> bool:
        """Whether it is a reason to wake."""
        return self.method.asleep is Asleep.WAKE

    @property
    def repeatable(self) -> bool:
        """Whether sending it again cannot do it twice: the gateway keeps its key."""
        return idempotency_key(self.method, self.request.params) is not None


class HeldFrames:
    """In the client's order, whatever order they came (back) in."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []

    def __bool__(self) -> bool:
        return bool(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(list(self._frames))

    @property
    def work(self) -> bool:
        """Whether any of them is a reason to wake."""
        return any(frame.work for frame in self._frames)

    @property
    def earliest(self) -> float | None:
        """The first deadline; None when nothing is held."""
        return min((frame.deadline for frame in self._frames), default=None)

    def offer(self, frame: Frame) -> bool:
        """Take a new frame; False when there is no room."""
        if len(self._frames) >= MAX_HELD or sum(held.size for held in self._frames) + frame.size > MAX_HELD_BYTES:
            return False
        self.put_back([frame])
        return True

    def put_back(self, frames: Iterable[Frame]) -> None:
        """Frames that were here before: always taken, each at its own place."""
        self._frames = sorted((*self._frames, *frames), key=lambda frame: frame.order)

    def pop(self) -> Frame:
        """The next to send. Raises IndexError when there is none."""
        return self._frames.pop(0)

    def take(self, chosen: Iterable[Frame]) -> list[Frame]:
        """Remove these; what was removed, in order."""
        orders = {frame.order for frame in chosen}
        taken = [frame for frame in self._frames if frame.order in orders]
        self._frames = [frame for frame in self._frames if frame.order not in orders]
        return taken
