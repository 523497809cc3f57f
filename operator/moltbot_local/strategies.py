"""The rules of each built-in kind: defaults, what a door may change, faults. Seen on a 1.36 API server (tests/contract/)."""

from __future__ import annotations

import base64
import ipaddress
import re

from . import quantity
from .errors import FieldError
from .podspec import admit_pod, default_pod, required, supported, validate_pod_spec
from .resources import Object, Strategy

_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_WORDS = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name',"
    " regex used for validation is '[-._a-zA-Z0-9]+')"
)
IMMUTABLE = "field is immutable"


class Plain(Strategy):
    """Without a generation: ConfigMap, ServiceAccount, Event …"""

    generation = False


class WithStatus(Strategy):
    """A kind whose status has a door of its own: the main door does not change it, its own changes nothing else."""

    initial_status: Object | None = None

    def prepare_create(self, item: Object) -> None:
        if self.initial_status is None:
            item.pop("status", None)
        else:
            item["status"] = dict(self.initial_status)

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None:
        keep_other_door(new, old, subresource)


def keep_other_door(new: Object, old: Object, subresource: str) -> None:
    if subresource == "status":
        status = new.get("status")
        meta = new["metadata"]
        managed = meta.get("managedFields")
        new.clear()
        new.update(old)
        new["metadata"] = {**old["metadata"]}
        if managed is not None:
            new["metadata"]["managedFields"] = managed
        if status is None:
            new.pop("status", None)
        else:
            new["status"] = status
    elif "status" in old:
        new["status"] = old["status"]
    else:
        new.pop("status", None)


class Namespace(WithStatus):
    generation = False

    def default(self, item: Object) -> None:
        meta = item["metadata"]
        if meta.get("name"):
            meta.setdefault("labels", {})["kubernetes.io/metadata.name"] = meta["name"]

    def prepare_create(self, item: Object) -> None:
        item["spec"] = {"finalizers": ["kubernetes"]}
        item["status"] = {"phase": "Active"}

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None:
        if subresource == "finalize":
            spec = new.get("spec") or {}
            keep_other_door(new, old, "")
            new["spec"] = spec
            return
        keep_other_door(new, old, subresource)
        new["spec"] = old["spec"]


class Pod(WithStatus):
    unconditional_update = True

    def default(self, item: Object) -> None:
        default_pod(item)
        for condition in (item.get("status") or {}).get("conditions") or ():
            condition.setdefault("lastProbeTime", None)
            condition.setdefault("lastTransitionTime", None)

    def prepare_create(self, item: Object) -> None:
        admit_pod(item)

    def validate(self, item: Object) -> list[FieldError]:
        return validate_pod_spec(item["spec"], "spec")

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        if subresource or _fixed(new["spec"]) == _fixed(old["spec"]):
            return []
        why = (
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        return [FieldError("FieldValueForbidden", "spec", why)]

    def grace(self, item: Object, asked: int | None) -> int:
        spec, status = item.get("spec") or {}, item.get("status") or {}
        # A pod that no node has, or that has ended, has nothing to wait for.
        if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
            return 0
        if asked is None:
            return max(int(spec.get("terminationGracePeriodSeconds", 30)), 0)
        return max(asked, 0)


def _fixed(spec: Object) -> Object:
    """A pod's spec without what may change by the main door; `nodeName` is set by subresource `binding`."""
    fixed = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "tolerations")}
    for word in ("containers", "initContainers"):
        if word in fixed:
            fixed[word] = [{key: value for key, value in item.items() if key != "image"} for item in fixed[word]]
    return fixed


def _validate_keys(item: Object, *words: str) -> list[FieldError]:
    faults = []
    for word in words:
        for key in item.get(word) or {}:
            if not _KEY.fullmatch(key):
                faults.append(FieldError("FieldValueInvalid", f"{word}[{key}]", _KEY_WORDS, key))
            elif len(key) > 253:
                faults.append(FieldError("FieldValueInvalid", f"{word}[{key}]", "must be no more than 253 characters", key))
    size = sum(len(str(value)) for word in words for value in (item.get(word) or {}).values())
    if size > 1024 * 1024:
        faults.append(FieldError("FieldValueTooLong", words[0], "may not be more than 1048576 bytes", ""))
    return faults


