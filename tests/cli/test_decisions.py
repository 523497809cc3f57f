"""What the command line decides and prints, without an API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from moltbot_cli.moltbots import action_record, build_approval, match_devices
from moltbot_cli.output import age, printable, size, table
from moltbot_cli.run import describe, device_table, problems, status_table
from moltbot_cli.target import decide_target

LOCAL = {"kubeconfig": "/home/me/.local/share/moltbot/kubeconfig", "api": "http://127.0.0.1:4000", "adminPort": 8081}


@pytest.mark.parametrize(
    ("given", "kubeconfig", "is_local"),
    [
        ({}, None, False),
        ({"local": LOCAL}, LOCAL["kubeconfig"], True),
        ({"local": LOCAL, "has_default": True}, LOCAL["kubeconfig"], True),
        ({"local": LOCAL, "has_default": True, "plugin": True}, None, False),
        ({"local": LOCAL, "plugin": True}, LOCAL["kubeconfig"], True),
        ({"local": LOCAL, "environ": {"KUBECONFIG": "/k"}}, "/k", False),
        ({"local": LOCAL, "environ": {"KUBECONFIG": LOCAL["kubeconfig"]}}, LOCAL["kubeconfig"], True),
        ({"local": LOCAL, "context": "prod"}, None, False),
        ({"local": LOCAL, "kubeconfig": "/mine", "environ": {"KUBECONFIG": "/k"}}, "/mine", False),
    ],
)
def test_which_api_is_spoken_to(given: dict[str, Any], kubeconfig: str | None, is_local: bool) -> None:
    """ "Without a cluster": --context, else KUBECONFIG, else the running local one."""
    usual: dict[str, Any] = {"kubeconfig": None, "context": None, "environ": {}, "local": None, "has_default": False, "plugin": False}
    target = decide_target(**(usual | given))
    assert target.kubeconfig == kubeconfig
    assert (target.local is not None) is is_local
    assert target.context == given.get("context")


def device(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": f"ada-{spec.get('deviceId', 'a' * 64)}", "namespace": "default", "resourceVersion": "7"},
        "spec": {"moltbot": "ada", "deviceId": "a" * 64, **spec},
    }


REQUEST = {"id": "r1", "at": "2026-11-24T08:00:00Z", "role": "operator", "scopes": ["operator.read"]}


def test_approving_keeps_what_was_granted_and_removes_the_request() -> None:
    """api.md, MoltbotDevice: approving writes `approved` and removes `request`."""
    before = {"request": "r0", "roles": ["node"], "scopes": ["operator.write"], "by": "x", "at": "2026-01-01T00:00:00Z"}
    patch = build_approval(device(request=REQUEST, approved=before), datetime(2026, 11, 24, 8, tzinfo=UTC))
    assert patch["spec"]["request"] is None
    assert patch["spec"]["approved"] == {
        "request": "r1",
        "roles": ["node", "operator"],
        "scopes": ["operator.write", "operator.read"],
        "by": "moltbot devices approve",
        "at": "2026-11-24T08:00:00Z",
    }


def test_devices_are_found_by_name_id_or_beginning() -> None:
    devices = [device(deviceId="abcd" + "0" * 60), device(deviceId="abce" + "0" * 60)]
    assert match_devices(devices, "abcd") == [devices[0]]
    assert match_devices(devices, "ada-abce" + "0" * 60) == [devices[1]]
    assert match_devices(devices, "ada-abce0000") == [devices[1]]
    assert match_devices(devices, "abc") == []  # too short to be meant
    assert match_devices(devices, "ada-abc") == []
    assert match_devices(devices, "ada-") == []
    assert match_devices(devices, "bob-abce0000") == []  # another Moltbot's
    assert match_devices([*devices, device(deviceId="abcd" + "1" * 60)], "abcd") == [devices[0], device(deviceId="abcd" + "1" * 60)]


def test_an_action_is_over_only_when_its_own_record_says_so() -> None:
    def moltbot(*actions: dict[str, str]) -> dict[str, Any]:
        return {"status": {"actions": list(actions)}}

    done = {"action": "sleep", "requested": "t1", "result": "done"}
    assert action_record(moltbot(done), "sleep", "t1") == done
    assert action_record(moltbot(done), "sleep", "t2") is None
    assert action_record(moltbot({**done, "result": "running"}), "sleep", "t1") is None
    assert action_record({}, "sleep", "t1") is None


def test_hostile_device_names_move_no_cursor() -> None:
    assert printable("\x1b[2Jme\u202e") == "?[2Jme?"
    assert "\x1b" not in device_table([device(name="\x1b[31mred", request=REQUEST)])


@pytest.mark.parametrize(("count", "text"), [(None, "-"), (0, "0 B"), (2048, "2.0 KiB"), (5 << 30, "5.0 GiB"), (5 << 40, "5120.0 GiB")])
def test_sizes(count: int | None, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (None, "-"),
        ("2026-11-24T07:59:30Z", "30s"),
        ("2026-11-24T07:30:00Z", "30m"),
        ("2026-11-22T08:00:00Z", "2d"),
        ("2027-01-01T00:00:00Z", "0s"),
    ],
)
def test_ages(time: str | None, text: str) -> None:
    assert age(time, datetime(2026, 11, 24, 8, tzinfo=UTC)) == text


def test_a_table_has_no_trailing_space() -> None:
    assert table(["A", "LONG"], [["xyz", "1"], ["x", ""]]) == "A     LONG\nxyz   1\nx"


def test_status_names_what_needs_attention_and_keeps_quiet_about_what_does_not() -> None:
    moltbot = {
        "metadata": {"name": "ada", "namespace": "default", "creationTimestamp": "2026-11-24T08:00:00Z"},
        "status": {
            "phase": "Asleep",
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "Asleep"},
                {"type": "Sleeping", "status": "False", "message": "no"},
                {"type": "ModelReady", "status": "False", "reason": "KeyRejected", "message": "the key was rejected: make a new one"},
            ],
        },
    }
    assert problems(moltbot) == "  ModelReady: the key was rejected: make a new one\n"
    assert "needs attention" in describe(moltbot)
    assert status_table([moltbot], namespaces=True).splitlines()[1].split()[:4] == ["default", "ada", "Asleep", "True"]
