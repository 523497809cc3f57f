"""The kinds of the Kubernetes API that this project touches: a small closed set, written down so that no discovery is needed.

A new kind is a line here and a line in the chart's roles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

# An object as the API serves it: plain JSON. Typed models are made from it where a field's meaning matters, not here.
Object: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind: where the API serves it and what it is called."""

    group: str  # "" is the core group
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`apiVersion` of its objects, e.g. `apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of a collection (`name` None) or of one object; `namespace` None is all namespaces, or a cluster-scoped kind.

        Raises ValueError when a name is given without the namespace that a namespaced kind needs.
        """
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        elif self.namespaced and name is not None:
            raise ValueError(f"a {self.kind} is named within a namespace, and none was given for {name!r}")
        parts.append(self.plural)
        if name is not None:
            if not name:
                raise ValueError(f"the name of a {self.kind} is empty")  # the collection would answer instead
            parts.append(name)
        if subresource is not None:
            parts.append(subresource)
        return "/" + "/".join(quote(part, safe="") for part in parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


MOLTBOTS = Resource("moltbot.dev", "v1alpha1", "moltbots", "Moltbot")
MOLTBOT_DEVICES = Resource("moltbot.dev", "v1alpha1", "moltbotdevices", "MoltbotDevice")
MOLTBOT_SNAPSHOTS = Resource("moltbot.dev", "v1alpha1", "moltbotsnapshots", "MoltbotSnapshot")

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
EVENTS = Resource("", "v1", "events", "Event")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
PODS = Resource("", "v1", "pods", "Pod")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
SERVICES = Resource("", "v1", "services", "Service")

CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
JOBS = Resource("batch", "v1", "jobs", "Job")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)

ALL: tuple[Resource, ...] = (
    MOLTBOTS, MOLTBOT_DEVICES, MOLTBOT_SNAPSHOTS,
    CONFIG_MAPS, EVENTS, NAMESPACES, NODES, PERSISTENT_VOLUME_CLAIMS, PODS, SECRETS, SERVICE_ACCOUNTS, SERVICES,
    CRON_JOBS, CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, ENDPOINT_SLICES, JOBS, LEASES, NETWORK_POLICIES, STATEFUL_SETS, STORAGE_CLASSES,
)  # fmt: skip

_BY_TYPE = {(resource.api_version, resource.kind): resource for resource in ALL}


def resource_of(obj: Object) -> Resource:
    """The resource that an object says it is, by `apiVersion` and `kind`. Raises KeyError, naming both, for a kind outside the set."""
    key = (str(obj.get("apiVersion", "")), str(obj.get("kind", "")))
    try:
        return _BY_TYPE[key]
    except KeyError as error:
        raise KeyError(
            f"{key[1] or 'an object without kind'} of {key[0] or 'no apiVersion'} is not a kind that this project uses"
        ) from error
