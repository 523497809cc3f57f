"""The files of `moltbot up -f`: read, checked for what would surprise, and completed with Secrets made from the person's own settings.

"Without a cluster": Secrets that a Moltbot names and the file lacks are made from `.env`, `.dev.vars` and the environment.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moltbot_api.secret_keys import SECRET_KEYS

from .decoding import decode
from .errors import ApiError
from .resources import Object
from .store import Store, copied

MANAGER = "moltbot-up"
# Marks a Secret that was made from the person's settings: it is made anew at every start, one of a person's own is left alone.
LABEL_MADE = "moltbot.dev/made-from"
MADE_FROM = "environment"


class ManifestError(Exception):
    """A file that cannot be used, with its name and what is wrong."""


@dataclass(frozen=True)
class Settings:
    """A person's settings by name, each with where it comes from."""

    values: Mapping[str, str]
    origins: Mapping[str, str]


def read_manifests(paths: Iterable[Path]) -> list[Object]:
    """All documents of all files. Raises ManifestError."""
    import yaml

    from .yaml_documents import load_documents

    found: list[Object] = []
    for path in paths:
        try:
            documents = load_documents(path.read_text())
        except OSError as error:
            raise ManifestError(f"{path} cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ManifestError(f"{path} is not YAML: {error}") from error
        for number, document in enumerate(documents, 1):
            if document is None:
                continue
            items = document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else [document]
            for item in items or ():
                if not isinstance(item, dict) or not item.get("kind") or not item.get("apiVersion"):
                    raise ManifestError(f"{path}: document {number} is not an object of Kubernetes: it needs apiVersion, kind and metadata")
                if not isinstance(item.get("metadata"), dict) or not item["metadata"].get("name"):
                    raise ManifestError(f"{path}: document {number} ({item['kind']}) has no metadata.name")
                found.append(item)
    return found


def read_person(environ: Mapping[str, str], directory: Path) -> Settings:
    """Settings that our keys name: the environment wins over `.env`, that over `.dev.vars` (moltworker's file).

    `.dev.vars` is written for an assistant, so all of it is taken (an unknown key is then diagnosed); the others hold other things too.
    """
    from dotenv import dotenv_values

    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    for name in (".dev.vars", ".env"):
        path = directory / name
        if path.is_file():
            for key, value in dotenv_values(path, interpolate=False).items():
                if value and (name == ".dev.vars" or key in SECRET_KEYS):
                    values[key], origins[key] = value, name
    for key, known in SECRET_KEYS.items():
        # Other programs' settings are about: what this version does not serve is not taken from there.
        if known.served and environ.get(key):
            values[key], origins[key] = environ[key], "the environment"
    return Settings(values, origins)


def named_secrets(items: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(namespace, name) of every Secret that `secretsFrom` of a Moltbot names."""
    found: dict[tuple[str, str], None] = {}
    for item in items:
        if item.get("kind") == "Moltbot":
            namespace = (item.get("metadata") or {}).get("namespace") or "default"
            for reference in (item.get("spec") or {}).get("secretsFrom") or ():
                if isinstance(reference, dict) and reference.get("name"):
                    found[namespace, str(reference["name"])] = None
    return list(found)


def build_person_secret(namespace: str, name: str, settings: Settings) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {LABEL_MADE: MADE_FROM}},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in sorted(settings.values.items())},
    }


def missing_secrets(store: Store, items: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Named ones that neither the files nor the person has made."""
    given = {(item["metadata"].get("namespace") or "default", item["metadata"]["name"]) for item in items if item.get("kind") == "Secret"}
    kept = [entry.item for entry in store.entries("moltbots.moltbot.dev")]
    missing = []
    for namespace, name in named_secrets([*items, *kept]):
        entry = store.entry("secrets", name, namespace)
        ours = entry is None or (entry.item["metadata"].get("labels") or {}).get(LABEL_MADE) == MADE_FROM
        if ours and (namespace, name) not in given:
            missing.append((namespace, name))
    return missing


def ensure_namespace(store: Store, name: str) -> None:
    if store.entry("namespaces", name) is None:
        store.create("namespaces", {"metadata": {"name": name}, "spec": {"finalizers": ["kubernetes"]}})


def apply_manifest(store: Store, item: Mapping[str, Any]) -> None:
    """As `kubectl apply --server-side --force-conflicts --validate=strict` of one object. Raises ManifestError with the API's words."""
    group = item["apiVersion"].rpartition("/")[0]
    kind, name = item["kind"], item["metadata"]["name"]
    resource = store.registry.by_kind(group, kind)
    if resource is None or resource.api_version != item["apiVersion"]:
        raise ManifestError(f"{kind} {name}: this machine does not serve {item['apiVersion']} {kind}")
    wanted: Object = copied(item)
    if resource.namespaced:
        wanted["metadata"] = {**item["metadata"], "namespace": item["metadata"].get("namespace") or "default"}
        ensure_namespace(store, wanted["metadata"]["namespace"])
    try:
        unknown = decode(resource, wanted)
        if unknown:
            raise ManifestError(f"{kind} {name}: {'; '.join(unknown)}")
        store.apply(resource.key, wanted, manager=MANAGER, force=True)
    except ApiError as error:
        raise ManifestError(f"{kind} {name}: {error.message}") from error
