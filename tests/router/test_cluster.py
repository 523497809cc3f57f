"""The router's view and writes over a Kubernetes API that is strict where the real one is, with the router's own rights (rules 2 and 3)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from moltbot_api.names import ANNOTATION_CERTIFICATE, ANNOTATION_HASH, child_labels, gateway_selector
from moltbot_kube import Kube, Object
from moltbot_kube.resources import MOLTBOT_DEVICES, MOLTBOT_SNAPSHOTS, MOLTBOTS, PODS, STATEFUL_SETS
from moltbot_local.clock import SystemClock as LocalClock
from moltbot_local.crd import install
from moltbot_local.definitions import crd_manifests
from moltbot_local.home import kubeconfig_text
from moltbot_local.local_api import open_api
from moltbot_router.cluster import KubeView, KubeWrites
from moltbot_router.locks.pairing import merged_approval
from moltbot_router.path.facts import Key, RequestFacts
from moltbot_router.path.ports import Action, Conflict, Denied, Missing, NewDevice, Unavailable

ADA = Key("default", "ada")
NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
DEVICE = NewDevice("d" * 64, "A" * 43, "phone", "iOS", "cli 1", RequestFacts("request-1", NOW, "operator", ("operator.read",)))


@dataclass
class Cluster:
    """`person` may do everything; `view` and `writes` have the router's rights."""

    person: Kube
    view: KubeView
    writes: KubeWrites

    async def until(self, condition: Any, seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def open_cluster(folder: Path) -> AsyncIterator[Cluster]:
    tokens = {name: f"token-of-{name}" for name in ("operator", "router", "person")}
    async with open_api(folder / "objects", LocalClock(), tokens) as api:
        for manifest in crd_manifests():
            install(api.store, manifest)
        api.store.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        configs = {}
        for name in ("router", "person"):
            path = folder / f"{name}.kubeconfig"
            path.write_text(kubeconfig_text(api.url, name, tokens[name], authority=api.authority))
            configs[name] = str(path)
        async with await Kube.connect(configs["person"]) as person, await Kube.connect(configs["router"]) as router:
            view = KubeView(router, ("default",))
            watching = asyncio.create_task(view.run())
            try:
                yield Cluster(person, view, KubeWrites(router, view))
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with open_cluster(tmp_path) as made:
        yield made


def moltbot_object(**spec: Any) -> Object:
    return {"apiVersion": MOLTBOTS.api_version, "kind": "Moltbot", "metadata": {"name": "ada", "namespace": "default"}, "spec": spec}


async def make_ada(cluster: Cluster, **spec: Any) -> str:
    made = await cluster.person.create(MOLTBOTS, moltbot_object(**spec), field_manager="person")
    await cluster.until(lambda: cluster.view.synced and cluster.view.instance(ADA) is not None)
    return str(made["metadata"]["uid"])


def owner(kind: str, name: str, uid: str, api_version: str) -> list[Object]:
    return [{"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}]


async def make_statefulset(cluster: Cluster, moltbot_uid: str, *, hashed: bool = True) -> str:
    labels = child_labels("ada", "gateway")
    body: Object = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": "ada-gateway",
            "namespace": "default",
            "labels": labels,
            "annotations": {ANNOTATION_HASH: "h"} if hashed else {},
            "ownerReferences": owner("Moltbot", "ada", moltbot_uid, MOLTBOTS.api_version),
        },
        "spec": {
            "replicas": 0,
            "serviceName": "ada-gateway",
            "selector": {"matchLabels": gateway_selector("ada")},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "gateway", "image": "x"}]}},
        },
    }
    made = await cluster.person.create(STATEFUL_SETS, body, field_manager="operator")
    return str(made["metadata"]["uid"])


async def make_pod(cluster: Cluster, statefulset_uid: str) -> None:
    body: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "ada-gateway-0",
            "namespace": "default",
            "labels": child_labels("ada", "gateway"),
            "annotations": {ANNOTATION_CERTIFICATE: "ab" * 32},
            "ownerReferences": owner("StatefulSet", "ada-gateway", statefulset_uid, "apps/v1"),
        },
        "spec": {"containers": [{"name": "gateway", "image": "x"}]},
    }
    await cluster.person.create(PODS, body, field_manager="controller")
    status = {"status": {"phase": "Running", "podIP": "10.1.2.3", "conditions": [{"type": "Ready", "status": "True"}]}}
    await cluster.person.patch(PODS, "ada-gateway-0", "default", status, field_manager="kubelet", subresource="status")


