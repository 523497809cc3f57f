"""The edges of the state container: its control server, its metrics, and the gateway's control as it calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aiohttp import web

from moltbot_state.container import Container, NotOpen
from moltbot_state.errors import BackupFailed, StateError
from moltbot_state.settings import StateSettings
from moltbot_trust.assertions import Assertion
from moltbot_trust.control import Call, ControlClient, ControlError, JsonObject, Refusal, Refused, control_application
from moltbot_trust.keys import KeyRing, Purpose
from moltbot_trust.logs import get_logger
from moltbot_trust.tls import fingerprint_of, server_context

# A database of gigabytes is copied in steps between which the gateway goes on.
STAGE_SECONDS = 300.0
log = get_logger("moltbot_state.control")
REASONS = frozenset({"scheduled", "final", "requested", "restart"})


class GatewayControl:
    """The gateway beside us."""

    def __init__(self, settings: StateSettings, ring: KeyRing) -> None:
        self._client = ControlClient(
            settings.gateway_url,
            fingerprint_of(settings.tls_certificate.reveal()),
            ring,
            Purpose.STATE_GATEWAY,
            f"pod:{settings.pod_uid}",
            timeout_seconds=STAGE_SECONDS,
        )

    async def stage(self, stage_id: str, unless: str | None) -> tuple[str, str | None]:
        """As `container.Gateway`."""
        try:
            answer = await self._client.post("/stage", {"id": stage_id, "unless": unless})
        except Refused as error:
            raise BackupFailed(f"The gateway did not copy its database: {error.message or error.error}") from error
        except ControlError as error:
            raise BackupFailed(f"The gateway did not copy its database: {error}") from error
        change, path = answer.get("change"), answer.get("path")
        if not isinstance(change, str) or len(change) > 256 or not (path is None or isinstance(path, str)):
            raise BackupFailed("The gateway's answer to stage is not what it should be.")
        return change, path

    async def close(self) -> None:
        await self._client.close()


def calls(container: Container, leave: Callable[[], None]) -> Sequence[Call]:
    """Every control call. `leave`: has the process exit, soon after the answer."""

    async def report(_body: JsonObject, _caller: Assertion) -> JsonObject:
        return await container.report()

    async def restored(_body: JsonObject, _caller: Assertion) -> JsonObject:
        return await container.restored()

    async def snapshot(body: JsonObject, caller: Assertion) -> JsonObject:
        reason = body.get("reason")
        if reason not in REASONS:
            raise Refusal(400, "bad-request", f"reason is one of {', '.join(sorted(REASONS))}")
        if caller.purpose is Purpose.BACKUP_STATE and reason != "scheduled":
            raise Refusal(400, "bad-request", "the backup asks for scheduled snapshots")
        try:
            return await container.snapshot(str(reason))
        except NotOpen:
            raise Refusal(409, "restoring", f"The state is not open yet: {container.choice.message}") from None
        except StateError as error:
            raise Refusal(503, error.reason, error.message) from error

    async def exit_(_body: JsonObject, _caller: Assertion) -> JsonObject:
        leave()
        return {"exiting": True}

    operator = frozenset({Purpose.OPERATOR_STATE})
    return (
        Call("GET", "/report", operator, report),
        Call("POST", "/snapshot", operator | {Purpose.BACKUP_STATE}, snapshot),
        Call("GET", "/restored", frozenset({Purpose.GATEWAY_STATE}), restored),
        Call("POST", "/exit", operator, exit_),
    )


async def serve(container: Container, settings: StateSettings, ring: KeyRing, leave: Callable[[], None]) -> web.AppRunner:
    """Listen on the pod's address; the caller cleans the runner up. Raises OSError when the port is taken."""
    pod = f"pod:{settings.pod_uid}"
    audiences = {
        Purpose.OPERATOR_STATE: pod,
        Purpose.GATEWAY_STATE: pod,
        Purpose.BACKUP_STATE: f"moltbot:{settings.uid}",
    }
    application = control_application(calls(container, leave), ring, audiences)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    context = server_context(settings.tls_certificate.reveal(), settings.tls_private_key.reveal())
    try:
        await web.TCPSite(runner, settings.pod_ip, settings.listen_control_port, ssl_context=context).start()
    except OSError:
        await runner.cleanup()
        raise
    log.info("listening", address=settings.pod_ip, port=runner.addresses[0][1])
    return runner


async def serve_metrics(container: Container, settings: StateSettings) -> web.AppRunner | None:
    """Plain metrics, on their own port; None when they are off."""
    if not settings.metrics_port:
        return None

    async def metrics(_request: web.Request) -> web.Response:
        content = await asyncio.to_thread(_render, container)
        return web.Response(body=content, content_type="text/plain", charset="utf-8")

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, settings.pod_ip, settings.metrics_port).start()
    return runner


def _render(container: Container) -> bytes:
    # Imported at the first scrape: it is not needed to wake up.
    from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

    registry = CollectorRegistry()
    Gauge("moltbot_state_open", "1 while the state is open.", registry=registry).set(container.opened.is_set())
    snapshots = Counter("moltbot_state_snapshots", "Snapshots asked for, by result.", ["result"], registry=registry)
    counters = container.counters
    for result, count in (("created", counters.created), ("unchanged", counters.unchanged), ("failed", counters.failed)):
        snapshots.labels(result).inc(count)
    equal = container.last_equal.timestamp() if container.last_equal else 0
    Gauge("moltbot_state_last_equal_timestamp_seconds", "When the bucket was last found equal to the state.", registry=registry).set(equal)
    restored = container.counters.timings.get("restoredMs", 0) / 1000
    Gauge("moltbot_state_restore_seconds", "From start to open.", registry=registry).set(restored)
    content: bytes = generate_latest(registry)
    return content
