"""The parts of `moltbot up` that need no process: files, settings, words, the home directory."""

from __future__ import annotations

import argparse
import base64
import io
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from moltbot_cli.__main__ import build_parser
from moltbot_cli.moltbots import match_devices
from moltbot_local.crd import CustomKinds, install
from moltbot_local.definitions import crd_manifests
from moltbot_local.home import Home, HomeInUse, default_home, write_private
from moltbot_local.links import ADMIN, find_links
from moltbot_local.manifests import (
    ManifestError,
    apply_manifest,
    build_person_secret,
    missing_secrets,
    named_secrets,
    read_manifests,
    read_person,
)
from moltbot_local.narrate import QUIET, describe_device, describe_moltbot, describe_secrets
from moltbot_local.own_command import OwnCommand, find_own_command
from moltbot_local.resources import Resource
from moltbot_local.up import Teller, check_port
from tests.local.machine import new_store


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"HOME": "/home/me"}, "/home/me/.local/share/moltbot"),
        ({"HOME": "/home/me", "XDG_DATA_HOME": "/data"}, "/data/moltbot"),
        ({"HOME": "/home/me", "XDG_DATA_HOME": "relative"}, "/home/me/.local/share/moltbot"),
        ({"HOME": "/home/me", "XDG_DATA_HOME": "/data", "MOLTBOT_HOME": "/mine"}, "/mine"),
    ],
)
def test_where_data_is_kept(environ: dict[str, str], path: str) -> None:
    assert default_home(environ) == Path(path)


def test_one_home_has_one_holder_and_says_who(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    home.make()
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert not home.is_running()
    with home.hold():
        assert home.is_running()
        with pytest.raises(HomeInUse, match="moltbot status"), home.hold():
            pass
    assert not home.is_running()
    assert home.read_running() is None


def test_a_private_file_is_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "secret")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == "secret"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML"),
        ("just text", "it needs apiVersion"),
        ("{apiVersion: v1, kind: Secret}", "no metadata.name"),
        ("{apiVersion: v1, kind: Secret, metadata: {}}", "no metadata.name"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ManifestError, match=r"bad\.yaml") as refused:
        read_manifests([path])
    assert words in str(refused.value)


def test_the_quickstart_and_the_definitions_are_readable() -> None:
    items = read_manifests([Path(__file__).parents[2] / "examples" / "quickstart.yaml"])
    assert [(i["kind"], i["metadata"]["name"]) for i in items] == [("Moltbot", "ada")]
    assert named_secrets(items) == [("default", "ada")]
    assert {d["spec"]["names"]["kind"] for d in crd_manifests()} == {"Moltbot", "MoltbotDevice", "MoltbotSnapshot"}


def test_a_persons_settings_come_from_files_and_environment(tmp_path: Path) -> None:
    (tmp_path / ".dev.vars").write_text('ANTHROPIC_API_KEY="from-vars"\nANTHROPIC_API_KEI=typo\nR2_BUCKET_NAME=vars\n')
    (tmp_path / ".env").write_text("R2_BUCKET_NAME=env # mine\nDATABASE_URL=not-ours\n")
    environ = {"ANTHROPIC_API_KEY": "from-environment", "CDP_SECRET": "not-served", "HOME": "/"}
    settings = read_person(environ, tmp_path)
    # A mistyped key of a file written for assistants is diagnosed by the operator, so it is taken along.
    assert settings.values == {"ANTHROPIC_API_KEY": "from-environment", "ANTHROPIC_API_KEI": "typo", "R2_BUCKET_NAME": "env"}
    words = describe_secrets(["ada"], settings.origins)
    assert "ANTHROPIC_API_KEY from the environment" in words
    assert "from-environment" not in words


def moltbot(**more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "moltbot.dev/v1alpha1",
        "kind": "Moltbot",
        "metadata": {"name": "ada", "namespace": "default"},
        "spec": {"secretsFrom": [{"name": "ada"}]},
        **more,
    }


def test_only_secrets_that_nobody_made_are_made(tmp_path: Path) -> None:
    store = new_store()
    assert missing_secrets(store, [moltbot()]) == [("default", "ada")]
    own = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ada"}}
    assert missing_secrets(store, [moltbot(), own]) == []
    made = build_person_secret("default", "ada", read_person({}, tmp_path))
    store.create("secrets", made)
    assert missing_secrets(store, [moltbot()]) == [("default", "ada")]  # ours: made anew at every start
    store.patch("secrets", "ada", "default", {"metadata": {"labels": None}})
    assert missing_secrets(store, [moltbot()]) == []  # a person's own is left alone


