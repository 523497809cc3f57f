"""CronJob and Job, decided and carried out on a store; time stands still until a test moves it (it begins at 08:00:00 UTC)."""

from __future__ import annotations

from typing import Any

import pytest

from moltbot_local.controllers.cronjob import CronJobController, missed_times
from moltbot_local.controllers.garbage import GarbageCollector
from moltbot_local.controllers.job import JobController
from tests.fakes.clock import START
from tests.local.machine import Cluster, pod_status, python


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(GarbageCollector, CronJobController, JobController)


def job_spec(**spec: Any) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [python("pass")], "restartPolicy": "Never"}}, **spec}


def cronjob(**spec: Any) -> dict[str, Any]:
    wanted = {"schedule": "*/5 * * * *", "jobTemplate": {"spec": job_spec()}, **spec}
    return {"metadata": {"name": "backup", "namespace": "default"}, "spec": wanted}


def jobs(cluster: Cluster) -> list[str]:
    return [j["metadata"]["name"] for j in cluster.store.list("jobs.batch", "default")]


def pods(cluster: Cluster) -> list[dict[str, Any]]:
    return cluster.store.list("pods", "default")


def finish(cluster: Cluster, phase: str = "Succeeded") -> None:
    for pod in pods(cluster):
        if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            pod_status(cluster.store, pod["metadata"]["name"], phase=phase)
    cluster.step()


def test_a_job_is_made_at_each_time_and_old_ones_go(cluster: Cluster) -> None:
    cluster.store.create("cronjobs.batch", cronjob(successfulJobsHistoryLimit=1))
    cluster.step(299)
    assert jobs(cluster) == []
    cluster.step(1)
    minute = int(START.timestamp() // 60)
    assert jobs(cluster) == [f"backup-{minute + 5}"]
    status = cluster.store.get("cronjobs.batch", "backup", "default")["status"]
    assert (status["lastScheduleTime"], len(status["active"])) == ("2026-11-24T08:05:00Z", 1)
    finish(cluster)
    cluster.step(300)
    finish(cluster)
    assert jobs(cluster) == [f"backup-{minute + 10}"]
    assert len(pods(cluster)) == 1
    status = cluster.store.get("cronjobs.batch", "backup", "default")["status"]
    assert status["lastSuccessfulTime"] == "2026-11-24T08:10:00Z"
    assert "active" not in status


def test_suspended_makes_none_and_a_long_sleep_makes_one(cluster: Cluster) -> None:
    """Rule 9: the backup CronJob is suspended asleep."""
    cluster.store.create("cronjobs.batch", cronjob(suspend=True, startingDeadlineSeconds=600))
    cluster.step(3 * 86400 + 60)
    assert jobs(cluster) == []
    cluster.store.patch("cronjobs.batch", "backup", "default", {"spec": {"suspend": False}})
    cluster.step()
    assert len(jobs(cluster)) == 1


def test_forbid_waits_for_the_running_job_and_replace_ends_it(cluster: Cluster) -> None:
    cluster.store.create("cronjobs.batch", cronjob(concurrencyPolicy="Forbid"))
    cluster.step(300)
    first = jobs(cluster)
    cluster.step(300)
    assert jobs(cluster) == first
    cluster.store.patch("cronjobs.batch", "backup", "default", {"spec": {"concurrencyPolicy": "Replace"}})
    cluster.step()
    assert len(jobs(cluster)) == 1
    assert jobs(cluster) != first


def test_a_restart_runs_nothing_twice(cluster: Cluster) -> None:
    cluster.store.create("cronjobs.batch", cronjob())
    cluster.step(300)
    version = cluster.store.version
    cluster.restart()
    cluster.step()
    assert cluster.store.version == version


def test_a_schedule_that_cannot_be_read_is_told(cluster: Cluster) -> None:
    cluster.store.create("cronjobs.batch", cronjob(timeZone="Mars/Olympus"))
    cluster.step()
    assert any(e["reason"] == "UnparseableSchedule" and "Mars/Olympus" in e["message"] for e in cluster.store.list("events"))


@pytest.mark.parametrize(
    ("spec", "seconds", "due", "count"),
    [
        ({}, 299, None, 0),
        ({}, 300, "08:05", 1),
        ({}, 900, "08:15", 3),
        ({"startingDeadlineSeconds": 200}, 550, "08:05", 0),
        ({"schedule": "0 10 * * *", "timeZone": "Europe/Berlin"}, 3600, "09:00", 1),
    ],
)
def test_which_times_are_due(spec: dict[str, Any], seconds: int, due: str | None, count: int) -> None:
    live = cronjob(**spec)
    live["metadata"]["creationTimestamp"] = "2026-11-24T08:00:00Z"
    found, missed, _ = missed_times(live, START.timestamp() + seconds)
    if count == 0:
        assert found is None
    else:
        assert found is not None
        assert due is not None
        hour, minute = map(int, due.split(":"))
        assert found == START.replace(hour=hour, minute=minute).timestamp()
    assert missed == count


def create_job(cluster: Cluster, **spec: Any) -> None:
    cluster.store.create("jobs.batch", {"metadata": {"name": "j", "namespace": "default"}, "spec": job_spec(**spec)})
    cluster.step()


def conditions(cluster: Cluster) -> dict[str, str]:
    status = cluster.store.get("jobs.batch", "j", "default").get("status", {})
    return {c["type"]: c["reason"] for c in status.get("conditions", ())}


def test_a_job_runs_one_pod_and_is_complete(cluster: Cluster) -> None:
    create_job(cluster)
    assert len(pods(cluster)) == 1
    assert cluster.store.get("jobs.batch", "j", "default")["status"]["active"] == 1
    finish(cluster)
    status = cluster.store.get("jobs.batch", "j", "default")["status"]
    assert (status["succeeded"], status["completionTime"]) == (1, "2026-11-24T08:00:00Z")
    assert "active" not in status
    assert set(conditions(cluster)) == {"SuccessCriteriaMet", "Complete"}
    assert len(pods(cluster)) == 1


def test_a_failed_pod_is_tried_again_after_a_wait_until_the_limit(cluster: Cluster) -> None:
    create_job(cluster, backoffLimit=1)
    finish(cluster, "Failed")
    assert len(pods(cluster)) == 1
    cluster.step(10)
    assert len(pods(cluster)) == 2
    finish(cluster, "Failed")
    assert conditions(cluster)["Failed"] == "BackoffLimitExceeded"
    cluster.step(1000)
    assert len(pods(cluster)) == 2


def test_a_job_that_takes_too_long_is_ended(cluster: Cluster) -> None:
    create_job(cluster, activeDeadlineSeconds=30)
    cluster.step(31)
    assert conditions(cluster)["Failed"] == "DeadlineExceeded"
    assert pods(cluster) == []


def test_a_finished_job_goes_after_its_time_with_its_pods(cluster: Cluster) -> None:
    create_job(cluster, ttlSecondsAfterFinished=60)
    finish(cluster)
    cluster.step(59)
    assert jobs(cluster) == ["j"]
    cluster.step(2)
    assert jobs(cluster) == []
    assert pods(cluster) == []
