"""Kopf, used as informer only: what it sees goes into `World`, and the key of the Moltbot into the work queue.

It runs on an event loop of its own, in a thread: at its end it cancels every task of its loop that it does not know ("the loop is not fully
ours", says its source), and it takes the signals over where it can. What it sees is handed over in order.

No Kopf handler changes anything, so it writes nothing: no finalizers, no progress, no peering, no events. The index functions are
the barrier: Kopf runs `on.event` only once everything of every kind was listed and indexed, so the first reconcile sees a whole world.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import kopf
from kopf._core.engines.peering import Identity

from moltbot_api.names import LABEL_MANAGED_BY, LABEL_NAME, MANAGED_BY
from moltbot_kube import Connection, Object, Resource
from moltbot_kube.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    MOLTBOT_SNAPSHOTS,
    MOLTBOTS,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
)
from moltbot_operator.lifecycle.observed import Key
from moltbot_operator.world import World, moltbot_of

# Kopf waits for its own tasks at its end (seconds); more than that is not waited for.
STOP_SECONDS = 10.0
# Children are told by their label; pods bear it from the template.
CHILDREN: tuple[Resource, ...] = (
    STATEFUL_SETS,
    PODS,
    SERVICES,
    SERVICE_ACCOUNTS,
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    CRON_JOBS,
    NETWORK_POLICIES,
)


Post = Callable[[Callable[[], object]], None]


def build_registry(world: World, enqueue: Callable[[Key], None], connection: Connection, post: Post) -> kopf.OperatorRegistry:
    """Handlers of every kind that is followed. `post` has the owner of `world` and the queue call something, in the order of the calls."""
    registry = kopf.OperatorRegistry()

    def follow(resource: Resource, key_of: Callable[[Object], Key | None], labels: dict[str, Any] | None) -> None:
        def seen(body: kopf.Body, **_: object) -> None:
            obj = _plain(body)
            post(lambda: world.put(resource, obj))

        async def told(event: kopf.RawEvent, **_: object) -> None:
            obj: Object = dict(event["object"])
            if event["type"] == "DELETED":
                post(lambda: world.drop(resource, obj))
            key = key_of(obj)
            if key is not None:
                post(lambda: enqueue(key))

        where = (resource.group, resource.version, resource.plural)
        kopf.index(*where, id=f"seen-{resource.plural}", labels=labels, registry=registry)(seen)
        kopf.on.event(*where, id=f"told-{resource.plural}", labels=labels, registry=registry)(told)

    follow(MOLTBOTS, _of_moltbot, None)
    follow(MOLTBOT_SNAPSHOTS, _of_snapshot, None)
    for resource in CHILDREN:
        follow(resource, moltbot_of, {LABEL_NAME: kopf.PRESENT, LABEL_MANAGED_BY: MANAGED_BY})

    @kopf.on.login(registry=registry)
    async def login(**_: object) -> kopf.ConnectionInfo:
        return await connection_info(connection)

    return registry


def _of_moltbot(obj: Object) -> Key | None:
    return Key(str(obj["metadata"]["namespace"]), str(obj["metadata"]["name"]))


def _of_snapshot(obj: Object) -> Key | None:
    name = (obj.get("spec") or {}).get("moltbot")
    return Key(str(obj["metadata"]["namespace"]), str(name)) if name else None


def _plain(body: kopf.Body) -> Object:
    """The raw object behind Kopf's view."""
    return {str(name): value for name, value in body.items()}


async def connection_info(connection: Connection) -> kopf.ConnectionInfo:
    """Kopf's credentials, from the same source as ours; it asks again when they are refused, which renews a rotated token."""
    configuration = connection.configuration
    value = ""
    for setting in (await configuration.auth_settings()).values():
        value = str(setting["value"])
    scheme, _, token = value.partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme=scheme.capitalize() or None,
        token=token or None,
        default_namespace=connection.namespace,
        # asked again before a projected token is over (an hour, renewed by the kubelet at 80 %)
        expiration=None,
    )


def build_settings() -> kopf.OperatorSettings:
    """Kopf's settings, those that matter (docs/adr): it informs, and does nothing else."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # no watching of CRDs and namespaces: kinds are fixed, new namespaces come with their objects
    settings.watching.server_timeout = 600
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    for resource in CHILDREN:
        # the API server leaves out what is not ours: in a large cluster nearly every pod and ConfigMap
        settings.watching.label_selectors[resource.group, resource.version, resource.plural] = (
            f"{LABEL_NAME},{LABEL_MANAGED_BY}={MANAGED_BY}"
        )
    settings.networking.request_timeout = 30
    settings.persistence.finalizer = "moltbot.dev/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="moltbot.dev")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="moltbot.dev", key="seen")
    return settings


class Informer:
    """Kopf in its thread."""

    def __init__(self, world: World, enqueue: Callable[[Key], None], connection: Connection, namespaces: Sequence[str]) -> None:
        self._world, self._enqueue, self._connection, self._namespaces = world, enqueue, connection, namespaces
        self._stop = threading.Event()
        self.started = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop`. Raises what ends Kopf (a watch that is refused, say): the process is then to be started again."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def post(call: Callable[[], object]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is interested any more
                loop.call_soon_threadsafe(call)

        def end(error: BaseException | None) -> None:
            if ended.done():
                return
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        def follow() -> None:
            try:
                asyncio.run(self._follow(post))
            except BaseException as error:  # noqa: BLE001 - a thread's boundary: it is raised where the thread is awaited
                failure = error if isinstance(error, Exception) else RuntimeError(f"the informer ended: {error!r}")
                post(lambda: end(failure))
            else:
                post(lambda: end(None))

        threading.Thread(target=follow, name="informer", daemon=True).start()
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            self._stop.set()
        async with asyncio.timeout(STOP_SECONDS):
            await ended
        if not stop.is_set():
            raise RuntimeError("the informer ended by itself")

    async def _follow(self, post: Post) -> None:
        registry = build_registry(self._world, self._enqueue, self._connection, post)

        @kopf.on.startup(registry=registry)
        async def started(**_: object) -> None:
            post(self.started.set)

        logging.getLogger("kopf").setLevel(logging.WARNING)
        # it says that it cannot take the signals over, which is what its thread is for
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
        await kopf.operator(
            registry=registry,
            settings=build_settings(),
            clusterwide=not self._namespaces,
            namespaces=list(self._namespaces),
            standalone=True,
            # Kopf would name us after the user, and in the image the user has no name
            identity=Identity("moltbot-operator"),
            stop_flag=self._stop,
        )
