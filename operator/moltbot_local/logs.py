"""`kubectl logs`: the files that the kubelet writes, `ROOT/NAMESPACE_NAME_UID/CONTAINER/START.log`, one for each start of a container."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from .errors import ApiError
from .resources import Object
from .store import Store

_CHUNK_BYTES = 64 * 1024
# How often a followed file is looked at again.
_LOOK_SECONDS = 0.25


def container_of(pod: Object, asked: str) -> str:
    """The container whose log is meant. Raises ApiError 400 as the API server does."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    main = [item["name"] for item in spec.get("containers") or ()]
    inits = [item["name"] for item in spec.get("initContainers") or ()]
    if asked:
        if asked not in main + inits:
            raise ApiError(400, f"container {asked} is not valid for pod {name}")
        return asked
    if len(main) == 1:
        return str(main[0])
    choice = f"choose one of: [{' '.join(main)}]" + (f" or one of the init containers: [{' '.join(inits)}]" if inits else "")
    raise ApiError(400, f"a container name must be specified for pod {name}, {choice}")


def file_of(root: Path, pod: Object, container: str, *, previous: bool) -> Path:
    """Raises ApiError 400 when there is no such log yet."""
    meta = pod["metadata"]
    folder = root / f"{meta['namespace']}_{meta['name']}_{meta['uid']}" / container
    files = sorted((path for path in folder.glob("*.log") if path.stem.isdigit()), key=lambda path: int(path.stem))
    if previous:
        if len(files) < 2:
            raise ApiError(400, f'previous terminated container "{container}" in pod "{meta["name"]}" not found')
        return files[-2]
    if not files:
        raise ApiError(400, f'container "{container}" in pod "{meta["name"]}" is waiting to start: ContainerCreating')
    return files[-1]


async def lines(path: Path, store: Store, pod: Object, *, tail: int | None, limit: int | None, follow: bool) -> AsyncIterator[bytes]:
    """The bytes of a log from its last `tail` lines on, at most `limit`; `follow`: until the container's next start or the pod's end."""
    sent = 0
    with path.open("rb") as file:
        if tail is not None:
            file.seek(await asyncio.to_thread(_tail_offset, path, tail))
        while True:
            chunk = file.read(_CHUNK_BYTES)
            if limit is not None:
                chunk = chunk[: limit - sent]
            if chunk:
                sent += len(chunk)
                yield chunk
                continue
            if not follow or (limit is not None and sent >= limit) or _ended(path, store, pod):
                return
            await asyncio.sleep(_LOOK_SECONDS)


def _ended(path: Path, store: Store, pod: Object) -> bool:
    """No more is written: the container's next start has a file of its own, or the pod is over."""
    meta = pod["metadata"]
    entry = store.entry("pods", meta["name"], meta["namespace"])
    if entry is None or entry.item["metadata"]["uid"] != meta["uid"]:
        return True
    if (entry.item.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return True
    return path.with_name(f"{int(path.stem) + 1}.log").exists()


def _tail_offset(path: Path, count: int) -> int:
    """Where the last `count` lines begin. Blocking."""
    if count <= 0:
        return path.stat().st_size
    with path.open("rb") as file:
        end = file.seek(0, 2)
        position, found = end, 0
        while position > 0:
            step = min(_CHUNK_BYTES, position)
            position -= step
            file.seek(position)
            block = file.read(step)
            for index in range(len(block) - 1, -1, -1):
                # The very last byte ends the last line; it does not begin another.
                if block[index] == 10 and position + index != end - 1:
                    found += 1
                    if found == count:
                        return position + index + 1
    return 0
