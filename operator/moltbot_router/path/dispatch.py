"""What becomes of one request frame: the method table applied to who asks and to where the Moltbot is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from moltbot_protocol.errors import ErrorCode, ErrorShape, ParamsError, unavailable
from moltbot_protocol.frames import Request
from moltbot_protocol.methods import Answers, Asleep, Method, find_method, missing_scope, unknown_method
from moltbot_router.path.readiness import Readiness, Why


class Route(Enum):
    """Where a frame goes."""

    REFUSE = auto()
    ROUTER = auto()  # the router's own method
    FORWARD = auto()  # to the pod, which is awake
    HOLD = auto()  # kept until the pod is awake; it is woken
    STATUS = auto()  # answered from the resource's status


@dataclass(frozen=True, slots=True)
class Routing:
    """`error` with REFUSE, `method` with every other."""

    route: Route
    method: Method | None = None
    error: ErrorShape | None = None


def decide_frame(request: Request, *, role: str, scopes: tuple[str, ...], protocol: int, readiness: Readiness, why: Why) -> Routing:
    """`why` is told where the answer is that it does not answer now."""
    method = find_method(request.method)
    if method is None:
        return Routing(Route.REFUSE, error=unknown_method(request.method))
    if method.name == "connect":
        return Routing(Route.REFUSE, error=ErrorShape(ErrorCode.INVALID_REQUEST, "connect is only valid as the first request"))
    refusal = missing_scope(method, role, scopes, protocol)
    if refusal is not None:
        return Routing(Route.REFUSE, error=refusal)
    try:
        method.params.check(request.params)
    except ParamsError as error:
        return Routing(Route.REFUSE, error=ErrorShape(ErrorCode.INVALID_REQUEST, f"invalid {method.name} params: {error.message}"))
    if method.answers is Answers.ROUTER:
        return Routing(Route.ROUTER, method)
    if readiness is Readiness.AWAKE:
        return Routing(Route.FORWARD, method)
    return _asleep(method, readiness, why)


def _asleep(method: Method, readiness: Readiness, why: Why) -> Routing:
    match method.asleep:
        case Asleep.STATUS:
            return Routing(Route.STATUS, method)
        case Asleep.WAKE:
            if readiness in (Readiness.SUSPENDED, Readiness.DELETING):
                return Routing(Route.REFUSE, error=ErrorShape(ErrorCode.UNAVAILABLE, why.message, {"reason": why.reason}))
            return Routing(Route.HOLD, method)
        case Asleep.UNAVAILABLE | Asleep.ROUTER:
            # Not woken for a read: an open tab asks for something every few seconds (rule 6).
            words = "It is asleep. Looking does not wake it, a message does." if readiness is Readiness.ASLEEP else why.message
            return Routing(Route.REFUSE, error=unavailable(words, retry_after_ms=2000, details={"asleep": True, "reason": why.reason}))


def decide_without_upstream(method: Method, readiness: Readiness, why: Why) -> Routing:
    """A frame that was on its way to an awake pod, which is awake no more."""
    return _asleep(method, readiness, why)