async def test_an_instance_is_only_what_the_moltbot_owns(cluster: Cluster) -> None:
    """Rule 3: a pod of the right name that somebody else made is not believed."""
    uid = await make_ada(cluster, sleepAfter="30m", exposure={"host": "ada.example.org"})
    statefulset = await make_statefulset(cluster, "another-uid")
    await make_pod(cluster, statefulset)
    await cluster.until(lambda: len(cluster.view._pods) == 1 and len(cluster.view._statefulsets) == 1)
    instance = cluster.view.instance(ADA)
    assert instance is not None
    assert instance.statefulset is None
    assert instance.pod is None
    assert (instance.moltbot.host, instance.moltbot.sleep_after) == ("ada.example.org", 1800)
    patch = {"metadata": {"ownerReferences": owner("Moltbot", "ada", uid, MOLTBOTS.api_version)}}
    await cluster.person.patch(STATEFUL_SETS, "ada-gateway", "default", patch, field_manager="operator")
    await cluster.until(lambda: getattr(cluster.view.instance(ADA), "pod", None) is not None)
    instance = cluster.view.instance(ADA)
    assert instance is not None
    assert instance.pod is not None
    assert (instance.pod.address, instance.pod.ready, instance.pod.fingerprint) == ("10.1.2.3", True, "ab" * 32)


async def test_one_is_written_by_scale_and_its_version_is_comparable(cluster: Cluster) -> None:
    """Rule 2."""
    uid = await make_ada(cluster)
    await make_statefulset(cluster, uid)
    version = await cluster.writes.scale_to_one(ADA)
    await cluster.until(lambda: _replicas(cluster) == 1)
    instance = cluster.view.instance(ADA)
    assert instance is not None
    assert instance.statefulset is not None
    assert instance.statefulset.version is not None
    assert version is not None
    assert version <= instance.statefulset.version
    # 1 over 1 changes nothing, the version neither.
    again = await cluster.writes.scale_to_one(ADA)
    assert again is not None
    assert again >= version
    with pytest.raises(Missing):
        await cluster.writes.scale_to_one(Key("default", "eve"))


def _replicas(cluster: Cluster) -> int:
    instance = cluster.view.instance(ADA)
    return instance.statefulset.replicas if instance is not None and instance.statefulset is not None else -1


async def test_actions_are_annotations_and_change_nothing_else(cluster: Cluster) -> None:
    """Rules 1 and 2: what the admission policy lets the router write."""
    await make_ada(cluster)
    before = await cluster.person.get(MOLTBOTS, "ada", "default")
    await cluster.writes.request_action(ADA, Action.RESTART, NOW)
    after = await cluster.person.get(MOLTBOTS, "ada", "default")
    assert before is not None
    assert after is not None
    assert after["metadata"]["annotations"]["moltbot.dev/restart"] == "2026-11-24T08:00:00.000000Z"
    assert after["spec"] == before["spec"]


async def test_a_snapshot_is_asked_for_by_an_object(cluster: Cluster) -> None:
    await make_ada(cluster)
    name = await cluster.writes.create_snapshot(ADA)
    made = await cluster.person.get(MOLTBOT_SNAPSHOTS, name, "default")
    assert made is not None
    assert made["spec"]["moltbot"] == "ada"
    assert "ownerReferences" not in made["metadata"]
    await cluster.until(lambda: [snapshot.name for snapshot in cluster.view.snapshots(ADA)] == [name])
    assert cluster.view.snapshots(ADA)[0].phase == "Pending"


