"""What the Anthropic SDK raises, in words for a person. Knows status codes and error types (platform.claude.com/docs/en/api/errors), and
nothing of the SDK itself, so that it costs nothing to import and is tested as a table.
"""

from __future__ import annotations

from dataclasses import dataclass

from moltbot_gateway.models.failure import ErrorKind, ModelFailure, Reason
from moltbot_trust.redaction import scrub_text

_SHOWN = 300
_TOO_LONG = "This conversation has become too long for the model. Start a new one with /new; this one stays readable until then."


@dataclass(frozen=True)
class Place:
    """Where the request went: for sentences that say what to check. `gateway`: an AI Gateway stands between."""

    model: str
    host: str
    gateway: bool = False


@dataclass(frozen=True)
class ApiError:
    """One error response, or one `error` event in a stream (`status` is 200 then)."""

    status: int
    type: str = ""
    message: str = ""
    retry_after: str = ""


def describe(error: ApiError, place: Place) -> ModelFailure:
    """An error that the provider told."""
    said = _said(error.message)
    match error.status, error.type:
        case (401, _) | (_, "authentication_error"):
            who = "The model's provider or the AI Gateway" if place.gateway else "The model's provider"
            keys = "the provider's key and the AI Gateway's token" if place.gateway else "ANTHROPIC_API_KEY"
            text = f"{who} did not accept the key. Correct {keys} in the Moltbot's Secret; the assistant takes it from there.{said}"
            return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.KEY_REFUSED)
        case (402, _) | (_, "billing_error"):
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
            return ModelFailure(ErrorKind.RATE_LIMIT, _rate_limited(error, said), reason=Reason.RATE_LIMITED, again=error.status == 200)
        case (529, _) | (_, "overloaded_error"):
            text = "The model's provider is overloaded. It was asked several times; ask again in a minute."
            return ModelFailure(ErrorKind.RATE_LIMIT, text, reason=Reason.OVERLOADED, again=error.status == 200)
        case (408 | 504, _) | (_, "timeout_error"):
            return timed_out(place)
        case (400, _) | (_, "invalid_request_error"):
            return _invalid(error, said)
        case (status, _) if 300 <= status < 400:
            text = f"{place.host} redirects elsewhere, and a key is not sent on: put the final address into the base URL."
            return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.PROVIDER_FAILED)
        case (status, _) if status >= 500 or status == 200:
            text = f"The model's provider failed ({status if status != 200 else error.type or 'error'}). Ask again in a minute.{said}"
            return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.PROVIDER_FAILED, again=status == 200)
        case _:
            return ModelFailure(
                ErrorKind.UNKNOWN, f"The model's provider refused the request ({error.status}).{said}", reason=Reason.PROVIDER_FAILED
            )


def _invalid(error: ApiError, said: str) -> ModelFailure:
    lower = error.message.lower()
    if "prompt is too long" in lower or "context window" in lower or "context limit" in lower:
        return ModelFailure(ErrorKind.CONTEXT_LENGTH, _TOO_LONG)
    if "credit balance" in lower or "spend limit" in lower or "usage limits" in lower:
        return ModelFailure(
            ErrorKind.UNKNOWN, f"The provider's account has no credit left, or reached its limit.{said}", reason=Reason.BILLING
        )
    # The request is ours, so the condition stays as it was: the next question may be fine.
    return ModelFailure(ErrorKind.UNKNOWN, f"The model's provider refused the request.{said}")


def _rate_limited(error: ApiError, said: str) -> str:
    wait = "in a minute"
    if error.retry_after.isdigit():
        wait = f"in {max(1, int(error.retry_after))} seconds"
    return f"The provider's limit for this key is reached. Ask again {wait}.{said}"


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


def cut(place: Place) -> ModelFailure:
    """The connection ended in the middle of the answer."""
    text = f"The connection to {place.host} was cut in the middle of the answer. What had arrived is kept; ask again."
    return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.PROVIDER_FAILED, again=True)


def malformed(place: Place) -> ModelFailure:
    """Not the Messages API's answer."""
    text = f"{place.host} answered something that is not the Messages API of Anthropic: check the base URL."
    return ModelFailure(ErrorKind.UNKNOWN, text, reason=Reason.BAD_ANSWER)


def stopped(stop_reason: str, *, has_text: bool, explanation: str = "") -> ModelFailure | None:
    """A stop reason that the person must be told of; `None` for an ordinary end with text."""
    match stop_reason:
        case "refusal":
            said = _said(explanation)
            return ModelFailure(
                ErrorKind.REFUSAL, f"The model declined to answer this. Ask differently, or start a new one with /new.{said}"
            )
        case "max_tokens":
            return ModelFailure(ErrorKind.UNKNOWN, "The answer reached the length limit and stops here. Say “go on” to have the rest.")
        case "model_context_window_exceeded":
            return ModelFailure(ErrorKind.CONTEXT_LENGTH, _TOO_LONG)
        case _ if not has_text:
            return ModelFailure(ErrorKind.UNKNOWN, "The model gave an empty answer. Ask again, perhaps in other words.")
        case _:
            return None


def _said(message: str) -> str:
    flat = " ".join(scrub_text(message).split())
    if not flat:
        return ""
    return f" It said: {flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + '…'}"
