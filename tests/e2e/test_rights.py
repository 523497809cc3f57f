"""What the release's accounts may do, and what the cluster refuses them (rule 2; api.md, rights)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from moltbot_kube import ApiError, Forbidden, Kube, Object
from moltbot_kube.resources import DEPLOYMENTS, MOLTBOTS, PODS, SECRETS, STATEFUL_SETS
from tests.e2e.cluster import DEMO, CommandError, Place, command
from tests.e2e.release import NAMESPACE


async def allowed(account: str, *what: str) -> bool:
    """`kubectl auth can-i`, which fails where the answer is no."""
    try:
        said = await command("kubectl", "auth", "can-i", *what, "-A", f"--as=system:serviceaccount:{NAMESPACE}:{account}")
    except CommandError:
        return False
    return said.strip() == "yes"


@pytest.mark.parametrize(
    ("account", "what"),
    [
        ("moltbot-router", ("get", "secrets")),
        ("moltbot-router", ("list", "secrets")),
        ("moltbot-router", ("create", "pods")),
        ("moltbot-router", ("delete", "pods")),
        ("moltbot-router", ("create", "pods", "--subresource=exec")),
        ("moltbot-router", ("patch", "statefulsets")),
        ("moltbot-router", ("update", "moltbots")),
        ("moltbot-router", ("delete", "moltbots")),
        ("moltbot-router", ("patch", "moltbots", "--subresource=status")),
        ("moltbot-operator", ("list", "secrets")),
        ("moltbot-operator", ("watch", "secrets")),
        ("moltbot-operator", ("patch", "moltbots")),
        ("moltbot-operator", ("create", "pods")),
        ("moltbot-operator", ("create", "pods", "--subresource=exec")),
        ("moltbot-operator", ("create", "clusterroles")),
    ],
)
async def test_account_has_no_right_that_it_does_not_need(place: Place, account: str, what: tuple[str, ...]) -> None:
    assert await allowed("moltbot-router", "list", "moltbots"), "the question itself works"
    assert not await allowed(account, *what)


@asynccontextmanager
async def open_account(place: Place, folder: Path, account: str) -> AsyncIterator[Kube]:
    """The API with one of the release's accounts, by a token of its own."""
    token = (await command("kubectl", "-n", NAMESPACE, "create", "token", account)).strip()
    config = json.loads(await command("kubectl", "config", "view", "--raw", "--flatten", "--minify", "-o", "json"))
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    async with await Kube.connect(str(path)) as kube:
        yield kube


async def test_routers_account_can_wake_and_ask_and_nothing_else(place: Place, tmp_path: Path) -> None:
    """Rule 2: RBAC lets it patch scale and Moltbots; the admission policies hold it to 0 → 1 and to our annotations."""
    await place.moltbot("ada", {**DEMO, "operatingMode": "Suspended"})
    await place.phase("ada", "Suspended")
    await place.kubectl("create", "deployment", "other", "--image=x", "--replicas=0")
    other = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "other"},
        "spec": {
            "serviceName": "other",
            "replicas": 0,
            "selector": {"matchLabels": {"app": "other"}},
            "template": {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}},
        },
    }
    await place.kubectl("apply", "-f", "-", stdin=json.dumps(other))

    async def scale(name: str, replicas: int) -> None:
        await router.patch_scale(STATEFUL_SETS, name, place.namespace, replicas, field_manager="moltbot-router")

    async def change(patch: Object) -> None:
        await router.patch(MOLTBOTS, "ada", place.namespace, patch, field_manager="moltbot-router")

    async with open_account(place, tmp_path, "moltbot-router") as router:
        assert await router.get(MOLTBOTS, "ada", place.namespace) is not None
        words = "may only scale a Moltbot's StatefulSet to 1"
        for name, replicas in (("ada-gateway", 2), ("ada-gateway", 0), ("other", 1)):
            with pytest.raises(ApiError, match=words):
                await scale(name, replicas)
        with pytest.raises(Forbidden):
            await router.patch_scale(DEPLOYMENTS, "other", place.namespace, 1, field_manager="moltbot-router")
        for patch in (
            {"spec": {"operatingMode": "Auto"}},
            {"metadata": {"annotations": {"other": "x"}}},
            {"metadata": {"labels": {"other": "x"}}},
            {"metadata": {"finalizers": ["moltbot.dev/x"]}},
            {"metadata": {"annotations": {"moltbot.dev/wake": "now"}}},
        ):
            with pytest.raises(ApiError, match="denied"):
                await change(patch)
        with pytest.raises(Forbidden):
            await router.get(SECRETS, "ada-gateway-token", place.namespace)

        await change({"metadata": {"annotations": {"moltbot.dev/refresh": "2026-11-24T08:00:00Z"}}})
        await scale("ada-gateway", 1)
        with pytest.raises(ApiError, match=words):
            await scale("ada-gateway", 0)


async def test_everything_of_ours_passes_pod_security_restricted(place: Place) -> None:
    """Every test's namespace enforces it, so what ran elsewhere passed; here it is asked for the release's own pods."""
    space = await place.kubectl("get", "namespace", place.namespace, "-o", "jsonpath={.metadata.labels}")
    assert '"pod-security.kubernetes.io/enforce":"restricted"' in space
    asked = await command(
        "kubectl", "label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted", "--overwrite", "--dry-run=server"
    )
    assert "labeled" in asked
    pods = (await place.person.list(PODS, NAMESPACE)).items
    assert len(pods) >= 2
    for pod in pods:
        manifest = {**pod, "metadata": {"name": "again", "namespace": place.namespace}, "status": None}
        manifest["spec"] = {key: value for key, value in pod["spec"].items() if key in ("containers", "securityContext", "volumes")}
        for volume in manifest["spec"]["volumes"]:
            volume.pop("projected", None)
        await place.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))
