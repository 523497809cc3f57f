"""Who is asked before a call, through the protocol as a page has it: asked, decided, expired, stopped, kept for good."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from moltbot_gateway.agent_config import AgentConfig, Approval, Confinement
from moltbot_gateway.store.allowed import MAX_ALLOWED
from moltbot_gateway.tools.approvals import Allowed, Approvals, Denied
from moltbot_gateway.tools.base import Risk, Tool, ToolCall, ToolOutcome, object_schema
from moltbot_gateway.tools.host import HostFailure
from moltbot_protocol.methods import Scope
from moltbot_trust.seals import Seal
from tests.fakes.clock import FakeClock, settle
from tests.fakes.gateway_client import CallFailed, SealedClient
from tests.gateway.models import ScriptedModel
from tests.gateway.pod import Live, Pod, start

READER = Seal("b" * 64, "operator", (Scope.READ, Scope.WRITE), 1, "a reader")
APPROVER = Seal("c" * 64, "operator", (Scope.APPROVALS,), 1, "phone")


async def _run(call: ToolCall) -> ToolOutcome:
    raise AssertionError("approvals carry nothing out")


def tool(name: str = "exec", risk: Risk = Risk.PROGRAMS) -> Tool:
    return Tool(name, name.title(), "", object_schema(), _run, risk, describe=lambda given: str(given.get("command", "")))


def call(command: str = "make test", name: str = "exec", identity: str = "t1") -> ToolCall:
    return ToolCall(identity, name, {"command": command}, "agent:main:main", "run-1")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def live(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Live]:
    async with start(Pod(tmp_path), model=ScriptedModel(), clock=clock) as started:
        yield started


@contextlib.asynccontextmanager
async def approver(live: Live, seal: Seal = APPROVER) -> AsyncIterator[SealedClient]:
    async with SealedClient.connect(live.address, seal) as client:
        yield client


def approvals(live: Live, clock: FakeClock, *, confined: bool = True, **config: Any) -> Approvals:
    async def is_confined() -> bool:
        return confined

    gateway = live.running.gateway
    made = Approvals(AgentConfig(**config), gateway.database, gateway.hub, clock, confined=is_confined)
    gateway.agent.approvals = made
    return made


async def asked(client: SealedClient) -> Mapping[str, Any]:
    event = await client.wait_for(lambda event: event["event"] == "exec.approval.requested")
    payload: Mapping[str, Any] = event["payload"]
    return payload


async def resolved(client: SealedClient) -> Mapping[str, Any]:
    event = await client.wait_for(lambda event: event["event"] == "exec.approval.resolved")
    payload: Mapping[str, Any] = event["payload"]
    return payload


# the policy


@pytest.mark.parametrize(
    ("config", "confined", "programs", "files"),
    [
        ({"programs": Approval.ALLOW}, True, "go", "go"),
        ({"programs": Approval.ASK}, True, "ask", "go"),
        ({"programs": Approval.DENY}, True, "no", "go"),
        ({"programs": Approval.ALLOW}, False, "ask", "ask"),
        ({"programs": Approval.ASK, "allowed": ("make *",)}, False, "ask", "ask"),
        ({"programs": Approval.ALLOW, "on_cluster": True}, False, "no", "no"),
        ({"programs": Approval.ALLOW, "on_cluster": True, "confinement": Confinement.POD}, False, "go", "go"),
        ({"programs": Approval.ASK, "on_cluster": True, "confinement": Confinement.POD}, False, "ask", "go"),
        ({"programs": Approval.ASK, "allowed": ("make *",)}, True, "go", "go"),
    ],
)
async def test_policy(live: Live, clock: FakeClock, config: dict[str, Any], confined: bool, programs: str, files: str) -> None:
    made = approvals(live, clock, confined=confined, **config)
    for expected, one, name in ((programs, tool(), "exec"), (files, tool("write", Risk.FILES), "write")):
        deciding = asyncio.create_task(made.decide(one, call(name=name)))
        while not deciding.done() and not made.list_open():
            await asyncio.sleep(0)
        if expected == "ask":
            assert len(made.list_open()) == 1
            deciding.cancel()
            await asyncio.wait({deciding})
        else:
            answer = await deciding
            assert isinstance(answer, Allowed if expected == "go" else Denied)
        assert not made.list_open()
    # on a cluster what would be refused each time is not shown to the model
    assert made.offers(tool(), confined=confined) is (programs != "no")
    assert made.offers(tool("web_fetch", Risk.NETWORK), confined=confined)


async def test_what_touches_neither_files_nor_programs_is_never_asked(live: Live, clock: FakeClock) -> None:
    made = approvals(live, clock, confined=False, programs=Approval.DENY, on_cluster=True)
    for risk in (Risk.NONE, Risk.NETWORK, Risk.OUTWARD):
        assert await made.refuse(tool("other", risk), call(name="other")) is None


async def test_a_child_that_does_not_start_is_an_answer(live: Live, clock: FakeClock) -> None:
    async def broken() -> bool:
        raise HostFailure("start", "the tool process could not be started")

    gateway = live.running.gateway
    made = Approvals(AgentConfig(), gateway.database, gateway.hub, clock, confined=broken)
    outcome = await made.refuse(tool(), call())
    assert outcome is not None
    assert outcome.error
    assert "could not be started" in outcome.model


# asking


async def test_only_who_may_approve_hears_of_it(live: Live, clock: FakeClock) -> None:
    made = approvals(live, clock)
    async with approver(live) as phone, SealedClient.connect(live.address, READER) as reader:
        deciding = asyncio.create_task(made.refuse(tool(), call("make test")))
        request = await asked(phone)
        assert request["request"] == {
            "command": "make test",
            "tool": "exec",
            "label": "Exec",
            "cwd": ".",
            "sessionKey": "agent:main:main",
            "runId": "run-1",
            "toolCallId": "t1",
            "agentId": "main",
            "host": "gateway",
            "security": "allowlist",
            "ask": "on-miss",
            "pattern": "make test",
        }
        assert request["expiresAtMs"] - request["createdAtMs"] == 300_000
        assert await phone.call("exec.approval.list") == [request]
        assert await phone.call("exec.approval.get", id=request["id"]) == request
        with pytest.raises(CallFailed, match="missing scope"):
            await reader.call("exec.approval.resolve", id=request["id"], decision="allow-once")
        assert await phone.call("exec.approval.resolve", id=request["id"], decision="allow-once") == {"ok": True}
        assert await deciding is None
        told = await resolved(phone)
        assert (told["id"], told["decision"], told["resolvedBy"]) == (request["id"], "allow-once", "phone")
        assert not [event for event in reader.events if event["event"].startswith("exec.approval")]
        assert await phone.call("exec.approval.list") == []


async def test_a_denial_tells_the_model_and_the_person(live: Live, clock: FakeClock) -> None:
    made = approvals(live, clock)
    async with approver(live) as phone:
        deciding = asyncio.create_task(made.refuse(tool(), call()))
        await phone.call("exec.approval.resolve", id=(await asked(phone))["id"], decision="deny")
        outcome = await deciding
    assert outcome is not None
    assert outcome.error
    assert "did not allow" in outcome.model
    assert outcome.person == "You did not allow it."


async def test_it_waits_for_somebody_to_come_and_survives_their_going(live: Live, clock: FakeClock) -> None:
    made = approvals(live, clock)
    deciding = asyncio.create_task(made.refuse(tool(), call()))
    async with approver(live) as phone:
        while not (listed := await phone.call("exec.approval.list")):
            pass
    async with approver(live) as phone:
        assert await phone.call("exec.approval.list") == listed
        await phone.call("exec.approval.resolve", id=listed[0]["id"], decision="allow-once")
    assert await deciding is None


async def test_nobody_answers(live: Live, clock: FakeClock) -> None:
    made = approvals(live, clock)
    sleepers = clock.sleepers
    async with approver(live) as phone:
        deciding = asyncio.create_task(made.refuse(tool(), call()))
        request = await asked(phone)
        await clock.advance(299)
        assert not deciding.done()
        await clock.advance(1)
        outcome = await deciding
        assert outcome is not None
        assert "within 5 minutes" in outcome.model
        assert (await resolved(phone))["resolvedBy"] is None
        with pytest.raises(CallFailed, match="unknown or expired"):
            await phone.call("exec.approval.resolve", id=request["id"], decision="allow-once")
    assert clock.sleepers == sleepers, "nothing of the question is left"


async def test_a_stopped_turn_takes_the_question_back(live: Live, clock: FakeClock) -> None:
    made = approvals(live, clock)
    sleepers = clock.sleepers
    async with approver(live) as phone:
        deciding = asyncio.create_task(made.refuse(tool(), call()))
        request = await asked(phone)
        deciding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deciding
        assert (await resolved(phone))["id"] == request["id"]
        assert await phone.call("exec.approval.list") == []
    await settle()
    assert clock.sleepers == sleepers, "nothing of the question is left"


async def test_of_two_who_decide_the_first_counts(live: Live, clock: FakeClock) -> None:
    made = approvals(live, clock)
    async with approver(live) as phone, approver(live) as page:
        deciding = asyncio.create_task(made.refuse(tool(), call()))
        request = await asked(phone)
        answers = await asyncio.gather(
            phone.call("exec.approval.resolve", id=request["id"], decision="allow-once"),
            page.call("exec.approval.resolve", id=request["id"], decision="deny"),
            return_exceptions=True,
        )
        assert sorted(isinstance(answer, CallFailed) for answer in answers) == [False, True]
        assert (await deciding is None) is not isinstance(answers[0], CallFailed)


@pytest.mark.parametrize("decision", ["", "yes", "allow"])
async def test_what_is_no_decision(live: Live, clock: FakeClock, decision: str) -> None:
    made = approvals(live, clock)
    async with approver(live) as phone:
        deciding = asyncio.create_task(made.refuse(tool(), call()))
        request = await asked(phone)
        with pytest.raises(CallFailed, match="invalid"):
            await phone.call("exec.approval.resolve", id=request["id"], decision=decision)
        assert not deciding.done()
        deciding.cancel()
        await asyncio.wait({deciding})


# for good


async def test_allow_always_is_kept_and_asked_no_more(tmp_path: Path, clock: FakeClock) -> None:
    async with start(Pod(tmp_path), model=ScriptedModel(), clock=clock) as live:
        made = approvals(live, clock)
        async with approver(live) as phone:
            deciding = asyncio.create_task(made.decide(tool(), call("cat notes")))
            request = await asked(phone)
            assert request["request"]["pattern"] == "cat *"
            await phone.call("exec.approval.resolve", id=request["id"], decision="allow-always")
            assert await deciding == Allowed("cat *")
    async with start(Pod(tmp_path), model=ScriptedModel(), clock=clock) as live:
        made = approvals(live, clock)
        assert await made.decide(tool(), call("cat other")) == Allowed("cat *")
        asking = asyncio.create_task(made.decide(tool(), call("cat other | sh")))
        async with approver(live) as phone:
            while not await phone.call("exec.approval.list"):
                pass
        asking.cancel()
        await asyncio.wait({asking})


async def test_what_cannot_be_kept_is_allowed_once(live: Live, clock: FakeClock) -> None:
    """Without confinement, and for what is written to a running program, each call is asked for."""
    made = approvals(live, clock, confined=False)
    async with approver(live) as phone:
        deciding = asyncio.create_task(made.refuse(tool(), call("cat notes")))
        request = await asked(phone)
        assert request["request"]["pattern"] == ""
        with pytest.raises(CallFailed, match="only be allowed once"):
            await phone.call("exec.approval.resolve", id=request["id"], decision="allow-always")
        await phone.call("exec.approval.resolve", id=request["id"], decision="allow-once")
        assert await deciding is None


async def test_what_no_longer_fits_the_list_is_not_said_to_be_kept(live: Live, clock: FakeClock) -> None:
    made = approvals(live, clock)
    async with SealedClient.connect(live.address) as admin, approver(live) as phone:
        full = [{"pattern": f"make {number}"} for number in range(MAX_ALLOWED)]
        await admin.call("exec.approvals.set", file={"agents": {"main": {"allowlist": full}}})
        deciding = asyncio.create_task(made.decide(tool(), call("cat notes")))
        request = await asked(phone)
        with pytest.raises(CallFailed, match="is full"):
            await phone.call("exec.approval.resolve", id=request["id"], decision="allow-always")
        await phone.call("exec.approval.resolve", id=request["id"], decision="allow-once")
        assert await deciding == Allowed()


async def test_the_list_of_what_is_allowed_can_be_seen_and_changed(live: Live, clock: FakeClock) -> None:
    made = approvals(live, clock, allowed=("make *",))
    async with SealedClient.connect(live.address) as admin:
        before = await admin.call("exec.approvals.get")
        assert before["file"] == {
            "version": 1,
            "defaults": {"security": "allowlist", "ask": "on-miss"},
            "agents": {"main": {"allowlist": []}},
        }
        file = {"version": 1, "agents": {"main": {"allowlist": [{"pattern": "git *"}]}}}
        after = await admin.call("exec.approvals.set", file=file, baseHash=before["hash"])
        assert [row["pattern"] for row in after["file"]["agents"]["main"]["allowlist"]] == ["git *"]
        assert await made.decide(tool(), call("git log")) == Allowed("git *")
        # using it changes when it was used, not what is allowed
        assert (await admin.call("exec.approvals.get"))["hash"] == after["hash"]
        with pytest.raises(CallFailed, match="changed meanwhile"):
            await admin.call("exec.approvals.set", file=file, baseHash=before["hash"])
        with pytest.raises(CallFailed, match="come from the Moltbot resource"):
            await admin.call("exec.approvals.set", file={**file, "defaults": {"security": "full", "ask": "off"}})
        for rows in ("x", [1], [{"pattern": ""}], [{"pattern": "a" * 3000}]):
            with pytest.raises(CallFailed, match="INVALID_REQUEST"):
                await admin.call("exec.approvals.set", file={"agents": {"main": {"allowlist": rows}}})
        assert (await admin.call("exec.approvals.set", file={}))["file"]["agents"]["main"]["allowlist"] == []


async def test_nobody_without_rights_changes_the_list(live: Live) -> None:
    async with approver(live) as phone:
        calls: list[tuple[str, dict[str, object]]] = [("exec.approvals.get", {}), ("exec.approvals.set", {"file": {}})]
        for method, params in calls:
            with pytest.raises(CallFailed, match="missing scope"):
                await phone.call_with(method, params)
