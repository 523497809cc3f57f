"""Where the API is found, and what is said when it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from moltbot_kube import ConnectionSettingsError, Kube, Unauthorized, Unreachable, connect
from moltbot_kube.errors import Gone, Invalid, ServerError, error_from_status
from moltbot_kube.resources import ALL, CONFIG_MAPS, MOLTBOTS, NODES, PODS, resource_of
from tests.kube.scripted import Script, serving, write_kubeconfig


async def test_the_context_names_its_namespace(tmp_path: Path) -> None:
    connection = await connect(str(write_kubeconfig(tmp_path, "http://127.0.0.1:1")))
    assert (connection.context, connection.namespace, connection.server) == ("here", "team", "http://127.0.0.1:1")


async def test_a_token_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file")
    script = Script([([], "1")])
    async with serving(script, tmp_path) as kube:
        path = write_kubeconfig(tmp_path, kube.connection.server, tokenFile="token")
        async with await Kube.connect(str(path)) as other:
            await other.list(CONFIG_MAPS, "ns")
    assert script.tokens == ["Bearer from-file"]


async def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectionSettingsError, match=r"no kubeconfig at .*nowhere"):
        await connect(str(tmp_path / "nowhere"))


async def test_an_unknown_context_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectionSettingsError, match="elsewhere"):
        await connect(str(write_kubeconfig(tmp_path, "http://127.0.0.1:1")), "elsewhere")


async def test_outside_a_pod_and_without_kubeconfig_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConnectionSettingsError, match="moltbot up"):
        await connect()


async def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path, unused_tcp_port: int) -> None:
    async with await Kube.connect(str(write_kubeconfig(tmp_path, f"http://127.0.0.1:{unused_tcp_port}"))) as kube:
        with pytest.raises(Unreachable, match="does not answer GET /api/v1/pods"):
            await kube.list(PODS)


async def test_a_refused_token_is_unauthorized(tmp_path: Path) -> None:
    async with serving(Script([401]), tmp_path) as kube:
        with pytest.raises(Unauthorized):
            await kube.list(PODS)


def test_status_objects_become_errors_with_their_causes() -> None:
    body = {"reason": "Invalid", "message": "no", "details": {"causes": [{"reason": "R", "field": "spec.sleepAfter", "message": "M"}]}}
    error = error_from_status(422, body, fallback="")
    assert isinstance(error, Invalid)
    assert [(cause.reason, cause.field, cause.message) for cause in error.causes] == [("R", "spec.sleepAfter", "M")]
    assert isinstance(error_from_status(410, {"reason": "Expired"}, fallback=""), Gone)
    throttled = error_from_status(429, {"details": {"retryAfterSeconds": 3}}, fallback="x")
    assert isinstance(throttled, ServerError)
    assert (throttled.retry_after, str(throttled)) == (3.0, "x")
    forbidden = error_from_status(403, {"details": {"causes": [{"reason": "NamespaceTerminating"}]}}, fallback="")
    assert getattr(forbidden, "namespace_terminating", False)


def test_paths() -> None:
    assert MOLTBOTS.path("ns", "ada", "status") == "/apis/moltbot.dev/v1alpha1/namespaces/ns/moltbots/ada/status"
    assert PODS.path() == "/api/v1/pods"
    assert NODES.path(None, "n1") == "/api/v1/nodes/n1"
    assert CONFIG_MAPS.path("ns", "../secrets") == "/api/v1/namespaces/ns/configmaps/..%2Fsecrets"
    with pytest.raises(ValueError, match="empty"):
        CONFIG_MAPS.path("ns", "")
    with pytest.raises(ValueError, match="namespace"):
        PODS.path(None, "x")


def test_an_object_finds_its_resource() -> None:
    assert all(resource_of({"apiVersion": one.api_version, "kind": one.kind}) is one for one in ALL)
    with pytest.raises(KeyError, match="Ingress of networking"):
        resource_of({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"})
