"""What providers answer when they fail, in words for a person: one table for every adapter. Knows status codes and error types
(platform.claude.com/docs/en/api/errors, developers.openai.com/api/docs/guides/error-codes), and no client library, so that it costs nothing
to import and is tested as a table.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from moltbot_gateway.models.failure import ErrorKind, ModelFailure, Reason
from moltbot_trust.redaction import scrub_text

_SHOWN = 300
_TOO_LONG = "This conversation has become too long for the model. Start a new one with /new; this one stays readable until then."
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNREACHED = {
    errno.ECONNREFUSED: "nothing answers at that address and port",
    errno.ECONNRESET: "it closed the connection at once",
    errno.EHOSTUNREACH: "no way leads to that address",
    errno.ENETUNREACH: "no way leads to that network",
    errno.ETIMEDOUT: "it did not answer in time",
    errno.EACCES: "this machine does not allow the connection",
    errno.EPERM: "this machine does not allow the connection",
}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Place:
    """Where the request went: for sentences that say what to check. `gateway`: an AI Gateway stands between; `key`: the name that a person
    gives the provider's key; `speaks`: what was expected there."""

    model: str
    host: str
    gateway: bool = False
    key: str = "ANTHROPIC_API_KEY"
    speaks: str = "the Messages API of Anthropic"


@dataclass(frozen=True)
class ApiError:
    """One error response, or one `error` event in a stream (`status` is 200 then). `type` is the provider's word; `code` OpenAI's second
    one; `wait` seconds that it asks for."""

    status: int
    type: str = ""
    message: str = ""
    wait: float | None = None
    code: str = ""


def wait_of(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a response asks to be left alone for: `retry-after-ms`, `retry-after` (seconds or a date, RFC 9110 §10.2.3), else the
    later of OpenAI's `x-ratelimit-reset-*` (durations as `6m0s`). `now`: Unix time. `headers` finds names however they are written."""
    milliseconds, after = headers.get("retry-after-ms", ""), headers.get("retry-after", "").strip()
    if milliseconds.isdigit():
        return int(milliseconds) / 1000
    if re.fullmatch(r"\d{1,9}(\.\d+)?", after):
        return float(after)
    if after:
        try:
            return max(0.0, parsedate_to_datetime(after).timestamp() - now)
        except ValueError:
            return None
    # The one that is used up is what is waited for; the other may be far away and full of room.
    resets = []
    for what in ("requests", "tokens"):
        found = _DURATION.findall(headers.get(f"x-ratelimit-reset-{what}", ""))
        if found and headers.get(f"x-ratelimit-remaining-{what}", "0") == "0":
            resets.append(sum(float(number) * _SECONDS[unit] for number, unit in found))
    return max(resets) if resets else None


def describe(error: ApiError, place: Place) -> ModelFailure:
    """An error that the provider told."""
    said = _said(error.message)
    match error.status, error.type:
        case (401, _) | (_, "authentication_error"):
            who = "The model's provider or the AI Gateway" if place.gateway else "The model's provider"
            keys = "the provider's key and the AI Gateway's token" if place.gateway else place.key
            text = f"{who} did not accept the key. Correct {keys} in the Moltbot's Secret; the assistant takes it from there.{said}"
            return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.KEY_REFUSED)
        case (402, _) | (_, "billing_error" | "insufficient_quota"):
            return ModelFailure(
                ErrorKind.UNKNOWN,
                f"The provider has a problem with billing: check the account's payment there.{said}",
                reason=Reason.BILLING,
            )
        case (403, _) | (_, "permission_error"):
            text = f"The key may not use the model {place.model}: choose another in spec.model.name, or a key with that right.{said}"
            return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.FORBIDDEN)
        case (404, _) | (_, "not_found_error"):
            text = f"{place.host} does not know the model {place.model}, or is not the right base URL: check spec.model.{said}"
            return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.UNKNOWN_MODEL)
        case (413, _) | (_, "request_too_large"):
            return ModelFailure(ErrorKind.CONTEXT_LENGTH, _TOO_LONG)
        case (429, _) | (_, "rate_limit_error"):
            return ModelFailure(ErrorKind.RATE_LIMIT, _rate_limited(error, said), reason=Reason.RATE_LIMITED, again=True, wait=error.wait)
        case (529, _) | (_, "overloaded_error"):
            text = "The model's provider is overloaded. It was asked several times; ask again in a minute."
            return ModelFailure(ErrorKind.RATE_LIMIT, text, reason=Reason.OVERLOADED, again=True, wait=error.wait)
        case (408 | 504, _) | (_, "timeout_error"):
            return timed_out(place)
        case (409, _):
            text = f"The model's provider was busy with the same request (409). Ask again.{said}"
            return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.PROVIDER_FAILED, again=True)
        case (400 | 422, _) | (_, "invalid_request_error"):
            return _invalid(error, said)
        case (status, _) if 300 <= status < 400:
            text = f"{place.host} redirects elsewhere, and a key is not sent on: put the final address into the base URL."
            return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.PROVIDER_FAILED)
        case (status, _) if status >= 500 or status == 200:
            text = f"The model's provider failed ({status if status != 200 else error.type or 'error'}). Ask again in a minute.{said}"
            return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.PROVIDER_FAILED, again=True, wait=error.wait)
        case _:
            return ModelFailure(
                ErrorKind.UNKNOWN, f"The model's provider refused the request ({error.status}).{said}", reason=Reason.PROVIDER_FAILED
            )


