"""The assistant itself, put together when its state opens: queue and turns, tools, prompt, jobs, costs. What each part does is its own
module's.

    made → open (what the last process left, jobs) → start → …  → stop (turns end) → close

What is not needed before the first turn (the workspace, skills, what confinement there is) is prepared beside it: a turn waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from moltbot_gateway import person_environment
from moltbot_gateway.activity import Kind
from moltbot_gateway.agent_config import Confinement
from moltbot_gateway.chat.asking import Asking
from moltbot_gateway.chat.calls import Calls
from moltbot_gateway.chat.compaction import KEPT_IF_ASKED, Compaction, CompactionSettings, only_files
from moltbot_gateway.chat.ending import Answering, Endings
from moltbot_gateway.chat.ledger import Ledger
from moltbot_gateway.chat.requests import Requests, RequestSettings
from moltbot_gateway.chat.rounds import Rounds
from moltbot_gateway.chat.turn import Turn, TurnParts
from moltbot_gateway.chat.turns import Turns
from moltbot_gateway.chat.wire import message_to_wire
from moltbot_gateway.conditions import SCHEDULE_READY, TOOLS_READY, Condition
from moltbot_gateway.delivery.outbox import Outbox
from moltbot_gateway.errors import InvalidRequest, WorkspaceError
from moltbot_gateway.job_runner import HeartbeatAsker, JobRunner
from moltbot_gateway.models.facts import cost_micros, facts_of
from moltbot_gateway.schedule.heartbeat import HeartbeatPorts, Heartbeats
from moltbot_gateway.schedule.service import Ports, Schedule
from moltbot_gateway.store import conversations
from moltbot_gateway.store.records import Message, Run, Session
from moltbot_gateway.surroundings import Surroundings
from moltbot_gateway.tools.approvals import Approvals, Decision
from moltbot_gateway.tools.base import Tool
from moltbot_gateway.tools.cron import cron_tool
from moltbot_gateway.tools.files import file_tools
from moltbot_gateway.tools.host import ToolHost, child_environment, probe
from moltbot_gateway.tools.mcp import McpServers
from moltbot_gateway.tools.mcp_child import Place
from moltbot_gateway.tools.memory import memory_tools
from moltbot_gateway.tools.message import message_tool
from moltbot_gateway.tools.programs import program_tools
from moltbot_gateway.tools.sessions import SessionTools
from moltbot_gateway.tools.toolbox import Offered, Toolbox
from moltbot_gateway.tools.web import web_tools
from moltbot_gateway.tools.web_search import search_problem
from moltbot_gateway.workspace.files import HEARTBEAT as HEARTBEAT_FILE
from moltbot_gateway.workspace.files import read_for_prompt
from moltbot_gateway.workspace.scopes import Kind as SessionKind
from moltbot_gateway.workspace.scopes import is_private, kind_of, serves_owner
from moltbot_gateway.workspace.stamps import stamp, zone
from moltbot_gateway.workspace.workspace import SKILLS_READY, Workspace
from moltbot_protocol.events import CRON, HEARTBEAT
from moltbot_protocol.hello import MAIN_SESSION
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway")


def offered_to(session_key: str) -> Offered:
    """Which tools a conversation gets."""
    if not serves_owner(session_key):
        return Offered.GUEST
    match kind_of(session_key):
        case SessionKind.SUBAGENT:
            return Offered.TASK
        case SessionKind.CRON:
            return Offered.JOB
        case _:
            return Offered.ALL


class Agent:
    def __init__(self, here: Surroundings) -> None:
        self._here, self.config, self.zone = here, here.config, zone(here.config.time_zone)
        environment = person_environment.for_tools(here.config, here.person)
        confine = here.config.confinement is Confinement.LANDLOCK
        path = child_environment(here.current)["PATH"]
        self.workspace = Workspace(
            here.current, here.config, name=here.name, database=here.database, clock=here.clock, path=path, tell=self._tell_of_skills
        )
        self.host = ToolHost(self.workspace.root, environment, time_zone=here.config.time_zone, confine=confine)
        self.ledger = Ledger(here.database, here.clock, here.config.limits, self.zone, cost_micros)
        plain = (*here.tools, *memory_tools(self.workspace.memory), *web_tools(here.config, here.person))
        self.toolbox = Toolbox(
            [lambda: plain, self._files_and_programs, self._made_later, lambda: self._mcp_tools], here.config.denied_tools
        )
        self._confined = False
        self._mcp_tools: tuple[Tool, ...] = ()
        self.approvals = Approvals(here.config, here.database, here.hub, here.clock, confined=self.host.is_confined)
        calls = Calls(self.approvals, here.clock)
        self.requests = Requests(here.database, self.toolbox, self, self._request_settings())
        flush = CompactionSettings(here.default_model, facts_of, self._memory_tools)
        self.compaction = Compaction(here.database, here.model, calls, self.ledger, clock=here.clock, settings=flush)
        self.turns = Turns(here.database, here.hub, here.clock, Turn(self._parts(calls)), activity=here.activity, advance=here.advance)
        self.session_tools = SessionTools(here.database, self.turns.ask, self.turns.abort)
        ports = Ports(JobRunner(self.turns, self._begin_anew), here.admit, self._job_moved, self._tell_cron, self._noted)
        self.schedule = Schedule(here.database, here.clock, ports, zone=here.config.time_zone)
        self.outbox = Outbox(here.database, here.clock, self._noted)
        self.heartbeats = self._heartbeats()
        place = Place(
            self.workspace.root,
            child_environment(self.workspace.root, here.config.time_zone),
            here.person,
            unconfined=not confine,
            required=here.config.on_cluster,
        )
        self.mcp = McpServers(here.config.mcp_servers, place, here.clock, here.conditions.set)
        self._prepared, self._over = asyncio.Event(), asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None

    # its life

    async def open(self) -> None:
        """Jobs as the resource has them. Reads, and writes what changed."""
        problems = await self.schedule.open(self.config.schedule)
        if problems:
            self._here.conditions.set(Condition(SCHEDULE_READY, "False", "ScheduleInvalid", " ".join(problems)))
        elif self.config.schedule:
            self._here.conditions.set(Condition(SCHEDULE_READY, "True", "Scheduled", "All jobs of the resource are planned."))

    def prepare(self) -> None:
        """Begin with what a first turn needs; it waits for it."""
        if self.config.mcp_servers:
            self._keeping = asyncio.create_task(self._keep_servers())
        self._preparing = asyncio.create_task(self._prepare())

    def start(self, left: Sequence[Run]) -> None:
        """Take up what was left undone, and begin with jobs."""
        self.turns.take_up(left)
        self.schedule.start()
        if self.heartbeats is not None:
            self.heartbeats.start()

    async def stop_heartbeats(self) -> None:
        """Before the turns end: one that is under way is given up."""
        if self.heartbeats is not None:
            await self.heartbeats.close()

    async def close(self, grace: float) -> None:
        """After the turns have ended."""
        await self.schedule.close(grace)
        await self.session_tools.close()
        if self._preparing is not None:
            # A few hundredths of a second at most; cut off half-way it would leave a process behind.
            await asyncio.wait({self._preparing})
        await self.host.close()
        self._over.set()
        if self._keeping is not None:
            await asyncio.wait({self._keeping})
        await self.workspace.close()

    async def _prepare(self) -> None:
        try:
            await self.workspace.ready()
            self._confined = (await probe()).confined
            self._here.conditions.set(self._tools_condition())
        except Exception:  # a task's boundary: turns go on, without the tools that need a confinement
            log.exception("assistant not prepared")
        finally:
            self._prepared.set()

    async def _keep_servers(self) -> None:
        async with self.mcp:
            await self._over.wait()

    async def for_session(self, *, private: bool, heartbeat: bool) -> tuple[str, ...]:
        """The system prompt, once workspace and confinement are known: what tools there are is decided after it."""
        await self._prepared.wait()
        self._mcp_tools = await self.mcp.tools()
        return await self.workspace.for_session(private, heartbeat)

    # what it says of itself

    def is_private(self, session_key: str) -> bool:
        """Whether that conversation is its owner's own."""
        return is_private(session_key)

    def tools_of(self, session_key: str) -> tuple[Tool, ...]:
        """What the model is offered there."""
        return self.toolbox.offered(offered_to(session_key))

    async def resolve_approval(self, request: str, decision: str, by: str) -> None:
        """A person's answer to a request for approval. Raises InvalidRequest."""
        if decision not in set(Decision):
            raise InvalidRequest("a decision is once, always or deny")
        await self.approvals.resolve(request, Decision(decision), by)

    async def compact(self, session: Session) -> bool:
        """Because a person wants it; as `Compaction.compact`."""
        request = await self.requests.as_it_stands(session)
        return await self.compaction.compact(session, keep_tokens=KEPT_IF_ASKED, request=request)

    def skill_path(self, name: str) -> str | None:
        skill = self.workspace.skills.find(name)
        return None if skill is None else skill.path

    def _tell_of_skills(self, condition: Condition | None) -> None:
        if condition is None:
            self._here.conditions.clear(SKILLS_READY)
        else:
            self._here.conditions.set(condition)

    def _tools_condition(self) -> Condition:
        """What keeps tools from working, the worst first."""
        if not self._confined and self.config.confinement is not Confinement.POD:
            offered = "are not offered" if self.config.on_cluster else "need an approval each time"
            message = (
                f"This machine's kernel has no Landlock, so tools that touch files or run programs {offered}. "
                "gateway.confinement: pod says that the pod is boundary enough."
            )
            return Condition(TOOLS_READY, "False", "NoConfinement", message)
        if problems := (*self.config.problems, *self.workspace.problems):
            return Condition(TOOLS_READY, "False", "AgentConfigInvalid", "; ".join(problems))
        if self.config.web_search is not None and (problem := search_problem(self.config.web_search, self._here.person)) is not None:
            return Condition(TOOLS_READY, "False", "WebSearchNotConfigured", problem)
        return Condition(TOOLS_READY, "True", "ToolsAvailable", "Tools work, inside their confinement.")

    # how its parts are put together

    def _parts(self, calls: Calls) -> TurnParts:
        here = self._here
        default = Answering(here.model.provider, here.default_model)
        return TurnParts(
            here.database,
            self.requests,
            Asking(here.database, here.model, here.clock, here.advance),
            Rounds(here.database, calls, here.clock, here.advance),
            self.ledger,
            self.compaction,
            Endings(here.database, here.clock, here.conditions, default=default, advance=here.advance),
            here.clock,
            here.advance,
        )

    def _request_settings(self) -> RequestSettings:
        config = self._here.config
        return RequestSettings(
            self._here.default_model,
            config.thinking,
            private=self.is_private,
            kind=offered_to,
            stamp=lambda at_ms: stamp(at_ms, config.time_zone),
        )

    def _memory_tools(self, session_key: str) -> tuple[Tool, ...]:
        """With what memory is written before a summary; what others than the owner said is not written into it."""
        return only_files(self.tools_of(session_key)) if self.is_private(session_key) else ()

    def _heartbeats(self) -> Heartbeats | None:
        here, config = self._here, self.config.heartbeat
        if config is None:
            return None
        ports = HeartbeatPorts(
            HeartbeatAsker(self.turns, self._heartbeat_file),
            here.admit,
            lambda: self.turns.session_busy(MAIN_SESSION),
            self.ledger.is_reached,
            lambda payload: here.hub.tell(HEARTBEAT, dict(payload)),
            self._noted,
        )
        return Heartbeats(config, here.database, self.workspace.root, here.clock, ports, zone=self.config.time_zone)

    def _heartbeat_file(self) -> str:
        try:
            return read_for_prompt(self.workspace.root, HEARTBEAT_FILE)
        except WorkspaceError:
            return ""  # gone since it was looked at: there is nothing to do

    def _files_and_programs(self) -> tuple[Tool, ...]:
        tools = (*file_tools(self.host), *program_tools(self.host))
        return tuple(tool for tool in tools if self.approvals.offers(tool, confined=self._confined))

    def _made_later(self) -> tuple[Tool, ...]:
        return (*self.session_tools.tools(), cron_tool(self.schedule), message_tool(self.outbox, dict))

    async def _begin_anew(self, session_key: str) -> None:
        now_ms = int(self._here.clock.epoch() * 1000)
        await self._here.database.write(lambda db: conversations.reset_session(db, session_key, now_ms))

    def _job_moved(self) -> None:
        self._here.activity.note(Kind.JOB, self._here.clock.now())
        self._here.advance()

    def _tell_cron(self, payload: Mapping[str, object]) -> None:
        self._here.hub.tell(CRON, dict(payload))

    def _noted(self, message: Message) -> None:
        payload: dict[str, object] = {"sessionKey": MAIN_SESSION, "messageId": str(message.id), "message": message_to_wire(message)}
        self._here.hub.tell_message(MAIN_SESSION, payload)
        self._here.hub.tell_session_changed({"sessionKey": MAIN_SESSION, "reason": "message", "ts": message.at_ms})
