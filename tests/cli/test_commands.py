"""Commands against a real API: the miniature one, with the definitions and without an operator."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from moltbot_cli.__main__ import main
from moltbot_local.clock import SystemClock
from moltbot_local.crd import install
from moltbot_local.definitions import crd_manifests
from moltbot_local.home import kubeconfig_text
from moltbot_local.local_api import open_api
from moltbot_local.manifests import ensure_namespace
from moltbot_local.store import Store

MOLTBOTS, DEVICES, SNAPSHOTS = "moltbots.moltbot.dev", "moltbotdevices.moltbot.dev", "moltbotsnapshots.moltbot.dev"


class Terminal:
    """A person's terminal: runs `moltbot …` and reads what it prints."""

    def __init__(self, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
        self.store, self._capsys = store, capsys

    async def run(self, *words: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, words)
        out, error = self._capsys.readouterr()
        return code, out, error

    async def done(self, *words: str) -> str:
        code, out, error = await self.run(*words)
        assert code == 0, error
        return out


@asynccontextmanager
async def api(directory: Path) -> AsyncIterator[tuple[Store, Path]]:
    async with open_api(directory / "objects", SystemClock(), {"person": "t"}) as opened:
        ensure_namespace(opened.store, "default")
        for manifest in crd_manifests():
            install(opened.store, manifest)
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(kubeconfig_text(opened.url, "person", "t", authority=opened.authority))
        yield opened.store, kubeconfig


@pytest.fixture
async def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Terminal]:
    async with api(tmp_path) as (store, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        monkeypatch.setenv("MOLTBOT_HOME", str(tmp_path / "no-home"))
        yield Terminal(store, capsys)


def make_moltbot(store: Store, name: str = "ada") -> dict[str, Any]:
    meta = {"name": name, "namespace": "default"}
    return store.create(MOLTBOTS, {"metadata": meta, "spec": {}})


def make_device(store: Store, digit: str = "a") -> str:
    device = digit * 64
    request = {"id": "r1", "at": "2026-11-24T08:00:00Z", "role": "operator", "scopes": ["operator.read", "operator.write"]}
    spec = {"moltbot": "ada", "deviceId": device, "publicKey": "A" * 43, "name": "Firefox", "platform": "Linux", "request": request}
    store.create(DEVICES, {"metadata": {"name": f"ada-{device}", "namespace": "default"}, "spec": spec})
    return device


async def test_devices_are_listed_approved_and_removed(terminal: Terminal) -> None:
    """Lock 3; the change says first where it happens."""
    make_moltbot(terminal.store)
    device = make_device(terminal.store)
    assert "pending" in await terminal.done("devices", "list")
    code, out, error = await terminal.run("devices", "approve", device[:8])
    assert (code, out) == (0, f"approved: ada-{device} (Firefox on Linux)\n")
    assert "KUBECONFIG=" in error
    assert "namespace default" in error
    spec = terminal.store.get(DEVICES, f"ada-{device}", "default")["spec"]
    assert "request" not in spec
    assert (spec["approved"]["request"], spec["approved"]["roles"]) == ("r1", ["operator"])
    code, _, error = await terminal.run("devices", "approve", device)
    assert code == 1
    assert "is approved already" in error
    await terminal.done("devices", "remove", device)
    assert terminal.store.list(DEVICES) == []


async def test_an_approval_goes_on_when_only_what_was_last_seen_changed(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A router writes that while a person decides; what a device asks for must be what was shown."""
    make_moltbot(terminal.store)
    device = make_device(terminal.store)
    name = f"ada-{device}"
    shown = copy.deepcopy(terminal.store.get(DEVICES, name, "default"))

    async def as_it_was(place: object, moltbot: str | None) -> list[Any]:
        return [copy.deepcopy(shown)]

    monkeypatch.setattr("moltbot_cli.moltbots.list_devices", as_it_was)
    terminal.store.patch_status(DEVICES, name, "default", {"lastSeen": "2026-11-24T08:00:00Z"})
    code, _, error = await terminal.run("devices", "approve", device[:8])
    assert (code, error.count("changed since")) == (0, 0)
    assert "approved" in terminal.store.get(DEVICES, name, "default")["spec"]
    code, _, error = await terminal.run("devices", "approve", device[:8])
    assert code == 1
    assert "changed since it was read" in error


async def test_approve_all_takes_those_that_wait(terminal: Terminal) -> None:
    make_moltbot(terminal.store)
    code, _, error = await terminal.run("devices", "approve", "--all")
    assert (code, "no device waits" in error) == (1, True)
    make_device(terminal.store, "a")
    make_device(terminal.store, "b")
    assert len(json.loads(await terminal.done("devices", "approve", "--all", "-o", "json"))["approved"]) == 2


@pytest.mark.parametrize(("result", "code"), [("done", 0), ("refused", 1)])
async def test_an_action_is_asked_for_and_its_end_awaited(terminal: Terminal, result: str, code: int) -> None:
    """Rule 1: an annotation with a time; what became of it stands in status."""
    make_moltbot(terminal.store)

    async def play_operator() -> None:
        async for event in terminal.store.watch(MOLTBOTS):
            asked = (event.object["metadata"].get("annotations") or {}).get("moltbot.dev/sleep")
            if asked:
                record = {"action": "sleep", "requested": asked, "result": result, "time": "2026-11-24T08:00:00Z", "message": "so it is"}
                terminal.store.patch_status(MOLTBOTS, "ada", "default", {"actions": [record]})
                return

    operator = asyncio.create_task(play_operator())
    ended, out, _ = await terminal.run("sleep")
    await operator
    assert ended == code
    assert "so it is" in out


async def test_a_backup_is_a_snapshot_object_and_its_failure_is_the_commands(terminal: Terminal) -> None:
    make_moltbot(terminal.store)

    async def play_operator() -> None:
        async for event in terminal.store.watch(SNAPSHOTS):
            status = {"phase": "Failed", "message": "there is no bucket"}
            terminal.store.patch_status(SNAPSHOTS, event.object["metadata"]["name"], "default", status)
            return

    operator = asyncio.create_task(play_operator())
    code, _, error = await terminal.run("backup", "ada")
    await operator
    assert (code, "there is no bucket" in error) == (1, True)


async def test_the_generated_token_is_rotated_and_a_persons_own_is_not(terminal: Terminal) -> None:
    make_moltbot(terminal.store)
    code, _, error = await terminal.run("token")
    assert (code, "has no gateway token yet" in error) == (1, True)
    data = {"MOLTBOT_GATEWAY_TOKEN": base64.b64encode(b"old").decode()}
    terminal.store.create("secrets", {"metadata": {"name": "ada-gateway-token", "namespace": "default"}, "data": data})
    assert await terminal.done("token") == "old\n"
    assert await terminal.done("token", "rotate", "ada") != "old\n"
    moltbot = terminal.store.get(MOLTBOTS, "ada", "default")
    assert moltbot["metadata"]["annotations"]["moltbot.dev/refresh"]
    terminal.store.create("secrets", {"metadata": {"name": "mine", "namespace": "default"}, "data": data})
    terminal.store.patch(MOLTBOTS, "ada", "default", {"spec": {"secretsFrom": [{"name": "mine"}]}})
    code, _, error = await terminal.run("token", "rotate")
    assert (code, "your Secret mine" in error) == (1, True)


async def test_one_moltbot_needs_no_name_and_of_several_one_must_be_named(terminal: Terminal) -> None:
    code, _, error = await terminal.run("wake", "--no-wait")
    assert (code, "there is no Moltbot in namespace default" in error) == (1, True)
    make_moltbot(terminal.store)
    assert await terminal.done("wake", "--no-wait") == "ada: wake is asked for\n"
    make_moltbot(terminal.store, "bob")
    code, _, error = await terminal.run("wake", "--no-wait")
    assert (code, "ada, bob" in error) == (1, True)
    assert len(json.loads(await terminal.done("status", "-o", "json"))) == 2


async def test_an_api_that_does_not_answer_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api(tmp_path) as (_, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    code = await asyncio.to_thread(main, ["status"])
    assert code == 1
    assert "does not answer" in capsys.readouterr().err
