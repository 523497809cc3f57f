"""The base of every typed model: camelCase outside, snake_case inside, and what JSON Schema cannot say for a CRD.

Specs refuse unknown fields (the API server does so too, by pruning or by strict validation); statuses ignore them, for an older
program may read a newer one's.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from moltbot_trust import clock
from moltbot_trust.clock import format_time


class SpecModel(BaseModel):
    """A part of what a person writes."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class StatusModel(BaseModel):
    """A part of what a program reports."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def to_wire(self) -> dict[str, Any]:
        """As it stands in the API: camelCase, absent fields left out."""
        return self.model_dump(by_alias=True, exclude_none=True, mode="json")

    @classmethod
    def from_wire(cls, data: dict[str, Any] | None) -> Self:
        """From an object of the API; ``None`` is an empty one.

        Raises:
            pydantic.ValidationError: a value is of the wrong type.
        """
        return cls.model_validate(data or {})


def _parse_time(value: object) -> object:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def parse_time(text: str | None) -> datetime | None:
    """A time of the API (RFC 3339), aware and in UTC; ``None`` when absent.

    Raises:
        ValueError: the text is not such a time.
    """
    return clock.parse_time(text) if text else None


Time = Annotated[
    datetime,
    BeforeValidator(_parse_time),
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time as Kubernetes writes one: RFC 3339, UTC, whole seconds."""


def rule(expression: str, message: str, *, path: str | None = None) -> dict[str, str]:
    """One CEL rule of a schema (``x-kubernetes-validations``)."""
    made = {"rule": expression, "message": message}
    if path is not None:
        made["fieldPath"] = path
    return made


def schema_extra(*rules: dict[str, str], **extensions: object) -> dict[str, Any]:
    """``json_schema_extra`` with CEL rules and ``x-kubernetes-*`` extensions (underscores become hyphens)."""
    made: dict[str, Any] = {f"x-kubernetes-{name.replace('_', '-')}": value for name, value in extensions.items()}
    if rules:
        made["x-kubernetes-validations"] = list(rules)
    return made


# Names of objects (RFC 1123 subdomain) and of keys in a Secret, bounded as the API server bounds them.
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
KeyName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
Quantity = Annotated[
    str | int,
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": r"^([0-9]+|[0-9]*\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][-+]?[0-9]+)?$",
            "maxLength": 32,
        }
    ),
]
"""A Kubernetes quantity, such as ``500m`` or ``1Gi``."""
