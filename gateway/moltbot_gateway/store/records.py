"""What the database's functions give and take. Times in milliseconds since 1970."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

# What jobs are functions of; callers name it from here and need not know sqlite3.
Connection = sqlite3.Connection


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    ERROR = "error"
    ABORTED = "aborted"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Session:
    """One conversation. `model` and `thinking` are `None` while the default holds; `settings`: queueMode, verboseLevel, responseUsage."""

    key: str
    session_id: str
    label: str | None
    model: str | None
    thinking: str | None
    created_ms: int
    updated_ms: int
    input_tokens: int
    output_tokens: int
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """One entry of a conversation. `role`: user | assistant | toolResult. `detail` is what `chat.history` adds to an answer (usage,
    stopReason …). `content`: its blocks as the wire has them, `None` where the text is all."""

    id: int
    role: str
    text: str
    at_ms: int
    run_id: str | None
    detail: Mapping[str, object] = field(default_factory=dict)
    content: Sequence[Mapping[str, object]] | None = None


@dataclass(frozen=True)
class NewMessage:
    """An entry to be written."""

    role: str
    text: str
    detail: Mapping[str, object] = field(default_factory=dict)
    content: Sequence[Mapping[str, object]] | None = None


@dataclass(frozen=True)
class NewRun:
    """A message as it came, with the key under which it is answered once. `options`: thinking, timeoutMs, attachments (blocks), model, and
    what made it when that was no person (continue, job, heartbeat, task)."""

    id: str
    session_key: str
    text: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    id: str
    session_key: str
    session_id: str
    status: RunStatus
    text: str
    options: Mapping[str, object]
    accepted_ms: int


@dataclass(frozen=True)
class Answer:
    """How a run ended: what is written into the conversation and added to the counts. `content` as in `Message`."""

    status: RunStatus
    text: str
    detail: Mapping[str, object]
    input_tokens: int = 0
    output_tokens: int = 0
    content: Sequence[Mapping[str, object]] | None = None
