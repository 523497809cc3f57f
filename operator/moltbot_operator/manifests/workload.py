"""The StatefulSet, its ServiceAccount and its governing Service (rule 2). Pure."""

from __future__ import annotations

from moltbot_api.names import (
    COMPONENT_GATEWAY,
    PORT_GATEWAY,
    PORT_GATEWAY_CONTROL,
    PORT_STATE_CONTROL,
    child_labels,
    gateway_selector,
)
from moltbot_operator.manifests.plan import Manifest, Plan, metadata
from moltbot_operator.manifests.pod import build_pod_template


def build_service_account(plan: Plan) -> Manifest:
    """An account without rights, whose token is mounted nowhere."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(plan, plan.children.gateway, COMPONENT_GATEWAY),
        "automountServiceAccountToken": False,
    }


def build_service(plan: Plan) -> Manifest:
    """Headless, and with pods that are not ready: the backup finds a pod that still restores. People's traffic does not come this way."""
    ports = (("gateway", PORT_GATEWAY), ("control", PORT_GATEWAY_CONTROL), ("state", PORT_STATE_CONTROL))
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(plan, plan.children.gateway, COMPONENT_GATEWAY),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": gateway_selector(plan.name),
            "ports": [{"name": name, "port": port, "targetPort": port, "protocol": "TCP"} for name, port in ports],
        },
    }


def build_statefulset(plan: Plan) -> Manifest:
    """What is applied. It never names `replicas`: who scales is settled elsewhere (rule 2), and an apply that named it would take part."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(plan, plan.children.gateway, COMPONENT_GATEWAY),
        "spec": {
            "serviceName": plan.children.gateway,
            "selector": {"matchLabels": gateway_selector(plan.name)},
            "updateStrategy": {"type": "OnDelete"},
            "podManagementPolicy": "OrderedReady",
            "revisionHistoryLimit": 2,
            "template": build_pod_template(plan),
        },
    }


def build_statefulset_skeleton(plan: Plan) -> Manifest:
    """What is POSTed first, under a second field manager: at 0, and with a template that could not run. An apply that creates would start
    a pod, since a StatefulSet without `replicas` is defaulted to 1."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(plan, plan.children.gateway, COMPONENT_GATEWAY),
        "spec": {
            "replicas": 0,
            "serviceName": plan.children.gateway,
            "selector": {"matchLabels": gateway_selector(plan.name)},
            "updateStrategy": {"type": "OnDelete"},
            "podManagementPolicy": "OrderedReady",
            "template": {
                "metadata": {"labels": child_labels(plan.name, COMPONENT_GATEWAY)},
                "spec": {"containers": [{"name": "gateway", "image": plan.installation.image}]},
            },
        },
    }
