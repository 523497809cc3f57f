"""The built-in kinds that are served."""

from __future__ import annotations

from .resources import Registry, Resource, Strategy


class _Pod(Strategy):
    def grace(self, item: dict, asked: int | None) -> int:  # type: ignore[type-arg]
        spec, status = item.get("spec") or {}, item.get("status") or {}
        if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
            return 0
        return int(spec.get("terminationGracePeriodSeconds", 30)) if asked is None else max(asked, 0)


def builtin_registry() -> Registry:
    registry = Registry()
    for group, version, kind, plural, namespaced, status in (
        ("", "v1", "Namespace", "namespaces", False, True),
        ("", "v1", "Pod", "pods", True, True),
        ("", "v1", "Secret", "secrets", True, False),
        ("", "v1", "ConfigMap", "configmaps", True, False),
        ("", "v1", "Service", "services", True, True),
        ("", "v1", "ServiceAccount", "serviceaccounts", True, False),
        ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", True, True),
        ("", "v1", "PersistentVolume", "persistentvolumes", False, True),
        ("", "v1", "Event", "events", True, False),
        ("", "v1", "Node", "nodes", False, True),
        ("apps", "v1", "StatefulSet", "statefulsets", True, True),
        ("apps", "v1", "ControllerRevision", "controllerrevisions", True, False),
        ("batch", "v1", "CronJob", "cronjobs", True, True),
        ("batch", "v1", "Job", "jobs", True, True),
        ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", True, False),
        ("storage.k8s.io", "v1", "StorageClass", "storageclasses", False, False),
        ("coordination.k8s.io", "v1", "Lease", "leases", True, False),
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False, True),
    ):
        strategy = _Pod() if plural == "pods" else Strategy()
        registry.add(Resource(group, version, kind, plural, kind.lower(), namespaced, status=status, strategy=strategy))
    return registry
