"""The kubelet's decisions by tables: order of containers, stopping, restarts, back-off, environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from moltbot_local.kubelet.backoff import Backoff
from moltbot_local.kubelet.decide import Decision, Ended, Facts, Phase, Stopping, decide_pod
from moltbot_local.kubelet.environment import ConfigError, Surroundings, build_invocation, expand
from moltbot_local.kubelet.podspec import Container, Mount, PodSpec, Probe

NOW = 1000.0
RUNS = Facts(runs=True, started=True)
STARTING = Facts(runs=True, started=False)
OK, BAD = Facts(ended=Ended(0, NOW - 1)), Facts(ended=Ended(1, NOW - 1))
ONCE = Container("once", "i")
A, B = Container("a", "i", sidecar=True), Container("b", "i", sidecar=True)
MAIN, OTHER = Container("main", "i"), Container("other", "i")


def spec(*, init: tuple[Container, ...] = (), main: tuple[Container, ...] = (MAIN,), **more: Any) -> PodSpec:
    return PodSpec("default", "p", "u", init, main, grace=30, **more)


def decide(pod: PodSpec, observed: Mapping[str, Facts], stopping: Stopping | None = None, now: float = NOW) -> Decision:
    return decide_pod(pod, observed, stopping, now)


@pytest.mark.parametrize(
    ("observed", "start", "initialized"),
    [
        ({}, ("once",), False),
        ({"once": RUNS}, (), False),
        ({"once": BAD}, ("once",), False),
        ({"once": OK}, ("a",), False),
        ({"once": OK, "a": STARTING}, (), False),
        ({"once": OK, "a": RUNS}, ("b",), False),
        ({"once": OK, "a": RUNS, "b": RUNS}, ("main", "other"), True),
        # a sidecar that ended is started again, before and after initialisation
        ({"once": OK, "a": OK, "b": RUNS}, ("a",), False),
        ({"once": OK, "a": RUNS, "b": BAD, "main": RUNS, "other": RUNS}, ("b",), True),
        # and holds nobody up once a main container ran
        ({"once": OK, "a": STARTING, "b": RUNS, "main": BAD, "other": RUNS}, ("main",), True),
    ],
)
def test_containers_start_in_their_order(observed: dict[str, Facts], start: tuple[str, ...], initialized: bool) -> None:
    decision = decide(spec(init=(ONCE, A, B), main=(MAIN, OTHER)), observed)
    assert (decision.start, decision.initialized, decision.done) == (start, initialized, None)


@pytest.mark.parametrize(
    ("policy", "ended", "start", "done"),
    [
        ("Always", OK, ("main",), None),
        ("OnFailure", OK, (), Phase.SUCCEEDED),
        ("OnFailure", BAD, ("main",), None),
        ("Never", OK, (), Phase.SUCCEEDED),
        ("Never", BAD, (), Phase.FAILED),
    ],
)
def test_restart_policies(policy: str, ended: Facts, start: tuple[str, ...], done: Phase | None) -> None:
    decision = decide(spec(restart_policy=policy), {"main": ended})
    assert (decision.start, decision.done) == (start, done)


def test_a_pod_whose_work_is_done_ends_its_sidecars_before_it_is_over() -> None:
    pod = spec(init=(A, B), restart_policy="Never")
    first = decide(pod, {"a": RUNS, "b": RUNS, "main": OK})
    assert (first.terminate, first.start, first.done) == (("b",), (), None)
    second = decide(pod, {"a": RUNS, "b": OK, "main": OK})
    assert (second.terminate, second.start) == (("a",), ())
    assert decide(pod, {"a": OK, "b": OK, "main": OK}).done is Phase.SUCCEEDED


def test_a_failed_init_container_that_may_not_restart_fails_the_pod() -> None:
    pod = spec(init=(A, ONCE), restart_policy="Never")
    assert decide(pod, {"a": RUNS, "once": BAD}).terminate == ("a",)
    assert decide(pod, {"a": OK, "once": BAD}).done is Phase.FAILED


def asked(at: float) -> Facts:
    return dataclasses.replace(RUNS, asked=at)


@pytest.mark.parametrize(
    ("observed", "since", "terminate", "kill", "again"),
    [
        ({"a": RUNS, "b": RUNS, "main": RUNS}, NOW, ("main",), (), NOW + 30),
        ({"a": RUNS, "b": RUNS, "main": asked(NOW)}, NOW, (), (), NOW + 30),
        ({"a": RUNS, "b": RUNS, "main": OK}, NOW - 10, ("b",), (), NOW + 20),
        ({"a": RUNS, "b": OK, "main": OK}, NOW - 10, ("a",), (), NOW + 20),
        # the grace is shared: at its end everything that works is killed
        ({"a": RUNS, "b": RUNS, "main": asked(NOW - 30)}, NOW - 30, (), ("main",), None),
        # and a sidecar whose turn comes only then has two seconds
        ({"a": RUNS, "b": RUNS, "main": BAD}, NOW - 30, ("b",), (), NOW + 2),
        ({"a": RUNS, "b": asked(NOW - 2), "main": BAD}, NOW - 32, (), ("b",), None),
        # a running classic init container goes with the working ones
        ({"once": RUNS, "a": RUNS}, NOW, ("once",), (), NOW + 30),
    ],
)
def test_stopping_goes_in_reverse_and_shares_one_grace(
    observed: dict[str, Facts], since: float, terminate: tuple[str, ...], kill: tuple[str, ...], again: float | None
) -> None:
    """Rule 9: the state container outlives the gateway and flushes within the pod's grace."""
    decision = decide(spec(init=(A, B, ONCE)), observed, Stopping(since, 30))
    assert (decision.terminate, decision.kill, decision.again, decision.start) == (terminate, kill, again, ())
    assert decision.done is None


