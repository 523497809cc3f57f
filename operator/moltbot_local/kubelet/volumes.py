"""The volumes of a pod as directories: emptyDir and projections below the pod's own directory, claims where the claim's data is."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from .environment import ConfigError, Surroundings, read_field, read_source
from .podspec import Json


class MountError(Exception):
    """A volume that cannot be made yet, in the kubelet's words."""


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """The files and no others, each replaced whole. 0600: this machine has other people. Blocking."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in {entry.name for entry in directory.iterdir()} - {path.split("/")[0] for path in files}:
        path = directory / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists() and path.read_bytes() == data:
            continue
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        fresh.replace(path)


def _select(data: Mapping[str, bytes], items: list[Mapping[str, Json]] | None, where: str, *, optional: bool) -> dict[str, bytes]:
    if not items:
        return dict(data)
    chosen = {}
    for item in items:
        if item["key"] in data:
            chosen[item["path"]] = data[item["key"]]
        elif not optional:
            raise MountError(f"references non-existent {where} key: {item['key']}")
    return chosen


def _project(source: Mapping[str, Json], around: Surroundings) -> dict[str, bytes]:
    """The files of one Secret, ConfigMap or downward API source."""
    if "downwardAPI" in source:
        items = source["downwardAPI"].get("items") or []
        return {i["path"]: read_field(around, i["fieldRef"]["fieldPath"]).encode() for i in items}
    if "secret" in source or "configMap" in source:
        kind, ref = ("secret", source["secret"]) if "secret" in source else ("configmap", source["configMap"])
        optional = bool(ref.get("optional"))
        name = ref.get("secretName") or ref.get("name") or ""
        data = read_source(around, kind, name, optional=optional)
        return _select(data or {}, ref.get("items"), "secret" if kind == "secret" else "config", optional=optional)
    raise MountError(f"its source is not supported here: {', '.join(source)}")


def build_volume(volume: Mapping[str, Json], base: Path, around: Surroundings, claims: Mapping[str, Path]) -> Path:
    """Make one volume and return its directory; `claims` are the bound ones. Blocking. Raises MountError."""
    name = str(volume["name"])
    directory = base / name
    try:
        if "emptyDir" in volume:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            return directory
        if "persistentVolumeClaim" in volume:
            claim = str(volume["persistentVolumeClaim"]["claimName"])
            if claim not in claims:
                raise MountError(f'persistentvolumeclaim "{claim}" is not bound')
            claims[claim].mkdir(parents=True, exist_ok=True, mode=0o700)
            return claims[claim]
        sources = volume["projected"].get("sources") or [] if "projected" in volume else [volume]
        files: dict[str, bytes] = {}
        for source in sources:
            if set(source) - {"name"} == {"serviceAccountToken"}:
                continue
            files |= _project(source, around)
        write_files(directory, files)
        return directory
    except (ConfigError, MountError) as error:
        raise MountError(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error


async def build_volumes(
    volumes: tuple[Mapping[str, Json], ...], base: Path, around: Surroundings, claims: Mapping[str, Path]
) -> dict[str, Path]:
    """Raises MountError for the first that cannot be made."""
    return {v["name"]: await asyncio.to_thread(build_volume, v, base, around, claims) for v in volumes}
