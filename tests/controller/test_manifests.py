"""Golden manifests. `pytest tests/controller --regenerate` writes them anew; the difference is then reviewed like code.

What rules say of them is tested besides, so that a regenerated file cannot quietly break one.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
import yaml

from moltbot_operator.manifests.agent import build_agent_config
from moltbot_operator.manifests.backup import build_backup
from moltbot_operator.manifests.hashing import hash_of, with_hash
from moltbot_operator.manifests.network import build_backup_policy, build_gateway_policy, closed_ranges, egress_problems
from moltbot_operator.manifests.plan import Manifest, Plan
from moltbot_operator.manifests.schedule import DEFAULT_SCHEDULE, longest_gap_seconds, offset_schedule
from moltbot_operator.manifests.secrets import build_bucket_secret, build_keys_secret, build_model_secret
from moltbot_operator.manifests.storage import build_boot_config, build_claim
from moltbot_operator.manifests.workload import build_service, build_service_account, build_statefulset, build_statefulset_skeleton
from tests.controller.plans import make_plan, plans

GOLDEN = Path(__file__).parent / "golden"
PLANS = plans()


def build_all(plan: Plan) -> list[Manifest]:
    made = [build_service_account(plan), build_keys_secret(plan), build_model_secret(plan)]
    if plan.bucket is not None:
        made.append(build_bucket_secret(plan, plan.bucket))
    made += [build_boot_config(plan), build_agent_config(plan), build_service(plan), build_gateway_policy(plan)]
    if plan.claim == plan.children.state:
        made.append(build_claim(plan))
    made += [build_statefulset_skeleton(plan), build_statefulset(plan)]
    if plan.bucket is not None:
        made += [build_backup_policy(plan), build_backup(plan)]
    return made


@pytest.mark.parametrize("name", PLANS)
def test_manifests_are_the_golden_ones(name: str, regenerate: bool) -> None:
    text = yaml.safe_dump_all(build_all(PLANS[name]), sort_keys=False, width=140)
    path = GOLDEN / f"{name}.yaml"
    if regenerate:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", PLANS)
def test_the_applied_statefulset_never_names_replicas_and_never_replaces_a_pod_by_itself(name: str) -> None:
    """Rule 2."""
    spec = build_statefulset(PLANS[name])["spec"]
    assert "replicas" not in spec
    assert spec["updateStrategy"] == {"type": "OnDelete"}
    assert "volumeClaimTemplates" not in spec
    assert build_statefulset_skeleton(PLANS[name])["spec"]["replicas"] == 0


@pytest.mark.parametrize("name", PLANS)
def test_every_container_is_restricted_and_no_pod_gets_a_token(name: str) -> None:
    plan = PLANS[name]
    pods = [build_statefulset(plan)["spec"]["template"]["spec"]]
    if plan.bucket is not None:
        pods.append(build_backup(plan)["spec"]["jobTemplate"]["spec"]["template"]["spec"])
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            security = container["securityContext"]
            assert (security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"]) == (False, True)
            assert security["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", PLANS)
def test_no_secret_value_is_in_anything_but_a_secret(name: str) -> None:
    plan = PLANS[name]
    others = [one for one in build_all(plan) if one["kind"] != "Secret"]
    text = yaml.safe_dump_all(others)
    values = [plan.model.api_key, plan.model.gateway_authorization]
    values += [plan.bucket.access_key_id, plan.bucket.secret_access_key] if plan.bucket else []
    assert all(f"'{value.reveal()}'" not in text and f": {value.reveal()}\n" not in text for value in values if value is not None)


def test_only_the_state_container_gets_the_buckets_keys_and_only_the_gateway_the_models() -> None:
    """Rule 9."""
    pod = build_statefulset(PLANS["r2-ephemeral"])["spec"]["template"]["spec"]
    names = {one["name"]: {entry["name"] for entry in one["env"]} for one in [*pod["containers"], *pod["initContainers"]]}
    assert "MOLTBOT_BUCKET_SECRET_ACCESS_KEY" in names["state"] - names["gateway"]
    assert "MOLTBOT_MODEL_API_KEY" in names["gateway"] - names["state"]
    backup = build_backup(PLANS["r2-ephemeral"])["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert not any("BUCKET" in entry["name"] or "MODEL" in entry["name"] for entry in backup["env"])


def test_the_backup_rests_while_asleep_and_never_runs_twice_at_once() -> None:
    """Rule 9."""
    spec = build_backup(PLANS["everything"])["spec"]
    assert (spec["suspend"], spec["concurrencyPolicy"]) == (True, "Forbid")
    assert spec["startingDeadlineSeconds"] > 0
    assert build_backup(PLANS["r2-ephemeral"])["spec"]["suspend"] is False


def test_the_claim_is_owned_only_when_it_is_to_go_with_the_moltbot() -> None:
    assert "ownerReferences" not in build_claim(PLANS["smallest"])["metadata"]
    assert build_claim(PLANS["smallest"])["metadata"]["annotations"] == {"moltbot.dev/last-owner": PLANS["smallest"].uid}
    assert build_claim(PLANS["everything"])["metadata"]["ownerReferences"][0]["uid"] == PLANS["everything"].uid


# rule 11

FORBIDDEN = [
    "10.1.2.3", "172.20.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "127.0.0.1", "224.0.0.1", "0.0.0.0", "192.0.0.192",
    "fd00:ec2::254", "fe80::1", "::1", "ff02::1", "64:ff9b::a9fe:a9fe", "64:ff9b::a01:203", "2002:a01:203::1", "::10.1.2.3",
]  # fmt: skip
ALLOWED = ["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101"]


def reachable(policy: dict[str, Any], address: str) -> bool:
    ip = ipaddress.ip_address(address)
    for rule in policy["spec"]["egress"]:
        for peer in rule["to"]:
            block = peer.get("ipBlock")
            if block is None or ip.version != ipaddress.ip_network(block["cidr"]).version:
                continue
            closed = any(ip in ipaddress.ip_network(cidr) for cidr in block.get("except", []))
            if ip in ipaddress.ip_network(block["cidr"]) and not closed:
                return True
    return False


@pytest.mark.parametrize("address", FORBIDDEN)
def test_private_shared_local_and_metadata_addresses_are_closed(address: str) -> None:
    assert not reachable(build_gateway_policy(PLANS["smallest"]), address)


@pytest.mark.parametrize("address", ALLOWED)
def test_the_public_internet_is_open(address: str) -> None:
    assert reachable(build_gateway_policy(PLANS["smallest"]), address)


def test_an_egress_entry_opens_what_it_names_and_nothing_else() -> None:
    policy = build_gateway_policy(PLANS["everything"])
    assert reachable(policy, "10.20.1.1")
    assert not reachable(policy, "10.21.1.1")


def test_denied_ranges_are_closed_where_they_are_public() -> None:
    assert not reachable(build_gateway_policy(PLANS["everything"]), "198.51.7.7")
    assert not reachable(build_gateway_policy(PLANS["everything"]), "2a00::7")
    assert reachable(build_gateway_policy(PLANS["smallest"]), "198.51.7.7")


def test_exceptions_are_strictly_within_their_range_as_the_api_asks() -> None:
    for text in ((), ("8.0.0.0/8", "2600::/12")):
        four, six = closed_ranges(text)
        assert all(ipaddress.IPv4Network(one) for one in four)
        assert not any(ipaddress.IPv6Network(one).network_address.ipv4_mapped for one in six)


def test_everything_denied_leaves_only_dns_and_what_is_opened() -> None:
    from dataclasses import replace

    plan = replace(PLANS["smallest"], installation=replace(PLANS["smallest"].installation, denied_cidrs=("0.0.0.0/0", "::/0")))
    assert len(build_gateway_policy(plan)["spec"]["egress"]) == 1


def test_only_router_operator_and_backup_come_in_each_to_its_ports() -> None:
    ingress = build_gateway_policy(PLANS["r2-ephemeral"])["spec"]["ingress"]
    assert [[port["port"] for port in rule["ports"]] for rule in ingress] == [[18789, 18790], [18790, 18791], [18791]]
    assert len(build_gateway_policy(PLANS["smallest"])["spec"]["ingress"]) == 2
    assert "ingress" not in build_backup_policy(PLANS["r2-ephemeral"])["spec"]


def test_a_range_that_is_none_is_named_and_opens_nothing() -> None:
    plan = make_plan({"gateway": {"egress": [{"cidr": "10.0.0.0/99", "ports": [{"port": 1}]}]}})
    assert plan.spec.gateway is not None
    assert egress_problems(plan.spec.gateway.egress or []) == [
        "gateway.egress[0].cidr: 10.0.0.0/99 is not a range of addresses, such as 10.20.0.0/16"
    ]
    assert not reachable(build_gateway_policy(plan), "10.0.0.1")


# hash and schedule


def test_the_hash_follows_the_manifest_and_not_its_own_annotation() -> None:
    manifest = build_service(PLANS["smallest"])
    once = with_hash(manifest)
    assert with_hash(once) == once
    assert hash_of({**manifest, "spec": {}}) != hash_of(manifest)
    assert hash_of(manifest, b"k") != hash_of(manifest)


def test_a_thousand_backups_are_spread_over_the_five_minutes() -> None:
    schedules = [offset_schedule(DEFAULT_SCHEDULE, f"uid-{number}") for number in range(1000)]
    assert {schedules.count(one) > 150 for one in set(schedules)} == {True}
    assert len(set(schedules)) == 5
    assert offset_schedule("7 3 * * *", "uid") == "7 3 * * *"


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [
        ("*/5 * * * *", 300), ("3-59/5 * * * *", 300), ("0 * * * *", 3600), ("0,10 * * * *", 3000), ("0 */6 * * *", 21600),
        ("0 3 * * *", 86400), ("0 9-17 * * *", 57600), ("*/5 * * * 1", 86400), ("x * * * *", 86400), ("*/0 * * * *", 86400), ("*/5", 86400),
    ],
)  # fmt: skip
def test_the_longest_gap_of_a_schedule(schedule: str, seconds: int) -> None:
    assert longest_gap_seconds(schedule) == seconds
