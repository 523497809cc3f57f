"""The built-in kinds that are served: names, columns, strategies."""

from __future__ import annotations

from . import strategies, workloads
from .columns import COLUMNS
from .crd import Definition
from .resources import Registry, Resource, Strategy
from .schema import shape

_READ_ONLY = ("get", "list", "watch")
_NAMES = ("metadata.name", "metadata.namespace")
_POD_FIELDS = (
    *_NAMES,
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
)
_EVENT_FIELDS = (
    *_NAMES,
    *(f"involvedObject.{word}" for word in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")),
    "reason",
    "reportingComponent",
    "source",
    "type",
)
_SCALE = (".spec.replicas", ".status.replicas", None)
CRDS = "customresourcedefinitions.apiextensions.k8s.io"


def builtin_registry() -> Registry:
    registry = Registry()
    for resource in _builtin():
        registry.add(resource)
    return registry


def _kind(
    kind: str,
    strategy: Strategy,
    *short: str,
    group: str = "",
    plural: str = "",
    namespaced: bool = True,
    scale: tuple[str, str, str | None] | None = None,
    fields: tuple[str, ...] = _NAMES,
    categories: tuple[str, ...] = (),
) -> Resource:
    return Resource(
        group=group,
        version="v1",
        kind=kind,
        plural=plural or kind.lower() + "s",
        singular=kind.lower(),
        namespaced=namespaced,
        short_names=short,
        categories=categories,
        status=isinstance(strategy, (strategies.WithStatus, Definition)),
        scale=scale,
        fields=fields,
        columns=COLUMNS.get(kind, ()),
        strategy=strategy,
        schema=shape(kind),
    )


def _builtin() -> list[Resource]:
    plain = strategies.Plain()
    return [
        _kind("Namespace", strategies.Namespace(), "ns", namespaced=False, fields=(*_NAMES, "status.phase")),
        _kind("Node", strategies.Node(), "no", namespaced=False),
        _kind("Pod", strategies.Pod(), "po", fields=_POD_FIELDS, categories=("all",)),
        _kind("Secret", strategies.Secret(), fields=(*_NAMES, "type")),
        _kind("ConfigMap", strategies.ConfigMap(), "cm"),
        _kind("Service", strategies.Service(), "svc", fields=(*_NAMES, "spec.clusterIP", "spec.type"), categories=("all",)),
        _kind("ServiceAccount", plain, "sa"),
        _kind("PersistentVolumeClaim", strategies.PersistentVolumeClaim(), "pvc"),
        _kind("PersistentVolume", strategies.PersistentVolume(), "pv", namespaced=False),
        _kind("Event", strategies.Event(), "ev", fields=_EVENT_FIELDS),
        _kind("StatefulSet", workloads.StatefulSet(), "sts", group="apps", scale=_SCALE, categories=("all",)),
        _kind("ControllerRevision", plain, group="apps"),
        _kind("CronJob", workloads.CronJob(), "cj", group="batch", categories=("all",)),
        _kind("Job", workloads.Job(), group="batch", fields=(*_NAMES, "status.successful"), categories=("all",)),
        _kind("NetworkPolicy", strategies.NetworkPolicy(), "netpol", group="networking.k8s.io", plural="networkpolicies"),
        _kind("StorageClass", strategies.StorageClass(), "sc", group="storage.k8s.io", plural="storageclasses", namespaced=False),
        _kind("Lease", strategies.Lease(), group="coordination.k8s.io"),
        _kind("CustomResourceDefinition", Definition(), "crd", "crds", group="apiextensions.k8s.io", namespaced=False),
    ]
