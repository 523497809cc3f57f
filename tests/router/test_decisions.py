"""Pure decisions by tables: hosts, origins, paths, frames, phases, objects (api.md, rule 4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moltbot_protocol.frames import Request
from moltbot_protocol.methods import METHODS
from moltbot_router.locks.credentials import Kind
from moltbot_router.objects import read_device, read_moltbot, read_pod, read_snapshot, read_statefulset
from moltbot_router.path.decide import Answer, Target, classify, decide_http, is_navigation, safe_next
from moltbot_router.path.dispatch import Route, decide_frame
from moltbot_router.path.facts import ConditionFacts, Instance, Key, PodFacts, StatefulSetFacts
from moltbot_router.path.forwarded import parse_networks, read_origin
from moltbot_router.path.hosts import HostTable
from moltbot_router.path.parking import MAX_SUBSCRIPTIONS, Subscriptions
from moltbot_router.path.readiness import Readiness, State, Why, decide_state
from moltbot_router.path.situation import describe, status_answer
from moltbot_router.path.touch import touch_every
from tests.router.cluster import BORN
from tests.router.world import moltbot

ADA, BOB = moltbot(Key("default", "ada")), moltbot(Key("team-a", "bob"), host="Bob.Example.org.")


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("ada--default.localhost", "ada"),
        ("ADA--default.localhost:8080", "ada"),
        ("ada--default.localhost.", "ada"),
        ("bob--team-a.localhost", "bob"),
        ("bob.example.org:443", "bob"),
        ("ada--team-a.localhost", None),
        ("eve--default.localhost", None),
        ("ada.localhost", None),
        ("ada--default.example.org", None),
        ("localhost", None),
        ("127.0.0.1", None),
        ("", None),
        ("nonsense:::", None),
    ],
)
def test_which_moltbot_a_host_is(host: str, found: str | None) -> None:
    key = HostTable([ADA, BOB], "localhost").find(host)
    assert (key.name if key else None) == found


def test_loopback_reaches_the_only_moltbot() -> None:
    for host in ("localhost:8080", "127.0.0.1", "[::1]:8080", "127.3.4.5"):
        assert HostTable([ADA], "localhost").find(host) == ADA.key
        assert HostTable([], "localhost").find(host) is None


def test_a_claimed_host_belongs_to_the_oldest_claim_and_a_default_host_to_its_name() -> None:
    old = moltbot(Key("default", "old"), host="chat.example.org", created_at=BORN, uid="b")
    twin = moltbot(Key("default", "twin"), host="chat.example.org", created_at=BORN, uid="a")
    late = moltbot(Key("default", "late"), host="chat.example.org", created_at=BORN + timedelta(1))
    thief = moltbot(Key("default", "thief"), host="ada--default.localhost", created_at=BORN - timedelta(9))
    everything = [late, old, twin, thief]
    assert HostTable(everything, "localhost").find("chat.example.org") == twin.key
    # Even before ada exists its default host is nobody else's.
    assert HostTable(everything, "localhost").find("ada--default.localhost") is None
    assert HostTable([*everything, ADA], "localhost").find("ada--default.localhost") == ADA.key
    grabber = moltbot(Key("default", "grabber"), host="localhost")
    assert HostTable([grabber, ADA], "localhost").find("localhost") is None


TRUSTED = parse_networks(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("name", "peer", "headers", "expected"),
    [
        ("direct", "1.2.3.4", {"Host": "a"}, ("1.2.3.4", "http", "a", False)),
        (
            "a stranger's headers",
            "1.2.3.4",
            {"Host": "a", "X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https"},
            ("1.2.3.4", "http", "a", False),
        ),
        (
            "one proxy",
            "10.0.0.1",
            {"Host": "a", "X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https"},
            ("9.9.9.9", "https", "a", True),
        ),
        (
            "a client that lies through the proxy",
            "10.0.0.1",
            {"Host": "a", "X-Forwarded-For": "6.6.6.6, 9.9.9.9"},
            ("9.9.9.9", "http", "a", False),
        ),
        ("two proxies", "10.0.0.1", {"Host": "a", "X-Forwarded-For": "9.9.9.9, 10.0.0.2"}, ("9.9.9.9", "http", "a", False)),
        ("all ours", "10.0.0.1", {"Host": "a", "X-Forwarded-For": "10.0.0.3, 10.0.0.2"}, ("10.0.0.3", "http", "a", False)),
        ("with a port", "10.0.0.1", {"Host": "a", "X-Forwarded-For": "9.9.9.9:555"}, ("9.9.9.9", "http", "a", False)),
        ("six with a port", "fd00::1", {"Host": "a", "X-Forwarded-For": "[2001:db8::1]:555"}, ("2001:db8::1", "http", "a", False)),
        ("mapped", "::ffff:10.0.0.1", {"Host": "a", "X-Forwarded-For": "9.9.9.9"}, ("9.9.9.9", "http", "a", False)),
        ("another host", "10.0.0.1", {"Host": "a", "X-Forwarded-Host": "b"}, ("10.0.0.1", "http", "b", False)),
        ("nonsense", "10.0.0.1", {"Host": "a", "X-Forwarded-Proto": "gopher"}, ("10.0.0.1", "http", "a", False)),
    ],
)
def test_where_a_request_comes_from(name: str, peer: str, headers: dict[str, str], expected: tuple[Any, ...]) -> None:
    origin = read_origin(peer, headers, secure=False, trusted=TRUSTED)
    assert (origin.address, origin.scheme, origin.host, origin.certain) == expected, name


def test_an_origin_is_own_only_exactly() -> None:
    plain = read_origin("1.2.3.4", {"Host": "a.example:8080"}, secure=False, trusted=())
    assert plain.is_own("http://a.example:8080")
    assert plain.is_own("https://a.example:8080")  # an unlisted proxy may end TLS
    for foreign in ("http://a.example", "http://a.example:8081", "http://b.example:8080", "null", "", "http://a.example:8080.evil"):
        assert not plain.is_own(foreign)
    known = read_origin("10.0.0.1", {"Host": "a", "X-Forwarded-Proto": "https"}, secure=False, trusted=TRUSTED)
    assert known.is_own("https://a")
    assert not known.is_own("http://a")


def test_bad_networks_are_named() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        parse_networks(["10.0.0.0/8", "nonsense"])


@pytest.mark.parametrize(
    ("path", "upgrade", "target"),
    [
        ("/healthz", False, Target.HEALTH),
        ("/assets/a.js", True, Target.ASSET),
        ("/favicon.ico", False, Target.ASSET),
        ("/_admin", False, Target.ADMIN),
        ("/_admin/api/x", True, Target.ADMIN),
        ("/_administrator", False, Target.POD),
        ("/", False, Target.PAGE),
        ("/", True, Target.SOCKET),
        ("/ws", True, Target.SOCKET),
        ("/api/status", False, Target.STATUS),
        ("/api/events", False, Target.EVENTS),
        ("/api/login", False, Target.LOGIN),
        ("/api/status/", False, Target.POD),
        ("//", False, Target.POD),
        ("/assets", False, Target.POD),
        ("/healthz/x", False, Target.POD),
        ("/%2e%2e/healthz", False, Target.POD),
    ],
)
def test_whose_path_it_is(path: str, upgrade: bool, target: Target) -> None:
    assert classify(path, upgrade=upgrade) is target


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, True),
        ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, False),
        ({"Sec-Fetch-Mode": "cors", "Accept": "text/html"}, False),
        ({"Accept": "text/html,application/xhtml+xml"}, True),
        ({"Accept": "*/*"}, False),
        ({"Sec-Fetch-Mode": "navigate", "Sec-Purpose": "prefetch"}, False),
        ({"Accept": "text/html", "Purpose": "prefetch"}, False),
    ],
)
def test_who_is_a_person_opening_a_page(headers: dict[str, str], expected: bool) -> None:
    assert is_navigation("GET", headers) is expected
    assert not is_navigation("POST", headers)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("mode", ["device", "token"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_the_table_of_credentials(kind: Kind, mode: str, method: str) -> None:
    def decide(target: Target, readiness: Readiness = Readiness.AWAKE, navigation: bool = False) -> Answer:
        return decide_http(target, method=method, kind=kind, from_query=False, http_mode=mode, navigation=navigation, readiness=readiness)

    safe = method in ("GET", "HEAD")
    assert decide(Target.PAGE) is (Answer.PAGE if safe else Answer.WRONG_METHOD)
    assert decide(Target.STATUS) is (Answer.STATUS if safe else Answer.WRONG_METHOD)
    expected = {
        Kind.DEVICE: Answer.PROXY,
        Kind.TOKEN: Answer.PROXY if mode == "token" else Answer.PAIRING_REQUIRED,
        Kind.COOKIE: Answer.PROXY if mode == "token" and safe else Answer.FORBIDDEN_PAGE,
    }[kind]
    assert decide(Target.POD) is expected
    asleep = decide(Target.POD, Readiness.ASLEEP, navigation=True)
    assert asleep is (Answer.WAITING_PAGE if expected is Answer.PROXY else expected)


@given(st.text(max_size=40))
def test_the_way_on_after_the_login_never_leaves_this_host(text: str) -> None:
    path = safe_next(text)
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))
    assert "\\" not in path
    assert path.isprintable()


WHY = Why("Asleep", "It is asleep.")


@pytest.mark.parametrize(
    ("method", "params", "readiness", "route"),
    [
        ("chat.send", {"sessionKey": "m", "message": "x", "idempotencyKey": "k"}, Readiness.AWAKE, Route.FORWARD),
        ("chat.send", {"sessionKey": "m", "message": "x", "idempotencyKey": "k"}, Readiness.ASLEEP, Route.HOLD),
        ("chat.send", {"sessionKey": "m", "message": "x", "idempotencyKey": "k"}, Readiness.GOING, Route.HOLD),
        ("chat.send", {"sessionKey": "m", "message": "x", "idempotencyKey": "k"}, Readiness.UNBUILT, Route.HOLD),
        ("chat.send", {"sessionKey": "m", "message": "x", "idempotencyKey": "k"}, Readiness.SUSPENDED, Route.REFUSE),
        ("chat.send", {"sessionKey": "m"}, Readiness.ASLEEP, Route.REFUSE),
        ("chat.history", {"sessionKey": "m"}, Readiness.ASLEEP, Route.STATUS),
        ("chat.history", {"sessionKey": "m"}, Readiness.OPENING, Route.STATUS),
        ("chat.history", {"sessionKey": "m"}, Readiness.AWAKE, Route.FORWARD),
        ("device.pair.list", {}, Readiness.ASLEEP, Route.ROUTER),
        ("device.pair.list", {}, Readiness.AWAKE, Route.ROUTER),
        ("connect", {}, Readiness.AWAKE, Route.REFUSE),
        ("tts.convert", {}, Readiness.AWAKE, Route.REFUSE),
    ],
)
def test_where_a_frame_goes(method: str, params: object, readiness: Readiness, route: Route) -> None:
    request = Request("1", method, params)
    routing = decide_frame(request, role="operator", scopes=("operator.admin",), protocol=4, readiness=readiness, why=WHY)
    assert routing.route is route
    assert (routing.error is not None) == (route is Route.REFUSE)


def test_subscriptions_are_one_for_each_session_and_bounded() -> None:
    kept = Subscriptions()
    add, remove = METHODS["sessions.messages.subscribe"], METHODS["sessions.messages.unsubscribe"]
    kept.note(METHODS["sessions.subscribe"], {})
    kept.note(add, {"key": "a"})
    kept.note(add, {"key": "a", "includeApprovals": True})
    kept.note(METHODS["chat.send"], {"key": "a"})
    assert [request.params for request in kept.replay("x-")] == [{}, {"key": "a", "includeApprovals": True}]
    kept.note(remove, {"key": "a"})
    kept.note(METHODS["sessions.unsubscribe"], {})
    assert len(kept) == 0
    for number in range(MAX_SUBSCRIPTIONS + 9):
        kept.note(add, {"key": str(number)})
    assert len(kept) == MAX_SUBSCRIPTIONS
    assert kept.replay("x-")[0].params == {"key": "9"}


def test_touches_are_at_most_so_often() -> None:
    assert (touch_every(None), touch_every(3600), touch_every(30), touch_every(90)) == (30, 30, 10, 30)


POD = PodFacts("p", "10.0.0.1", "0" * 64)
SCALED = StatefulSetFacts("s", 1, 1, hashed=True)


@pytest.mark.parametrize(
    ("name", "instance", "open_pod", "waking", "phase", "status"),
    [
        ("asleep", Instance(moltbot(), replace(SCALED, replicas=0)), None, False, "Asleep", "not_running"),
        ("asleep, and somebody waits", Instance(moltbot(), replace(SCALED, replicas=0)), None, True, "Waking", "not_running"),
        ("operator's status is behind", Instance(moltbot(phase="Asleep"), SCALED, POD), "p", False, "Awake", "running"),
        ("opening", Instance(moltbot(), SCALED, POD), None, True, "Waking", "not_responding"),
        ("failed", Instance(moltbot(phase="Failed"), SCALED, POD), None, True, "Failed", "error"),
        ("draining", Instance(moltbot(phase="Draining"), SCALED, POD), "p", False, "Draining", "running"),
        ("going", Instance(moltbot(), SCALED, replace(POD, terminating=True)), None, False, "Draining", "not_running"),
        ("suspended", Instance(moltbot(suspended=True), SCALED), None, False, "Suspended", "not_running"),
        ("not built", Instance(moltbot(phase="Pending")), None, False, "Pending", "not_running"),
    ],
)
def test_what_people_are_told(name: str, instance: Instance, open_pod: str | None, waking: bool, phase: str, status: str) -> None:
    state = decide_state(instance, open_pod)
    assert describe(instance, state, waking_for=1.0 if waking else None).phase == phase, name
    answer = status_answer(instance, state, waking_for=1.0 if waking else None, admin_url=None)
    assert answer["status"] == status
    assert answer["ok"] is (status == "running")
    assert describe(instance, state, waking_for=1.0 if waking else None).message


def test_the_estimate_is_what_remains() -> None:
    sleeping = Instance(moltbot(wake_seconds=2.5), replace(SCALED, replicas=0))
    for elapsed, remaining in ((None, 2.5), (0.0, 2.5), (1.0, 1.5), (9.0, 0.0)):
        assert describe(sleeping, State(Readiness.ASLEEP), waking_for=elapsed).estimate == remaining


def test_the_operators_reason_is_told_where_it_speaks_of_this_wake() -> None:
    condition = ConditionFacts("Ready", "False", "ImagePullFailed", "The image x cannot be pulled: check spec.gateway.image.")
    failing = Instance(moltbot(phase="Failed", conditions=(condition,)), SCALED, POD)
    assert describe(failing, State(Readiness.OPENING, POD), waking_for=0.0).message == condition.message
    asleep = Instance(moltbot(phase="Asleep", conditions=(condition,)), replace(SCALED, replicas=0))
    assert condition.message not in describe(asleep, State(Readiness.ASLEEP), waking_for=None).message


# objects


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=6)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3))
PARTS = st.sampled_from(
    "metadata spec status name uid conditions podIP verifiers request approved annotations ownerReferences lastWake".split()  # noqa: SIM905
)


@given(st.dictionaries(PARTS, st.dictionaries(PARTS, JSON, max_size=4) | JSON, max_size=6))
def test_objects_of_any_shape_are_read_without_an_exception(obj: dict[str, Any]) -> None:
    for read in (read_moltbot, read_statefulset, read_pod, read_device, read_snapshot):
        read(obj)


def test_a_pod_is_read() -> None:
    pod = read_pod(
        {
            "metadata": {"uid": "p", "annotations": {"moltbot.dev/certificate": "AB" * 32}},
            "status": {
                "phase": "Running",
                "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "gateway", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}}],
            },
        }
    )
    assert (pod.uid, pod.address, pod.ready, pod.terminating) == ("p", "10.0.0.1", True, False)
    assert pod.trouble == "Its program keeps ending (container gateway): back-off"
    assert read_pod({"status": {"phase": "Failed"}}).terminating
    assert read_pod({"metadata": {"annotations": {"moltbot.dev/certificate": "nonsense"}}}).fingerprint == ""
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    assert "0/3 nodes" in read_pod({"status": {"conditions": [unschedulable]}}).trouble
