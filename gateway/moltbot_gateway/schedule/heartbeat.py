"""The heartbeat: every so often, while the assistant is awake anyway, it looks whether there is something to do (HEARTBEAT.md).

It never wakes the assistant and is no activity (rule 6); only while the model is being asked it is busy, so that what it says is not lost
by falling asleep. Where there is nothing to do nothing is asked and nothing is written: it costs a look at one small file.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from moltbot_gateway.agent_config import Heartbeat
from moltbot_gateway.errors import BadSchedule, FileMissing, StateError, WorkspaceError
from moltbot_gateway.schedule.due import find_zone
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.notes import append_note
from moltbot_gateway.store.records import Message
from moltbot_gateway.workspace.beneath import read_bytes
from moltbot_protocol.hello import MAIN_SESSION
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.heartbeat")

FILE = "HEARTBEAT.md"
NOTHING = "HEARTBEAT_OK"
DEFAULT_PROMPT = (
    f"Heartbeat. Read {FILE} and do what it asks for, nothing else and nothing from earlier talks. When nothing needs the person's "
    f"attention, answer {NOTHING} and nothing more."
)
# Beside HEARTBEAT_OK at the beginning or end, this much is politeness and dropped with it. Characters.
MAX_BESIDE = 300
# Of what was said, in `last-heartbeat`. Characters.
PREVIEW = 200
# Bytes of the file that are looked at; beyond it there is something to do.
MAX_FILE = 65_536
_COMMENT = re.compile(r"<!--.*?(-->|\Z)", re.DOTALL)
# With what a model likes to put around it.
_AT_THE_BEGINNING = re.compile(rf"\A[*_`\s]*{NOTHING}(?![A-Za-z0-9])[*_`\s.!]*")
_AT_THE_END = re.compile(rf"[*_`\s]*{NOTHING}[*_`\s.!]*\Z")
_EMPTY_ITEM = re.compile(r"[-*+]( \[[ xX]?\])?")


class Status(StrEnum):
    OK = "ok"  # asked; nothing to say
    SENT = "sent"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Beat:
    """`last-heartbeat`. `reason`: why it was skipped or failed."""

    at_ms: int
    status: Status
    reason: str = ""
    preview: str = ""
    duration_ms: int = 0

    def to_wire(self) -> dict[str, object]:
        wire: dict[str, object] = {"ts": self.at_ms, "status": self.status, "durationMs": self.duration_ms}
        return wire | {name: value for name, value in (("reason", self.reason), ("preview", self.preview)) if value}


class HeartbeatFailed(Exception):
    """The model could not be asked, or gave no answer; its text is a sentence for a person."""


class HeartbeatRunner(Protocol):
    async def ask(self, prompt: str, model: str) -> str:
        """One turn, with what the main conversation has said so far, of which nothing is stored in it or told: the text that it ends with.
        `model`: empty for the default. No activity. Raises HeartbeatFailed."""


@dataclass(frozen=True)
class HeartbeatPorts:
    """`admit`: whether new work may begin. `session_busy`: whether the main conversation has a running or waiting turn. `limit_reached`:
    whether the day's limit is used up. `tell`: payload of a `heartbeat` event. `noted`: what was put into the main conversation."""

    runner: HeartbeatRunner
    admit: Callable[[], bool]
    session_busy: Callable[[], bool]
    limit_reached: Callable[[], bool]
    tell: Callable[[Mapping[str, object]], None]
    noted: Callable[[Message], None]


def has_work(text: str) -> bool:
    """Whether HEARTBEAT.md asks for anything: not with only headings, comments, rules, empty items and blank lines."""
    for line in _COMMENT.sub("", text).splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#") and not _EMPTY_ITEM.fullmatch(stripped) and stripped.strip("-*_ "):
            return True
    return False


def to_deliver(answer: str) -> str | None:
    """What of an answer a person should see; `None`: nothing."""
    text = answer.strip()
    rest = _AT_THE_END.sub("", _AT_THE_BEGINNING.sub("", text)).strip()
    if rest == text:
        return text or None
    return rest if len(rest) > MAX_BESIDE else None


