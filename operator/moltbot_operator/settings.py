"""The operator's settings: one frozen dataclass, read once from the environment (`moltbot_trust.settings`)."""

from __future__ import annotations

import ipaddress
import json
import socket
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from moltbot_trust.logs import LogFormat, LogLevel
from moltbot_trust.settings import setting, split_address


class DemoModel(StrEnum):
    """When the offline stand-in answers."""

    NAMED = "named"
    FALLBACK = "fallback"


class PullPolicy(StrEnum):
    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that the operator takes from outside, beside the cluster itself."""

    namespace: str = setting(doc="The operator's own namespace: its keys, its Lease, and where routers run.")
    watch_namespaces: tuple[str, ...] = setting((), doc="Namespaces in which Moltbots are looked after; all of them when empty.")
    gateway_image: str = setting(doc="Image of gateway and state container, unless a Moltbot names its own.")
    image_pull_policy: PullPolicy = setting(PullPolicy.IF_NOT_PRESENT, doc="When that image is pulled, unless a Moltbot says otherwise.")
    base_domain: str = setting(
        "localhost", doc="Moltbots answer at <name>--<namespace>.<base domain>.", pattern=r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
    )
    public_port: int = setting(
        8080,
        doc="The port that status.url names, as nothing else says how people reach the router; 443 makes it https.",
        minimum=1,
        maximum=65535,
    )
    demo_model: DemoModel = setting(
        DemoModel.NAMED,
        doc="`named`: the offline demo model answers only when model.name is demo; `fallback`: also when there is no model key.",
    )
    on_cluster: bool = setting(
        True, doc="Whether pods are containers of a cluster; `moltbot up` says no: there a kernel without Landlock has each tool asked for."
    )
    denied_cidrs: tuple[str, ...] = setting(
        (), doc="Ranges that gateways may not reach beside the private ones: pods, services and nodes where their addresses are public."
    )
    router_labels: str = setting(
        "app.kubernetes.io/name=moltbot-operator,app.kubernetes.io/component=router",
        doc="Labels of the router's pods in the operator's namespace, as key=value, by commas: what gateways admit.",
        pattern=r"[^=,\s]+=[^=,\s]*(,[^=,\s]+=[^=,\s]*)*",
    )
    operator_labels: str = setting(
        "app.kubernetes.io/name=moltbot-operator,app.kubernetes.io/component=operator",
        doc="Labels of the operator's pod, likewise.",
        pattern=r"[^=,\s]+=[^=,\s]*(,[^=,\s]+=[^=,\s]*)*",
    )
    dns_namespace: str = setting("kube-system", doc="Namespace of the cluster's DNS, which gateways may ask.")
    dns_labels: str = setting("k8s-app=kube-dns", doc="Labels of the DNS pods.", pattern=r"[^=,\s]+=[^=,\s]*(,[^=,\s]+=[^=,\s]*)*")
    gateway_metrics: bool = setting(False, doc="Have gateway and state serve metrics (ports 9090 and 9091).")
    metrics_from: str = setting("", doc="Who may read these metrics: a JSON list of NetworkPolicy peers; empty: nobody.")
    workers: int = setting(32, doc="How many Moltbots are reconciled at the same time; most of it is waiting.", minimum=1, maximum=256)
    identity: str = setting("", doc="Who holds the Lease; the host name when empty. The same identity takes it over at once.")
    metrics_listen: str = setting("", doc="Address and port of /metrics; empty: none.", pattern=r"[^\s:]*(:[^\s]*)?:[0-9]{1,5}")
    health_listen: str = setting("", doc="Address and port of /healthz and /readyz; empty: none.", pattern=r"[^\s:]*(:[^\s]*)?:[0-9]{1,5}")
    gateway_log_format: LogFormat = setting(LogFormat.JSON, doc="Log format of gateway and state.")
    gateway_log_level: LogLevel = setting(LogLevel.INFO, doc="Log level of gateway and state.")
    log_format: LogFormat = setting(LogFormat.AUTO, doc="Log lines as `json` or `text`; `auto` is text on a terminal.")
    log_level: LogLevel = setting(LogLevel.INFO, doc="Least level that is logged.")

    def lease_identity(self) -> str:
        """Who we are in the Lease. In a pod the host name is the pod's, so a restarted container takes its own Lease over at once."""
        return self.identity or socket.gethostname()

    def problems(self) -> list[str]:
        """What the types above cannot check, one sentence each."""
        found = []
        for cidr in self.denied_cidrs:
            try:
                ipaddress.ip_network(cidr)
            except ValueError as error:
                found.append(f"MOLTBOT_DENIED_CIDRS: {cidr!r} is not a range of addresses ({error})")
        try:
            parse_peers(self.metrics_from)
        except ValueError as error:
            found.append(f"MOLTBOT_METRICS_FROM: {error}")
        return found


def parse_peers(text: str) -> tuple[dict[str, Any], ...]:
    """A JSON list of NetworkPolicy peers. Raises ValueError: an empty peer would be everybody."""
    if not text:
        return ()
    try:
        peers = json.loads(text)
    except ValueError as error:
        raise ValueError("is not JSON") from error
    if not isinstance(peers, list) or not all(isinstance(peer, dict) and peer for peer in peers):
        raise ValueError('is not a list of NetworkPolicy peers, such as [{"namespaceSelector": {…}}]')
    return tuple(peers)


def parse_labels(text: str) -> dict[str, str]:
    """`a=b,c=d` as labels."""
    return dict(part.split("=", 1) for part in text.split(",") if part)


def parse_listen(text: str) -> tuple[str, int] | None:
    """`host:port` (`[::]:port` too) as the two of them; None for the empty string."""
    if not text:
        return None
    host, port = split_address(text)
    return host or "0.0.0.0", port
