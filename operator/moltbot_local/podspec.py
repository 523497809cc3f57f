"""Pods and pod templates: what the API server fills in, and what it refuses.

Defaults: `k8s.io/kubernetes/pkg/apis/core/v1/defaults.go`, seen on a 1.36 server. They matter: an operator that compares what it applied
with what it reads must not take them for drift.
"""

from __future__ import annotations

from typing import Any

from .errors import FieldError
from .metadata import dns_label, dns_subdomain
from .resources import Object

_PULL = ("Always", "IfNotPresent", "Never")
_TOLERATED_SECONDS = 300


def default_template(template: Object) -> None:
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def default_pod_spec(spec: Object) -> None:
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        _default_container(container)
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")


def default_pod(pod: Object) -> None:
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        limits = container["resources"].get("limits")
        if limits:
            requests = container["resources"].setdefault("requests", {})
            for name, amount in limits.items():
                requests.setdefault(name, amount)


def admit_pod(pod: Object) -> None:
    """What the admission plugins add: nobody owns it."""
    spec = pod["spec"]
    spec.setdefault("serviceAccountName", "default")
    spec["serviceAccount"] = spec["serviceAccountName"]
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(item.get("key") == key for item in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATED_SECONDS})
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}


def qos_class(spec: Object) -> str:
    amounts = [(item.get("resources") or {}) for item in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))]
    if not any(amount.get("requests") or amount.get("limits") for amount in amounts):
        return "BestEffort"
    for amount in amounts:
        limits, requests = amount.get("limits") or {}, amount.get("requests") or {}
        if any(name not in limits or limits[name] != requests.get(name) for name in ("cpu", "memory")):
            return "Burstable"
    return "Guaranteed"


def _default_container(container: Object) -> None:
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if "fieldRef" in source:
            source["fieldRef"].setdefault("apiVersion", "v1")
        if "resourceFieldRef" in source:
            source["resourceFieldRef"].setdefault("divisor", "0")
    container.setdefault("resources", {})
    for word in ("livenessProbe", "readinessProbe", "startupProbe"):
        if word in container:
            _default_probe(container[word])
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict) and "httpGet" in handler:
            handler["httpGet"].setdefault("scheme", "HTTP")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if "imagePullPolicy" not in container and container.get("image"):
        image = str(container["image"])
        tag = image.rpartition("/")[2].partition(":")[2]
        container["imagePullPolicy"] = "Always" if tag in ("", "latest") and "@" not in image else "IfNotPresent"


def _default_probe(probe: Object) -> None:
    if "httpGet" in probe:
        probe["httpGet"].setdefault("path", "/")
        probe["httpGet"].setdefault("scheme", "HTTP")
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")
    for word, seconds in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        # Zero and absent are the same.
        if not probe.get(word):
            probe[word] = seconds


def _default_volume(volume: Object) -> None:
    sources = [name for name in volume if name != "name"]
    if not sources:
        volume["emptyDir"] = {}
    for name in ("secret", "configMap", "downwardAPI", "projected"):
        if name in volume:
            volume[name].setdefault("defaultMode", 0o644)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for item in _downward(volume):
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)


def _downward(volume: Object) -> list[Object]:
    found = list((volume.get("downwardAPI") or {}).get("items") or ())
    for source in (volume.get("projected") or {}).get("sources") or ():
        found += (source.get("downwardAPI") or {}).get("items") or ()
    return found


# Faults


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, detail, "")


def supported(field: str, value: Any, among: tuple[str, ...]) -> list[FieldError]:
    if value in among:
        return []
    return [FieldError("FieldValueNotSupported", field, "supported values: " + ", ".join(f'"{item}"' for item in among), value)]


