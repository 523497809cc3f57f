"""What is done with one frame: known? allowed? well-formed? now? — then its handler, and its answer. In this order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from moltbot_gateway.activity import Kind
from moltbot_gateway.errors import InvalidRequest, StateError, Unavailable
from moltbot_gateway.gateway import Gateway
from moltbot_gateway.handshake import State
from moltbot_gateway.hub import Listener
from moltbot_gateway.methods import HANDLERS
from moltbot_gateway.methods.context import Context
from moltbot_protocol.errors import ErrorCode, ErrorShape, ParamsError, not_accepted, unavailable
from moltbot_protocol.frames import Request, Response, answer, refuse
from moltbot_protocol.methods import Answers, find_method, missing_scope, unknown_method
from moltbot_trust.logs import get_logger
from moltbot_trust.seals import Seal

log = get_logger("moltbot_gateway.dispatch")

PROTOCOL = 4


@dataclass(frozen=True)
class Caller:
    """Who sent the frame, and where events for them go."""

    seal: Seal
    listener: Listener


async def dispatch(gateway: Gateway, caller: Caller, request: Request) -> Response:
    """Never raises but for cancellation."""
    method = find_method(request.method)
    handler = HANDLERS.get(request.method)
    if method is None or handler is None or method.answers is not Answers.GATEWAY:
        return _refuse(gateway, request, unknown_method(request.method))
    forbidden = missing_scope(method, caller.seal.role, caller.seal.scopes, PROTOCOL)
    if forbidden is not None:
        return _refuse(gateway, request, forbidden)
    try:
        params = method.params.check(request.params)
    except ParamsError as error:
        return _refuse(gateway, request, ErrorShape(ErrorCode.INVALID_REQUEST, f"invalid {method.name} params: {error.message}"))
    match gateway.state:
        case State.RESTORING:
            return _refuse(gateway, request, unavailable("the assistant is still being brought back", retry_after_ms=250))
        case State.COMMITTED:
            return _refuse(gateway, request, not_accepted(gateway.handshake.quiesce_id or ""))
        case State.OPEN | State.QUIESCED:
            pass
    context = Context(gateway, caller.seal, caller.listener, params)
    try:
        if method.activity:
            # No await between being admitted and being busy.
            refused = gateway.admit()
            if refused is not None:
                return _refuse(gateway, request, not_accepted(refused.id))
            with gateway.work(Kind.MESSAGE if method.name == "chat.send" else Kind.REQUEST):
                payload = await handler(context)
        else:
            payload = await handler(context)
    except InvalidRequest as error:
        return _refuse(gateway, request, ErrorShape(ErrorCode.INVALID_REQUEST, str(error)))
    except Unavailable as error:
        return _refuse(gateway, request, unavailable(str(error), retry_after_ms=error.retry_after_ms, details=error.details))
    except StateError as error:
        log.error("database failed", method=method.name, reason=str(error))  # noqa: TRY400 - the reason says it all
        return _refuse(gateway, request, unavailable(str(error)))
    except asyncio.CancelledError:
        raise
    except Exception:  # an entry point: logged here, told to the caller as ours
        log.exception("method failed", method=method.name)
        return _refuse(gateway, request, ErrorShape(ErrorCode.UNAVAILABLE, "something went wrong inside the assistant; its log says what"))
    gateway.measurements.count_request("ok")
    return answer(request.id, payload)


def _refuse(gateway: Gateway, request: Request, error: ErrorShape) -> Response:
    gateway.measurements.count_request(str(error.code))
    return refuse(request.id, error)
