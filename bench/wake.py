"""A wake on a cluster: a request through the router until its first byte, beside a bare pod woken without any of our software.

The bare pod is a StatefulSet with the same kind of volume (a claim, or an emptyDir for the one whose memory lives in a bucket), the same
image, and a trivial aiohttp server, scaled 0 → 1 and asked at its pod address every 25 ms: no operator, router, keys or memory. All are
measured in turn in one run, for machines differ by a factor of two. Needs a cluster whose pod addresses are reachable from here (as from
any node), helm, and both images (IMAGE_PREFIX, IMAGE_TAG). The bucket's rows appear where namespace `s3` has the test server.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from bench.measure import Series, in_turn, table
from moltbot_kube import Kube, Object
from moltbot_kube.resources import PODS, SERVICES, STATEFUL_SETS
from tests.e2e.bucket import Buckets, ephemeral, give_keys
from tests.e2e.cluster import DEMO, Place, forwarded, open_place
from tests.e2e.release import NAMESPACE, image_values, open_release

PROBE_SECONDS = 0.025
SERVER = """
import aiohttp.web as w
app = w.Application()
async def ok(_): return w.Response(text="ok")
app.router.add_get("/", ok)
w.run_app(app, port=8080, print=None)
"""
Figures = dict[str, tuple[float, str]]
FIGURE = "request → first byte"


def bare(name: str, volume: Object) -> list[Object]:
    """The claim, when it has one, and the StatefulSet."""
    values = dict(part.split("=", 1) for part in image_values() if "=" in part)
    image = f"{values['images.gateway.repository']}:{values['images.gateway.tag']}"
    container = {
        "name": "server",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", SERVER],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "state", "mountPath": "/state"}],
    }
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "state", **volume}],
    }
    labels = {"app": name}
    spec = {
        "replicas": 0,
        "serviceName": name,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    made: list[Object] = [{"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}]
    if "persistentVolumeClaim" in volume:
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        made.insert(0, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": claim})
    return made


class Bench:
    """One loop for all of it; `in_turn` calls from outside."""

    def __init__(self, place: Place, session: aiohttp.ClientSession, router: str) -> None:
        self.place, self.session, self.router = place, session, router

    async def wake_bare(self, name: str) -> Figures:
        began = time.perf_counter()
        await self.place.person.patch_scale(STATEFUL_SETS, name, self.place.namespace, 1, field_manager="bench")
        address = ""
        while True:
            if not address:
                pod = await self.place.get(PODS, f"{name}-0")
                address = ((pod or {}).get("status") or {}).get("podIP", "")
            else:
                try:
                    async with self.session.get(f"http://{address}:8080/", timeout=aiohttp.ClientTimeout(total=1)) as answer:
                        if answer.status == 200:
                            break
                except (aiohttp.ClientError, TimeoutError):
                    pass
            await asyncio.sleep(PROBE_SECONDS)
        took = time.perf_counter() - began
        await self.place.person.patch_scale(STATEFUL_SETS, name, self.place.namespace, 0, field_manager="bench")
        await self.place.until(PODS, f"{name}-0", lambda found: found is None)
        return {FIGURE: (took * 1000, "ms")}

    async def wake_ours(self, name: str, token: str) -> Figures:
        headers = {"Host": f"{name}--{self.place.namespace}.localhost", "Authorization": f"Bearer {token}"}
        began = time.perf_counter()
        # The pod's own path: a 404 is the gateway's answer, after the whole wake.
        async with self.session.get(f"{self.router}/wake", headers=headers) as answer:
            took = time.perf_counter() - began
            if answer.status != 404:
                raise RuntimeError(f"{name} did not wake: {answer.status} {(await answer.read())[:300]!r}")
        await self.place.phase(name, "Awake")
        await self.place.put_to_sleep(name)
        return {FIGURE: (took * 1000, "ms")}


async def _prepare(stack: AsyncExitStack) -> list[tuple[str, Callable[[], Coroutine[Any, Any, Figures]]]]:
    person = await stack.enter_async_context(await Kube.connect())
    await stack.enter_async_context(open_release(person))
    place = await stack.enter_async_context(open_place(person, "bench"))
    session = await stack.enter_async_context(aiohttp.ClientSession())
    service = await person.get(SERVICES, "moltbot-router", NAMESPACE) or {}
    bench = Bench(place, session, f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}")
    http = {"gateway": {"http": "token"}}
    subjects: list[tuple[str, Callable[[], Coroutine[Any, Any, Figures]]]] = []

    async def add_bare(label: str, name: str, volume: Object) -> None:
        for manifest in bare(name, volume):
            await place.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        subjects.append((label, lambda: bench.wake_bare(name)))

    async def add_ours(label: str, name: str, spec: dict[str, Any]) -> None:
        await place.moltbot(name, spec)
        await place.phase(name, "Awake")
        await place.put_to_sleep(name)
        token = await place.token(name)
        subjects.append((label, lambda: bench.wake_ours(name, token)))

    await add_bare("bare pod, claim", "bare", {"persistentVolumeClaim": {"claimName": "bare"}})
    await add_ours("Moltbot, claim", "ada", {**DEMO, **http})
    if await person.get(SERVICES, "s3", "s3") is not None:
        port = await stack.enter_async_context(forwarded("s3", "svc/s3", 7070))
        buckets = Buckets(port)
        stack.push_async_callback(buckets.remove)
        await give_keys(place)
        spec = ephemeral(await buckets.make())
        await add_bare("bare pod, emptyDir", "bare-empty", {"emptyDir": {}})
        await add_ours("Moltbot, ephemeral + bucket", "bob", {**spec, "gateway": {**spec["gateway"], **http["gateway"]}})
    return subjects


def main(runs: int) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            subjects = runner.run(_prepare(stack))
            results = in_turn([(label, lambda call=call: runner.run(call())) for label, call in subjects], runs)  # type: ignore[misc]
        finally:
            runner.run(stack.aclose())
    for floor in ("bare pod, claim", "bare pod, emptyDir"):
        kind = "claim" if floor.endswith("claim") else "e"
        part: dict[tuple[str, str], Series] = {key: series for key, series in results.items() if key[0].partition(", ")[2].startswith(kind)}
        if part:
            print(table(part, floor=floor) + "\n")
