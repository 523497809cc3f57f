"""The one clock of activity (architecture, rule 6). Pure: wall-clock times in UTC are given by the caller.

What is activity is a column of the method table (`moltbot_protocol`) and, for HTTP and `touch`, decided where they arrive; here it is only
remembered. Idle is counted by the operator, from what `report` says.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What kept the assistant awake; the words of `report`'s `firstActivity`."""

    PAGE = "page"
    REQUEST = "request"
    MESSAGE = "message"
    JOB = "job"


class ActivityClock:
    def __init__(self) -> None:
        self.opened: datetime | None = None
        self.last: datetime | None = None
        self.first_kind: Kind | None = None

    def open(self, now: datetime) -> None:
        """The state was opened; idle is never counted from before."""
        self.opened = now

    def note(self, kind: Kind, now: datetime) -> None:
        """Something counted happened. A clock that went back never takes activity away."""
        if self.first_kind is None:
            self.first_kind = kind
        if self.last is None or now > self.last:
            self.last = now
