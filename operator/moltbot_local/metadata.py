"""The rules of `metadata` that all kinds share. Wording: `k8s.io/apimachinery/pkg/api/validation` and `pkg/util/validation`."""

from __future__ import annotations

import re
from typing import Any

from .errors import FieldError
from .resources import Object, Resource

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_LABEL = re.compile(_LABEL)
DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")

LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric"
    " character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an"
    " alphanumeric character (e.g. 'example.com', regex used for validation is"
    r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
DNS1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
DNS1035_WORDS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an"
    " alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    " (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
# The API server's limit for all annotations of an object together.
ANNOTATION_BYTES = 256 * 1024
# Kinds whose name is a DNS label.
LABEL_KINDS = frozenset({"namespaces", "services", "statefulsets.apps"})


def validate_metadata(resource: Resource, item: Object) -> list[FieldError]:
    meta = item["metadata"]
    faults = _name(resource, meta)
    for word in ("labels", "annotations"):
        for key, value in (meta.get(word) or {}).items():
            faults += qualified_name(f"metadata.{word}", key if word == "labels" else key.lower(), shown=key)
            if word == "labels":
                faults += label_value("metadata.labels", value)
    if (
        size := sum(len(str(key).encode()) + len(str(value).encode()) for key, value in (meta.get("annotations") or {}).items())
    ) > ANNOTATION_BYTES:
        faults.append(FieldError("FieldValueTooLong", "metadata.annotations", f"may not be more than {ANNOTATION_BYTES} bytes", size))
    for finalizer in meta.get("finalizers") or ():
        faults += qualified_name("metadata.finalizers", finalizer)
    return faults + _owners(meta.get("ownerReferences") or [])


def _name(resource: Resource, meta: dict[str, Any]) -> list[FieldError]:
    name = meta.get("name") or ""
    if not name:
        return [FieldError("FieldValueRequired", "metadata.name", "name or generateName is required")]
    if resource.key == "customresourcedefinitions.apiextensions.k8s.io":
        return []
    if resource.key in LABEL_KINDS:
        return dns_label("metadata.name", name)
    return dns_subdomain("metadata.name", name)


def dns_label(field: str, text: str, kind: str = "FieldValueInvalid") -> list[FieldError]:
    faults = [FieldError(kind, field, "must be no more than 63 characters", text)] if len(text) > 63 else []
    return faults if DNS_LABEL.fullmatch(text) else [*faults, FieldError(kind, field, LABEL_WORDS, text)]


def dns1035(field: str, text: str) -> list[FieldError]:
    faults = [FieldError("FieldValueInvalid", field, "must be no more than 63 characters", text)] if len(text) > 63 else []
    return faults if DNS1035.fullmatch(text) else [*faults, FieldError("FieldValueInvalid", field, DNS1035_WORDS, text)]


def dns_subdomain(field: str, text: str) -> list[FieldError]:
    faults = [FieldError("FieldValueInvalid", field, "must be no more than 253 characters", text)] if len(text) > 253 else []
    return faults if DNS_SUBDOMAIN.fullmatch(text) else [*faults, FieldError("FieldValueInvalid", field, SUBDOMAIN_WORDS, text)]


def qualified_name(field: str, text: str, shown: str | None = None) -> list[FieldError]:
    prefix, slash, name = text.rpartition("/")
    faults = []
    said = text if shown is None else shown
    if slash and not prefix:
        faults.append("prefix part must be non-empty")
    elif slash and not DNS_SUBDOMAIN.fullmatch(prefix):
        faults.append("prefix part " + SUBDOMAIN_WORDS)
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 characters")
    if not _QUALIFIED.fullmatch(name):
        faults.append(_NAME_PART)
    return [FieldError("FieldValueInvalid", field, why, said) for why in faults]


def label_value(field: str, value: str) -> list[FieldError]:
    faults = ["must be no more than 63 characters"] if len(value) > 63 else []
    if not _VALUE.fullmatch(value):
        faults.append(_VALUE_WORDS)
    return [FieldError("FieldValueInvalid", field, why, value) for why in faults]


def _owners(owners: list[dict[str, Any]]) -> list[FieldError]:
    faults = []
    for owner in owners:
        for word in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(word):
                faults.append(FieldError("FieldValueInvalid", f"metadata.ownerReferences.{word}", "must not be empty", owner.get(word, "")))
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        why = (
            f'Only one reference can have Controller set to true. Found "true" in references for {controllers[0].get("kind")}/'
            f"{controllers[0].get('name')} and {controllers[1].get('kind')}/{controllers[1].get('name')}"
        )
        faults.append(FieldError("FieldValueInvalid", "metadata.ownerReferences", why, owners))
    return faults
