"""StatefulSet 0 ↔ 1 with OnDelete (rule 2), decided and carried out on a store; the test plays the kubelet."""

from __future__ import annotations

from typing import Any

import pytest

from moltbot_local.controllers.statefulset import Create, Delete, StatefulSetController, decide_statefulset, revision_name
from tests.local.machine import Cluster, bind, make_ready, pod_status, python, statefulset


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(StatefulSetController)


def create(cluster: Cluster, **spec: Any) -> dict[str, Any]:
    made = cluster.store.create("statefulsets.apps", statefulset("x", python("pass"), **spec))
    cluster.step()
    return made


def status(cluster: Cluster) -> dict[str, Any]:
    return dict(cluster.store.get("statefulsets.apps", "x", "default").get("status", {}))


def scale(cluster: Cluster, replicas: int) -> None:
    cluster.store.patch("statefulsets.apps", "x", "default", {"spec": {"replicas": replicas}})
    cluster.step()


def test_0_to_1_creates_exactly_one_pod_and_status_follows_it(cluster: Cluster) -> None:
    create(cluster, replicas=0)
    assert cluster.store.find("pods", "x-0", "default") is None
    assert status(cluster)["replicas"] == 0
    scale(cluster, 1)
    pod = cluster.store.get("pods", "x-0", "default")
    owner = pod["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"], owner["blockOwnerDeletion"]) == ("StatefulSet", "x", True, True)
    assert pod["metadata"]["labels"]["controller-revision-hash"] == status(cluster)["updateRevision"]
    make_ready(cluster.store, "x-0")
    cluster.step()
    found = status(cluster)
    assert {k: found[k] for k in ("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas")} == {
        "replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "currentReplicas": 1, "updatedReplicas": 1,
    }  # fmt: skip


def test_the_next_pod_comes_only_when_the_previous_object_is_really_gone(cluster: Cluster) -> None:
    """Rule 3: at most one gateway pod."""
    create(cluster)
    bind(cluster.store, "x-0")
    scale(cluster, 0)
    first = cluster.store.get("pods", "x-0", "default")
    assert "deletionTimestamp" in first["metadata"]
    scale(cluster, 1)
    assert cluster.store.get("pods", "x-0", "default")["metadata"]["uid"] == first["metadata"]["uid"]
    cluster.store.delete("pods", "x-0", "default", grace_seconds=0)
    cluster.step()
    assert cluster.store.get("pods", "x-0", "default")["metadata"]["uid"] != first["metadata"]["uid"]


def test_on_delete_changes_nothing_until_the_pod_is_deleted(cluster: Cluster) -> None:
    create(cluster)
    before = cluster.store.get("pods", "x-0", "default")
    template = {"spec": {"template": {"metadata": {"annotations": {"changed": "yes"}}}}}
    cluster.store.patch("statefulsets.apps", "x", "default", template)
    cluster.step()
    assert cluster.store.get("pods", "x-0", "default")["metadata"]["uid"] == before["metadata"]["uid"]
    found = status(cluster)
    assert found["currentRevision"] != found["updateRevision"]
    assert found["observedGeneration"] == 2
    assert "updatedReplicas" not in found
    cluster.store.delete("pods", "x-0", "default", grace_seconds=0)
    cluster.step()
    after = cluster.store.get("pods", "x-0", "default")
    assert after["metadata"]["labels"]["controller-revision-hash"] == status(cluster)["updateRevision"]
    assert after["metadata"]["annotations"] == {"changed": "yes"}


def test_a_failed_pod_is_replaced(cluster: Cluster) -> None:
    create(cluster)
    first = cluster.store.get("pods", "x-0", "default")["metadata"]["uid"]
    pod_status(cluster.store, "x-0", phase="Failed")
    cluster.step()
    assert cluster.store.get("pods", "x-0", "default")["metadata"]["uid"] != first


def test_a_pod_of_somebody_else_with_that_name_is_left_alone_and_told(cluster: Cluster) -> None:
    made = statefulset("x", python("pass"))
    other = {"metadata": {"name": "x-0", "namespace": "default"}, "spec": made["spec"]["template"]["spec"]}
    cluster.store.create("pods", other)
    create(cluster)
    assert "ownerReferences" not in cluster.store.get("pods", "x-0", "default")["metadata"]
    assert any(e["reason"] == "FailedCreate" and "already exists" in e["message"] for e in cluster.store.list("events"))
    cluster.store.delete("pods", "x-0", "default", grace_seconds=0)
    cluster.step(31)
    assert cluster.store.get("pods", "x-0", "default")["metadata"]["ownerReferences"]


def test_ten_rounds_and_a_restart_write_nothing(cluster: Cluster) -> None:
    create(cluster)
    make_ready(cluster.store, "x-0")
    cluster.step()
    version = cluster.store.version
    for _ in range(10):
        cluster.step(60)
        cluster.restart()
        cluster.step()
    assert cluster.store.version == version


def test_one_that_is_being_deleted_makes_no_pod() -> None:
    live = statefulset("x", python("pass"))
    live["metadata"] |= {"uid": "u", "deletionTimestamp": "2026-11-24T08:00:00Z"}
    assert decide_statefulset(live, [], 0).action is None


@pytest.mark.parametrize(("strategy", "deleted"), [("OnDelete", False), ("RollingUpdate", True)])
def test_only_a_rolling_update_deletes_an_old_revision(strategy: str, deleted: bool) -> None:
    live = statefulset("x", python("pass"))
    live["metadata"]["uid"] = "u"
    live["spec"]["updateStrategy"]["type"] = strategy
    made = decide_statefulset(live, [], 0).action
    assert isinstance(made, Create)
    old = made.pod
    old["metadata"] |= {"uid": "p", "labels": {**old["metadata"]["labels"], "controller-revision-hash": "x-old"}}
    assert isinstance(decide_statefulset(live, [old], 0).action, Delete) is deleted


def test_the_revision_depends_on_the_template_alone() -> None:
    one, other = statefulset("x", python("pass")), statefulset("x", python("pass"), replicas=0)
    assert revision_name(one) == revision_name(other)
    assert revision_name(one) != revision_name(statefulset("x", python("other")))
