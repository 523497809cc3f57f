"""Facts to decide on, with everything in order unless a test says otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.actions import ActionDecision, decide_actions
from moltbot_operator.lifecycle.observed import Key, MoltbotFacts, Observed, PodFacts, StatefulSetFacts, Storage
from moltbot_operator.lifecycle.pod_watch import PodWatch, Reports
from moltbot_operator.lifecycle.reports import GatewayReport, GatewayState
from moltbot_operator.lifecycle.sleep import View
from moltbot_operator.lifecycle.status import Condition, ConditionType, HistoryEntry, LifecycleStatus, Phase, Reason, Truth

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MONOTONIC = 5000.0


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


MOLTBOT = MoltbotFacts(
    key=Key("default", "ada"),
    uid="m-1",
    generation=3,
    created_at=ago(86400),
    mode=OperatingMode.AUTO,
    sleep_after=600.0,
    storage=Storage.VOLUME,
    has_bucket=True,
)
STATEFULSET = StatefulSetFacts(uid="s-1", resource_version="7", replicas=1, hashed=True, revision="r-1", inputs="i-1")
ASLEEP_SET = replace(STATEFULSET, replicas=0)
POD = PodFacts(
    uid="p-1",
    created_at=ago(3600),
    ip="10.0.0.9",
    phase="Running",
    ready=True,
    revision="r-1",
    inputs="i-1",
    node="n-1",
    certificate="ab" * 32,
)
OPEN = GatewayReport(pod_uid="p-1", state=GatewayState.OPEN, opened_at=ago(3598), last_activity=ago(300))
RESTORING = GatewayReport(pod_uid="p-1", state=GatewayState.RESTORING)
WATCH = PodWatch(pod_uid="p-1", moved_at=MONOTONIC, open_seen_at=ago(3598))


def condition(type_: ConditionType, status: Truth, reason: Reason, since: datetime | None = None) -> Condition:
    return Condition(type_, status, reason, "", since or ago(100), 3)


AWAKE_STATUS = LifecycleStatus(
    phase=Phase.AWAKE,
    instance="p-1",
    conditions=(condition(ConditionType.SLEEPING, Truth.FALSE, Reason.AWAKE),),
    history=(HistoryEntry(Phase.AWAKE, ago(3598), "open"), HistoryEntry(Phase.WAKING, ago(3600), "a request or message came")),
)
ASLEEP_STATUS = replace(
    AWAKE_STATUS,
    phase=Phase.ASLEEP,
    conditions=(condition(ConditionType.SLEEPING, Truth.TRUE, Reason.IDLE),),
    history=(HistoryEntry(Phase.ASLEEP, ago(1000), "idle"), *AWAKE_STATUS.history),
)
AWAKE = Observed(moltbot=MOLTBOT, statefulset=STATEFULSET, pod=POD, status=AWAKE_STATUS)
ASLEEP = Observed(moltbot=MOLTBOT, statefulset=ASLEEP_SET, pod=None, status=ASLEEP_STATUS)
NOTHING_ASKED = ActionDecision((), None, ())


def view(
    observed: Observed = AWAKE,
    gateway: GatewayReport | None = OPEN,
    *,
    reports: Reports | None = None,
    watch: PodWatch | None = WATCH,
    now: datetime = NOW,
    monotonic: float = MONOTONIC,
) -> View:
    return View(
        observed=observed,
        actions=decide_actions(observed, now),
        reports=reports or Reports(gateway),
        watch=watch if observed.pod is not None else None,
        now=now,
        monotonic=monotonic,
    )
