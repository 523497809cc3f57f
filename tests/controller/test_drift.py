"""Rule 1: `find_drift(desired, live)`. Each case is something that an API server does to what it is sent, or somebody to what is there."""

from __future__ import annotations

from typing import Any

import pytest

from moltbot_operator.drift import find_drift, parse_quantity

CONTAINER = {"name": "gateway", "image": "a", "env": [{"name": "X", "value": "1"}], "ports": [{"containerPort": 1, "protocol": "TCP"}]}


def pod(**container: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{**CONTAINER, **container}]}}}}


SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "equal": (pod(), pod()),
    "what the API defaulted": (pod(), pod(terminationMessagePath="/dev/termination-log")),
    "zero as absent": (pod(stdin=False, tty=None, workingDir="", args=[]), pod()),
    "absent as zero": ({"spec": {}}, {"spec": {"replicas": 0}}),
    "a map of zeros as absent": ({"spec": {"template": {"metadata": {"creationTimestamp": None}}}}, {"spec": {"template": {}}}),
    "quantity by value": (
        pod(resources={"limits": {"cpu": "0.5", "memory": "1Gi"}}),
        pod(resources={"limits": {"cpu": "500m", "memory": "1024Mi"}}),
    ),
    "quantity as a number": (pod(resources={"limits": {"cpu": "1"}}), pod(resources={"limits": {"cpu": 1}})),
    "size limit by value": (
        {"spec": {"volumes": [{"name": "t", "emptyDir": {"sizeLimit": "1024Mi"}}]}},
        {"spec": {"volumes": [{"name": "t", "emptyDir": {"sizeLimit": "1Gi"}}]}},
    ),
    "a container that somebody added": (pod(), {"spec": {"template": {"spec": {"containers": [CONTAINER, {"name": "other"}]}}}}),
    "env in another order": (
        pod(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]),
        pod(env=[{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]),
    ),
    "annotations of others": ({"metadata": {"annotations": {"a": "1"}}}, {"metadata": {"annotations": {"a": "1", "b": "2"}}}),
    "owner references of others": (
        {"metadata": {"ownerReferences": [{"uid": "1", "kind": "Moltbot"}]}},
        {"metadata": {"ownerReferences": [{"uid": "2", "kind": "X"}, {"uid": "1", "kind": "Moltbot"}]}},
    ),
    "metadata that is not a wish": ({"metadata": {"uid": "1", "name": "x"}}, {"metadata": {"uid": "2", "name": "x"}}),
    "ports of a Service by port": (
        {"spec": {"ports": [{"name": "a", "port": 1, "targetPort": 1, "protocol": "TCP"}]}},
        {"spec": {"ports": [{"name": "a", "port": 1, "targetPort": 1, "protocol": "TCP", "nodePort": 30000}]}},
    ),
    "a defaulted protocol in an atomic list": (
        {"spec": {"egress": [{"ports": [{"port": 53}]}]}},
        {"spec": {"egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}]}},
    ),
    "an empty map that chooses": ({"spec": {"emptyDir": {}}}, {"spec": {"emptyDir": {}}}),
}

DRIFTED: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "image": (pod(image="b"), pod(), ["spec.template.spec.containers[name=gateway].image"]),
    "a removed container": (pod(), {"spec": {"template": {"spec": {"containers": []}}}}, ["spec.template.spec.containers[name=gateway]"]),
    "a changed variable": (
        pod(env=[{"name": "X", "value": "2"}]),
        pod(),
        ["spec.template.spec.containers[name=gateway].env[name=X].value"],
    ),
    "a removed variable": (pod(), pod(env=[]), ["spec.template.spec.containers[name=gateway].env[name=X]"]),
    "true as absent": ({"spec": {"suspend": True}}, {"spec": {}}, ["spec.suspend"]),
    "false as true": ({"spec": {"suspend": False}}, {"spec": {"suspend": True}}, ["spec.suspend"]),
    "quantity": (
        pod(resources={"limits": {"cpu": "0.5"}}),
        pod(resources={"limits": {"cpu": "600m"}}),
        ["spec.template.spec.containers[name=gateway].resources.limits.cpu"],
    ),
    "an added egress rule": (
        {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}},
        {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}, {}]}},
        ["spec.egress"],
    ),
    "a widened egress rule": (
        {"spec": {"egress": [{"to": [{"podSelector": {}}], "ports": [{"port": 53}]}]}},
        {"spec": {"egress": [{"to": [{"podSelector": {}}]}]}},
        ["spec.egress[0].ports"],
    ),
    "an egress rule with more in it": (
        {"spec": {"egress": [{"ports": [{"port": 53}]}]}},
        {"spec": {"egress": [{"ports": [{"port": 53, "endPort": 99}]}]}},
        ["spec.egress[0].ports[0].endPort"],
    ),
    "a removed exception": (
        {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}]}},
        {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}},
        ["spec.egress[0].to[0].ipBlock.except"],
    ),
    "a selector that was opened": (
        {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}},
        {"spec": {"podSelector": {}}},
        ["spec.podSelector.matchLabels"],
    ),
    "a removed label": ({"metadata": {"labels": {"a": "1"}}}, {"metadata": {}}, ["metadata.labels"]),
    "a removed owner": ({"metadata": {"ownerReferences": [{"uid": "1"}]}}, {"metadata": {}}, ["metadata.ownerReferences"]),
    "secret data": ({"data": {"k": "YQ=="}}, {"data": {"k": "Yg=="}}, ["data.k"]),
    "command is atomic": (pod(command=["a", "b"]), pod(command=["a"]), ["spec.template.spec.containers[name=gateway].command"]),
    "another protocol of the same port": (
        pod(ports=[{"containerPort": 1, "protocol": "UDP"}]),
        pod(),
        ["spec.template.spec.containers[name=gateway].ports[containerPort=1,protocol=UDP]"],
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_what_is_the_same_is_no_drift(case: str) -> None:
    desired, live = SAME[case]
    assert find_drift(desired, live) == []


@pytest.mark.parametrize("case", DRIFTED)
def test_what_differs_is_named(case: str) -> None:
    desired, live, paths = DRIFTED[case]
    assert find_drift(desired, live) == paths


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.5", "0.5"),
        ("500m", "0.5"),
        ("1Ki", "1024"),
        ("1e3", "1000"),
        ("12E2", "1200"),
        ("1G", "1000000000"),
        (2, "2"),
        ("", None),
        ("1Q", None),
    ],
)
def test_quantities(text: object, number: str | None) -> None:
    from decimal import Decimal

    assert parse_quantity(text) == (Decimal(number) if number is not None else None)
