"""One reconcile, end to end against an API server: what is made, repaired, kept, refused, and that nothing is written twice (rule 1)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from moltbot_kube import Kube, Object
from moltbot_kube.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    MOLTBOTS,
    NAMESPACES,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
)
from tests.controller.harness import Cluster, condition_of, local_cluster, running

R2 = {"R2_ACCESS_KEY_ID": "id", "R2_SECRET_ACCESS_KEY": "sk", "CF_ACCOUNT_ID": "acc1"}
DEMO = {"model": {"name": "demo"}}


async def test_a_bare_moltbot_gets_all_its_children_and_is_started(cluster: Cluster) -> None:
    async with running(cluster) as run:
        made = await cluster.moltbot(spec=DEMO)
        await cluster.until(STATEFUL_SETS, "ada-gateway", lambda found: found and found["spec"].get("replicas") == 1)
        await run.quiet()
    uid = made["metadata"]["uid"]
    expected = [
        (SERVICE_ACCOUNTS, "ada-gateway"), (SECRETS, "ada-keys"), (SECRETS, "ada-certificate"), (SECRETS, "ada-gateway-token"),
        (SECRETS, "ada-model"), (CONFIG_MAPS, "ada-boot"), (CONFIG_MAPS, "ada-agent"), (SERVICES, "ada-gateway"),
        (NETWORK_POLICIES, "ada-gateway"), (STATEFUL_SETS, "ada-gateway"),
    ]  # fmt: skip
    for resource, name in expected:
        child = await cluster.get(resource, name)
        assert [owner["uid"] for owner in child["metadata"]["ownerReferences"]] == [uid], name
        assert "moltbot.dev/hash" in child["metadata"]["annotations"], name
    claim = await cluster.get(PERSISTENT_VOLUME_CLAIMS, "ada-state")
    assert "ownerReferences" not in claim["metadata"]
    moltbot = await cluster.get(MOLTBOTS, "ada")
    status = moltbot["status"]
    assert status["url"] == f"http://ada--{cluster.namespace}.localhost:8080"
    assert (status["model"], status["sleepAfter"]) == ("demo", "never")
    assert len(status["verifiers"]) == 1
    assert status["observedGeneration"] == moltbot["metadata"]["generation"]
    assert all(one["observedGeneration"] == status["observedGeneration"] for one in status["conditions"])
    assert moltbot["spec"] == {**moltbot["spec"], **DEMO}
    assert "finalizers" not in moltbot["metadata"]


async def test_ten_reconciles_and_a_restart_write_nothing(cluster: Cluster) -> None:
    """Rule 1."""
    await cluster.secret("ada", {**R2, "ANTHROPIC_API_KEY": '"sk-1"', "ANTROPIC_API_KEY": "x"})
    await cluster.moltbot(spec={"secretsFrom": [{"name": "ada"}], "operatingMode": "Suspended", "persistence": {"ephemeral": True}})
    async with running(cluster) as run:
        await cluster.until(CRON_JOBS, "ada-backup", lambda found: found)
        await run.quiet()
        assert run.written, "the count works"
        run.written.clear()
        await run.reconcile(10)
        assert run.written == []
    async with running(cluster) as again:
        await again.quiet()
        await again.reconcile(2)
        assert again.written == []


async def test_drift_is_repaired_and_only_it(cluster: Cluster) -> None:
    async with running(cluster) as run:
        await cluster.moltbot(spec={**DEMO, "operatingMode": "Suspended"})
        await cluster.until(
            STATEFUL_SETS, "ada-gateway", lambda found: found and "moltbot.dev/hash" in found["metadata"].get("annotations", {})
        )
        await run.quiet()
        run.written.clear()
        patch = {"spec": {"publishNotReadyAddresses": False}}
        await cluster.person.patch(SERVICES, "ada-gateway", cluster.namespace, patch, field_manager="intruder")
        await cluster.until(SERVICES, "ada-gateway", lambda found: found and found["spec"].get("publishNotReadyAddresses") is True)
        policy = await cluster.get(NETWORK_POLICIES, "ada-gateway")
        opened = {"spec": {"egress": [*policy["spec"]["egress"], {}]}}
        await cluster.person.patch(NETWORK_POLICIES, "ada-gateway", cluster.namespace, opened, field_manager="intruder")
        count = len(policy["spec"]["egress"])
        await cluster.until(NETWORK_POLICIES, "ada-gateway", lambda found: found and len(found["spec"]["egress"]) == count)
        await cluster.person.delete(CONFIG_MAPS, "ada-boot", cluster.namespace)
        await cluster.until(CONFIG_MAPS, "ada-boot", lambda found: found)
        await run.quiet()
        kinds = {path.split("/namespaces/")[-1].split("/")[1] for path in run.written if "moltbots/" not in path and "events" not in path}
        assert kinds == {"services", "networkpolicies", "configmaps"}


async def test_a_deleted_statefulset_comes_back_at_zero_and_is_then_woken_by_rule_2_only(cluster: Cluster) -> None:
    """Rule 2: the skeleton is POSTed with replicas 0; no apply ever starts a pod."""
    async with running(cluster) as run:
        await cluster.moltbot(spec={**DEMO, "operatingMode": "Suspended"})
        first = await cluster.until(STATEFUL_SETS, "ada-gateway", lambda found: found and "annotations" in found["metadata"])
        await run.quiet()
        await cluster.person.delete(STATEFUL_SETS, "ada-gateway", cluster.namespace)
        uid = first["metadata"]["uid"]
        again = await cluster.until(
            STATEFUL_SETS,
            "ada-gateway",
            lambda found: found and found["metadata"]["uid"] != uid and "moltbot.dev/hash" in found["metadata"].get("annotations", {}),
        )
        assert again["spec"].get("replicas", 0) == 0
        await run.quiet()


async def test_the_generated_token_is_rotated_by_editing_or_deleting_its_secret(cluster: Cluster) -> None:
    async with running(cluster) as run:
        await cluster.moltbot(spec={**DEMO, "operatingMode": "Suspended"})
        await cluster.until(MOLTBOTS, "ada", lambda found: found and found.get("status", {}).get("verifiers"))
        await run.quiet()
        first, template = await cluster.secret_text("ada-gateway-token", "MOLTBOT_GATEWAY_TOKEN"), await template_of(cluster)
        before = (await cluster.get(MOLTBOTS, "ada"))["status"]["verifiers"]
        await cluster.person.delete(SECRETS, "ada-gateway-token", cluster.namespace)
        await refresh(cluster, "2030-01-01T00:00:00Z")
        moltbot = await cluster.until(MOLTBOTS, "ada", lambda found: found and found["status"]["verifiers"] != before)
        assert await cluster.secret_text("ada-gateway-token", "MOLTBOT_GATEWAY_TOKEN") != first
        edited = {"data": {"MOLTBOT_GATEWAY_TOKEN": "bXkgb3duIHRva2Vu"}}
        await cluster.person.patch(SECRETS, "ada-gateway-token", cluster.namespace, edited, field_manager="person")
        await refresh(cluster, "2030-01-01T00:00:01Z")
        second = moltbot["status"]["verifiers"]
        await cluster.until(MOLTBOTS, "ada", lambda found: found and found["status"]["verifiers"] != second)
        assert await cluster.secret_text("ada-gateway-token", "MOLTBOT_GATEWAY_TOKEN") == "my own token"
        assert await template_of(cluster) == template, "a changed gateway token changes only the verifiers (rule 10)"


async def test_a_changed_secret_changes_the_template(cluster: Cluster) -> None:
    await cluster.secret("ada", {"ANTHROPIC_API_KEY": "sk-1"})
    async with running(cluster) as run:
        await cluster.moltbot(spec={"secretsFrom": [{"name": "ada"}], "operatingMode": "Suspended"})
        await cluster.until(STATEFUL_SETS, "ada-gateway", lambda found: found and "annotations" in found["metadata"])
        await run.quiet()
        template = await template_of(cluster)
        await cluster.secret("ada", {"ANTHROPIC_API_KEY": "sk-2"})
        await refresh(cluster, "2030-01-01T00:00:00Z")
        await cluster.until(
            STATEFUL_SETS, "ada-gateway", lambda found: found and found["spec"]["template"]["metadata"]["annotations"] != template
        )
        assert await cluster.secret_text("ada-model", "MOLTBOT_MODEL_API_KEY") == "sk-2"
        changed = await template_of(cluster)
        assert {key for key, value in changed.items() if template.get(key) != value} == {
            "moltbot.dev/secrets",
            "moltbot.dev/inputs",
            "moltbot.dev/model",
        }
        await run.quiet()


async def test_an_object_of_somebody_else_in_the_way_is_neither_read_nor_touched(cluster: Cluster) -> None:
    await cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ada-boot"}, "data": {"mine": "1"}})
    await cluster.secret("ada-keys", {"gateway": "not ours"})
    async with running(cluster) as run:
        await cluster.moltbot(spec=DEMO)
        condition = await cluster.condition("NameTaken", "NameTaken")
        assert "Secret ada-keys" in condition["message"]
        assert "ConfigMap ada-boot" in condition["message"]
        await run.quiet()
        assert (await cluster.get(CONFIG_MAPS, "ada-boot"))["data"] == {"mine": "1"}
        assert await cluster.secret_text("ada-keys", "gateway") == "not ours"
        assert await cluster.person.get(STATEFUL_SETS, "ada-gateway", cluster.namespace) is None
        assert (condition_of(await cluster.get(MOLTBOTS, "ada"), "Ready") or {})["status"] == "False"
        assert await cluster.events("NameTaken")
        await cluster.person.delete(CONFIG_MAPS, "ada-boot", cluster.namespace)
        await cluster.person.delete(SECRETS, "ada-keys", cluster.namespace)
        await refresh(cluster, "2030-01-01T00:00:00Z")
        await cluster.until(STATEFUL_SETS, "ada-gateway", lambda found: found)
        await cluster.until(MOLTBOTS, "ada", lambda found: condition_of(found, "NameTaken") is None)


async def test_two_of_r2s_three_start_nothing_and_say_what_is_missing(cluster: Cluster) -> None:
    await cluster.secret("ada", {"R2_ACCESS_KEY_ID": "id", "R2_SECRET_ACCESS_KEY": "sk", "ANTHROPIC_API_KEY": "k"})
    async with running(cluster) as run:
        await cluster.moltbot(spec={"secretsFrom": [{"name": "ada"}]})
        condition = await cluster.condition("SecretsReady", "GroupIncomplete")
        assert "CF_ACCOUNT_ID is missing" in condition["message"]
        ready = condition_of(await cluster.get(MOLTBOTS, "ada"), "Ready") or {}
        assert (ready["status"], ready["reason"]) == ("False", "SecretsNotReady")
        await run.quiet()
        assert await cluster.person.get(STATEFUL_SETS, "ada-gateway", cluster.namespace) is None
        assert [event["type"] for event in await cluster.events("GroupIncomplete")] == ["Warning"]
        await cluster.secret("ada", {**R2, "ANTHROPIC_API_KEY": "k"})
        await refresh(cluster, "2030-01-01T00:00:00Z")
        await cluster.until(STATEFUL_SETS, "ada-gateway", lambda found: found and found["spec"].get("replicas") == 1)
        await cluster.condition("SecretsReady", "Resolved")


async def test_a_half_set_bucket_later_leaves_everything_as_it_was(cluster: Cluster) -> None:
    await cluster.secret("ada", {**R2, "ANTHROPIC_API_KEY": "k"})
    async with running(cluster) as run:
        await cluster.moltbot(spec={"secretsFrom": [{"name": "ada"}], "operatingMode": "Suspended"})
        await cluster.until(CRON_JOBS, "ada-backup", lambda found: found)
        await run.quiet()
        before = [(await cluster.get(resource, name))["metadata"]["resourceVersion"] for resource, name in BUCKETED]
        await cluster.person.patch(SECRETS, "ada", cluster.namespace, {"data": {"CF_ACCOUNT_ID": None}}, field_manager="person")
        await refresh(cluster, "2030-01-01T00:00:00Z")
        await cluster.condition("SecretsReady", "GroupIncomplete")
        await run.quiet()
        assert [(await cluster.get(resource, name))["metadata"]["resourceVersion"] for resource, name in BUCKETED] == before


BUCKETED = [
    (STATEFUL_SETS, "ada-gateway"), (SECRETS, "ada-bucket"), (CONFIG_MAPS, "ada-boot"), (CRON_JOBS, "ada-backup"),
    (NETWORK_POLICIES, "ada-backup"),
]  # fmt: skip


async def test_a_bucket_that_is_taken_out_takes_its_children_along(cluster: Cluster) -> None:
    await cluster.secret("ada", {**R2, "ANTHROPIC_API_KEY": "k"})
    async with running(cluster) as run:
        await cluster.moltbot(spec={"secretsFrom": [{"name": "ada"}], "operatingMode": "Suspended"})
        await cluster.until(CRON_JOBS, "ada-backup", lambda found: found)
        await run.quiet()
        await cluster.person.patch(SECRETS, "ada", cluster.namespace, {"data": dict.fromkeys(R2)}, field_manager="person")
        await refresh(cluster, "2030-01-01T00:00:00Z")
        await cluster.until(CRON_JOBS, "ada-backup", lambda found: found is None)
        await cluster.until(NETWORK_POLICIES, "ada-backup", lambda found: found is None)
        await cluster.until(SECRETS, "ada-bucket", lambda found: found is None)
        await run.quiet()


async def test_deleting_removes_every_child_and_keeps_the_claim_which_its_successor_adopts(cluster: Cluster) -> None:
    async with running(cluster) as run:
        await cluster.moltbot(spec={**DEMO, "operatingMode": "Suspended"})
        await cluster.until(STATEFUL_SETS, "ada-gateway", lambda found: found)
        await run.quiet()
        claim = await cluster.get(PERSISTENT_VOLUME_CLAIMS, "ada-state")
        await cluster.person.delete(MOLTBOTS, "ada", cluster.namespace)
        await cluster.until(STATEFUL_SETS, "ada-gateway", lambda found: found is None)
        await cluster.until(SECRETS, "ada-keys", lambda found: found is None)
        kept = await cluster.get(PERSISTENT_VOLUME_CLAIMS, "ada-state")
        assert kept["metadata"]["uid"] == claim["metadata"]["uid"]
        assert "deletionTimestamp" not in kept["metadata"]
        second = await cluster.moltbot(spec={**DEMO, "operatingMode": "Suspended"})
        adopted = await cluster.until(
            PERSISTENT_VOLUME_CLAIMS,
            "ada-state",
            lambda found: found and found["metadata"]["annotations"]["moltbot.dev/last-owner"] == second["metadata"]["uid"],
        )
        assert adopted["metadata"]["uid"] == claim["metadata"]["uid"]
        await cluster.until(STATEFUL_SETS, "ada-gateway", lambda found: found)
        await run.quiet()
        assert await cluster.events("ClaimAdopted")


async def test_deletion_policy_delete_takes_the_claim_along(cluster: Cluster) -> None:
    async with running(cluster) as run:
        spec = {**DEMO, "operatingMode": "Suspended", "persistence": {"deletionPolicy": "Delete"}}
        await cluster.moltbot(spec=spec)
        await cluster.until(STATEFUL_SETS, "ada-gateway", lambda found: found)
        await run.quiet()
        await cluster.person.delete(MOLTBOTS, "ada", cluster.namespace)
        gone = await cluster.until(
            PERSISTENT_VOLUME_CLAIMS, "ada-state", lambda found: not found or "deletionTimestamp" in found["metadata"]
        )
        assert gone == {} or gone["metadata"]["deletionTimestamp"]


async def test_one_host_used_by_two_belongs_to_the_older_and_goes_to_the_other_when_that_is_gone(cluster: Cluster) -> None:
    spec = {**DEMO, "operatingMode": "Suspended", "exposure": {"host": "bot.example"}}
    async with running(cluster) as run:
        both = [await cluster.moltbot(name, spec=spec) for name in ("ada", "zoe")]
        first, second = (
            one["metadata"]["name"] for one in sorted(both, key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["uid"]))
        )
        condition = await cluster.condition("Exposed", "HostConflict", second)
        assert f"Moltbot {cluster.namespace}/{first}" in condition["message"]
        await cluster.until(MOLTBOTS, first, lambda found: found and found.get("status", {}).get("host") == "bot.example")
        await run.quiet()
        assert "url" not in (await cluster.get(MOLTBOTS, second))["status"]
        await cluster.person.delete(MOLTBOTS, first, cluster.namespace)
        await cluster.condition("Exposed", "Routed", second)
        assert (await cluster.get(MOLTBOTS, second))["status"]["host"] == "bot.example"


async def test_a_foreign_manager_is_named_and_not_fought(cluster: Cluster) -> None:
    """Rule 1: what another manager owns under `spec` survives a forced apply."""
    async with running(cluster) as run:
        await cluster.moltbot(spec={**DEMO, "operatingMode": "Suspended"})
        await cluster.until(STATEFUL_SETS, "ada-gateway", lambda found: found and "annotations" in found["metadata"])
        await run.quiet()
        patch = {"spec": {"minReadySeconds": 7}}
        await cluster.person.patch(STATEFUL_SETS, "ada-gateway", cluster.namespace, patch, field_manager="somebody")
        condition = await cluster.condition("ForeignFields", "ForeignFields")
        assert "somebody: spec.minReadySeconds" in condition["message"]
        await run.quiet()
        assert (await cluster.get(STATEFUL_SETS, "ada-gateway"))["spec"]["minReadySeconds"] == 7


async def test_an_apply_that_comes_back_changed_is_told_and_not_repeated_also_after_a_restart(tmp_path: Path) -> None:
    """Rule 1: a mutating policy. Played by a server that leaves a field out of what it is sent."""
    async with local_cluster(tmp_path) as cluster, running(cluster) as run:

        async def changed(method: str, path: str, **options: Any) -> Object:
            if method == "PATCH" and path.endswith("/services/ada-gateway"):
                body = {**options["body"], "spec": {**options["body"]["spec"], "publishNotReadyAddresses": False}}
                options = {**options, "body": body}
            return await Kube.request(run.kube, method, path, **options)

        original = run.kube.request

        async def request(method: str, path: str, **options: Any) -> Object:
            if method != "GET":
                run.written.append(f"{method} {path}")
            return await changed(method, path, **options)

        run.kube.request = request  # type: ignore[method-assign]
        await cluster.moltbot(spec={**DEMO, "operatingMode": "Suspended"})
        condition = await cluster.condition("Progressing", "ChangedByAdmission")
        assert "Service ada-gateway: spec.publishNotReadyAddresses" in condition["message"]
        await run.quiet()
        run.written.clear()
        await run.reconcile(3)
        assert run.written == []
        run.kube.request = original  # type: ignore[method-assign]
        async with running(cluster) as again:
            await again.quiet()
            await again.reconcile(2)
            assert again.written == []


async def test_without_a_storage_class_nothing_is_started_and_the_choices_are_named(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, storage_class=False) as cluster, running(cluster) as run:
        await cluster.moltbot(spec=DEMO)
        condition = await cluster.condition("StorageReady", "NoStorageClass")
        assert "persistence.storageClassName" in condition["message"]
        ready = condition_of(await cluster.get(MOLTBOTS, "ada"), "Ready") or {}
        assert (ready["status"], ready["reason"]) == ("False", "StorageNotReady")
        await run.quiet()
        assert await cluster.person.get(STATEFUL_SETS, "ada-gateway", cluster.namespace) is None


async def test_deleting_a_namespace_never_hangs_and_is_no_fault(tmp_path: Path) -> None:
    async with local_cluster(tmp_path) as cluster:
        await cluster.person.create(NAMESPACES, {"metadata": {"name": "team"}}, field_manager="person")
        cluster.namespace = "team"
        async with running(cluster) as run:
            spec = {**DEMO, "operatingMode": "Suspended", "persistence": {"deletionPolicy": "Delete"}}
            await cluster.moltbot(spec=spec)
            await cluster.until(STATEFUL_SETS, "ada-gateway", lambda found: found)
            await run.quiet()
            await cluster.person.delete(NAMESPACES, "team")
            await cluster.until(MOLTBOTS, "ada", lambda found: found is None)
            async with asyncio.timeout(15):
                while await cluster.person.get(NAMESPACES, "team") is not None:
                    await asyncio.sleep(0.05)
            assert not run.task.done()


async def template_of(cluster: Cluster) -> dict[str, str]:
    found: dict[str, str] = (await cluster.get(STATEFUL_SETS, "ada-gateway"))["spec"]["template"]["metadata"]["annotations"]
    return found


async def refresh(cluster: Cluster, when: str) -> None:
    patch = {"metadata": {"annotations": {"moltbot.dev/refresh": when}}}
    await cluster.person.patch(MOLTBOTS, "ada", cluster.namespace, patch, field_manager="person")
