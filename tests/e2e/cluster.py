"""What a person has: kubectl, a namespace, and the API to look at. Waits are on conditions; every deadline only ends a failing test."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from moltbot_kube import Kube, Object, Resource
from moltbot_kube.resources import EVENTS, MOLTBOTS, NAMESPACES, PODS, STATEFUL_SETS, resource_of

# A wake takes 2 s here; a slow machine gets many times that before a test gives up.
SECONDS = 60.0
# Where pods reach servers that the tests start here.
FAKES_ADDRESS = os.environ.get("MOLTBOT_E2E_FAKES_ADDRESS", "10.90.0.1")
DEMO: Mapping[str, Any] = {"model": {"name": "demo"}}


class CommandError(AssertionError):
    """A command that failed, with all it said."""


async def command(*arguments: str, stdin: str | None = None) -> str:
    """Runs a program of the PATH; its output. Raises CommandError when it fails."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.encode() if stdin is not None else None)
    if process.returncode:
        raise CommandError(f"{' '.join(arguments)[:300]}: exit {process.returncode}\n{out.decode()[-2000:]}{err.decode()[-3000:]}")
    return out.decode()


@asynccontextmanager
async def started(*arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[asyncio.StreamReader]:
    """A program that runs for as long as this is open; what it prints, complaints too."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(env or {})},
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@asynccontextmanager
async def forwarded(namespace: str, target: str, port: int) -> AsyncIterator[int]:
    """`kubectl port-forward`; the port on this machine."""
    async with started("kubectl", "port-forward", "-n", namespace, target, f":{port}") as said:
        async with asyncio.timeout(SECONDS):
            line = (await said.readline()).decode()
        found = re.search(r":(\d+) ->", line)
        assert found, f"kubectl port-forward {target}: {line}"
        drain = asyncio.create_task(said.read())
        try:
            yield int(found[1])
        finally:
            drain.cancel()


async def until(what: str, holds: Callable[[], Any], seconds: float = SECONDS, pause: float = 0.1) -> Any:
    """Asks again and again until the answer is true; the answer."""
    deadline, answer = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        answer = await holds()
        if answer:
            return answer
        await asyncio.sleep(pause)
    raise AssertionError(f"not within {seconds:.0f} s: {what} (last answer: {answer!r})")


def condition_of(moltbot: Object | None, type_: str) -> Object:
    conditions = ((moltbot or {}).get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == type_), {})


@dataclass
class Place:
    """A namespace of a test's own."""

    person: Kube
    namespace: str

    async def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return await command("kubectl", "-n", self.namespace, *arguments, stdin=stdin)

    async def moltbot(self, name: str, spec: Mapping[str, Any]) -> None:
        """`kubectl apply` of a Moltbot."""
        body = {"apiVersion": MOLTBOTS.api_version, "kind": "Moltbot", "metadata": {"name": name}, "spec": dict(spec)}
        await self.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    async def patch(self, name: str, spec: Mapping[str, Any]) -> None:
        await self.kubectl("patch", "moltbot", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    async def secret(self, name: str, values: Mapping[str, str]) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.namespace}, "data": data}
        await self.person.apply(resource_of(manifest), manifest, field_manager="person", force=True)

    async def ask(self, name: str, action: str) -> None:
        """An action as `docs/how-to/sleep-and-wake.md` tells it: an annotation with the time."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        await self.kubectl("annotate", "moltbot", name, f"moltbot.dev/{action}={now}", "--overwrite")

    async def get(self, resource: Resource, name: str) -> Object | None:
        return await self.person.get(resource, name, self.namespace)

    async def until(self, resource: Resource, name: str, holds: Callable[[Object | None], Any], seconds: float = SECONDS) -> Object:
        """Until the object is so (None: it is not there); the object, or {}."""
        deadline, found = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            found = await self.get(resource, name)
            if holds(found):
                return found or {}
            await asyncio.sleep(0.1)
        shown = json.dumps((found or {}).get("status") or found, indent=1)[:6000]
        raise AssertionError(f"{resource.kind} {name} did not become so within {seconds:.0f} s:\n{shown}")

    async def phase(self, name: str, *phases: str, seconds: float = SECONDS) -> Object:
        """Until it is in one of these phases; the Moltbot."""
        return await self.until(MOLTBOTS, name, lambda found: ((found or {}).get("status") or {}).get("phase") in phases, seconds)

    async def condition(self, name: str, type_: str, reason: str, seconds: float = SECONDS) -> Object:
        """Until that condition has that reason; the condition."""
        moltbot = await self.until(MOLTBOTS, name, lambda found: condition_of(found, type_).get("reason") == reason, seconds)
        return condition_of(moltbot, type_)

    async def event(self, name: str, reason: str) -> Object:
        """Until an event with that reason tells about the Moltbot; the event."""

        async def found() -> Object | None:
            events = (await self.person.list(EVENTS, self.namespace)).items
            return next((one for one in events if one["reason"] == reason and one["involvedObject"]["name"] == name), None)

        event: Object = await until(f"an event {reason} about {name}", found)
        return event

    async def put_to_sleep(self, name: str) -> None:
        await self.ask(name, "sleep")
        await self.phase(name, "Asleep")

    async def pod(self, name: str) -> Object | None:
        return await self.get(PODS, f"{name}-gateway-0")

    async def replicas(self, name: str) -> int:
        return int(((await self.get(STATEFUL_SETS, f"{name}-gateway")) or {})["spec"].get("replicas", 0))

    async def token(self, name: str) -> str:
        """The gateway token, read as NOTES.txt tells once `kubectl get moltbots` shows the address."""
        await self.until(MOLTBOTS, name, lambda found: ((found or {}).get("status") or {}).get("url"))
        encoded = await self.kubectl("get", "secret", f"{name}-gateway-token", "-o", "jsonpath={.data.MOLTBOT_GATEWAY_TOKEN}")
        return base64.b64decode(encoded).decode()


@asynccontextmanager
async def open_place(person: Kube, prefix: str = "e2e") -> AsyncIterator[Place]:
    """A namespace in which Pod Security enforces `restricted`: everything of ours runs under it. Deleting it is not waited for."""
    name = f"{prefix}-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await person.create(NAMESPACES, {"metadata": {"name": name, "labels": labels}}, field_manager="person")
    try:
        yield Place(person, name)
    finally:
        await person.delete(NAMESPACES, name)
