"""The operator in this process against the miniature API server and its controllers. There is no kubelet: a test plays the pod."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from moltbot_kube import Kube, Object, Resource, connect
from moltbot_kube.resources import DEPLOYMENTS, EVENTS, MOLTBOTS, NAMESPACES, SECRETS, resource_of
from moltbot_local.clock import SystemClock as LocalClock
from moltbot_local.controllers import open_controllers
from moltbot_local.crd import install
from moltbot_local.definitions import crd_manifests
from moltbot_local.home import kubeconfig_text
from moltbot_local.local_api import open_api
from moltbot_local.store import Store
from moltbot_operator.app import Operator
from moltbot_operator.cluster_facts import ClusterFacts
from moltbot_operator.keys import bootstrap_keys
from moltbot_operator.lifecycle.observed import Key
from moltbot_operator.settings import Settings
from moltbot_trust.clock import SystemClock

OPERATOR_NAMESPACE = "moltbot-system"
SECONDS = 15.0


class CountingKube(Kube):
    """Counts what is written, by `VERB path`; the operator's own Lease is not of these tests."""

    written: list[str]

    async def request(self, method: str, path: str, **options: Any) -> Object:
        if method != "GET":
            self.written.append(f"{method} {path}")
        return await super().request(method, path, **options)


@dataclass
class Cluster:
    """A place to run operators against: `person` may do everything, `operator_config` is the operator's kubeconfig."""

    person: Kube
    operator_config: str
    store: Store | None
    namespace: str = "default"

    async def apply(self, *manifests: Object) -> list[Object]:
        made = []
        for manifest in manifests:
            manifest["metadata"].setdefault("namespace", self.namespace)
            made.append(await self.person.apply(resource_of(manifest), manifest, field_manager="person"))
        return made

    async def moltbot(self, name: str = "ada", spec: Object | None = None, **metadata: Any) -> Object:
        body = {"apiVersion": MOLTBOTS.api_version, "kind": "Moltbot", "metadata": {"name": name, **metadata}, "spec": spec or {}}
        return (await self.apply(body))[0]

    async def secret(self, name: str, values: Mapping[str, str]) -> Object:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        return (await self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}))[0]

    async def get(self, resource: Resource, name: str) -> Object:
        found = await self.person.get(resource, name, self.namespace)
        assert found is not None, f"{resource.kind} {name} is not there"
        return found

    async def secret_text(self, name: str, key: str) -> str:
        return base64.b64decode((await self.get(SECRETS, name))["data"][key]).decode()

    async def until(self, resource: Resource, name: str, condition: Callable[[Object | None], object], seconds: float = SECONDS) -> Object:
        """Until the object is so, asked again and again; fails with the object as it is."""
        deadline, found = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            found = await self.person.get(resource, name, self.namespace)
            if condition(found):
                return found or {}
            await asyncio.sleep(0.03)
        raise AssertionError(f"{resource.kind} {name} did not become so within {seconds} s: {found}")

    async def condition(self, type_: str, reason: str, name: str = "ada") -> Object:
        """Until that condition has that reason; the condition."""
        moltbot = await self.until(MOLTBOTS, name, lambda found: (condition_of(found, type_) or {}).get("reason") == reason)
        found = condition_of(moltbot, type_)
        assert found is not None
        return found

    async def events(self, reason: str) -> list[Object]:
        return [one for one in (await self.person.list(EVENTS, self.namespace)).items if one.get("reason") == reason]


def condition_of(moltbot: Object | None, type_: str) -> Object | None:
    conditions = ((moltbot or {}).get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == type_), None)


@dataclass
class Running:
    operator: Operator
    kube: CountingKube
    task: asyncio.Task[None]
    stop: asyncio.Event
    namespace: str

    @property
    def written(self) -> list[str]:
        return self.kube.written

    async def quiet(self, seconds: float = SECONDS) -> None:
        """Until it knows every Moltbot that there is, nothing waits, nothing is in work, and what was told is written."""
        deadline, calm = time.monotonic() + seconds, 0
        there = {one["metadata"]["uid"] for one in (await self.kube.list(MOLTBOTS, self.namespace)).items}
        while calm < 5:
            assert time.monotonic() < deadline, "the operator does not come to rest"
            assert not self.task.done(), self.task.result()
            known = {one["metadata"]["uid"] for one in self.operator.world.all(MOLTBOTS)}
            calm = calm + 1 if there <= known and self.operator.queue.idle else 0
            await asyncio.sleep(0.03)
        await self.operator.events.flush()

    async def reconcile(self, times: int, name: str = "ada") -> None:
        for _ in range(times):
            self.operator.queue.add(Key(self.namespace, name))
            await self.quiet()


@asynccontextmanager
async def local_cluster(folder: Path, *, storage_class: bool = True) -> AsyncIterator[Cluster]:
    tokens = {name: f"token-of-{name}" for name in ("operator", "router", "person")}
    async with open_api(folder / "objects", LocalClock(), tokens) as api:
        for manifest in crd_manifests():
            install(api.store, manifest)
        for namespace in ("default", "kube-system", OPERATOR_NAMESPACE):
            if api.store.entry("namespaces", namespace) is None:
                api.store.create("namespaces", {"metadata": {"name": namespace}})
        if not storage_class:
            api.store.delete("storageclasses.storage.k8s.io", "standard")
        configs = {}
        for name, token in tokens.items():
            path = folder / f"{name}.kubeconfig"
            path.write_text(kubeconfig_text(api.url, name, token, authority=api.authority))
            configs[name] = str(path)
        controllers = asyncio.create_task(open_controllers(api.store, LocalClock(), folder).run())
        async with await Kube.connect(configs["person"]) as person:
            try:
                yield Cluster(person, configs["operator"], api.store)
            finally:
                controllers.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await controllers


@asynccontextmanager
async def real_cluster() -> AsyncIterator[Cluster]:
    """The cluster of KUBECONFIG, in a namespace of its own; the CRDs are installed when they are missing."""
    import uuid

    name = f"mb-{uuid.uuid4().hex[:8]}"
    async with await Kube.connect() as person:
        if any(one["metadata"]["name"] == "moltbot-operator" for one in (await person.list(DEPLOYMENTS)).items):
            pytest.skip("an operator is installed there, and would look after the same Moltbots")
        for manifest in crd_manifests():
            await person.apply(resource_of(dict(manifest)), dict(manifest), field_manager="tests")
        await person.create(NAMESPACES, {"metadata": {"name": name}}, field_manager="tests")
        try:
            yield Cluster(person, "", None, name)
        finally:
            await person.delete(NAMESPACES, name)


@asynccontextmanager
async def running(cluster: Cluster, **settings: Any) -> AsyncIterator[Running]:
    """One operator process's worth, without Lease and probes."""
    own = OPERATOR_NAMESPACE if cluster.store is not None else cluster.namespace
    given: dict[str, Any] = {"namespace": own, "watch_namespaces": (cluster.namespace,), "gateway_image": "gateway:test", "workers": 4}
    kube = CountingKube(await connect(cluster.operator_config or None))
    kube.written = []
    clock, stop = SystemClock(), asyncio.Event()
    facts = ClusterFacts(kube, clock)
    await facts.read()
    keys = await bootstrap_keys(kube, own)
    operator = Operator(kube, Settings(**(given | settings)), clock, keys=keys, facts=facts)
    task = asyncio.create_task(operator.run(stop))
    run = Running(operator, kube, task, stop, cluster.namespace)
    try:
        yield run
    finally:
        stop.set()
        try:
            async with asyncio.timeout(SECONDS):
                await task
        finally:
            await kube.close()
