"""Garbage collection, namespaces and claims, on a store; the test plays the kubelet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moltbot_local.claims import claim_directory
from moltbot_local.controllers.claim import ClaimController
from moltbot_local.controllers.expiry import EventExpiry
from moltbot_local.controllers.garbage import GarbageCollector
from moltbot_local.controllers.namespace import NamespaceController
from tests.local.machine import Cluster, bind, pod, python


def config_map(name: str, owner: dict[str, Any] | None = None, namespace: str = "default", **more: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": namespace}
    if owner is not None:
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        meta["ownerReferences"] = [{**reference, **more}]
    return {"metadata": meta}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(GarbageCollector, NamespaceController)


def names(cluster: Cluster) -> list[str]:
    return [c["metadata"]["name"] for c in cluster.store.list("configmaps", "default")]


def family(cluster: Cluster) -> None:
    parent = cluster.store.create("configmaps", config_map("parent"))
    child = cluster.store.create("configmaps", config_map("child", parent, blockOwnerDeletion=True))
    cluster.store.create("configmaps", config_map("grandchild", child))
    cluster.step()
    assert names(cluster) == ["child", "grandchild", "parent"]


@pytest.mark.parametrize("propagation", ["Background", "Foreground", None])
def test_dependents_go_with_their_owner(cluster: Cluster, propagation: str | None) -> None:
    family(cluster)
    cluster.store.delete("configmaps", "parent", "default", propagation=propagation)
    cluster.step()
    assert names(cluster) == []


def test_orphans_stay_and_lose_their_reference(cluster: Cluster) -> None:
    family(cluster)
    cluster.store.delete("configmaps", "parent", "default", propagation="Orphan")
    cluster.step()
    assert names(cluster) == ["child", "grandchild"]
    assert "ownerReferences" not in cluster.store.get("configmaps", "child", "default")["metadata"]


def test_in_the_foreground_the_owner_waits_for_a_dependent_with_a_finalizer(cluster: Cluster) -> None:
    family(cluster)
    cluster.store.patch("configmaps", "child", "default", {"metadata": {"finalizers": ["x/y"]}})
    cluster.store.delete("configmaps", "parent", "default", propagation="Foreground")
    cluster.step()
    assert names(cluster) == ["child", "grandchild", "parent"]  # the grandchild blocks nobody: it goes after the child
    cluster.store.patch("configmaps", "child", "default", {"metadata": {"finalizers": None}})
    cluster.step()
    assert names(cluster) == []


def test_a_reference_to_an_owner_of_another_uid_is_to_nobody(cluster: Cluster) -> None:
    family(cluster)
    stale = config_map("stale", cluster.store.get("configmaps", "parent", "default"))
    stale["metadata"]["ownerReferences"][0]["uid"] = "00000000-0000-0000-0000-000000000000"
    cluster.store.create("configmaps", stale)
    cluster.step()
    assert "stale" not in names(cluster)


def test_one_of_two_owners_keeps_it(cluster: Cluster) -> None:
    one, two = (cluster.store.create("configmaps", config_map(name)) for name in ("one", "two"))
    both = config_map("both", one)
    both["metadata"]["ownerReferences"] += config_map("both", two)["metadata"]["ownerReferences"]
    cluster.store.create("configmaps", both)
    cluster.step()
    cluster.store.delete("configmaps", "one", "default")
    cluster.step()
    assert [r["name"] for r in cluster.store.get("configmaps", "both", "default")["metadata"]["ownerReferences"]] == ["two"]


def test_an_owner_deleted_while_nobody_looked_is_noticed_after_a_restart(cluster: Cluster) -> None:
    family(cluster)
    cluster.store.delete("configmaps", "parent", "default")
    cluster.restart()
    cluster.step()
    assert names(cluster) == []


def test_every_namespace_has_its_default_service_account(cluster: Cluster) -> None:
    cluster.step()
    cluster.store.delete("serviceaccounts", "default", "default")
    cluster.step()
    assert cluster.store.find("serviceaccounts", "default", "default") is not None


def test_a_namespace_goes_when_its_content_is_gone_and_says_what_it_waits_for(cluster: Cluster) -> None:
    cluster.store.create("namespaces", {"metadata": {"name": "team"}, "spec": {"finalizers": ["kubernetes"]}})
    cluster.store.create("configmaps", config_map("a", namespace="team"))
    held = config_map("b", namespace="team")
    held["metadata"]["finalizers"] = ["moltbot.dev/data"]
    cluster.store.create("configmaps", held)
    cluster.store.delete("namespaces", "team")
    cluster.step()
    assert [c["metadata"]["name"] for c in cluster.store.list("configmaps", "team")] == ["b"]
    conditions = {c["type"]: c for c in cluster.store.get("namespaces", "team")["status"]["conditions"]}
    assert "moltbot.dev/data in 1 resource instances" in conditions["NamespaceFinalizersRemaining"]["message"]
    cluster.store.patch("configmaps", "b", "team", {"metadata": {"finalizers": None}})
    cluster.step()
    assert cluster.store.find("namespaces", "team") is None


def claims(data: Path) -> Cluster:
    return Cluster(lambda store, clock: ClaimController(store, clock, data))


def storage_class(cluster: Cluster) -> None:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    standard = {"metadata": {"name": "standard", "annotations": annotations}, "provisioner": "moltbot.dev/directory"}
    cluster.store.create("storageclasses.storage.k8s.io", standard)


def claim(**spec: Any) -> dict[str, Any]:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"metadata": {"name": "c", "namespace": "default"}, "spec": wanted}


def test_a_claim_is_bound_to_a_directory_and_its_data_goes_with_it(tmp_path: Path) -> None:
    cluster = claims(tmp_path)
    storage_class(cluster)
    made = cluster.store.create("persistentvolumeclaims", claim())
    cluster.step()
    found = cluster.store.get("persistentvolumeclaims", "c", "default")
    assert (found["status"]["phase"], found["status"]["capacity"]) == ("Bound", {"storage": "1Gi"})
    directory = claim_directory(tmp_path, made)
    (directory / "memory").write_text("dear")
    cluster.store.delete("persistentvolumeclaims", "c", "default")
    cluster.step()
    assert cluster.store.find("persistentvolumeclaims", "c", "default") is None
    assert list((tmp_path / "claims").iterdir()) == []


def test_a_claim_in_use_keeps_its_data_until_the_pod_is_gone(tmp_path: Path) -> None:
    cluster = claims(tmp_path)
    storage_class(cluster)
    made = cluster.store.create("persistentvolumeclaims", claim())
    user = pod("p", python("pass"), volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
    cluster.store.create("pods", user)
    bind(cluster.store, "p")
    cluster.step()
    cluster.store.delete("persistentvolumeclaims", "c", "default")
    cluster.step()
    assert claim_directory(tmp_path, made).is_dir()
    cluster.store.delete("pods", "p", "default", grace_seconds=0)
    cluster.step()
    assert not claim_directory(tmp_path, made).exists()


def test_a_claim_of_an_unknown_class_stays_pending_and_says_why(tmp_path: Path) -> None:
    cluster = claims(tmp_path)
    storage_class(cluster)
    cluster.store.create("persistentvolumeclaims", claim(storageClassName="fast"))
    cluster.step()
    found = cluster.store.get("persistentvolumeclaims", "c", "default")
    assert found.get("status", {}).get("phase", "Pending") == "Pending"
    assert [e["message"] for e in cluster.store.list("events")] == ['storageclass.storage.k8s.io "fast" not found']


def test_a_claim_without_a_default_class_stays_pending_without_one(tmp_path: Path) -> None:
    cluster = claims(tmp_path)
    cluster.store.create("persistentvolumeclaims", claim())
    cluster.step()
    found = cluster.store.get("persistentvolumeclaims", "c", "default")
    assert "storageClassName" not in found["spec"]
    assert [e["reason"] for e in cluster.store.list("events")] == ["FailedBinding"]


def test_an_empty_store_removes_nobodys_data(tmp_path: Path) -> None:
    """Losing the objects must not lose the memory."""
    kept = tmp_path / "claims" / "default_c_uid"
    kept.mkdir(parents=True)
    half_removed = tmp_path / "claims" / ".deleting-uid"
    half_removed.mkdir()
    claims(tmp_path).step()
    assert kept.is_dir()
    assert not half_removed.exists()


def test_events_end_after_an_hour() -> None:
    cluster = Cluster(EventExpiry)
    time = "2026-11-24T08:00:00Z"
    involved = {"kind": "Pod", "namespace": "default", "name": "p"}
    event = {
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": involved,
        "lastTimestamp": time,
        "reason": "R",
        "type": "Normal",
    }
    cluster.store.create("events", event)
    cluster.step(3599)
    assert cluster.store.list("events")
    cluster.step(2)
    assert not cluster.store.list("events")
