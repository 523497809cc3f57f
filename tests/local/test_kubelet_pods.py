"""Pods as processes of this machine, as `shared/architecture.md` asks under "Without a cluster"."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moltbot_local.kubelet.addresses import Addresses
from tests.local.machine import LABELS, Machine, open_machine, pod, python, sleeper, statefulset

DUMP = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with open_machine(tmp_path) as machine:
        yield machine


async def test_a_statefulset_runs_its_pod_at_1_and_ends_it_within_its_grace_at_0(machine: Machine) -> None:
    """Rule 2: 0 or 1; rule 3: one pod with one uid at a time."""
    machine.store.create("statefulsets.apps", statefulset("x", python(sleeper("main"))))
    pod = await machine.until_ready("x-0")
    assert pod["status"]["podIP"].startswith("127.")
    assert pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "x-0"
    # `Started` does not mean that Python has come as far as installing its handler
    await asyncio.to_thread(_until_logged, machine, "x-0", "main", "up")
    logs = machine.data / "pods" / f"default_x-0_{pod['metadata']['uid']}"
    machine.store.patch("statefulsets.apps", "x", "default", {"spec": {"replicas": 0}})
    await machine.until_gone("x-0")
    machine.store.patch("statefulsets.apps", "x", "default", {"spec": {"replicas": 1}})
    again = await machine.until_ready("x-0")
    assert again["metadata"]["uid"] != pod["metadata"]["uid"]
    assert again["status"]["podIP"] != pod["status"]["podIP"]
    assert not logs.exists()


def _until_logged(machine: Machine, pod: str, container: str, words: str) -> None:
    import time

    deadline = time.monotonic() + 10
    while words not in machine.log(pod, container):
        assert time.monotonic() < deadline, machine.log(pod, container)
        time.sleep(0.01)


async def test_nothing_of_the_persons_environment_enters(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-person")
    machine.store.create("pods", pod("p", python(DUMP, env=[{"name": "A", "value": "1"}]), restartPolicy="Never"))
    await machine.until_phase("p", "Succeeded")
    env = json.loads(machine.log("p", "main"))
    env.pop("LC_CTYPE", None)  # Python's own
    assert sorted(env) == ["A", "HOME", "HOSTNAME", "LANG", "PATH", "TMPDIR"]
    assert env["HOSTNAME"] == "p"
    assert Path(env["HOME"]).is_relative_to(machine.data)


async def test_environment_from_fields_secrets_and_config_maps(machine: Machine) -> None:
    machine.store.create(
        "secrets", {"metadata": {"name": "s", "namespace": "default"}, "data": {"key": base64.b64encode(b"hush").decode()}}
    )
    machine.store.create("configmaps", {"metadata": {"name": "c", "namespace": "default"}, "data": {"K": "v"}})
    env = [
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "URL", "value": "https://$(IP):1/$(UNKNOWN)$$(IP)"},
        {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
        {"name": "O", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "key", "optional": True}}},
    ]
    container = python(DUMP, env=env, envFrom=[{"configMapRef": {"name": "c"}, "prefix": "P_"}])
    machine.store.create("pods", pod("p", container, restartPolicy="Never"))
    done = await machine.until_phase("p", "Succeeded")
    found = json.loads(machine.log("p", "main"))
    assert found["URL"] == f"https://{done['status']['podIP']}:1/$(UNKNOWN)$(IP)"
    assert (found["UID"], found["S"], found["P_K"]) == (done["metadata"]["uid"], "hush", "v")
    assert "O" not in found


async def test_a_missing_secret_is_told_in_the_kubelets_words_and_mended_by_creating_it(machine: Machine) -> None:
    env = [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}}]
    machine.store.create("pods", pod("p", python(DUMP, env=env), restartPolicy="Never"))

    def waiting() -> tuple[str, str] | None:
        found = machine.container("p", "main").get("state", {}).get("waiting", {})
        return (found["reason"], found["message"]) if "message" in found else None

    await machine.until(waiting)
    assert waiting() == ("CreateContainerConfigError", 'secret "s" not found')
    machine.store.create("secrets", {"metadata": {"name": "s", "namespace": "default"}, "data": {}})
    await machine.until(lambda: waiting() == ("CreateContainerConfigError", "couldn't find key key in Secret default/s"))
    machine.store.patch("secrets", "s", "default", {"data": {"key": base64.b64encode(b"v").decode()}})
    await machine.until_phase("p", "Succeeded")
    assert ("Failed", 'secret "s" not found') in machine.events("p")


async def test_an_image_that_is_not_here_says_which_are(machine: Machine) -> None:
    machine.store.create("pods", pod("p", {"name": "main", "image": "nobody/knows:1"}))
    reason = await machine.until(lambda: machine.container("p", "main").get("state", {}).get("waiting", {}).get("reason"))
    assert reason in ("ErrImagePull", "ContainerCreating")
    await machine.until(lambda: "localhost/python:base" in machine.container("p", "main")["state"]["waiting"].get("message", ""))
    assert machine.pod("p")["status"]["phase"] == "Pending"


async def test_mounts_are_directories_and_values_that_name_them_are_rewritten(machine: Machine) -> None:
    machine.store.create("secrets", {"metadata": {"name": "s", "namespace": "default"}, "data": {"a.txt": base64.b64encode(b"x").decode()}})
    code = (
        "import os, sys; d = os.environ; print(os.listdir(d['KEYS']), oct(os.stat(d['KEYS'] + '/a.txt').st_mode), d['WORK'], sys.argv[1])"
    )
    container = python(
        code,
        args=["/data/x"],
        env=[{"name": "KEYS", "value": "/keys"}, {"name": "WORK", "value": "/data/sub"}, {"name": "W", "value": "/database"}],
        volumeMounts=[{"name": "keys", "mountPath": "/keys"}, {"name": "work", "mountPath": "/data"}],
    )
    volumes = [{"name": "keys", "secret": {"secretName": "s"}}, {"name": "work", "emptyDir": {}}]
    machine.store.create("pods", pod("p", container, restartPolicy="Never", volumes=volumes))
    done = await machine.until_phase("p", "Succeeded")
    work = machine.data / "pods" / f"default_p_{done['metadata']['uid']}" / ".volumes" / "work"
    assert machine.log("p", "main").split() == ["['a.txt']", "0o100600", f"{work}/sub", f"{work}/x"]


async def test_a_services_name_becomes_the_address_of_its_pod(machine: Machine) -> None:
    service = {
        "metadata": {"name": "svc", "namespace": "default"},
        "spec": {"clusterIP": "None", "selector": LABELS, "ports": [{"port": 1}]},
    }
    machine.store.create("services", service)
    machine.store.create("pods", pod("server", python(sleeper("main"))))
    address = (await machine.until_ready("server"))["status"]["podIP"]
    client = pod(
        "client", python(DUMP, env=[{"name": "U", "value": "https://svc.default.svc:5/"}, {"name": "V", "value": "no.default.svc"}])
    )
    client["metadata"]["labels"] = {}
    client["spec"]["restartPolicy"] = "Never"
    machine.store.create("pods", client)
    await machine.until_phase("client", "Succeeded")
    found = json.loads(machine.log("client", "main"))
    assert (found["U"], found["V"]) == (f"https://{address}:5/", "no.default.svc")


async def test_sidecars_start_before_and_stop_after_the_main_container_in_reverse_order(machine: Machine) -> None:
    """Rule 9: the state container outlives the gateway."""
    init = [
        python("print('once')", "once"),
        python(sleeper("a"), "a", restartPolicy="Always"),
        python(sleeper("b"), "b", restartPolicy="Always"),
    ]
    machine.store.create("pods", pod("p", python(sleeper("main", 0.3)), initContainers=init))
    found = await machine.until_ready("p")
    for name in ("a", "b", "main"):
        await asyncio.to_thread(_until_logged, machine, "p", name, "up")
    directory = machine.data / "pods" / f"default_p_{found['metadata']['uid']}"
    logs = {name: (directory / name / "0.log").open() for name in ("a", "b", "main")}
    assert machine.container("p", "once")["state"]["terminated"]["reason"] == "Completed"
    machine.store.delete("pods", "p", "default")
    await machine.until_gone("p")
    times = {}
    for log in logs.values():
        for line in log.read().splitlines():
            who, what, when = line.split()
            times[who, what] = float(when)
    order = [("main", "asked"), ("main", "ends"), ("b", "asked"), ("b", "ends"), ("a", "asked"), ("a", "ends")]
    assert sorted(order, key=lambda key: times[key]) == order


async def test_a_sidecar_that_ends_starts_again_in_place_while_the_main_container_goes_on(machine: Machine) -> None:
    """Rule 9: new credentials reach the state container by its own restart."""
    code = "import os, sys, time\nif os.path.exists('x'): time.sleep(60)\nopen('x', 'w').close(); sys.exit(0)"
    machine.store.create("pods", pod("p", python(sleeper("main")), initContainers=[python(code, "a", restartPolicy="Always")]))
    await machine.until(
        lambda: machine.container("p", "a").get("restartCount") == 1 and machine.container("p", "a")["state"].get("running")
    )
    await machine.until_ready("p")
    assert machine.container("p", "main")["restartCount"] == 0
    assert machine.container("p", "a")["lastState"]["terminated"]["exitCode"] == 0


async def test_a_process_that_ignores_sigterm_is_killed_when_the_grace_is_over(machine: Machine) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"
    machine.store.create("pods", pod("p", python(code), terminationGracePeriodSeconds=1))
    await machine.until_ready("p")
    await asyncio.to_thread(_until_logged, machine, "p", "main", "up")
    machine.store.delete("pods", "p", "default")
    await machine.until_gone("p")


async def test_a_crash_loop_waits_and_shows_how_it_ended(machine: Machine) -> None:
    code = "import sys; print('bad thing', file=sys.stderr); sys.exit(3)"
    machine.store.create("pods", pod("p", python(code, terminationMessagePolicy="FallbackToLogsOnError")))
    await machine.until(lambda: machine.container("p", "main").get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff")
    found = machine.container("p", "main")
    assert found["restartCount"] == 1  # the first restart is immediate
    assert found["lastState"]["terminated"]["exitCode"] == 3
    assert found["lastState"]["terminated"]["message"] == "bad thing\n"
    assert "back-off 10s restarting failed container=main" in found["state"]["waiting"]["message"]


async def test_a_taken_port_is_named(machine: Machine) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        machine.store.create("pods", pod("p", python(sleeper("main"), ports=[{"containerPort": port}])))
        await machine.until(lambda: any("another program" in message for _, message in machine.events("p")))
        assert machine.container("p", "main")["state"]["waiting"]["message"].startswith(f"port {port} of 127.")
    await machine.until_ready("p")  # as soon as it is free


async def test_probes_gate_start_and_readiness(machine: Machine) -> None:
    code = (
        "import http.server, os, threading\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "  def do_GET(self): self.send_response(200 if self.path == '/healthz' or os.path.exists('ready') else 503); self.end_headers()\n"
        "http.server.HTTPServer((os.environ['IP'], 8123), H).serve_forever()\n"
    )
    container = python(
        code,
        env=[{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        startupProbe={"httpGet": {"path": "/healthz", "port": 8123}, "periodSeconds": 1, "failureThreshold": 30},
        readinessProbe={"httpGet": {"path": "/readyz", "port": 8123}, "periodSeconds": 1},
    )
    machine.store.create("pods", pod("p", container))
    await machine.until(lambda: machine.container("p", "main").get("started"))
    assert not machine.container("p", "main")["ready"]
    await machine.until(lambda: ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503") in machine.events("p"))
    home = machine.data / "pods" / f"default_p_{machine.pod('p')['metadata']['uid']}" / ".home"
    (home / "ready").touch()
    await machine.until_ready("p")


async def test_a_failed_liveness_probe_restarts_the_container(machine: Machine) -> None:
    probe = {"exec": {"command": ["sh", "-c", "exit 1"]}, "periodSeconds": 1, "failureThreshold": 1}
    machine.store.create("pods", pod("p", python(sleeper("main"), livenessProbe=probe)))
    await machine.until(lambda: machine.container("p", "main").get("restartCount") == 1)


async def test_after_a_restart_of_this_program_the_same_pod_starts_its_containers_again(tmp_path: Path) -> None:
    """As a node that was rebooted: same uid, same address, restart count one more, exit 255 Unknown."""
    async with open_machine(tmp_path) as machine:
        machine.store.create("statefulsets.apps", statefulset("x", python(sleeper("main"))))
        before = await machine.until_ready("x-0")
    async with open_machine(tmp_path) as machine:
        await machine.until(lambda: machine.container("x-0", "main").get("restartCount") == 1)
        after = await machine.until_ready("x-0")
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["status"]["podIP"] == before["status"]["podIP"]
        last = machine.container("x-0", "main")["lastState"]["terminated"]
        assert (last["exitCode"], last["reason"]) == (255, "Unknown")


async def test_a_drain_ends_pods_gracefully_and_the_next_start_makes_new_ones(tmp_path: Path) -> None:
    async with open_machine(tmp_path, controllers=()) as machine:
        machine.store.create("pods", pod("p", python(sleeper("main"))))
        await machine.until_ready("p")
        await asyncio.to_thread(_until_logged, machine, "p", "main", "up")
        await machine.kubelet.drain()
        assert "main ends" in machine.log("p", "main")
        found = machine.pod("p")["status"]
        assert (found["phase"], found["reason"]) == ("Failed", "Terminated")


async def test_a_pod_that_was_ending_when_this_program_died_is_gone_after_the_next_start(tmp_path: Path) -> None:
    async with open_machine(tmp_path, controllers=()) as machine:
        machine.store.create("pods", pod("p", python(sleeper("main", 30)), terminationGracePeriodSeconds=60))
        await machine.until_ready("p")
        await asyncio.to_thread(_until_logged, machine, "p", "main", "up")
        machine.store.delete("pods", "p", "default")
        await asyncio.to_thread(_until_logged, machine, "p", "main", "asked")
    async with open_machine(tmp_path, controllers=()) as machine:
        await machine.until_gone("p")


async def test_where_only_one_address_answers_the_second_pod_waits_and_says_so(tmp_path: Path) -> None:
    """macOS: one awake Moltbot at a time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "import socket, time\ns = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        f"s.bind(('127.0.0.1', {port})); s.listen(); print('up'); time.sleep(60)"
    )
    async with open_machine(tmp_path, distinct=False, controllers=()) as machine:
        machine.store.create("pods", pod("a", python(code, ports=[{"containerPort": port}])))
        await machine.until_ready("a")
        await asyncio.to_thread(_until_logged, machine, "a", "main", "up")
        machine.store.create("pods", pod("b", python(code, ports=[{"containerPort": port}])))
        await machine.until(lambda: any("taken by pod default/a: only 127.0.0.1 answers" in text for _, text in machine.events("b")))
        machine.store.delete("pods", "a", "default", grace_seconds=1)
        await machine.until_ready("b")


def test_an_address_that_was_given_back_is_not_soon_somebody_elses(tmp_path: Path) -> None:
    """Rule 3: a pod address may belong to somebody else by now."""
    kept = tmp_path / "last"
    first = Addresses(distinct=True, kept=kept)
    one = first.take()
    first.give_back(one)
    assert first.take() != one
    assert Addresses(distinct=True, kept=kept).take() != one
    restarted = Addresses(distinct=True)
    restarted.keep("127.64.0.1")
    assert restarted.take() == "127.64.0.2"


def test_two_moltbot_ups_on_one_machine_do_not_meet(tmp_path: Path) -> None:
    one, other = (Addresses(distinct=True, kept=tmp_path / name / "last") for name in ("one", "other"))
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    assert one.take() != other.take()
    addresses = Addresses(distinct=True)
    with socket.socket() as taken:
        taken.bind(("127.64.0.1", 0))
        taken.listen()
        assert addresses.take([taken.getsockname()[1]]) == "127.64.0.2"