async def test_a_device_from_its_first_request_to_its_removal(cluster: Cluster) -> None:
    uid = await make_ada(cluster)
    device = await cluster.writes.create_device(ADA, DEVICE)
    # What we wrote counts at once, before the watch tells it.
    assert cluster.view.devices(ADA) == [device]
    assert (device.state, device.request, device.generation) == ("pending", DEVICE.request, 0)
    stored = await cluster.person.get(MOLTBOT_DEVICES, device.object_name, "default")
    assert stored is not None
    assert stored["metadata"]["ownerReferences"][0]["uid"] == uid
    with pytest.raises(Conflict):
        await cluster.writes.create_device(ADA, DEVICE)
    approved = await cluster.writes.approve_device(ADA, device, merged_approval(device, "a person", NOW))
    assert approved.request is None
    assert approved.approved is not None
    assert approved.approved.scopes == ("operator.read",)
    with pytest.raises(Conflict):
        await cluster.writes.approve_device(ADA, device, merged_approval(device, "too late", NOW))
    raised = await cluster.writes.set_generation(ADA, approved, 3)
    assert raised.generation == 3
    with pytest.raises((Denied, Conflict)):
        await cluster.writes.set_generation(ADA, raised, 2)
    await cluster.writes.mark_seen(ADA, raised, NOW)
    seen = await cluster.writes.read_device(ADA, DEVICE.device_id)
    assert seen is not None
    assert (seen.last_seen, seen.first_seen, seen.shown_state) == (NOW, NOW, "Approved")
    with pytest.raises(Conflict):
        await cluster.writes.delete_device(ADA, device, unchanged=True)
    assert await cluster.writes.delete_device(ADA, seen, unchanged=False)
    assert not await cluster.writes.delete_device(ADA, seen, unchanged=False)
    assert await cluster.writes.read_device(ADA, DEVICE.device_id) is None
    await cluster.until(lambda: cluster.view.devices(ADA) == [])


async def test_a_device_of_an_earlier_moltbot_of_that_name_counts_for_nothing(cluster: Cluster) -> None:
    await make_ada(cluster)
    device = await cluster.writes.create_device(ADA, DEVICE)
    patch = {"metadata": {"ownerReferences": owner("Moltbot", "ada", "an-earlier-uid", MOLTBOTS.api_version)}}
    await cluster.person.patch(MOLTBOT_DEVICES, device.object_name, "default", patch, field_manager="person")
    await cluster.until(lambda: cluster.view.devices(ADA) == [])
    with pytest.raises(Conflict):
        await cluster.writes.read_device(ADA, DEVICE.device_id)


async def test_the_router_may_do_no_more_than_it_needs(cluster: Cluster) -> None:
    uid = await make_ada(cluster)
    await make_statefulset(cluster, uid)
    kube = cluster.writes._kube
    for call in (
        lambda: kube.delete(STATEFUL_SETS, "ada-gateway", "default"),
        lambda: kube.patch(STATEFUL_SETS, "ada-gateway", "default", {"spec": {"replicas": 1}}, field_manager="x"),
        lambda: kube.delete(MOLTBOTS, "ada", "default"),
    ):
        with pytest.raises(Exception, match=r"(?i)forbidden|may not"):
            await call()


async def test_an_api_that_does_not_answer_is_unavailable(cluster: Cluster, tmp_path: Path) -> None:
    await make_ada(cluster)
    config = (tmp_path / "router.kubeconfig").read_text()
    (tmp_path / "nobody.kubeconfig").write_text(re.sub(r"https://127\.0\.0\.1:[0-9]+", "https://127.0.0.1:1", config))
    async with await Kube.connect(str(tmp_path / "nobody.kubeconfig")) as kube:
        writes = KubeWrites(kube, cluster.view)
        with pytest.raises(Unavailable):
            await writes.scale_to_one(ADA)
        with pytest.raises(Unavailable):
            await writes.read_device(ADA, DEVICE.device_id)


async def test_a_new_request_of_an_approved_device_keeps_the_grant(cluster: Cluster) -> None:
    await make_ada(cluster)
    device = await cluster.writes.create_device(ADA, DEVICE)
    approved = await cluster.writes.approve_device(ADA, device, merged_approval(device, "a person", NOW))
    more = replace(DEVICE.request, id="request-2", scopes=("operator.admin",))
    asking = await cluster.writes.ask_device(ADA, approved, more)
    assert asking.approved == approved.approved
    assert asking.request == more
    both = await cluster.writes.approve_device(ADA, asking, merged_approval(asking, "a person", NOW))
    assert both.approved is not None
    assert both.approved.scopes == ("operator.read", "operator.admin")
    gone = await cluster.writes.ask_device(ADA, await cluster.writes.ask_device(ADA, both, more), None)
    assert gone.request is None
