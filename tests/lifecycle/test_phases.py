"""What people are told (api.md, status; rule 3): the phase and conditions Ready, Sleeping and Progressing, by named cases."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.handshake import Stopped, StopReason
from moltbot_operator.lifecycle.observed import ContainerFacts, Observed, Obstacle, WakeTimes
from moltbot_operator.lifecycle.phases import Told, decide_told
from moltbot_operator.lifecycle.pod_watch import Reports
from moltbot_operator.lifecycle.reports import Choice, GatewayReport, GatewayState, StatePhase, StateReport
from moltbot_operator.lifecycle.sleep import decide_sleep
from moltbot_operator.lifecycle.status import ConditionType, LifecycleStatus, Phase, Reason, Truth
from tests.lifecycle.examples import (
    ASLEEP,
    ASLEEP_SET,
    AWAKE,
    MONOTONIC,
    OPEN,
    POD,
    RESTORING,
    STATEFULSET,
    WATCH,
    ago,
    condition,
    view,
)

NEW = LifecycleStatus()
YOUNG = replace(POD, ready=False, created_at=ago(3))


@dataclass(frozen=True)
class Case:
    observed: Observed
    phase: Phase
    ready: tuple[Truth, Reason]
    gateway: GatewayReport | None = None
    state: StateReport | None = None
    silent: float | None = None  # seconds without an answer


def suspended(observed: Observed) -> Observed:
    return replace(observed, moltbot=replace(observed.moltbot, mode=OperatingMode.SUSPENDED))


def waits(reason: str, *, restarts: int = 0) -> Observed:
    return replace(AWAKE, pod=replace(YOUNG, containers=(ContainerFacts("gateway", reason, "why", restarts),)))


def ended(restarts: int) -> Observed:
    """Its container failed and is not running again yet."""
    return replace(AWAKE, pod=replace(YOUNG, containers=(ContainerFacts("gateway", restarts=restarts, failed=True),)))


def obstacle(observed: Observed) -> Observed:
    return replace(observed, moltbot=replace(observed.moltbot, start_obstacle=Obstacle(Reason.SECRETS_NOT_READY, "make Secret ada")))


TRUE, FALSE = Truth.TRUE, Truth.FALSE
BEFORE = replace(AWAKE.status, instance="p-0")
CASES = {
    "nothing is made yet": Case(replace(ASLEEP, statefulset=None, status=NEW), Phase.PENDING, (FALSE, Reason.NOT_CREATED)),
    "a skeleton": Case(
        replace(ASLEEP, statefulset=replace(ASLEEP_SET, hashed=False), status=NEW), Phase.PENDING, (FALSE, Reason.NOT_CREATED)
    ),
    "a Secret is missing": Case(obstacle(replace(ASLEEP, status=NEW)), Phase.PENDING, (FALSE, Reason.SECRETS_NOT_READY)),
    "about to start": Case(replace(ASLEEP, status=NEW), Phase.PENDING, (FALSE, Reason.STARTING)),
    "first start, no pod": Case(replace(AWAKE, pod=None, status=NEW), Phase.WAKING, (FALSE, Reason.STARTING)),
    "first start, restoring": Case(
        replace(AWAKE, pod=YOUNG, status=NEW), Phase.WAKING, (FALSE, Reason.RESTORING), RESTORING, StateReport("p-1", StatePhase.RESTORING)
    ),
    "first start, its gateway not yet there": Case(replace(AWAKE, pod=YOUNG, status=NEW), Phase.WAKING, (FALSE, Reason.STARTING)),
    "a wake": Case(replace(AWAKE, pod=YOUNG, status=BEFORE), Phase.WAKING, (TRUE, Reason.WAKING), RESTORING),
    "a wake that takes longer than a request is held": Case(
        replace(AWAKE, pod=replace(YOUNG, created_at=ago(51)), status=BEFORE), Phase.WAKING, (FALSE, Reason.WAKING), RESTORING
    ),
    "… counted from the scale, not from the pod": Case(
        replace(AWAKE, pod=YOUNG, status=BEFORE, wake_times=WakeTimes(scaled_at=ago(51))), Phase.WAKING, (FALSE, Reason.WAKING), RESTORING
    ),
    "waiting for the bucket": Case(
        replace(AWAKE, pod=YOUNG),
        Phase.WAKING,
        (FALSE, Reason.STATE_WAITING),
        RESTORING,
        StateReport("p-1", StatePhase.WAITING, choice=Choice("wait", "BucketMissing", "make the bucket")),
    ),
    "open": Case(AWAKE, Phase.AWAKE, (TRUE, Reason.SERVING), OPEN),
    "open, and says what cannot be": Case(AWAKE, Phase.AWAKE, (TRUE, Reason.BAD_REPORT), replace(OPEN, problems=("busy is not a list",))),
    "one report did not come": Case(
        replace(AWAKE, status=replace(AWAKE.status, conditions=(condition(ConditionType.READY, TRUE, Reason.SERVING),))),
        Phase.AWAKE,
        (TRUE, Reason.SERVING),
        None,
        silent=2,
    ),
    "the gateway is silent, the kubelet finds it ready": Case(AWAKE, Phase.AWAKE, (TRUE, Reason.GATEWAY_UNREACHABLE), None, silent=30),
    "the gateway is silent": Case(
        replace(AWAKE, pod=replace(POD, ready=False)), Phase.FAILED, (FALSE, Reason.GATEWAY_UNREACHABLE), None, silent=30
    ),
    "quiesced": Case(AWAKE, Phase.DRAINING, (TRUE, Reason.DRAINING), replace(OPEN, state=GatewayState.QUIESCED)),
    "committed": Case(AWAKE, Phase.DRAINING, (TRUE, Reason.DRAINING), replace(OPEN, state=GatewayState.COMMITTED)),
    "scaled to 0, the pod ends": Case(
        replace(AWAKE, statefulset=ASLEEP_SET, pod=replace(POD, deletion_at=ago(-100))), Phase.DRAINING, (TRUE, Reason.DRAINING)
    ),
    "the pod is replaced": Case(replace(AWAKE, pod=replace(POD, deletion_at=ago(-100))), Phase.DRAINING, (TRUE, Reason.DRAINING), OPEN),
    "asleep": Case(ASLEEP, Phase.ASLEEP, (TRUE, Reason.ASLEEP)),
    "asleep, and a Secret went missing": Case(obstacle(ASLEEP), Phase.ASLEEP, (FALSE, Reason.SECRETS_NOT_READY)),
    "Suspended": Case(suspended(ASLEEP), Phase.SUSPENDED, (FALSE, Reason.SUSPENDED)),
    "made Suspended": Case(suspended(replace(ASLEEP, status=NEW)), Phase.SUSPENDED, (FALSE, Reason.SUSPENDED)),
    "about to be Suspended": Case(
        suspended(replace(ASLEEP, pod=replace(POD, deletion_at=ago(-100)))), Phase.DRAINING, (FALSE, Reason.SUSPENDED)
    ),
    "the image cannot be pulled": Case(waits("ImagePullBackOff"), Phase.FAILED, (FALSE, Reason.IMAGE_PULL_FAILED)),
    "it ends again and again": Case(waits("CrashLoopBackOff", restarts=4), Phase.FAILED, (FALSE, Reason.CRASH_LOOP)),
    "it ended again, and the kubelet has not said that it waits": Case(ended(restarts=2), Phase.FAILED, (FALSE, Reason.CRASH_LOOP)),
    "it ended for the first time": Case(ended(restarts=0), Phase.WAKING, (TRUE, Reason.WAKING)),
    "the container cannot be made": Case(waits("CreateContainerConfigError"), Phase.FAILED, (FALSE, Reason.CONTAINER_CONFIG)),
    "the container is being made": Case(waits("ContainerCreating"), Phase.WAKING, (TRUE, Reason.WAKING)),
    "no node for a moment": Case(replace(AWAKE, pod=replace(YOUNG, unschedulable="0/3 nodes")), Phase.WAKING, (TRUE, Reason.WAKING)),
    "no node": Case(
        replace(AWAKE, pod=replace(YOUNG, created_at=ago(31), unschedulable="0/3 nodes")), Phase.FAILED, (FALSE, Reason.UNSCHEDULABLE)
    ),
    "the previous pod is stuck": Case(
        replace(AWAKE, pod=replace(POD, deletion_at=ago(16))), Phase.FAILED, (FALSE, Reason.PREVIOUS_POD_STUCK), OPEN
    ),
    "… asleep as well": Case(replace(ASLEEP, pod=replace(POD, deletion_at=ago(16))), Phase.FAILED, (FALSE, Reason.PREVIOUS_POD_STUCK)),
    "being deleted": Case(replace(AWAKE, moltbot=replace(AWAKE.moltbot, deleting=True)), Phase.DRAINING, (FALSE, Reason.DELETING), OPEN),
}


def told(case: Case, *, stopped: Stopped | None = None, slept: bool = False) -> Told:
    watch = replace(WATCH, unanswered_since=MONOTONIC - case.silent) if case.silent is not None else WATCH
    seen = view(case.observed, reports=Reports(case.gateway, case.state), watch=watch)
    statefulset = case.observed.statefulset
    verdict = decide_sleep(seen) if statefulset is not None and statefulset.replicas == 1 else None
    return decide_told(seen, verdict, None, stopped, slept=slept)


@pytest.mark.parametrize("name", CASES)
def test_phase_and_ready(name: str) -> None:
    case = CASES[name]
    said = told(case)
    assert (said.phase, said.ready.status, said.ready.reason) == (case.phase, *case.ready)
    assert said.ready.message or name == "one report did not come"


def test_a_stuck_pod_is_told_with_its_node_and_the_remedy_and_without_force() -> None:
    """Rule 3: nobody force-deletes."""
    message = told(CASES["the previous pod is stuck"]).ready.message
    assert "n-1" in message
    assert "kubectl delete node n-1" in message
    assert "Never delete the pod by force" in message


def sleeping(case: Case, **given: object) -> tuple[Truth, Reason]:
    said = told(case, **given).sleeping  # type: ignore[arg-type]
    return said.status, said.reason


def test_sleeping_says_why_it_sleeps_or_does_not() -> None:
    requested = replace(ASLEEP, status=replace(ASLEEP.status, conditions=(condition(ConditionType.SLEEPING, TRUE, Reason.REQUESTED),)))
    never = replace(AWAKE, moltbot=replace(AWAKE.moltbot, sleep_after=None))
    assert sleeping(CASES["asleep"]) == (TRUE, Reason.IDLE)
    assert sleeping(CASES["asleep"], slept=True) == (TRUE, Reason.REQUESTED)
    assert sleeping(Case(requested, Phase.ASLEEP, (TRUE, Reason.ASLEEP))) == (TRUE, Reason.REQUESTED)
    assert sleeping(CASES["Suspended"]) == (TRUE, Reason.SUSPENDED)
    assert sleeping(CASES["open"]) == (FALSE, Reason.AWAKE)
    assert sleeping(Case(never, Phase.AWAKE, (TRUE, Reason.SERVING), OPEN)) == (FALSE, Reason.NEVER)
    busy = replace(OPEN, busy=("turn",))
    assert sleeping(Case(AWAKE, Phase.AWAKE, (TRUE, Reason.SERVING), busy)) == (FALSE, Reason.BUSY)


def test_an_assistant_whose_memory_cannot_be_kept_says_that_it_stays_awake() -> None:
    """Rule 5c."""
    stopped = Stopped(StopReason.NO_BACKUP, "the bucket does not answer")
    said = told(CASES["open"], stopped=stopped).sleeping
    assert (said.status, said.reason) == (FALSE, Reason.BACKUP_FAILED)
    assert "the bucket does not answer" in said.message


def test_progressing_says_whose_change_waits_for_what() -> None:
    def progressing(inputs: str) -> tuple[Truth, Reason]:
        said = told(
            Case(replace(AWAKE, statefulset=replace(STATEFULSET, revision="r-2", inputs=inputs)), Phase.AWAKE, (TRUE, Reason.SERVING), OPEN)
        )
        return said.progressing.status, said.progressing.reason

    assert progressing("i-2") == (TRUE, Reason.ROLLING)
    assert progressing("i-1") == (FALSE, Reason.APPLIES_AT_NEXT_WAKE)
    assert told(CASES["open"]).progressing.reason is Reason.UP_TO_DATE


def test_what_woke_it_stands_in_the_history_s_words() -> None:
    asleep = replace(ASLEEP.status, instance="p-0")
    woken = Case(replace(AWAKE, pod=YOUNG, status=asleep), Phase.WAKING, (TRUE, Reason.WAKING), RESTORING)
    assert told(woken).why == "a request or message came"
    assert told(CASES["a wake"]).why == "its pod was replaced", "it was awake: somebody drained its node"
    replaced = replace(BEFORE, conditions=(condition(ConditionType.SLEEPING, FALSE, Reason.ROLLING),))
    case = Case(replace(AWAKE, pod=YOUNG, status=replaced), Phase.WAKING, (TRUE, Reason.WAKING), RESTORING)
    assert told(case).why == "its pod was replaced"
