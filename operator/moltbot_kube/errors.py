"""What can go wrong between us and the Kubernetes API.

KubeError
├── ApiError            the API answered with a Status
│   ├── BadRequest      400: the request makes no sense to it
│   ├── Unauthorized    401: it does not know us
│   ├── Forbidden       403: it knows us and says no
│   ├── NotFound        404
│   ├── Conflict        409: a precondition (uid, resourceVersion, field ownership) does not hold
│   │   └── AlreadyExists
│   ├── Gone            410: that resourceVersion is no longer kept; list again
│   ├── Invalid         422: schema, CEL rule or admission policy, with its causes
│   └── ServerError     429, 5xx: it cannot answer now; `retry_after` seconds when it says so
├── Unreachable         no answer: refused, reset, timed out, TLS
└── ConnectionSettingsError   no usable kubeconfig and not in a pod
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One of the reasons of a refused request: `field` is a path such as `spec.sleepAfter`, "" when it is about the whole object."""

    reason: str
    field: str
    message: str


class KubeError(Exception):
    """Root of this tree."""


class ConnectionSettingsError(KubeError):
    """There is no usable way to a cluster; the message says what to set."""


class Unreachable(KubeError):
    """The API did not answer. What was asked for may or may not have happened."""


class ApiError(KubeError):
    """The API answered with an error. `str()` is its own message."""

    def __init__(
        self, message: str, *, status: int, reason: str = "", causes: tuple[Cause, ...] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.causes = causes
        self.retry_after = retry_after


class BadRequest(ApiError):
    """400 (and any other 4xx without a class of its own)."""


class Unauthorized(ApiError):
    """401."""


class Forbidden(ApiError):
    """403."""

    @property
    def namespace_terminating(self) -> bool:
        """Nothing can be created because the namespace is being deleted."""
        return any(cause.reason == "NamespaceTerminating" for cause in self.causes)


class NotFound(ApiError):
    """404: the object, or the kind itself."""


class Conflict(ApiError):
    """409."""


class AlreadyExists(Conflict):
    """409 on create."""


class Gone(ApiError):
    """410."""


class Invalid(ApiError):
    """422."""


class ServerError(ApiError):
    """429 and 5xx."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest, 401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone, 422: Invalid, 429: ServerError,
}  # fmt: skip


def error_from_status(status: int, body: Mapping[str, Any], *, fallback: str, retry_after: float | None = None) -> ApiError:
    """The error for an HTTP status and the `Status` object that came with it (`{}` when the body was none).

    `fallback` is the message when the body has none. https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
    """
    reason = str(body.get("reason") or "")
    details = body.get("details") or {}
    causes = tuple(
        Cause(str(cause.get("reason") or ""), str(cause.get("field") or ""), str(cause.get("message") or ""))
        for cause in details.get("causes") or ()
        if isinstance(cause, dict)
    )
    seconds = details.get("retryAfterSeconds")
    if retry_after is None and isinstance(seconds, int) and seconds > 0:
        retry_after = float(seconds)
    kind: type[ApiError]
    if reason == "AlreadyExists":
        kind = AlreadyExists
    elif reason == "Expired":
        kind = Gone
    else:
        kind = _BY_STATUS.get(status) or (ServerError if status >= 500 else BadRequest)
    return kind(str(body.get("message") or fallback), status=status, reason=reason, causes=causes, retry_after=retry_after)
