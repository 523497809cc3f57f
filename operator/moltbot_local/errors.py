"""What the API answers when it refuses, as Kubernetes words it.

ApiError            any refusal: HTTP code, reason, message, details; `status()` is its `metav1.Status` body
└─ Invalid          422: a list of FieldError, one cause each

FieldError is a value: one fault of one field. The wording is that of `k8s.io/apimachinery/pkg/util/validation/field`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    504: "Timeout",
}


class ApiError(Exception):
    """A refusal, with the HTTP code and the `Status` object that says why."""

    def __init__(self, code: int, message: str, *, reason: str | None = None, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason if reason is not None else REASONS.get(code, "")
        self.details = details

    def status(self) -> dict[str, Any]:
        body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        return {**body, "code": self.code}


_WORDS = {
    "FieldValueInvalid": "Invalid value",
    "FieldValueTypeInvalid": "Invalid value",
    "FieldValueRequired": "Required value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueNotFound": "Not found",
}
# Reasons whose message does not repeat the value.
_SILENT = frozenset({"FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong"})


@dataclass(frozen=True)
class FieldError:
    """One fault: `type` is the cause's reason (`FieldValueInvalid` …), `value` what was found (JSON), `detail` what is wrong with it."""

    type: str
    field: str
    detail: str = ""
    value: Any = None

    @property
    def body(self) -> str:
        """The message without the field's name, as a cause carries it."""
        words = _WORDS[self.type]
        if self.type not in _SILENT:
            words += ": " + shown(self.value)
        return f"{words}: {self.detail}" if self.detail else words

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def shown(value: Any) -> str:
    """A value as Go's `%#v` or JSON marshalling shows it in these messages."""
    if isinstance(value, Shown):
        return value.text
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


@dataclass(frozen=True)
class Shown:
    """Text that a message shows in the value's place."""

    text: str


class Invalid(ApiError):
    def __init__(self, group: str, kind: str, name: str, faults: list[FieldError]) -> None:
        self.faults = faults
        texts = list(dict.fromkeys(str(fault) for fault in faults))
        told = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
        qualified = f"{kind}.{group}" if group else kind
        details: dict[str, Any] = {"name": name, "group": group, "kind": kind}
        details = {key: value for key, value in details.items() if value}
        details["causes"] = [{"reason": fault.type, "message": fault.body, "field": fault.field} for fault in faults]
        super().__init__(422, f'{qualified} "{name}" is invalid: {told}', details=details)


def not_found(group: str, plural: str, name: str) -> ApiError:
    return ApiError(404, f'{qualified(group, plural)} "{name}" not found', details=details_of(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> ApiError:
    message = f'{qualified(group, plural)} "{name}" already exists'
    return ApiError(409, message, reason="AlreadyExists", details=details_of(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {why}'
    return ApiError(409, message, details=details_of(group, plural, name))


def forbidden(group: str, plural: str, name: str, why: str, causes: list[dict[str, str]] | None = None) -> ApiError:
    named = f' "{name}"' if name else ""
    details = details_of(group, plural, name)
    if causes:
        details["causes"] = causes
    return ApiError(403, f"{qualified(group, plural)}{named} is forbidden: {why}", details=details)


def qualified(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


def details_of(group: str, plural: str, name: str) -> dict[str, Any]:
    return {key: value for key, value in {"name": name, "group": group, "kind": plural}.items() if value}
