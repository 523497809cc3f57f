"""The one method table and the params behind it (rules 4, 6, 13)."""

from __future__ import annotations

from typing import Any

import pytest

from moltbot_protocol.errors import ErrorCode, ParamsError
from moltbot_protocol.methods import (
    METHODS,
    Answers,
    Asleep,
    Method,
    Remembered,
    Scope,
    covers,
    find_method,
    has_scope,
    idempotency_key,
    missing_scope,
    served_methods,
    unknown_method,
)
from moltbot_protocol.schema import anything, array, boolean, by_kind, either, integer, mapping, nullable, number, one_of, shape, text

# Reference: the protocol, §3: everything that the version 3 servers answer.
VERSION_3 = [
    "health",
    "status",
    "logs.tail",
    "last-heartbeat",
    "set-heartbeats",
    "wake",
    "system-presence",
    "system-event",
    "channels.status",
    "channels.logout",
    "web.login.start",
    "web.login.wait",
    "usage.status",
    "usage.cost",
    "tts.status",
    "tts.enable",
    "tts.disable",
    "tts.convert",
    "tts.setProvider",
    "tts.providers",
    "talk.mode",
    "voicewake.get",
    "voicewake.set",
    "config.get",
    "config.set",
    "config.apply",
    "config.schema",
    "config.patch",
    "update.run",
    "wizard.start",
    "wizard.next",
    "wizard.cancel",
    "wizard.status",
    "exec.approvals.get",
    "exec.approvals.set",
    "exec.approvals.node.get",
    "exec.approvals.node.set",
    "exec.approval.request",
    "exec.approval.resolve",
    "models.list",
    "agents.list",
    "agent.identity.get",
    "skills.status",
    "skills.install",
    "skills.update",
    "skills.bins",
    "sessions.list",
    "sessions.patch",
    "sessions.delete",
    "sessions.preview",
    "sessions.reset",
    "sessions.compact",
    "sessions.resolve",
    "node.list",
    "node.describe",
    "node.rename",
    "node.invoke",
    "node.invoke.result",
    "node.event",
    "node.pair.request",
    "node.pair.list",
    "node.pair.approve",
    "node.pair.reject",
    "node.pair.verify",
    "device.pair.list",
    "device.pair.approve",
    "device.pair.reject",
    "device.token.rotate",
    "device.token.revoke",
    "cron.list",
    "cron.status",
    "cron.add",
    "cron.update",
    "cron.remove",
    "cron.run",
    "cron.runs",
    "send",
    "agent",
    "agent.wait",
    "browser.request",
    "chat.history",
    "chat.send",
    "chat.abort",
    "chat.inject",
]
VERSION_4 = [
    "sessions.subscribe",
    "sessions.messages.subscribe",
    "sessions.describe",
    "chat.startup",
    "chat.metadata",
    "commands.list",
    "channels.pairing.list",
    "channels.pairing.approve",
    "channels.pairing.dismiss",
    "models.authStatus",
    "tasks.list",
    "progressCard.get",
    "sessions.branches.list",
    "device.pair.remove",
]


def test_every_method_that_official_clients_call_has_a_row() -> None:
    assert [name for name in (*VERSION_3, *VERSION_4) if name not in METHODS] == []
    assert {METHODS[name].since for name in VERSION_3} == {3}
    assert {METHODS[name].since for name in VERSION_4} == {4}


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_rows_are_consistent(method: Method) -> None:
    """Rule 6: exactly activity wakes; what the router answers always, it answers itself."""
    assert method.activity == (method.asleep is Asleep.WAKE)
    assert (method.asleep is Asleep.ROUTER) == (method.answers is Answers.ROUTER)
    assert method.scope is None or method.scope in Scope
    if method.idempotency is not None:
        assert method.activity
    if method.remembered is not Remembered.NO:
        assert method.asleep is Asleep.STATUS


@pytest.mark.parametrize(
    "name", ["connect", "health", "status", "logs.tail", "sessions.list", "chat.history", "agents.list", "sessions.subscribe", "node.event"]
)
def test_what_an_open_tab_asks_is_no_activity(name: str) -> None:
    assert not METHODS[name].activity


@pytest.mark.parametrize("name", ["chat.send", "agent", "send", "exec.approval.resolve", "sessions.patch", "config.set"])
def test_work_approvals_and_changes_are_activity(name: str) -> None:
    assert METHODS[name].activity


def test_only_served_methods_are_found_and_announced() -> None:
    assert "connect" not in served_methods()
    assert all(find_method(name) is METHODS[name] for name in served_methods())
    assert find_method("tts.convert") is None
    assert find_method("no.such") is None
    assert unknown_method("no.such").to_wire() == {"code": "INVALID_REQUEST", "message": "unknown method: no.such"}
    for needed in ("health", "status", "chat.send", "chat.history", "chat.abort", "sessions.list", "models.list", "agents.list"):
        assert needed in served_methods()


