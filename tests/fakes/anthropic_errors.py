"""An error of the platform, as its shape wants it."""

from __future__ import annotations

from collections.abc import Mapping


class ApiError(Exception):
    """Answered with the platform's error shape."""

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.headers = status, kind, message, dict(headers or {})


def invalid(message: str) -> ApiError:
    return ApiError(400, "invalid_request_error", message)
