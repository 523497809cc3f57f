"""The environment, command line and directories of a container's process: pure, from the pod and what its references hold.

As Kubernetes does it: `$(VAR)` is expanded from what was defined before it, an unknown one is left as it is, `$$(VAR)` is an escaped
one (`third_party/forked/golang/expansion`); a required reference that is not there stops the container with the kubelet's words.

As a machine without containers needs it: a value, argument or working directory that begins with the path of a mount gets that
volume's directory instead, and a Service's DNS name gets the address of the pod behind it. Nothing of the person's environment
enters: what is not written in the pod is `PATH`, `HOME`, `TMPDIR`, `LANG` and `HOSTNAME`.
"""

import base64
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..environment_of_children import base_environment
from .podspec import Container, Json, PodSpec

_REFERENCE = re.compile(r"\$\$|\$\(([^()]*)\)")
# core/v1 validation: a name usable in an environment (relaxed since 1.30: printable ASCII without `=`).
_NAME = re.compile(r"^[ -<>-~]+$")
_SERVICE = re.compile(r"(?<![A-Za-z0-9.-])([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.cluster\.local)?(?![A-Za-z0-9.-])")
_KEYED = re.compile(r"^metadata\.(labels|annotations)\['([^']+)'\]$")


class ConfigError(Exception):
    """The container cannot be made as it is configured; `reason` is the kubelet's waiting reason."""

    reason = "CreateContainerConfigError"


@dataclass(frozen=True)
class Surroundings:
    """What the environment refers to. The lookups give an object, or None when there is none."""

    pod: Mapping[str, Json]
    address: str
    secret: Callable[[str], Mapping[str, Json] | None]
    config_map: Callable[[str], Mapping[str, Json] | None]
    # (name, namespace) → address of the pod that the Service selects, None without one
    service: Callable[[str, str], str | None]
    # name of a volume → its directory
    volumes: Mapping[str, Path]
    home: Path
    scratch: Path


@dataclass(frozen=True)
class Invocation:
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path


def expand(text: str, known: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return "$"
        return known.get(match.group(1), match.group(0))

    return _REFERENCE.sub(replace, text)


def _decode_secret(secret: Mapping[str, Json]) -> dict[str, bytes]:
    return {key: base64.b64decode(value or "") for key, value in (secret.get("data") or {}).items()}


def _decode_config_map(config_map: Mapping[str, Json]) -> dict[str, bytes]:
    plain = {key: value.encode() for key, value in (config_map.get("data") or {}).items()}
    return plain | {key: base64.b64decode(value) for key, value in (config_map.get("binaryData") or {}).items()}


def read_source(around: Surroundings, kind: str, name: str, *, optional: bool) -> dict[str, bytes] | None:
    """The content of a Secret or ConfigMap; None when it is optional and not there. Raises ConfigError."""
    found = around.secret(name) if kind == "secret" else around.config_map(name)
    if found is None:
        if optional:
            return None
        raise ConfigError(f'{kind} "{name}" not found')
    return _decode_secret(found) if kind == "secret" else _decode_config_map(found)


def read_field(around: Surroundings, path: str) -> str:
    """The downward API. Raises ConfigError."""
    metadata, spec = around.pod["metadata"], around.pod["spec"]
    keyed = _KEYED.match(path)
    if keyed:
        return str((metadata.get(keyed.group(1)) or {}).get(keyed.group(2), ""))
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(metadata[path.removeprefix("metadata.")])
        case "spec.nodeName" | "spec.serviceAccountName":
            return str(spec.get(path.removeprefix("spec.")) or "")
        case "status.podIP" | "status.podIPs":
            return around.address
        case "status.hostIP" | "status.hostIPs":
            return "127.0.0.1"
        case _:
            raise ConfigError(f"field label not supported: {path}")


def _read_key(around: Surroundings, kind: str, title: str, ref: Mapping[str, Json]) -> str | None:
    optional = bool(ref.get("optional"))
    data = read_source(around, kind, ref.get("name") or "", optional=optional)
    if data is None:
        return None
    if ref["key"] not in data:
        if optional:
            return None
        raise ConfigError(f"couldn't find key {ref['key']} in {title} {around.pod['metadata']['namespace']}/{ref.get('name')}")
    return data[ref["key"]].decode(errors="replace")


class _Localizer:
    """From what is true in a container to what is true on this machine."""

    def __init__(self, container: Container, around: Surroundings) -> None:
        self._around = around
        # the longest path first: `/state/cache` may be another volume than `/state`
        self._mounts = sorted(
            ((m.path.rstrip("/") or "/", around.volumes[m.volume] / m.sub_path) for m in container.mounts),
            key=lambda mount: -len(mount[0]),
        )

    def __call__(self, text: str) -> str:
        for path, directory in self._mounts:
            if text == path or text.startswith(path if path == "/" else path + "/"):
                text = str(directory) + text[len(path) :]
                break
        return _SERVICE.sub(self._resolve, text)

    def _resolve(self, match: re.Match[str]) -> str:
        return self._around.service(match.group(1), match.group(2)) or match.group(0)


def build_environment(container: Container, around: Surroundings, localize: Callable[[str], str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for source in container.env_from:
        kind, ref = ("secret", source["secretRef"]) if "secretRef" in source else ("configmap", source["configMapRef"])
        data = read_source(around, kind, ref.get("name") or "", optional=bool(ref.get("optional"))) or {}
        prefix = source.get("prefix") or ""
        for key, value in data.items():
            if _NAME.match(prefix + key):
                known[prefix + key] = localize(value.decode(errors="replace"))
    for entry in container.env:
        origin = entry.get("valueFrom")
        found: str | None
        if not origin:
            found = expand(entry.get("value") or "", known)
        elif "secretKeyRef" in origin:
            found = _read_key(around, "secret", "Secret", origin["secretKeyRef"])
        elif "configMapKeyRef" in origin:
            found = _read_key(around, "configmap", "ConfigMap", origin["configMapKeyRef"])
        elif "fieldRef" in origin:
            found = read_field(around, origin["fieldRef"]["fieldPath"])
        else:
            raise ConfigError(f"the source of environment variable {entry['name']} is not supported here: {', '.join(origin)}")
        if found is not None:
            known[entry["name"]] = localize(found)
    return known


def find_program(name: str) -> str:
    """Images bring their own Python; here it is the one that runs us."""
    return sys.executable if name in ("python", "python3") else name


def build_invocation(spec: PodSpec, container: Container, image_command: Iterable[str], around: Surroundings) -> Invocation:
    """What to execute. Raises ConfigError."""
    missing = next((m.volume for m in container.mounts if m.volume not in around.volumes), None)
    if missing is not None:
        raise ConfigError(f'container "{container.name}" mounts volume "{missing}", which the pod does not have')
    localize = _Localizer(container, around)
    env = build_environment(container, around, localize)
    command = list(container.command or image_command)
    argv = [localize(expand(word, env)) for word in (*command, *container.args)]
    if not argv:
        raise ConfigError("no command specified")
    base = base_environment(around.home) | {
        "TMPDIR": localize("/tmp") if localize("/tmp") != "/tmp" else str(around.scratch),  # noqa: S108
        "HOSTNAME": spec.name,
    }
    directory = localize(container.working_dir) if container.working_dir else str(around.home)
    cwd = Path(directory) if Path(directory).is_dir() else around.home
    return Invocation((find_program(argv[0]), *argv[1:]), base | env, cwd)