def test_scopes_imply_each_other() -> None:
    assert has_scope(["operator.admin"], Scope.PAIRING)
    assert has_scope(["operator.write"], Scope.READ)
    assert not has_scope(["operator.read"], Scope.WRITE)
    assert not has_scope(["operator.pairing"], Scope.READ)
    assert covers(["operator.admin"], ["operator.read", "operator.pairing"])
    assert not covers(["operator.write"], ["operator.read", "operator.admin"])
    assert covers([], [])


def test_a_missing_scope_is_told_as_each_version_tells_it() -> None:
    send = METHODS["chat.send"]
    assert missing_scope(send, "operator", ["operator.write"], 4) is None
    refused = missing_scope(send, "operator", ["operator.read"], 4)
    assert refused is not None
    assert (refused.code, refused.message) == (ErrorCode.FORBIDDEN, "missing scope: operator.write")
    old = missing_scope(send, "operator", [], 3)
    assert old is not None
    assert old.code is ErrorCode.INVALID_REQUEST
    node = missing_scope(send, "node", ["operator.admin"], 4)
    assert node is not None
    assert "unauthorized role" in node.message
    assert missing_scope(METHODS["node.event"], "node", [], 4) is None
    assert missing_scope(METHODS["node.event"], "operator", ["operator.admin"], 4) is not None


@pytest.mark.parametrize(
    ("name", "params", "fault"),
    [
        ("health", None, None),
        ("health", {"probe": True}, None),
        ("health", {"x": 1}, "unexpected property 'x'"),
        ("chat.send", {"sessionKey": "main", "message": "", "idempotencyKey": "k", "fastMode": "auto", "attachments": [{}]}, None),
        ("chat.send", {"sessionKey": "main", "message": "x"}, "must have required property 'idempotencyKey'"),
        ("chat.send", {"sessionKey": "", "message": "x", "idempotencyKey": "k"}, "at /sessionKey"),
        ("chat.send", {"sessionKey": "m", "message": "x", "idempotencyKey": "k", "timeoutMs": -1}, "at /timeoutMs: must be >= 0"),
        ("chat.history", {"sessionKey": "main", "limit": 1000}, None),
        ("chat.history", {"sessionKey": "main", "limit": 1001}, "at /limit: must be <= 1000"),
        ("chat.startup", {"shortId": "12345678", "agentId": "main"}, None),
        ("chat.startup", {"shortId": "12345678"}, "must have required property 'agentId'"),
        ("chat.startup", {"sessionKey": "main", "cursor": "c"}, None),
        ("sessions.list", {"limit": 50, "includeGlobal": True, "archived": False}, None),
        ("sessions.list", {"limit": 0}, "at /limit"),
        ("agents.list", {}, None),
        ("agents.list", {"x": 1}, "unexpected property"),
        ("device.pair.approve", {"requestId": "r"}, None),
        ("device.pair.approve", {}, "requestId"),
        ("device.token.rotate", {"deviceId": "d", "role": "operator", "scopes": ["operator.read"]}, None),
        ("device.pair.list", "text", "must be object"),
    ],
)
def test_params_are_checked(name: str, params: Any, fault: str | None) -> None:
    if fault is None:
        METHODS[name].params.check(params)
        return
    with pytest.raises(ParamsError) as error:
        METHODS[name].params.check(params)
    assert fault in error.value.message


def test_the_idempotency_key_is_the_tables_field() -> None:
    send = METHODS["chat.send"]
    assert idempotency_key(send, {"idempotencyKey": "k"}) == "k"
    others: list[Any] = [{}, {"idempotencyKey": ""}, {"idempotencyKey": 5}, None, []]
    for params in others:
        assert idempotency_key(send, params) is None
    assert idempotency_key(METHODS["sessions.patch"], {"idempotencyKey": "k"}) is None


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (text(1, 3), ["a", "abc"], ["", "abcd", 5, None]),
        (integer(0, 5), [0, 5, 3.0], [-1, 6, 2.5, True, "1", float("inf")]),
        (number(), [1, 2.5], [True, "1", float("nan"), None]),
        (boolean(), [True, False], [0, "true", None]),
        (one_of("a", "b"), ["a"], ["c", 1, None]),
        (nullable(text()), [None, "a"], [5]),
        (either(boolean(), one_of("auto")), [True, "auto"], ["other", 5]),
        (array(text(), 2), [[], ["a"]], [["a", "b", "c"], [5], "a", None]),
        (
            by_kind(a=shape({"kind": one_of("a")}), b=anything()),
            [{"kind": "a"}, {"kind": "b", "x": 1}],
            [{"kind": "a", "x": 1}, {"kind": "c"}, {}, []],
        ),
        (mapping(integer()), [{}, {"a": 1}], [{"a": "b"}, []]),
        (anything(), [None, {}, 5], []),
        (shape({"a": text()}, b=integer()), [{"a": "x"}, {"a": "x", "b": 1}], [{}, {"a": 1}, {"a": "x", "c": 1}, []]),
    ],
)
def test_checks(check: Any, good: list[object], bad: list[object]) -> None:
    for value in good:
        check(value, "")
    for value in bad:
        with pytest.raises(ParamsError):
            check(value, "")
