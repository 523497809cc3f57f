"""Which state a state directory holds: lineage and sequence, and the file state.json that says so. No I/O here but that file's.

A *lineage* is one uninterrupted memory; a `sequence` counts in it (rule 8). They are in state.json beside the state, in every snapshot,
and recorded by the operator in the Moltbot's status.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from moltbot_state.format import BadFormat, NewerFormat, check_lineage
from moltbot_state.layout import StateDir, read_small_file, write_json_atomically

VERSION = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """A point in a lineage."""

    lineage: str
    sequence: int

    def is_older_than(self, other: Mark) -> bool:
        """Smaller in the same lineage. Never true across lineages: those do not compare."""
        return self.lineage == other.lineage and self.sequence < other.sequence


def new_lineage() -> str:
    """A name that nothing else has."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Pending:
    """A snapshot whose HEAD may or may not have been written when the process died: finding it in HEAD means that it is ours."""

    snapshot: str
    sequence: int


@dataclass(frozen=True, slots=True)
class StateFile:
    """state.json. `parent`: the snapshot that this state was restored from or last verified as; None before the first one."""

    mark: Mark
    parent: str | None = None
    pending: Pending | None = None

    @property
    def reached(self) -> Mark:
        """The newest point of which this state is known to hold everything."""
        return self.mark if self.pending is None else Mark(self.mark.lineage, max(self.mark.sequence, self.pending.sequence))

    def settled(self, head: str | None) -> Self:
        """With `pending` resolved by what HEAD says."""
        if self.pending is None:
            return self
        if head == self.pending.snapshot:
            return replace(self, mark=Mark(self.mark.lineage, self.pending.sequence), parent=self.pending.snapshot, pending=None)
        return replace(self, pending=None)

    def to_json(self) -> dict[str, object]:
        pending = None if self.pending is None else {"snapshot": self.pending.snapshot, "sequence": self.pending.sequence}
        return {
            "version": VERSION,
            "lineage": self.mark.lineage,
            "sequence": self.mark.sequence,
            "parent": self.parent,
            "pending": pending,
        }

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Raises BadFormat, NewerFormat."""
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BadFormat("state.json is not JSON") from error
        if not isinstance(document, dict) or not isinstance(document.get("version"), int):
            raise BadFormat("state.json is not what this program writes")
        if document["version"] > VERSION:
            raise NewerFormat("state.json was written by a newer version of this program")
        pending = document.get("pending")
        parent = document.get("parent")
        if not (parent is None or isinstance(parent, str)) or not (pending is None or isinstance(pending, dict)):
            raise BadFormat("state.json is not what this program writes")
        return cls(
            Mark(check_lineage(_text(document, "lineage")), _count(document, "sequence")),
            parent,
            None if pending is None else Pending(_text(pending, "snapshot"), _count(pending, "sequence")),
        )


def _text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise BadFormat(f"state.json has no {name}")
    return value


def _count(document: Mapping[str, object], name: str) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadFormat(f"state.json has no {name}")
    return value


def read_state_file(state: StateDir) -> StateFile | None:
    """None when there is none. Raises OSError, BadFormat, NewerFormat."""
    content = read_small_file(state.state_file)
    return None if content is None else StateFile.parse(content)


def write_state_file(state: StateDir, file: StateFile) -> None:
    """Durable once it returns."""
    write_json_atomically(state.state_file, file.to_json())
