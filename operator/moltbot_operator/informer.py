"""Kopf, used as informer and host only: what it sees goes into `World`, and the key of the Moltbot into the work queue.

No Kopf handler changes anything, so it writes nothing: no finalizers, no progress, no peering, no events. The index functions are
the barrier: Kopf runs `on.event` only once everything of every kind was listed and indexed, so the first reconcile sees a whole world.
"""

from __future__ import annotations

import asyncio
import logging
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
OWN: tuple[Resource, ...] = (MOLTBOTS, MOLTBOT_SNAPSHOTS)


def build_registry(world: World, enqueue: Callable[[Key], None], connection: Connection) -> kopf.OperatorRegistry:
    """Handlers of every kind that is followed."""
    registry = kopf.OperatorRegistry()

    def follow(resource: Resource, key_of: Callable[[Object], Key | None], labels: dict[str, Any] | None) -> None:
        def seen(body: kopf.Body, **_: object) -> None:
            world.put(resource, _plain(body))

        async def told(event: kopf.RawEvent, **_: object) -> None:
            obj: Object = dict(event["object"])
            if event["type"] == "DELETED":
                world.drop(resource, obj)
            key = key_of(obj)
            if key is not None:
                enqueue(key)

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


async def run_informer(registry: kopf.OperatorRegistry, namespaces: Sequence[str], *, ready: asyncio.Event, stop: asyncio.Event) -> None:
    """Follow until `stop`. Raises what ends Kopf: the process is then to be restarted."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    await kopf.operator(
        registry=registry,
        settings=build_settings(),
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        standalone=True,
        # only peering uses it, and the user id of a pod has no name from which Kopf could make one
        identity=Identity("moltbot-operator"),
        ready_flag=ready,
        stop_flag=stop,
    )