def status(phase: str, **more: Any) -> dict[str, Any]:
    return moltbot(status={"phase": phase, **more})


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (None, status("Waking"), ["is waking"]),
        (status("Waking"), status("Waking"), []),
        (
            status("Waking"),
            status("Awake", lastWake={"seconds": 0.84, "reason": "page"}, sleepAfter="1m"),
            ["is awake after 0.8 s, woken by a visit; without work it sleeps after 1m"],
        ),
        (status("Draining"), status("Asleep"), ["is asleep: no process runs; the next visit, message or due job wakes it"]),
        (
            status("Awake"),
            status("Awake", conditions=[{"type": "ModelReady", "status": "False", "reason": "R", "message": "make a key"}]),
            ["ModelReady: make a key"],
        ),
        (
            status("Awake", conditions=[{"type": "ModelReady", "status": "False", "reason": "R", "message": "make a key"}]),
            status("Awake", conditions=[{"type": "ModelReady", "status": "True", "reason": "R"}]),
            ["ModelReady: mended"],
        ),
        (status("Awake"), status("Awake", lastBackup={"snapshot": "s1", "bytes": 2048}), ["is backed up (2.0 KiB)"]),
        (
            status("Suspended"),
            status("Suspended", actions=[{"action": "wake", "requested": "t", "result": "refused", "message": "it is suspended"}]),
            ["did not wake: it is suspended"],
        ),
    ],
)
def test_what_happens_in_plain_words(before: dict[str, Any] | None, after: dict[str, Any], words: list[str]) -> None:
    assert describe_moltbot(before, after) == words


def test_a_device_that_asks_is_told_with_the_way_to_approve_it() -> None:
    device = {
        "metadata": {"name": "ada-9de9349e" + "0" * 56},
        "spec": {
            "moltbot": "ada",
            "deviceId": "9de9349e" + "0" * 56,
            "name": "Firefox\x1b[2J",
            "platform": "Linux",
            "request": {"id": "r"},
        },
    }
    (words,) = describe_device(None, device, "http://localhost:8081/_admin/")
    assert "`moltbot devices approve ada-9de9349e`" in words
    shown = words.rpartition("approve ")[2].rstrip("`")
    assert match_devices([device], shown) == [device], "what is shown has to be taken"
    assert "\x1b" not in words
    assert describe_device(device, device, "") == []


def test_what_the_model_answered_in_the_last_run_is_not_told_at_the_next_start() -> None:
    """The key may be another one by then, and nobody has asked with it."""
    bad = {"type": "ModelReady", "status": "False", "reason": "KeyInvalid", "message": "the key is refused"}
    missing = {"type": "SecretsReady", "status": "False", "reason": "SecretMissing", "message": "make Secret ada"}
    left = status("Asleep", conditions=[bad, missing])
    told = describe_moltbot(None, left, QUIET | {"ModelReady"})
    assert "SecretsReady: make Secret ada" in told
    assert not any("key is refused" in sentence for sentence in told)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """With `moltbot` in a virtual environment, as `make run` has it."""
    directory = tmp_path / "a checkout" / ".venv" / "bin"
    directory.mkdir(parents=True)
    for name in ("python", "moltbot"):
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(0o755)
    return tmp_path / "a checkout"


def test_a_command_that_no_terminal_finds_is_named_by_its_path(checkout: Path, tmp_path: Path) -> None:
    beside = checkout / ".venv" / "bin"
    found = find_own_command("/usr/bin:/bin", beside / "python", checkout)
    assert found.words == ".venv/bin/moltbot"
    # what is printed is what a shell takes
    shell = subprocess.run(["sh", "-c", f"{found.export}; command -v moltbot"], capture_output=True, text=True, check=True)
    assert shell.stdout.strip() == str(beside / "moltbot")
    elsewhere = find_own_command(None, beside / "python", tmp_path / "elsewhere")
    assert shlex.split(elsewhere.words) == [str(beside / "moltbot")]


