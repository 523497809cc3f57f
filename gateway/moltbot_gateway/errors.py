"""What can go wrong in the gateway, apart from what a model answers (`models.failure`).

GatewayError
├── InvalidRequest      a frame asks for something that does not exist or has the wrong shape: the caller's mistake
│   └── BadSchedule     a time, cron expression or time zone that cannot be
├── Unavailable         not now, perhaps later; `retryable`
├── WebError            an address that may not be asked, or an answer that cannot be used
├── WorkspaceError      a file of the workspace cannot be used
│   └── FileMissing     there is none
└── StateError          the database
    ├── StateTooNew     written by a newer version of this program
    └── StateCorrupt    SQLite cannot read it
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of all; its text is a sentence for a person."""


class InvalidRequest(GatewayError):
    """The request is wrong and stays wrong however often it is sent."""


class BadSchedule(InvalidRequest):
    """Its text says what is wrong and how it is written."""


class Unavailable(GatewayError):
    """The request may succeed later. `details` go into the error's frame as they are."""

    def __init__(self, message: str, *, details: dict[str, object] | None = None, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.details = details
        self.retry_after_ms = retry_after_ms


class WebError(GatewayError):
    """Its text is for the model too: what was wrong, and what to try instead."""


class WorkspaceError(GatewayError):
    """A path that is none, a link, no regular file, no permission. Names paths beneath the workspace only."""


class FileMissing(WorkspaceError):
    """There is no such file, or no directory on the way to it."""


class StateError(GatewayError):
    """The database cannot be used."""


class StateTooNew(StateError):
    """Nothing was touched: an older program must not guess what a newer one meant."""


class StateCorrupt(StateError):
    """SQLite says that the file is damaged, or it is not a database of this program."""
