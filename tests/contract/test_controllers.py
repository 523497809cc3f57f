"""StatefulSet, pods, CronJob, garbage collection and namespaces: what we rely on, alike on the miniature and the real Kubernetes."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from tests.contract.client import STRATEGIC
from tests.contract.running import Running, containers, is_ready, pod, python, running, sleeper, statefulset

__all__ = ["running"]
pytestmark = pytest.mark.timeout(300)


async def scale(running: Running, name: str, replicas: int) -> None:
    (await running.client.patch(running.statefulset(name) + "/scale", {"spec": {"replicas": replicas}})).ok()


async def test_a_statefulset_goes_0_to_1_to_0_and_on_delete_keeps_the_pod(running: Running) -> None:
    """Rule 2."""
    made = (await running.client.create(running.statefulset(), statefulset("x", python("main", sleeper())))).ok()
    status = (await running.until(running.statefulset("x"), lambda x: (x.get("status") or {}).get("observedGeneration") == 1))["status"]
    assert (status["replicas"], status.get("readyReplicas")) == (0, None)
    assert status["currentRevision"] == status["updateRevision"]
    await scale(running, "x", 1)
    first = await running.until(running.pod("x-0"), is_ready)
    owner = first["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
        "StatefulSet",
        made["metadata"]["uid"],
        True,
        True,
    )
    labels = first["metadata"]["labels"]
    assert labels["statefulset.kubernetes.io/pod-name"] == "x-0"
    assert labels["apps.kubernetes.io/pod-index"] == "0"
    assert labels["controller-revision-hash"] == status["updateRevision"]
    assert first["spec"]["hostname"] == "x-0"
    assert first["status"]["phase"] == "Running"
    seen = await running.until(running.statefulset("x"), lambda x: x["status"].get("availableReplicas") == 1)
    assert [seen["status"].get(word) for word in ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas")] == [1, 1, 1, 1]

    changed = {"spec": {"template": {"metadata": {"annotations": {"changed": "yes"}}}}}
    (await running.client.patch(running.statefulset("x"), changed)).ok()
    seen = await running.until(running.statefulset("x"), lambda x: x["status"]["observedGeneration"] == x["metadata"]["generation"])
    assert seen["status"]["currentRevision"] == status["currentRevision"]
    assert seen["status"]["updateRevision"] != status["updateRevision"]
    assert (await running.client.get(running.pod("x-0"))).ok()["metadata"]["uid"] == first["metadata"]["uid"]
    uid = first["metadata"]["uid"]
    (await running.client.delete(running.pod("x-0"), {"preconditions": {"uid": uid}})).ok()
    second = await running.until(running.pod("x-0"), lambda p: is_ready(p) and p["metadata"]["uid"] != uid)
    assert second["metadata"]["labels"]["controller-revision-hash"] == seen["status"]["updateRevision"]
    assert second["metadata"]["annotations"]["changed"] == "yes"

    await scale(running, "x", 0)
    await running.until(running.pod("x-0"), lambda p: p is None)
    gone = await running.until(running.statefulset("x"), lambda x: x["status"]["replicas"] == 0)
    assert "readyReplicas" not in gone["status"]


async def test_the_next_pod_comes_only_after_the_last_one_is_gone(running: Running) -> None:
    """Rule 3: at most one gateway pod."""
    (await running.client.create(running.statefulset(), statefulset("x", python("main", sleeper(2)), replicas=1))).ok()
    first = await running.until(running.pod("x-0"), is_ready)
    # Only then the process has its handler.
    await asyncio.sleep(0.5)
    await scale(running, "x", 0)
    ending = await running.until(running.pod("x-0"), lambda p: p is None or "deletionTimestamp" in p["metadata"])
    assert ending["metadata"]["deletionGracePeriodSeconds"] == 20
    await scale(running, "x", 1)
    seen: set[str] = set()

    def another(found: Any) -> bool:
        if found is None:
            return False
        seen.add(found["metadata"]["uid"])
        return bool(found["metadata"]["uid"] != first["metadata"]["uid"])

    second = await running.until(running.pod("x-0"), another)
    assert seen == {first["metadata"]["uid"], second["metadata"]["uid"]}
    assert "deletionTimestamp" not in second["metadata"]


async def test_sidecars_start_first_and_stop_last_in_reverse_order(running: Running) -> None:
    """Rule 9: the state container is a restartable init container and outlives the gateway."""
    init = [
        python("once", "print('done')"),
        python("a", sleeper(1.5), restartPolicy="Always"),
        python("b", sleeper(1.5), restartPolicy="Always"),
    ]
    (await running.client.create(running.pod(), pod("p", python("main", sleeper(1.5)), initContainers=init))).ok()
    up = await running.until(running.pod("p"), is_ready)
    assert containers(up)["once"]["state"]["terminated"]["reason"] == "Completed"
    assert containers(up)["a"]["started"] is True
    await asyncio.sleep(0.5)  # only then every process has its handler
    version = up["metadata"]["resourceVersion"]
    last: dict[str, Any] = {}
    path = running.client.core("pods")
    async with running.client.watch(path, resourceVersion=version, fieldSelector="metadata.name=p", timeoutSeconds="60") as events:
        (await running.client.delete(running.pod("p"))).ok()
        async for event in events:
            last = event["object"]
            if event["type"] == "DELETED":
                break
    ended = {name: c["state"]["terminated"]["finishedAt"] for name, c in containers(last).items() if name != "once"}
    times = {name: datetime.fromisoformat(time) for name, time in ended.items()}
    assert times["main"] < times["b"] < times["a"]


async def test_a_sidecar_that_ends_starts_again_in_place(running: Running) -> None:
    """Rule 9: changed bucket keys reach the state container by its own restart."""
    code = "import os, time\nif os.path.exists('/scratch/x'): time.sleep(600)\nopen('/scratch/x', 'w').close()"
    mount = [{"name": "work", "mountPath": "/scratch"}]
    # The miniature one rewrites values, not programs: the path comes as a value.
    code = code.replace("'/scratch/x'", "os.environ['X']")
    sidecar = python("a", code, restartPolicy="Always", volumeMounts=mount, env=[{"name": "X", "value": "/scratch/x"}])
    body = pod("p", python("main", sleeper()), initContainers=[sidecar], volumes=[{"name": "work", "emptyDir": {}}])
    (await running.client.create(running.pod(), body)).ok()
    found = await running.until(running.pod("p"), lambda p: is_ready(p) and containers(p)["a"]["restartCount"] == 1)
    assert containers(found)["a"]["lastState"]["terminated"]["exitCode"] == 0
    assert containers(found)["main"]["restartCount"] == 0


async def test_a_missing_secret_holds_the_container_until_it_is_made(running: Running) -> None:
    env = [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    body = pod("p", python("main", "import os; print(os.environ['S'])", env=env), restartPolicy="Never")
    (await running.client.create(running.pod(), body)).ok()

    def waiting(found: Any) -> Any:
        return containers(found).get("main", {}).get("state", {}).get("waiting", {}) if found else {}

    found = await running.until(running.pod("p"), lambda p: waiting(p).get("reason") == "CreateContainerConfigError")
    assert waiting(found)["message"] == 'secret "s" not found'
    (await running.client.create(running.client.core("secrets"), {"metadata": {"name": "s"}, "stringData": {"k": "v"}})).ok()
    await running.until(running.pod("p"), lambda p: p["status"]["phase"] == "Succeeded")
    assert (await running.client.get(running.pod("p") + "/log")).body == "v\n"


async def test_values_and_fields_reach_the_environment(running: Running) -> None:
    env = [
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "URL", "value": "https://$(IP):1/$(UNKNOWN)/$$(IP)"},
    ]
    code = "import os; print(os.environ['URL'], os.environ['UID'], os.environ['HOSTNAME'])"
    (await running.client.create(running.pod(), pod("p", python("main", code, env=env), restartPolicy="Never"))).ok()
    found = await running.until(running.pod("p"), lambda p: p["status"]["phase"] == "Succeeded")
    text = (await running.client.get(running.pod("p") + "/log")).body
    assert text.split() == [f"https://{found['status']['podIP']}:1/$(UNKNOWN)/$(IP)", found["metadata"]["uid"], "p"]


async def test_a_failing_container_says_how_it_ended_and_waits(running: Running) -> None:
    code = "import sys; print('the disk is full', file=sys.stderr); sys.exit(3)"
    body = pod("p", python("main", code, terminationMessagePolicy="FallbackToLogsOnError"))
    (await running.client.create(running.pod(), body)).ok()

    def crashed(found: Any) -> bool:
        main = containers(found).get("main", {}) if found else {}
        return main.get("restartCount", 0) >= 1 and "terminated" in main.get("lastState", {}) and "running" not in main["state"]

    found = containers(await running.until(running.pod("p"), crashed))["main"]
    assert found["lastState"]["terminated"]["exitCode"] == 3
    assert found["lastState"]["terminated"]["message"] == "the disk is full\n"
    # A kubelet tells that it waits only when it looks at the pod again, which may be as late as the next start: until then the
    # container is shown as ended. Who reads this must take both (seen: 40 s of back-off without the word CrashLoopBackOff).
    if waiting := found["state"].get("waiting"):
        assert waiting["reason"] == "CrashLoopBackOff"
        assert "restarting failed container=main pod=p_" in waiting["message"]
    else:
        assert found["state"]["terminated"]["exitCode"] == 3


async def test_a_cronjob_makes_a_job_that_makes_a_pod(running: Running) -> None:
    """Rule 9: the backup."""
    running.almost(57)
    spec = {
        "schedule": "* * * * *",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 60,
        "jobTemplate": {
            "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [python("main", "pass")]}}}
        },
    }
    path = running.client.of("batch", "v1", "cronjobs", "backup")
    (await running.client.create(running.client.of("batch", "v1", "cronjobs"), {"metadata": {"name": "backup"}, "spec": spec})).ok()
    found = await running.until(path, lambda c: (c.get("status") or {}).get("lastSuccessfulTime"))
    (await running.client.patch(path, {"spec": {"suspend": True}})).ok()
    scheduled = datetime.fromisoformat(found["status"]["lastScheduleTime"])
    assert scheduled.second == 0
    jobs = await running.items(running.client.of("batch", "v1", "jobs"))
    job = next(j for j in jobs if j["metadata"]["name"] == f"backup-{int(scheduled.timestamp() // 60)}")
    assert job["metadata"]["ownerReferences"][0]["kind"] == "CronJob"
    assert job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] == found["status"]["lastScheduleTime"]
    assert job["status"]["succeeded"] == 1
    assert {c["type"] for c in job["status"]["conditions"]} == {"SuccessCriteriaMet", "Complete"}
    pods = [
        p for p in await running.items(running.pod()) if p["metadata"]["labels"]["batch.kubernetes.io/job-name"] == job["metadata"]["name"]
    ]
    assert [p["status"]["phase"] for p in pods] == ["Succeeded"]


async def test_a_job_that_fails_says_so(running: Running) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [python("main", "raise SystemExit(1)")]}}
    body = {"metadata": {"name": "j"}, "spec": {"backoffLimit": 0, "template": template}}
    (await running.client.create(running.client.of("batch", "v1", "jobs"), body)).ok()

    def conditions(job: Any) -> dict[str, str]:
        return {c["type"]: c["reason"] for c in (job.get("status") or {}).get("conditions") or ()}

    found = await running.until(running.client.of("batch", "v1", "jobs", "j"), lambda j: "Failed" in conditions(j))
    assert conditions(found)["Failed"] == "BackoffLimitExceeded"
    assert found["status"]["failed"] == 1


async def family(running: Running) -> None:
    path = running.client.core("configmaps")
    owner = (await running.client.create(path, {"metadata": {"name": "parent"}})).ok()
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "parent", "uid": owner["metadata"]["uid"], "blockOwnerDeletion": True}
    (await running.client.create(path, {"metadata": {"name": "child", "ownerReferences": [reference]}})).ok()


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_dependents_go_with_their_owner(running: Running, propagation: str) -> None:
    await family(running)
    (await running.client.delete(running.client.core("configmaps", "parent"), {"propagationPolicy": propagation})).ok()
    await running.until(running.client.core("configmaps", "child"), lambda found: found is None)
    await running.until(running.client.core("configmaps", "parent"), lambda found: found is None)


async def test_orphans_stay(running: Running) -> None:
    await family(running)
    (await running.client.delete(running.client.core("configmaps", "parent"), {"propagationPolicy": "Orphan"})).ok()
    child = running.client.core("configmaps", "child")
    await running.until(running.client.core("configmaps", "parent"), lambda found: found is None)
    found = await running.until(child, lambda found: found is None or "ownerReferences" not in found["metadata"])
    assert found is not None


async def test_deleting_a_statefulset_takes_its_pod_along(running: Running) -> None:
    (await running.client.create(running.statefulset(), statefulset("x", python("main", sleeper()), replicas=1))).ok()
    await running.until(running.pod("x-0"), is_ready)
    (await running.client.delete(running.statefulset("x"), {"propagationPolicy": "Background"})).ok()
    await running.until(running.pod("x-0"), lambda found: found is None)


async def test_a_namespace_goes_with_all_that_is_in_it(running: Running) -> None:
    """ "Deleting its namespace never hangs" is ours to keep; this is what the API does of itself."""
    (await running.client.create(running.pod(), pod("p", python("main", sleeper())))).ok()
    held = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    (await running.client.create(running.client.core("configmaps"), held)).ok()
    path = f"/api/v1/namespaces/{running.client.namespace}"
    (await running.client.delete(path)).ok()
    refused = await running.client.create(running.client.core("configmaps"), {"metadata": {"name": "late"}})
    assert "because it is being terminated" in refused.refused(403, "Forbidden")["message"]

    def remaining(namespace: Any) -> str:
        conditions = {c["type"]: c for c in namespace["status"].get("conditions") or ()}
        condition = conditions.get("NamespaceFinalizersRemaining", {})
        return str(condition.get("message", "")) if condition.get("status") == "True" else ""

    await running.until(path, lambda found: "example.com/hold in 1 resource instances" in remaining(found))
    (await running.client.patch(running.client.core("configmaps", "held"), {"metadata": {"finalizers": None}})).ok()
    await running.until(path, lambda found: found is None)


async def test_a_claim_of_an_unknown_class_stays_pending_and_says_why(running: Running) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "nope", "resources": {"requests": {"storage": "1Mi"}}}
    (await running.client.create(running.client.core("persistentvolumeclaims"), {"metadata": {"name": "c"}, "spec": spec})).ok()
    events = running.client.core("events")
    found = await running.until(events, lambda e: [i for i in e["items"] if i["reason"] == "ProvisioningFailed"])
    event = next(item for item in found["items"] if item["reason"] == "ProvisioningFailed")
    assert event["message"] == 'storageclass.storage.k8s.io "nope" not found'
    assert (event["type"], event["involvedObject"]["name"]) == ("Warning", "c")
    assert (await running.client.get(running.client.core("persistentvolumeclaims", "c"))).ok()["status"]["phase"] == "Pending"


async def test_a_claim_is_bound_and_protected_while_a_pod_uses_it(running: Running) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    claim = running.client.core("persistentvolumeclaims", "c")
    (await running.client.create(running.client.core("persistentvolumeclaims"), {"metadata": {"name": "c"}, "spec": spec})).ok()
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    main = python("main", sleeper(), volumeMounts=[{"name": "v", "mountPath": "/v"}])
    (await running.client.create(running.pod(), pod("p", main, volumes=volumes))).ok()
    await running.until(running.pod("p"), is_ready)
    found = (await running.client.get(claim)).ok()
    assert found["status"]["phase"] == "Bound"
    assert found["status"]["capacity"] == {"storage": "1Mi"}
    assert found["spec"]["storageClassName"] == "standard"
    assert found["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    (await running.client.delete(claim)).ok()
    assert "deletionTimestamp" in (await running.client.get(claim)).ok()["metadata"]
    (await running.client.delete(running.pod("p"))).ok()
    await running.until(claim, lambda found: found is None)


async def test_a_statefulsets_template_can_be_patched_strategically(running: Running) -> None:
    """As kubectl does it; the pod keeps running (OnDelete)."""
    (await running.client.create(running.statefulset(), statefulset("x", python("main", sleeper())))).ok()
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}]}}}}
    found = (await running.client.patch(running.statefulset("x"), change, STRATEGIC)).ok()
    assert found["spec"]["template"]["spec"]["containers"][0]["image"]
    assert found["metadata"]["generation"] == 2