def test_a_command_that_is_on_the_path_is_called_by_its_name(checkout: Path, tmp_path: Path) -> None:
    beside = checkout / ".venv" / "bin"
    assert find_own_command(str(beside), beside / "python", checkout) == OwnCommand()
    linked = tmp_path / "bin"
    linked.mkdir()
    (linked / "moltbot").symlink_to(beside / "moltbot")
    assert find_own_command(str(linked), beside / "python", checkout) == OwnCommand()
    assert find_own_command("/usr/bin", tmp_path / "python", checkout) == OwnCommand(), "there is none beside it"


def test_the_start_says_once_how_the_command_is_found(checkout: Path) -> None:
    out = io.StringIO()
    own = find_own_command("/usr/bin", checkout / ".venv" / "bin" / "python", checkout)
    Teller(out, own).links({"default/ada": "http://a", "admin": "http://b"}, Path("kubeconfig"), 1.0)
    assert out.getvalue().count("export PATH=") == 1
    assert ".venv/bin/moltbot devices list" in out.getvalue()
    out = io.StringIO()
    Teller(out, OwnCommand()).links({"default/ada": "http://a", "admin": "http://b"}, Path("kubeconfig"), 1.0)
    assert "export PATH=" not in out.getvalue()


def test_links_appear_only_when_they_would_work() -> None:
    store = new_store()
    store.registry.add(Resource("moltbot.dev", "v1alpha1", "Moltbot", "moltbots", "moltbot", True))
    store.create("namespaces", {"metadata": {"name": "moltbot-system"}})
    store.create("moltbots.moltbot.dev", moltbot())

    def secret(name: str, namespace: str, key: str, value: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode()}
        store.create("secrets", {"metadata": {"name": name, "namespace": namespace}, "data": data})

    assert find_links(store, 8080, 8081, "moltbot-system") == {}
    secret("moltbot-admin", "moltbot-system", "MOLTBOT_ADMIN_KEY", "k")
    secret("ada-gateway-token", "default", "MOLTBOT_GATEWAY_TOKEN", "t")
    assert find_links(store, 8080, 8081, "moltbot-system") == {}
    store.patch("moltbots.moltbot.dev", "ada", "default", {"status": {"url": "http://ada--default.localhost:8080", "verifiers": [{}]}})
    assert find_links(store, 8080, 8081, "moltbot-system") == {
        "default/ada": "http://localhost:8080/?token=t",
        ADMIN: "http://localhost:8081/_admin/#key=k",
    }
    other = moltbot(status={"url": "http://bob--default.localhost:8080/", "verifiers": [{}]})
    other["metadata"]["name"] = "bob"
    store.create("moltbots.moltbot.dev", other)
    secret("bob-gateway-token", "default", "MOLTBOT_GATEWAY_TOKEN", "u")
    links = find_links(store, 8080, 8081, "moltbot-system")
    assert links["default/bob"] == "http://bob--default.localhost:8080/?token=u"
    assert links["default/ada"] == "http://ada--default.localhost:8080/?token=t"


def test_a_taken_port_is_named_with_the_option_that_chooses_another() -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        words = check_port(port, "--port")
    assert words is not None
    assert str(port) in words
    assert "--port" in words


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_taken_as_it_is(path: Path) -> None:
    store = new_store()
    CustomKinds(store)
    for definition in crd_manifests():
        install(store, definition)
    for item in read_manifests([path]):
        apply_manifest(store, item)
    assert len(store.list("moltbots.moltbot.dev")) == 1


def test_a_time_in_a_file_is_text_as_kubectl_reads_it(tmp_path: Path) -> None:
    (tmp_path / "ada.yaml").write_text(
        "apiVersion: moltbot.dev/v1alpha1\nkind: Moltbot\nmetadata: {name: ada}\n"
        "spec: {schedule: [{name: party, at: 2030-06-01T09:00:00Z, prompt: x}]}\n"
    )
    (item,) = read_manifests([tmp_path / "ada.yaml"])
    assert item["spec"]["schedule"][0]["at"] == "2030-06-01T09:00:00Z"


def test_every_command_is_in_the_reference() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "command-line.md").read_text()
    (commands,) = (a for a in build_parser("moltbot")._actions if isinstance(a, argparse._SubParsersAction))
    for name in commands.choices:
        assert f"`{name}" in text, name