def _sealed(new: Object, old: Object, *words: str) -> list[FieldError]:
    """What `immutable: true` forbids."""
    if not old.get("immutable"):
        return []
    faults = []
    if not new.get("immutable"):
        faults.append(FieldError("FieldValueForbidden", "immutable", "field is immutable when `immutable` is set"))
    for word in words:
        if (new.get(word) or {}) != (old.get(word) or {}):
            faults.append(FieldError("FieldValueForbidden", word, "field is immutable when `immutable` is set"))
    return faults


class Secret(Plain):
    def default(self, item: Object) -> None:
        for key, text in (item.pop("stringData", None) or {}).items():
            item.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()
        item.setdefault("type", "Opaque")

    def validate(self, item: Object) -> list[FieldError]:
        return _validate_keys(item, "data")

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        faults = self.validate(new) + _sealed(new, old, "data")
        if new.get("type") != old.get("type"):
            faults.append(FieldError("FieldValueInvalid", "type", IMMUTABLE, new.get("type")))
        return faults


class ConfigMap(Plain):
    def validate(self, item: Object) -> list[FieldError]:
        return _validate_keys(item, "data", "binaryData")

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        return self.validate(new) + _sealed(new, old, "data", "binaryData")


class Service(WithStatus):
    generation = False
    initial_status: Object = {"loadBalancer": {}}  # noqa: RUF012 copied before it is used

    def default(self, item: Object) -> None:
        spec = item.setdefault("spec", {})
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
        spec.setdefault("sessionAffinity", "None")
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("internalTrafficPolicy", "Cluster")

    def prepare_create(self, item: Object) -> None:
        super().prepare_create(item)
        spec = item["spec"]
        # Addresses of Services do not exist on one machine: one without an address is what is served.
        spec.setdefault("clusterIP", "None")
        spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None:
        super().prepare_update(new, old, subresource)
        spec, before = new["spec"], old["spec"]
        for word in ("clusterIP", "ipFamilies", "ipFamilyPolicy"):
            if word in before:
                spec.setdefault(word, before[word])
        spec["clusterIPs"] = [spec["clusterIP"]]

    def validate(self, item: Object) -> list[FieldError]:
        ports = item["spec"].get("ports") or []
        faults = []
        for index, port in enumerate(ports):
            where = f"spec.ports[{index}]"
            if len(ports) > 1 and not port.get("name"):
                faults.append(required(f"{where}.name"))
            if not port.get("port"):
                faults.append(
                    FieldError("FieldValueInvalid", f"{where}.port", "must be between 1 and 65535, inclusive", port.get("port", 0))
                )
        return faults + supported("spec.type", item["spec"]["type"], ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"))

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        faults = self.validate(new)
        if new["spec"]["clusterIP"] != old["spec"]["clusterIP"]:
            faults.append(FieldError("FieldValueInvalid", "spec.clusterIPs[0]", "may not change once set", new["spec"]["clusterIPs"]))
        return faults


class PersistentVolumeClaim(WithStatus):
    generation = False
    initial_status: Object = {"phase": "Pending"}  # noqa: RUF012 copied before it is used

    def default(self, item: Object) -> None:
        item.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None:
        super().prepare_update(new, old, subresource)
        if "storageClassName" in old["spec"]:
            new["spec"].setdefault("storageClassName", old["spec"]["storageClassName"])

    def validate(self, item: Object) -> list[FieldError]:
        spec = item["spec"]
        faults = []
        modes = spec.get("accessModes") or []
        if not modes:
            faults.append(required("spec.accessModes", "at least 1 access mode is required"))
        for mode in modes:
            allowed = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
            faults += supported("spec.accessModes", mode, allowed)
        storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
        if storage is None:
            faults.append(required("spec.resources[storage]"))
        elif quantity.parse(storage)[0] <= 0:
            faults.append(FieldError("FieldValueInvalid", "spec.resources[storage]", "must be greater than zero", storage))
        return faults

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        if subresource:
            return []
        faults = self.validate(new)
        fixed = ("accessModes", "selector", "storageClassName", "volumeMode", "dataSource", "dataSourceRef")
        one, two = new["spec"], old["spec"]
        changed = any(one.get(word) != two.get(word) for word in fixed)
        # A bound claim may grow; the volume's name is set once, by whoever binds it.
        changed |= bool(two.get("volumeName")) and one.get("volumeName") != two.get("volumeName")
        bound = (old.get("status") or {}).get("phase") == "Bound"
        if changed or (one.get("resources") != two.get("resources") and not bound):
            why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
            return [*faults, FieldError("FieldValueForbidden", "spec", why)]
        asked, had = (quantity.parse(spec["resources"]["requests"]["storage"])[0] for spec in (one, two))
        if asked < had:
            why = "field can not be less than status.capacity"
            faults.append(FieldError("FieldValueForbidden", "spec.resources.requests.storage", why))
        return faults


class PersistentVolume(WithStatus):
    generation = False
    initial_status: Object = {"phase": "Pending"}  # noqa: RUF012 copied before it is used

    def default(self, item: Object) -> None:
        spec = item.setdefault("spec", {})
        spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
        spec.setdefault("volumeMode", "Filesystem")


class Node(WithStatus):
    """The one node is this machine's kubelet: it may say its status when it creates the object."""

    generation = False

    def prepare_create(self, item: Object) -> None:
        item.setdefault("spec", {})


class Event(Plain):
    def default(self, item: Object) -> None:
        for word in ("firstTimestamp", "lastTimestamp", "eventTime"):
            item.setdefault(word, None)
        item.setdefault("source", {})
        item.setdefault("reportingComponent", "")
        item.setdefault("reportingInstance", "")

    def validate(self, item: Object) -> list[FieldError]:
        named = (item.get("involvedObject") or {}).get("namespace", "")
        if named != item["metadata"].get("namespace") and not (not named and item["metadata"].get("namespace") == "default"):
            return [FieldError("FieldValueInvalid", "involvedObject.namespace", "does not match event.namespace", named)]
        return []


class NetworkPolicy(Strategy):
    def default(self, item: Object) -> None:
        spec = item.setdefault("spec", {})
        spec.setdefault("podSelector", {})
        for word in ("ingress", "egress"):
            for rule in spec.get(word) or ():
                for port in rule.get("ports") or ():
                    port.setdefault("protocol", "TCP")
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]

    def validate(self, item: Object) -> list[FieldError]:
        spec, faults = item["spec"], []
        for word, side in (("ingress", "from"), ("egress", "to")):
            for number, rule in enumerate(spec.get(word) or ()):
                for index, peer in enumerate(rule.get(side) or ()):
                    faults += _validate_peer(peer, f"spec.{word}[{number}].{side}[{index}]")
        for index, kind in enumerate(spec["policyTypes"]):
            faults += supported(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress"))
        return faults

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        return self.validate(new)


def _validate_peer(peer: Object, path: str) -> list[FieldError]:
    block = peer.get("ipBlock")
    if block is None:
        return [] if peer else [required(path, "must specify a peer")]
    if len(peer) > 1:
        return [FieldError("FieldValueForbidden", path, "may not specify both ipBlock and another peer")]
    words = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    network = _network(block.get("cidr") or "")
    if network is None:
        return [FieldError("FieldValueInvalid", f"{path}.ipBlock.cidr", words, block.get("cidr", ""))]
    faults = []
    for index, text in enumerate(block.get("except") or ()):
        where = f"{path}.ipBlock.except[{index}]"
        inner = _network(text)
        if inner is None:
            faults.append(FieldError("FieldValueInvalid", where, words, text))
        elif not (inner.version == network.version and inner.prefixlen > network.prefixlen and inner.network_address in network):
            faults.append(FieldError("FieldValueInvalid", where, "must be a strict subset of `cidr`", text))
    return faults


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


class StorageClass(Plain):
    def default(self, item: Object) -> None:
        item.setdefault("reclaimPolicy", "Delete")
        item.setdefault("volumeBindingMode", "Immediate")

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        faults = []
        for word in ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"):
            if new.get(word) != old.get(word):
                faults.append(FieldError("FieldValueForbidden", word, f"updates to {word} are forbidden."))
        return faults


class Lease(Plain):
    unconditional_update = False

    def validate(self, item: Object) -> list[FieldError]:
        spec = item.get("spec") or {}
        faults = []
        if "leaseDurationSeconds" in spec and spec["leaseDurationSeconds"] <= 0:
            field = "spec.leaseDurationSeconds"
            faults.append(FieldError("FieldValueInvalid", field, "must be greater than 0", spec["leaseDurationSeconds"]))
        if int(spec.get("leaseTransitions") or 0) < 0:
            field = "spec.leaseTransitions"
            faults.append(FieldError("FieldValueInvalid", field, "must be greater than or equal to 0", spec["leaseTransitions"]))
        return faults

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        return self.validate(new)