_FULL = ("prompt is too long", "context window", "context limit", "maximum context length")


def _invalid(error: ApiError, said: str) -> ModelFailure:
    lower = error.message.lower()
    if error.code == "context_length_exceeded" or any(words in lower for words in _FULL):
        return ModelFailure(ErrorKind.CONTEXT_LENGTH, _TOO_LONG)
    if "credit balance" in lower or "spend limit" in lower or "usage limits" in lower:
        return ModelFailure(
            ErrorKind.UNKNOWN, f"The provider's account has no credit left, or reached its limit.{said}", reason=Reason.BILLING
        )
    # The request is ours, so the condition stays as it was: the next question may be fine.
    return ModelFailure(ErrorKind.UNKNOWN, f"The model's provider refused the request.{said}")


def _rate_limited(error: ApiError, said: str) -> str:
    when = "in a minute" if error.wait is None else f"in {_span(error.wait)}"
    return f"The provider's limit for this key is reached. Ask again {when}.{said}"


def _span(seconds: float) -> str:
    if seconds <= 120:
        return f"{max(1, round(seconds))} seconds"
    return f"{round(seconds / 60)} minutes" if seconds <= 7200 else f"{round(seconds / 3600)} hours"


def timed_out(place: Place) -> ModelFailure:
    """No answer, or no more of it, in time."""
    text = f"{place.host} stopped answering. What had arrived is kept; ask again."
    return ModelFailure(ErrorKind.TIMEOUT, text, reason=Reason.TIMED_OUT, again=True)


def unreachable(place: Place, detail: str) -> ModelFailure:
    """No connection."""
    text = (
        f"{place.host} cannot be reached ({detail[:120]}). Check the base URL and the network; an address inside the cluster or a private "
        "network needs an entry in gateway.egress."
    )
    return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.UNREACHABLE, again=True)


def why_unreached(error: BaseException) -> str:
    """Why there is no connection, without the numbers and tuples of an operating system: what the deepest cause is."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    if isinstance(error, BaseExceptionGroup):  # one for each address of the host
        return why_unreached(error.exceptions[0])
    match error:
        case socket.gaierror():
            return "there is no such host, or its name cannot be resolved now"
        case ssl.SSLCertVerificationError():
            return f"its certificate cannot be trusted: {error.verify_message}"
        case ssl.SSLError():
            return "it does not speak TLS as it should: perhaps http and https are mixed up"
        case OSError(errno=int(number)) if number in _UNREACHED:
            return _UNREACHED[number]
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case _:
            return str(error) or type(error).__name__


def cut(place: Place) -> ModelFailure:
    """The connection ended in the middle of the answer."""
    text = f"The connection to {place.host} was cut in the middle of the answer. What had arrived is kept; ask again."
    return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.PROVIDER_FAILED, again=True)


def malformed(place: Place) -> ModelFailure:
    """Not an answer of what was expected there."""
    text = f"{place.host} answered something that is not {place.speaks}: check the base URL."
    return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.BAD_ANSWER)


def refused(explanation: str = "") -> ModelFailure:
    """The model, or a filter before it, declined."""
    said = _said(explanation)
    return ModelFailure(ErrorKind.REFUSAL, f"The model declined to answer this. Ask differently, or start a new one with /new.{said}")


def window_full() -> ModelFailure:
    """There was no room for the whole answer."""
    return ModelFailure(ErrorKind.CONTEXT_LENGTH, _TOO_LONG)


def empty() -> ModelFailure:
    """A whole answer without anything in it."""
    return ModelFailure(ErrorKind.UNKNOWN, "The model gave an empty answer. Ask again, perhaps in other words.")


def nothing_before_the_limit() -> ModelFailure:
    """It reached its length limit while it was still thinking."""
    text = "The model reached the length limit before it said anything. Ask for less at a time, or choose less thinking with /think."
    return ModelFailure(ErrorKind.UNKNOWN, text)


def unreadable(model: str, what: str) -> ModelFailure:
    """Something was attached that this model cannot be given."""
    text = f"The model {model} cannot read {what}. Remove it, or choose another model with /model."
    return ModelFailure(ErrorKind.UNKNOWN, text)


def _said(message: str) -> str:
    flat = " ".join(scrub_text(message).split())
    if not flat:
        return ""
    return f" It said: {flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + '…'}"
