"""NetworkPolicies of the gateway and of the backup (rule 11). Pure.

In: router, operator and backup, each only to its ports. Out: DNS, and the public internet without any private, shared, link-local or
metadata range; what a person opens by `gateway.egress` besides.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from moltbot_api.names import (
    COMPONENT_BACKUP,
    COMPONENT_GATEWAY,
    LABEL_COMPONENT,
    LABEL_NAME,
    PORT_GATEWAY,
    PORT_GATEWAY_CONTROL,
    PORT_GATEWAY_METRICS,
    PORT_STATE_CONTROL,
    PORT_STATE_METRICS,
    gateway_selector,
)
from moltbot_api.spec import Egress
from moltbot_operator.manifests.plan import Manifest, Plan, labels_of, metadata, port_list

# Set by the API server on every namespace. https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name
_NAMESPACE_LABEL = "kubernetes.io/metadata.name"
DNS_PORTS = (53, 5353)  # 5353: where OpenShift's DNS pods listen

# Not the public internet (IANA's special-purpose registries, RFC 6890): private, shared, local, metadata, test, multicast.
_CLOSED_V4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
_CLOSED_V6 = ("::/96", "64:ff9b:1::/48", "100::/64", "2001:db8::/32", "fc00::/7", "fe80::/10", "ff00::/8")
# NAT64 (RFC 6052) and 6to4 (RFC 3056) reach an IPv4 address that is written in the IPv6 one.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")


def closed_ranges(denied: Iterable[str]) -> tuple[list[str], list[str]]:
    """Ranges that are not the public internet, IPv4 and IPv6, each without those that lie in another one. `denied`: further ones."""
    four = [ipaddress.IPv4Network(text) for text in _CLOSED_V4]
    six = [ipaddress.IPv6Network(text) for text in _CLOSED_V6]
    for text in denied:
        network = ipaddress.ip_network(text, strict=False)
        if isinstance(network, ipaddress.IPv4Network):
            four.append(network)
        else:
            six.append(network)
    collapsed = list(ipaddress.collapse_addresses(four))
    for network in collapsed:
        address = int(network.network_address)
        six.append(ipaddress.IPv6Network((int(_NAT64.network_address) | address, 96 + network.prefixlen)))
        six.append(ipaddress.IPv6Network((int(_SIX_TO_FOUR.network_address) | (address << 80), 16 + network.prefixlen)))
    return [str(network) for network in collapsed], [str(network) for network in ipaddress.collapse_addresses(six)]


def _dns(plan: Plan) -> Manifest:
    peer = {"namespaceSelector": labels_of({_NAMESPACE_LABEL: plan.installation.dns_namespace})}
    peer["podSelector"] = labels_of(plan.installation.dns_labels)
    return {"to": [peer], "ports": port_list(*DNS_PORTS, protocols=("UDP", "TCP"))}


def _internet(plan: Plan) -> list[Manifest]:
    four, six = closed_ranges(plan.installation.denied_cidrs)
    blocks: list[tuple[str, list[str]]] = [("0.0.0.0/0", four), ("::/0", six)]
    # a range that is denied as a whole leaves nothing to allow, and `except` must be smaller than its range
    open_blocks = [{"ipBlock": {"cidr": cidr, "except": closed}} for cidr, closed in blocks if cidr not in closed]
    return [{"to": open_blocks}] if open_blocks else []


def _opened(plan: Plan, entry: Egress) -> Manifest:
    ports = [{"port": one.port, "protocol": one.protocol} for one in entry.ports]
    if entry.cidr is not None:
        network = ipaddress.ip_network(entry.cidr, strict=False)
        return {"to": [{"ipBlock": {"cidr": str(network)}}], "ports": ports}
    peer: Manifest = {"namespaceSelector": labels_of({_NAMESPACE_LABEL: entry.namespace or plan.namespace})}
    if entry.pod_labels:
        peer["podSelector"] = labels_of(entry.pod_labels)
    return {"to": [peer], "ports": ports}


def egress_problems(entries: Iterable[Egress]) -> list[str]:
    """Ranges that are not ranges, in words; the CRD's pattern lets some through."""
    found = []
    for index, entry in enumerate(entries):
        if entry.cidr is None:
            continue
        try:
            ipaddress.ip_network(entry.cidr, strict=False)
        except ValueError:
            found.append(f"gateway.egress[{index}].cidr: {entry.cidr} is not a range of addresses, such as 10.20.0.0/16")
    return found


def _valid(entry: Egress) -> bool:
    return not egress_problems([entry])


def build_gateway_policy(plan: Plan) -> Manifest:
    """Who may reach the gateway pod, and what it may reach."""
    installation = plan.installation

    def ours(labels: Manifest) -> Manifest:
        return {"namespaceSelector": labels_of({_NAMESPACE_LABEL: installation.namespace}), "podSelector": labels}

    ingress: list[Manifest] = [
        {"from": [ours(labels_of(installation.router_labels))], "ports": port_list(PORT_GATEWAY, PORT_GATEWAY_CONTROL)},
        {"from": [ours(labels_of(installation.operator_labels))], "ports": port_list(PORT_GATEWAY_CONTROL, PORT_STATE_CONTROL)},
    ]
    if plan.bucket is not None:
        ingress.append({"from": [{"podSelector": labels_of(_backup_selector(plan))}], "ports": port_list(PORT_STATE_CONTROL)})
    if installation.metrics and installation.metrics_from:
        ports = port_list(PORT_GATEWAY_METRICS, *([PORT_STATE_METRICS] if plan.bucket is not None else []))
        ingress.append({"from": list(installation.metrics_from), "ports": ports})
    opened = plan.spec.gateway.egress if plan.spec.gateway and plan.spec.gateway.egress else []
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(plan, plan.children.gateway, COMPONENT_GATEWAY),
        "spec": {
            "podSelector": labels_of(gateway_selector(plan.name)),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": [_dns(plan), *_internet(plan), *(_opened(plan, entry) for entry in opened if _valid(entry))],
        },
    }


def _backup_selector(plan: Plan) -> dict[str, str]:
    return {LABEL_NAME: plan.name, LABEL_COMPONENT: COMPONENT_BACKUP}


def build_backup_policy(plan: Plan) -> Manifest:
    """The backup's pod reaches DNS and this Moltbot's state container, and nothing reaches it."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(plan, plan.children.backup, COMPONENT_BACKUP),
        "spec": {
            "podSelector": labels_of(_backup_selector(plan)),
            "policyTypes": ["Ingress", "Egress"],
            "egress": [
                _dns(plan),
                {"to": [{"podSelector": labels_of(gateway_selector(plan.name))}], "ports": port_list(PORT_STATE_CONTROL)},
            ],
        },
    }
