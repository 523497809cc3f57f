"""What `report` says about the gateway's inside: conditions in the Kubernetes manner, and the measurements behind the metrics.

Conditions come from real outcomes only: before the first turn nothing is known about the model, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from moltbot_gateway.models.failure import ErrorKind, ModelFailure, Reason

MODEL_READY = "ModelReady"
STATE_READY = "StorageReady"
TOOLS_READY = "ToolsReady"
SCHEDULE_READY = "ScheduleReady"
# What the operator keeps of a message (bytes of UTF-8 would be stricter; conditions are short).
MAX_MESSAGE = 1024


@dataclass(frozen=True)
class Condition:
    """`status` is True or False as Kubernetes writes them."""

    type: str
    status: str
    reason: str
    message: str

    def to_json(self) -> dict[str, object]:
        return {"type": self.type, "status": self.status, "reason": self.reason, "message": self.message[:MAX_MESSAGE]}


@dataclass
class Measurements:
    """Plain counts; the metrics module reads them when it is asked."""

    turns: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    turn_seconds: float = 0.0
    tokens: int = 0
    connections: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    not_accepted: int = 0

    def count_request(self, outcome: str) -> None:
        self.requests[outcome] = self.requests.get(outcome, 0) + 1


class Conditions:
    """Keeps to `turns.Outcomes`. `standing_in`: why a fallback answers, empty when none does."""

    def __init__(self, measurements: Measurements) -> None:
        self.standing_in: Callable[[], str] = str
        self._conditions: dict[str, Condition] = {}
        self._measurements = measurements

    def set(self, condition: Condition) -> None:
        self._conditions[condition.type] = condition

    def clear(self, kind: str) -> None:
        self._conditions.pop(kind, None)

    def get(self, kind: str) -> Condition | None:
        return self._conditions.get(kind)

    def to_json(self) -> list[dict[str, object]]:
        return [self._conditions[kind].to_json() for kind in sorted(self._conditions)]

    def answered(self, tokens: int, seconds: float) -> None:
        self._count("done", seconds)
        self._measurements.tokens += tokens
        if why := self.standing_in():
            self.set(Condition(MODEL_READY, "True", Reason.FALLBACK, why))
        elif self._reason_of_model() is not Reason.DEMO:
            self.set(Condition(MODEL_READY, "True", Reason.ANSWERING, "The last question was answered."))

    def failed(self, failure: ModelFailure, seconds: float) -> None:
        self._count("error", seconds)
        kind = failure.kind.value
        self._measurements.failures[kind] = self._measurements.failures.get(kind, 0) + 1
        self._measurements.tokens += failure.usage.total
        if failure.reason is not None:
            self.set(Condition(MODEL_READY, "False", failure.reason, failure.message))
        elif failure.kind in (ErrorKind.REFUSAL, ErrorKind.CONTEXT_LENGTH):
            self.set(Condition(MODEL_READY, "True", Reason.ANSWERING, "The model answers; it could not answer the last question."))

    def _count(self, outcome: str, seconds: float) -> None:
        self._measurements.turns[outcome] = self._measurements.turns.get(outcome, 0) + 1
        self._measurements.turn_seconds += seconds

    def _reason_of_model(self) -> str:
        condition = self._conditions.get(MODEL_READY)
        return "" if condition is None else condition.reason
