"""The chart, installed by helm as the README tells it."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from moltbot_kube import Kube
from moltbot_kube.resources import DEPLOYMENTS, NAMESPACES, SECRETS
from tests.e2e.cluster import Place, command, until

ROOT = Path(__file__).parents[2]
CHART = str(ROOT / "charts/moltbot-operator")
NAME, NAMESPACE = "moltbot", "moltbot-system"


def image_values() -> list[str]:
    prefix, tag = os.environ.get("IMAGE_PREFIX", "localhost/"), os.environ.get("IMAGE_TAG", "dev")
    values: Mapping[str, str] = {
        **{f"images.{image}.repository": f"{prefix}moltbot-{image}" for image in ("operator", "gateway")},
        **{f"images.{image}.tag": tag for image in ("operator", "gateway")},
    }
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


@dataclass
class Release:
    """`installed_at`: when `helm install` was begun (monotonic)."""

    person: Kube
    installed_at: float

    async def upgrade(self, *arguments: str) -> None:
        await command("helm", "upgrade", NAME, CHART, "-n", NAMESPACE, *image_values(), *arguments, "--wait", "--timeout", "120s")

    async def admin_key(self) -> str:
        own = Place(self.person, NAMESPACE)
        await own.until(SECRETS, "moltbot-admin", bool)
        found = await own.kubectl("get", "secret", "moltbot-admin", "-o", "jsonpath={.data.MOLTBOT_ADMIN_KEY}")
        return base64.b64decode(found).decode()

    async def scale_operator(self, replicas: int) -> None:
        """With 0: until its pod is gone too."""
        await command("kubectl", "-n", NAMESPACE, "scale", "deploy/moltbot-operator", f"--replicas={replicas}")
        labels = "app.kubernetes.io/component=operator"
        if replicas:
            await command("kubectl", "-n", NAMESPACE, "rollout", "status", "deploy/moltbot-operator", "--timeout=60s")
        else:
            await command("kubectl", "-n", NAMESPACE, "wait", "pod", "-l", labels, "--for=delete", "--timeout=60s")


async def remove_what_was_left(person: Kube) -> None:
    """A run that was cut off: its release would look after our Moltbots with old images."""
    if await person.get(DEPLOYMENTS, "moltbot-operator", NAMESPACE) is not None:
        await command("helm", "uninstall", NAME, "-n", NAMESPACE, "--wait", "--ignore-not-found")
    space = await person.get(NAMESPACES, NAMESPACE)
    if space is not None and space["metadata"].get("deletionTimestamp"):

        async def gone() -> bool:
            return await person.get(NAMESPACES, NAMESPACE) is None

        await until(f"namespace {NAMESPACE} is gone", gone)


async def install(*arguments: str) -> None:
    # --take-ownership: the CRDs stay when a release is uninstalled, also those that another test applied without helm.
    arguments = ("--create-namespace", "--take-ownership", *image_values(), *arguments, "--wait", "--timeout", "120s")
    await command("helm", "install", NAME, CHART, "-n", NAMESPACE, *arguments)


@contextmanager
def alone() -> Iterator[None]:
    """Two runs on one cluster would take each other's release away. Raises RuntimeError when there is another one on this machine."""
    cluster = hashlib.sha256(os.environ.get("KUBECONFIG", "").encode()).hexdigest()[:12]
    with (Path(tempfile.gettempdir()) / f"moltbot-e2e-{cluster}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                "another run of the end-to-end tests or of `make bench ARGS=wake` uses this cluster: wait for its end"
            ) from None
        yield


@asynccontextmanager
async def open_release(person: Kube) -> AsyncIterator[Release]:
    with alone():
        await remove_what_was_left(person)
        begun = time.monotonic()
        await install()
        try:
            yield Release(person, begun)
        finally:
            await command("helm", "uninstall", NAME, "-n", NAMESPACE, "--wait", "--ignore-not-found")
            await person.delete(NAMESPACES, NAMESPACE)