@pytest.mark.parametrize(("observed", "done"), [({}, Phase.FAILED), ({"main": OK}, Phase.SUCCEEDED), ({"main": BAD}, Phase.FAILED)])
def test_a_stopped_pod_is_over_when_nothing_runs(observed: dict[str, Facts], done: Phase) -> None:
    assert decide(spec(), observed, Stopping(NOW, 30)).done is done


def test_no_grace_kills_without_asking() -> None:
    decision = decide(spec(init=(A,)), {"a": RUNS, "main": RUNS}, Stopping(NOW, 0))
    assert (decision.terminate, decision.kill) == ((), ("main",))
    assert decide(spec(init=(A,)), {"a": RUNS, "main": BAD}, Stopping(NOW, 0)).kill == ("a",)


def test_what_was_killed_is_not_killed_again() -> None:
    assert decide(spec(), {"main": dataclasses.replace(RUNS, killed=True)}, Stopping(NOW - 99, 30)) == Decision(initialized=True)


@pytest.mark.parametrize(("own", "again"), [(None, NOW + 30), (5.0, NOW + 5)])
def test_an_unhealthy_container_is_stopped_by_its_own_grace(own: float | None, again: float) -> None:
    main = dataclasses.replace(MAIN, liveness=Probe(command=("x",), grace=own))
    decision = decide(spec(main=(main,)), {"main": dataclasses.replace(RUNS, unhealthy=NOW)})
    assert (decision.terminate, decision.again) == (("main",), again)


def test_a_blocked_container_is_not_tried() -> None:
    assert decide(spec(), {"main": Facts(blocked=True)}).start == ()


def test_back_off_doubles_to_five_minutes_and_is_forgotten_after_ten() -> None:
    backoff, now = Backoff(), NOW
    waits = []
    for _ in range(8):
        ended = now
        waits.append(backoff.until(ended) - ended)
        now = backoff.until(ended)
        backoff = backoff.restarted(ended, now)
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]
    long_after = backoff.since + 601
    assert backoff.until(long_after) == long_after
    assert backoff.restarted(long_after, long_after).seconds == 10


def test_a_crashed_container_waits_its_turn() -> None:
    facts = Facts(ended=Ended(1, NOW - 4), backoff=Backoff(10, NOW - 5))
    decision = decide(spec(), {"main": facts})
    assert (decision.start, decision.again) == ((), NOW + 6)
    assert decide(spec(), {"main": facts}, now=NOW + 6).start == ("main",)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)", "1"),
        ("$(A)$(A)", "11"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(B)", "$(B)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$$", "$"),
    ],
)
def test_references_expand_as_kubernetes_does_it(text: str, result: str) -> None:
    assert expand(text, {"A": "1"}) == result


def around(**more: Any) -> Surroundings:
    given: dict[str, Any] = {
        "pod": {"metadata": {"name": "p", "namespace": "default", "uid": "u", "labels": {"l": "x"}}, "spec": {"serviceAccountName": "sa"}},
        "address": "127.77.0.1",
        "secret": lambda _: None,
        "config_map": lambda _: None,
        "service": lambda name, namespace: "127.77.0.9" if (name, namespace) == ("svc", "default") else None,
        "volumes": {"state": Path("/data/state"), "cache": Path("/data/cache")},
        "home": Path("/data/home"),
        "scratch": Path("/data/tmp"),
    }
    return Surroundings(**(given | more))


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("/state", "/data/state"),
        ("/state/", "/data/state/"),
        ("/state/x", "/data/state/x"),
        ("/stateful", "/stateful"),
        ("x/state", "x/state"),
        ("/state/cache/y", "/data/cache/sub/y"),
        ("https://svc.default.svc:1/", "https://127.77.0.9:1/"),
        ("svc.default.svc.cluster.local", "127.77.0.9"),
        ("svc.other.svc", "svc.other.svc"),
        ("my-svc.default.svc.example.com", "my-svc.default.svc.example.com"),
    ],
)
def test_values_speak_of_this_machine(value: str, result: str) -> None:
    mounts = (Mount("state", "/state"), Mount("cache", "/state/cache", "sub"))
    container = Container("main", "i", command=("x",), env=({"name": "V", "value": value},), mounts=mounts)
    assert build_invocation(spec(), container, (), around()).env["V"] == result


def test_an_optional_reference_may_be_absent_and_a_required_one_may_not() -> None:
    reference = {"name": "c", "key": "k"}
    container = Container("main", "i", command=("x",), env=({"name": "V", "valueFrom": {"configMapKeyRef": reference}},))
    with pytest.raises(ConfigError, match=r'^configmap "c" not found$'):
        build_invocation(spec(), container, (), around())
    with pytest.raises(ConfigError, match=r"^couldn't find key k in ConfigMap default/c$"):
        build_invocation(spec(), container, (), around(config_map=lambda _: {"data": {}}))
    optional = Container(
        "main", "i", command=("x",), env=({"name": "V", "valueFrom": {"configMapKeyRef": {**reference, "optional": True}}},)
    )
    assert "V" not in build_invocation(spec(), optional, (), around()).env


def test_a_container_without_any_command_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="no command specified"):
        build_invocation(spec(), Container("main", "i"), (), around())
