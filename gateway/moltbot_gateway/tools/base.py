"""A tool is a value: its name, its schema, the words that tell the model what it is for, and what carries it out. A failure is a value too,
with one text for the model and one for the person.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from moltbot_gateway.models.base import Media, ToolSchema

# Characters of one result that the model gets; a tool that has more says how the rest can be had. Whatever is longer is cut here.
MAX_MODEL_TEXT = 30_000
# Of what a card in the page shows.
MAX_PERSON_TEXT = 20_000


class Risk(StrEnum):
    """What a call can do; decides whether somebody is asked (`approvals`)."""

    NONE = "none"  # reads what the assistant knows already
    FILES = "files"  # the workspace, inside the confinement
    PROGRAMS = "programs"  # runs programs, inside the confinement
    NETWORK = "network"  # asks the internet
    OUTWARD = "outward"  # speaks to other people, or plans to


@dataclass(frozen=True)
class ToolOutcome:
    """`model`: what the model reads. `person`: what the card says, in a line or a few; empty: the model's text. `details`: more for the
    card (exit code, path, diff …), JSON, at most some kilobytes. `media`: images for the model."""

    model: str
    person: str = ""
    error: bool = False
    details: Mapping[str, object] = field(default_factory=dict)
    media: tuple[Media, ...] = ()


def failed(model: str, person: str = "", **details: object) -> ToolOutcome:
    """The call did not do what it should. `model` says what went wrong and what to try instead."""
    return ToolOutcome(model, person or model, error=True, details=details)


@dataclass(frozen=True)
class ToolCall:
    """One call, its input checked against the schema. `update` tells the person what is there so far (the whole text, not a difference);
    it never waits. `session_key`, `run_id`: in which conversation. `private`: whether that is the owner's own (memory may be shown)."""

    id: str
    name: str
    input: Mapping[str, object]
    session_key: str
    run_id: str
    private: bool = False
    update: Callable[[str], None] = lambda text: None

    def text(self, name: str, default: str = "") -> str:
        value = self.input.get(name, default)
        return value if isinstance(value, str) else default

    def number(self, name: str, default: int) -> int:
        value = self.input.get(name, default)
        return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.input.get(name, default)
        return value if isinstance(value, bool) else default


Run = Callable[[ToolCall], Awaitable[ToolOutcome]]

# Of a schema: nothing is required; what is not named is refused.
_UNTOLD: tuple[tuple[str, object], ...] = (("required", []), ("additionalProperties", False))


@dataclass(frozen=True)
class Tool:
    """`label`: for cards. `reads_only`: changes nothing, so that such calls of one step may run side by side. `describe` gives what an
    approval shows (a command line, an address); default: the input as JSON. `timeout` in seconds, after which the loop ends the call;
    `None`: the tool keeps its own time. `risk_of`: where it depends on the input, the risk of one call. Cancelling `run` must stop what it
    started."""

    name: str
    label: str
    description: str
    schema: Mapping[str, object]
    run: Run
    risk: Risk = Risk.NONE
    reads_only: bool = False
    timeout: float | None = 60.0
    describe: Callable[[Mapping[str, object]], str] | None = None
    risk_of: Callable[[Mapping[str, object]], Risk] | None = None

    def for_model(self) -> ToolSchema:
        """Without the words that only say what the check of a call says anyway (`validate`): the model reads them with every message."""
        told = {name: value for name, value in self.schema.items() if (name, value) not in _UNTOLD}
        return ToolSchema(self.name, self.description, told)


def object_schema(required: Mapping[str, object] | None = None, **optional: object) -> dict[str, object]:
    """JSON Schema of a tool's input: properties in the order given, others refused."""
    properties = {**(required or {}), **optional}
    return {"type": "object", "properties": properties, "required": list(required or {}), "additionalProperties": False}