def is_active(active: tuple[int, int] | None, zone: ZoneInfo, now: datetime) -> bool:
    """Whether now lies within the hours, (from, to) in minutes of the day; over midnight where `from` is later."""
    if active is None:
        return True
    start, end = active
    local = now.astimezone(zone)
    minute = local.hour * 60 + local.minute
    return start <= minute < end if start <= end else minute >= start or minute < end


class Heartbeats:
    """`start`, then `close` exactly once. `last` is `None` until the first."""

    def __init__(
        self, config: Heartbeat, database: Database, workspace: Path, clock: Clock, ports: HeartbeatPorts, *, zone: str = "UTC"
    ) -> None:
        self._config, self._database, self._clock, self._ports = config, database, clock, ports
        self._workspace = workspace
        try:
            self._zone = find_zone(zone)
        except BadSchedule:
            self._zone = ZoneInfo("UTC")  # that the zone does not exist is told where the settings are read
        self._timer: asyncio.Task[None] | None = None
        self.last: Beat | None = None
        self.asking_since: datetime | None = None

    def start(self) -> None:
        self._timer = asyncio.create_task(self._beat_on())

    async def close(self) -> None:
        """A heartbeat that is under way is given up: nothing of it was stored."""
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.wait({self._timer})

    async def _beat_on(self) -> None:
        while True:
            await self._clock.sleep(self._config.every_ms / 1000)
            await self.beat()

    async def beat(self) -> Beat:
        """One heartbeat now. Never raises but for cancellation."""
        began = self._clock.monotonic()
        at_ms = int(self._clock.epoch() * 1000)
        # Nothing is awaited between being admitted and being busy (rule 5b).
        reason = self._skip_reason()
        if reason is None:
            self.asking_since = self._clock.now()
            try:
                if await asyncio.to_thread(self._nothing_to_do):
                    status, said = Status.SKIPPED, "nothing to do"
                else:
                    status, said = await self._ask()
            finally:
                self.asking_since = None
        else:
            status, said = Status.SKIPPED, reason
        preview = said[:PREVIEW] if status is Status.SENT else ""
        duration = round((self._clock.monotonic() - began) * 1000)
        self.last = Beat(at_ms, status, "" if preview else said, preview, duration)
        self._ports.tell(self.last.to_wire())
        if status is not Status.SKIPPED:
            log.info("heartbeat", status=status.value, milliseconds=duration)
        return self.last

    def _skip_reason(self) -> str | None:
        if not is_active(self._config.active, self._zone, self._clock.now()):
            return "outside its hours"
        if self._ports.limit_reached():
            return "the day's limit is reached"
        if self._ports.session_busy():
            return "the conversation is busy"
        if not self._ports.admit():
            return "going to sleep"
        return None

    def _nothing_to_do(self) -> bool:
        try:
            raw, entry = read_bytes(self._workspace, FILE, MAX_FILE)
        except (FileMissing, WorkspaceError):  # none; or a link or a pipe, which asks for nothing
            return True
        return entry.size <= MAX_FILE and not has_work(raw.decode(errors="replace"))

    async def _ask(self) -> tuple[Status, str]:
        """What came of it, and what was said or is wrong."""
        try:
            answer = await self._ports.runner.ask(self._config.prompt or DEFAULT_PROMPT, self._config.model)
            text = to_deliver(answer)
            if text is None:
                return Status.OK, ""
            now_ms = int(self._clock.epoch() * 1000)
            note = await self._database.write(lambda db: append_note(db, MAIN_SESSION, text, {"heartbeat": True}, now_ms))
        except (HeartbeatFailed, StateError) as error:
            return Status.FAILED, str(error)
        except Exception:  # the boundary of a task: logged here, told as its failure
            log.exception("heartbeat failed")
            return Status.FAILED, "something went wrong inside the assistant; its log says what"
        self._ports.noted(note)
        return Status.SENT, text