def validate_pod_spec(spec: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    volumes: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        faults += _validate_volume(volume, f"{path}.volumes[{index}]", volumes)
    if not spec.get("containers"):
        faults.append(required(f"{path}.containers"))
    names: set[str] = set()
    for word in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(word) or ()):
            where = f"{path}.{word}[{index}]"
            faults += _validate_container(container, where, volumes, restartable=container.get("restartPolicy") == "Always")
            name = container.get("name") or ""
            if name and name in names:
                faults.append(FieldError("FieldValueDuplicate", f"{where}.name", "", name))
            names.add(name)
    faults += supported(f"{path}.restartPolicy", spec.get("restartPolicy"), ("Always", "OnFailure", "Never"))
    faults += supported(f"{path}.dnsPolicy", spec.get("dnsPolicy"), ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"))
    if int(spec.get("terminationGracePeriodSeconds") or 0) < 0:
        faults.append(_negative(f"{path}.terminationGracePeriodSeconds", spec["terminationGracePeriodSeconds"]))
    if spec.get("serviceAccountName"):
        faults += dns_subdomain(f"{path}.serviceAccountName", spec["serviceAccountName"])
    return faults


def _negative(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueInvalid", field, "must be greater than or equal to 0", value)


def _validate_volume(volume: Object, path: str, names: set[str]) -> list[FieldError]:
    name = volume.get("name") or ""
    faults = dns_label(f"{path}.name", name) if name else [required(f"{path}.name")]
    if name in names:
        faults.append(FieldError("FieldValueDuplicate", f"{path}.name", "", name))
    names.add(name)
    sources = [word for word in volume if word != "name"]
    for word in sources[1:]:
        faults.append(FieldError("FieldValueForbidden", f"{path}.{word}", "may not specify more than 1 volume type"))
    for source, field in (("secret", "secretName"), ("configMap", "name"), ("persistentVolumeClaim", "claimName")):
        if source in volume and not volume[source].get(field):
            faults.append(required(f"{path}.{source}.{field}"))
    return faults


def _validate_container(container: Object, path: str, volumes: set[str], *, restartable: bool) -> list[FieldError]:
    faults: list[FieldError] = []
    name = container.get("name") or ""
    faults += dns_label(f"{path}.name", name) if name else [required(f"{path}.name")]
    image = container.get("image") or ""
    if not image:
        faults.append(required(f"{path}.image"))
    elif image != image.strip():
        faults.append(FieldError("FieldValueInvalid", f"{path}.image", "must not have leading or trailing whitespace", image))
    for index, port in enumerate(container.get("ports") or ()):
        faults += _validate_port(port, f"{path}.ports[{index}]")
    for index, variable in enumerate(container.get("env") or ()):
        where = f"{path}.env[{index}]"
        if not variable.get("name"):
            faults.append(required(f"{where}.name"))
        if variable.get("value") and variable.get("valueFrom"):
            faults.append(FieldError("FieldValueInvalid", f"{where}.valueFrom", "may not be specified when `value` is not empty", ""))
    mounted: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{path}.volumeMounts[{index}]"
        if not mount.get("name"):
            faults.append(required(f"{where}.name"))
        elif mount["name"] not in volumes:
            faults.append(FieldError("FieldValueNotFound", f"{where}.name", "", mount["name"]))
        target = mount.get("mountPath") or ""
        if not target:
            faults.append(required(f"{where}.mountPath"))
        elif target in mounted:
            faults.append(FieldError("FieldValueInvalid", f"{where}.mountPath", "must be unique", target))
        mounted.add(target)
    for word in ("livenessProbe", "readinessProbe", "startupProbe"):
        if word in container:
            if ".initContainers[" in path and not restartable:
                faults.append(
                    FieldError("FieldValueForbidden", f"{path}.{word}", "may not be set for init containers without restartPolicy=Always")
                )
            faults += _validate_probe(container[word], f"{path}.{word}", word)
    faults += supported(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL) if image else []
    return faults


def _validate_port(port: Object, path: str) -> list[FieldError]:
    number = port.get("containerPort")
    faults = []
    if not number:
        faults.append(required(f"{path}.containerPort"))
    elif not 0 < number < 65536:
        faults.append(FieldError("FieldValueInvalid", f"{path}.containerPort", "must be between 1 and 65535, inclusive", number))
    return faults + supported(f"{path}.protocol", port.get("protocol", "TCP"), ("SCTP", "TCP", "UDP"))


def _validate_probe(probe: Object, path: str, word: str) -> list[FieldError]:
    handlers = [name for name in ("exec", "httpGet", "tcpSocket", "grpc") if name in probe]
    faults: list[FieldError] = []
    if not handlers:
        faults.append(required(path, "must specify a handler type"))
    faults += [FieldError("FieldValueForbidden", f"{path}.{name}", "may not specify more than 1 handler type") for name in handlers[1:]]
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if int(probe.get(name) or 0) < 0:
            faults.append(_negative(f"{path}.{name}", probe[name]))
    if word != "readinessProbe" and probe.get("successThreshold") != 1:
        faults.append(FieldError("FieldValueInvalid", f"{path}.successThreshold", "must be 1", probe.get("successThreshold")))
    return faults
