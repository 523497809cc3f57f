"""The protobuf bodies that kubectl's typed commands send (`create secret`, `create configmap`, `auth can-i` …), read into plain objects.

kubectl sends these few kinds in protobuf whatever a server prefers, and reads JSON answers. Field numbers: `generated.proto` of k8s.io/api
and k8s.io/apimachinery; tests/local/test_kubectl.py sends each by the real kubectl. Anything else is refused in so many words.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from .clock import to_rfc3339
from .errors import ApiError
from .resources import Object

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

# message → number → (field, type): s string, b bytes, i integer, ? boolean, {x} map, [x] list, else a message's name
_MESSAGES: dict[str, dict[int, tuple[str, str]]] = {
    "Unknown": {1: ("typeMeta", "TypeMeta"), 2: ("raw", "b")},
    "TypeMeta": {1: ("apiVersion", "s"), 2: ("kind", "s")},
    "ObjectMeta": {
        1: ("name", "s"),
        2: ("generateName", "s"),
        3: ("namespace", "s"),
        5: ("uid", "s"),
        6: ("resourceVersion", "s"),
        7: ("generation", "i"),
        8: ("creationTimestamp", "Time"),
        11: ("labels", "{s}"),
        12: ("annotations", "{s}"),
        13: ("ownerReferences", "[OwnerReference]"),
        14: ("finalizers", "[s]"),
    },
    "Time": {1: ("seconds", "i"), 2: ("nanos", "i")},
    "OwnerReference": {
        1: ("kind", "s"),
        3: ("name", "s"),
        4: ("uid", "s"),
        5: ("apiVersion", "s"),
        6: ("controller", "?"),
        7: ("blockOwnerDeletion", "?"),
    },
    "Secret": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "{b}"),
        3: ("type", "s"),
        4: ("stringData", "{s}"),
        5: ("immutable", "?"),
    },
    "ConfigMap": {1: ("metadata", "ObjectMeta"), 2: ("data", "{s}"), 3: ("binaryData", "{b}"), 4: ("immutable", "?")},
    "ServiceAccount": {
        1: ("metadata", "ObjectMeta"),
        3: ("imagePullSecrets", "[LocalObjectReference]"),
        4: ("automountServiceAccountToken", "?"),
    },
    "LocalObjectReference": {1: ("name", "s")},
    "Namespace": {1: ("metadata", "ObjectMeta"), 2: ("spec", "NamespaceSpec"), 3: ("status", "NamespaceStatus")},
    "NamespaceSpec": {1: ("finalizers", "[s]")},
    "NamespaceStatus": {1: ("phase", "s")},
    "SelfSubjectAccessReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "SelfSubjectAccessReviewSpec"), 3: ("status", "Ignored")},
    "SelfSubjectAccessReviewSpec": {
        1: ("resourceAttributes", "ResourceAttributes"),
        2: ("nonResourceAttributes", "NonResourceAttributes"),
    },
    "ResourceAttributes": {
        1: ("namespace", "s"),
        2: ("verb", "s"),
        3: ("group", "s"),
        4: ("version", "s"),
        5: ("resource", "s"),
        6: ("subresource", "s"),
        7: ("name", "s"),
    },
    "NonResourceAttributes": {1: ("path", "s"), 2: ("verb", "s")},
    "SelfSubjectRulesReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "SelfSubjectRulesReviewSpec"), 3: ("status", "Ignored")},
    "SelfSubjectRulesReviewSpec": {1: ("namespace", "s")},
    "SelfSubjectReview": {1: ("metadata", "ObjectMeta"), 2: ("status", "Ignored")},
    "Ignored": {},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "i"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "?"),
        4: ("propagationPolicy", "s"),
        5: ("dryRun", "[s]"),
    },
    "Preconditions": {1: ("uid", "s"), 2: ("resourceVersion", "s")},
}
# What a person may send as a whole.
_KINDS = frozenset(
    {
        "Secret",
        "ConfigMap",
        "ServiceAccount",
        "Namespace",
        "SelfSubjectAccessReview",
        "SelfSubjectRulesReview",
        "SelfSubjectReview",
        "DeleteOptions",
    }
)


def decode(raw: bytes) -> Object:
    """The object of a Kubernetes protobuf body. Raises ApiError 400 for a broken one, 415 for a kind that is not read here."""
    if not raw.startswith(_MAGIC):
        raise ApiError(400, "provided data does not appear to be a protobuf message, expected prefix 6b 38 73 00")
    try:
        envelope = _message("Unknown", raw[len(_MAGIC) :])
        kind = str((envelope.get("typeMeta") or {}).get("kind", ""))
        if kind not in _KINDS:
            why = f"this API server reads no protobuf of kind {kind}; send it as JSON or YAML (kubectl apply -f, kubectl create -f)"
            raise ApiError(415, why)
        return {**envelope["typeMeta"], **_message(kind, base64.b64decode(envelope.get("raw", "")))}
    except (IndexError, ValueError) as error:
        raise ApiError(400, f"broken protobuf: {error}") from error


def _message(name: str, raw: bytes) -> Object:
    """Raises ValueError or IndexError for bytes that are no such message. Unknown fields are passed over, as protobuf wants it."""
    fields = _MESSAGES[name]
    item: Object = {}
    for number, value in _fields(raw):
        if number not in fields:
            continue
        field, kind = fields[number]
        match kind[0]:
            case "{":
                entry = dict(_fields(_bytes(value)))
                item.setdefault(field, {})[_value("s", entry.get(1, b""))] = _value(kind[1:-1], entry.get(2, b""))
            case "[":
                item.setdefault(field, []).append(_value(kind[1:-1], value))
            case _:
                found = _value(kind, value)
                if found not in ("", {}, None):
                    item[field] = found
    return item


def _value(kind: str, value: int | bytes) -> Any:
    match kind:
        case "s":
            return _bytes(value).decode()
        case "b":
            return base64.b64encode(_bytes(value)).decode()
        case "i" | "?":
            if isinstance(value, bytes):
                raise ValueError("a number was expected")  # noqa: TRY004 the bytes are wrong, not the caller
            number = value - 2**64 if value >= 2**63 else value
            return bool(number) if kind == "?" else number
        case "Time":
            seconds = _message("Time", _bytes(value)).get("seconds")
            return None if seconds is None else to_rfc3339(seconds)
    return _message(kind, _bytes(value))


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("bytes were expected")  # noqa: TRY004 as above
    return value


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, varint or bytes) of each field: https://protobuf.dev/programming-guides/encoding/"""
    position = 0
    while position < len(raw):
        tag, position = _varint(raw, position)
        match tag & 7:
            case 0:
                value, position = _varint(raw, position)
                yield tag >> 3, value
                continue
            case 1:
                length = 8
            case 2:
                length, position = _varint(raw, position)
            case 5:
                length = 4
            case wire:
                raise ValueError(f"wire type {wire}")
        if position + length > len(raw):
            raise ValueError("cut off")
        yield tag >> 3, raw[position : position + length]
        position += length


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    number, shift = 0, 0
    while True:
        byte = raw[position]
        number |= (byte & 0x7F) << shift
        position += 1
        if not byte & 0x80:
            return number, position
        shift += 7
        if shift > 63:
            raise ValueError("a number without end")
