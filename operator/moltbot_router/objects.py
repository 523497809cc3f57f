"""API objects → the path's facts, and back: the only place in the router that knows their JSON. Pure. Values of the wrong type count as
absent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from moltbot_api.durations import parse_duration
from moltbot_api.names import (
    ANNOTATION_CERTIFICATE,
    ANNOTATION_HASH,
    API_VERSION,
    CONTAINER_GATEWAY,
    CONTAINER_STATE,
    device_object_name,
)
from moltbot_router.path.facts import (
    ApprovalFacts,
    ConditionFacts,
    DeviceFacts,
    Key,
    MoltbotFacts,
    PodFacts,
    RequestFacts,
    SnapshotFacts,
    StatefulSetFacts,
)
from moltbot_router.path.ports import NewDevice
from moltbot_trust.clock import format_time, parse_time
from moltbot_trust.errors import CertificateError
from moltbot_trust.tls import parse_fingerprint
from moltbot_trust.verifiers import Verifier

Json = Mapping[str, Any]
_EPOCH = datetime.fromtimestamp(0, UTC)
# Waiting containers' reasons that do not pass by themselves, in words.
_TROUBLE = {
    "ErrImagePull": "The image cannot be pulled",
    "ImagePullBackOff": "The image cannot be pulled",
    "InvalidImageName": "The image's name is not one",
    "CrashLoopBackOff": "Its program keeps ending",
    "CreateContainerConfigError": "A Secret or ConfigMap that it needs is missing",
    "CreateContainerError": "Its container cannot be made",
    "RunContainerError": "Its container cannot be started",
}


def _map(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time(value: object) -> datetime | None:
    try:
        return parse_time(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in _list(value) if isinstance(item, str))


def metadata_of(obj: Json) -> Json:
    """`metadata`, {} when there is none."""
    return _map(obj.get("metadata"))


def is_owned_by(obj: Json, uid: str) -> bool:
    """Whether an owner reference names that uid."""
    return bool(uid) and any(_map(owner).get("uid") == uid for owner in _list(metadata_of(obj).get("ownerReferences")))


def version_of(obj: Json) -> int | None:
    """resourceVersion as a number: of one kind they are comparable."""
    text = _text(metadata_of(obj).get("resourceVersion"))
    return int(text) if text.isdigit() else None


def read_moltbot(obj: Json) -> MoltbotFacts:
    """From a Moltbot."""
    metadata, spec, status = metadata_of(obj), _map(obj.get("spec")), _map(obj.get("status"))
    seconds = _map(status.get("lastWake")).get("seconds")
    try:
        sleep_after = parse_duration(_text(status.get("sleepAfter")) or _text(spec.get("sleepAfter")) or "never")
    except ValueError:
        sleep_after = None
    return MoltbotFacts(
        key=Key(_text(metadata.get("namespace")), _text(metadata.get("name"))),
        uid=_text(metadata.get("uid")),
        created_at=_time(metadata.get("creationTimestamp")) or _EPOCH,
        host=_text(_map(spec.get("exposure")).get("host")),
        suspended=spec.get("operatingMode") == "Suspended",
        deleting=metadata.get("deletionTimestamp") is not None,
        phase=_text(status.get("phase")),
        url=_text(status.get("url")),
        model=_text(status.get("model")),
        http="token" if _map(spec.get("gateway")).get("http") == "token" else "device",
        sleep_after=sleep_after,
        verifiers=tuple(
            Verifier(_text(item.get("keyId")), _text(item.get("value")))
            for item in _list(status.get("verifiers"))
            if isinstance(item, dict)
        ),
        conditions=tuple(
            ConditionFacts(_text(item.get("type")), _text(item.get("status")), _text(item.get("reason")), _text(item.get("message")))
            for item in _list(status.get("conditions"))
            if isinstance(item, dict)
        ),
        wake_seconds=float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0 else None,
        spec=spec,
        status=status,
    )


def read_statefulset(obj: Json) -> StatefulSetFacts:
    """From a StatefulSet; `replicas` absent is 0 only in a Scale, in a StatefulSet the API always writes it."""
    metadata, spec = metadata_of(obj), _map(obj.get("spec"))
    return StatefulSetFacts(
        uid=_text(metadata.get("uid")),
        version=version_of(obj),
        replicas=_number(spec.get("replicas")) or 0,
        hashed=bool(_map(metadata.get("annotations")).get(ANNOTATION_HASH)),
    )


def read_pod(obj: Json) -> PodFacts:
    """From a Pod. One that has ended counts as terminating: it answers nothing any more."""
    metadata, status = metadata_of(obj), _map(obj.get("status"))
    fingerprint = _text(_map(metadata.get("annotations")).get(ANNOTATION_CERTIFICATE))
    try:
        parse_fingerprint(fingerprint)
    except CertificateError:
        fingerprint = ""
    conditions = {_text(_map(item).get("type")): _map(item) for item in _list(status.get("conditions"))}
    return PodFacts(
        uid=_text(metadata.get("uid")),
        address=_text(status.get("podIP")),
        fingerprint=fingerprint,
        terminating=metadata.get("deletionTimestamp") is not None or status.get("phase") in ("Succeeded", "Failed"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        trouble=_trouble(status, conditions),
    )


def _trouble(status: Json, conditions: Mapping[str, Json]) -> str:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return f"No node can take its pod: {_text(scheduled.get('message'))[:300]}"
    for item in (*_list(status.get("initContainerStatuses")), *_list(status.get("containerStatuses"))):
        container = _map(item)
        waiting = _map(_map(container.get("state")).get("waiting"))
        words = _TROUBLE.get(_text(waiting.get("reason")))
        if words is not None and container.get("name") in (CONTAINER_GATEWAY, CONTAINER_STATE):
            return f"{words} (container {container.get('name')}): {_text(waiting.get('message'))[:300]}"
    return ""


def read_device(obj: Json) -> DeviceFacts:
    """From a MoltbotDevice."""
    metadata, spec, status = metadata_of(obj), _map(obj.get("spec")), _map(obj.get("status"))
    return DeviceFacts(
        object_name=_text(metadata.get("name")),
        uid=_text(metadata.get("uid")),
        resource_version=_text(metadata.get("resourceVersion")),
        device_id=_text(spec.get("deviceId")),
        public_key=_text(spec.get("publicKey")),
        name=_text(spec.get("name")),
        platform=_text(spec.get("platform")),
        client=_text(spec.get("client")),
        created_at=_time(metadata.get("creationTimestamp")),
        request=_request(_map(spec.get("request"))),
        approved=_approval(_map(spec.get("approved"))),
        generation=_number(spec.get("tokenGeneration")) or 0,
        first_seen=_time(status.get("firstSeen")),
        last_seen=_time(status.get("lastSeen")),
        shown_state=_text(status.get("state")),
    )


def _request(spec: Json) -> RequestFacts | None:
    at = _time(spec.get("at"))
    if not spec.get("id") or at is None:
        return None
    return RequestFacts(_text(spec.get("id")), at, _text(spec.get("role")), _texts(spec.get("scopes")))


def _approval(spec: Json) -> ApprovalFacts | None:
    roles, at = _texts(spec.get("roles")), _time(spec.get("at"))
    if not roles or at is None:
        return None
    return ApprovalFacts(_text(spec.get("request")), roles, _texts(spec.get("scopes")), _text(spec.get("by")), at)


def read_snapshot(obj: Json) -> SnapshotFacts:
    """From a MoltbotSnapshot."""
    metadata, status = metadata_of(obj), _map(obj.get("status"))
    return SnapshotFacts(
        name=_text(metadata.get("name")),
        phase=_text(status.get("phase")) or "Pending",
        created_at=_time(metadata.get("creationTimestamp")),
        bytes=_number(status.get("bytes")),
        files=_number(status.get("files")),
        sequence=_number(status.get("sequence")),
        message=_text(status.get("message")),
    )


# back


def request_to_wire(request: RequestFacts) -> dict[str, Any]:
    """`spec.request`."""
    return {"id": request.id, "at": format_time(request.at), "role": request.role, "scopes": list(request.scopes)}


def approval_to_wire(approval: ApprovalFacts) -> dict[str, Any]:
    """`spec.approved`."""
    return {
        "request": approval.request,
        "roles": list(approval.roles),
        "scopes": list(approval.scopes),
        "by": approval.by,
        "at": format_time(approval.at),
    }


def build_device(moltbot: MoltbotFacts, device: NewDevice) -> dict[str, Any]:
    """A MoltbotDevice to create."""
    spec: dict[str, Any] = {
        "moltbot": moltbot.key.name,
        "deviceId": device.device_id,
        "publicKey": device.public_key,
        "request": request_to_wire(device.request),
        "tokenGeneration": 0,
    }
    spec |= {name: value for name, value in (("name", device.name), ("platform", device.platform), ("client", device.client)) if value}
    owner = {"apiVersion": API_VERSION, "kind": "Moltbot", "name": moltbot.key.name, "uid": moltbot.uid}
    return {
        "apiVersion": API_VERSION,
        "kind": "MoltbotDevice",
        "metadata": {
            "name": device_object_name(moltbot.key.name, device.device_id),
            "namespace": moltbot.key.namespace,
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


def build_snapshot(key: Key, name: str) -> dict[str, Any]:
    """A MoltbotSnapshot to create: asking for one now."""
    return {
        "apiVersion": API_VERSION,
        "kind": "MoltbotSnapshot",
        "metadata": {"name": name, "namespace": key.namespace},
        "spec": {"moltbot": key.name},
    }


def trimmed(obj: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a StatefulSet or Pod: a thousand of them must not fill the router's memory."""
    metadata, spec, status = metadata_of(obj), _map(obj.get("spec")), _map(obj.get("status"))
    kept = ("name", "namespace", "uid", "resourceVersion", "labels", "annotations", "ownerReferences", "deletionTimestamp")
    return {
        "apiVersion": obj.get("apiVersion"),
        "kind": obj.get("kind"),
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"replicas": spec["replicas"]} if "replicas" in spec else {},
        "status": {
            name: status[name] for name in ("phase", "podIP", "conditions", "containerStatuses", "initContainerStatuses") if name in status
        },
    }
