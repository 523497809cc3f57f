"""cron: the assistant plans for itself. Jobs of the resource it can run and look at, its own and a person's it can change too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from moltbot_gateway.errors import InvalidRequest, Unavailable
from moltbot_gateway.schedule.due import At, ByCron, Every, read_time
from moltbot_gateway.schedule.jobs import job_to_wire, timing_of
from moltbot_gateway.schedule.service import Schedule
from moltbot_gateway.store.jobs import Job, JobRun, Source, Target
from moltbot_gateway.tools.base import Risk, Tool, ToolCall, ToolOutcome, failed, object_schema
from moltbot_gateway.workspace.stamps import zone as zone_of

_TEXT = {"type": "string"}
_MINUTES = {"type": "integer", "minimum": 1}
_TIMES = ("at", "inMinutes", "everyMinutes", "cron")
_LOOKS = ("list", "runs")
# Runs that `runs` shows.
_RUNS = 10
# Characters of a prompt that make a name where none is given.
_NAME = 60


def cron_tool(schedule: Schedule) -> Tool:
    return Tool(
        "cron",
        "Schedule",
        "Plan what you do later: reminders, regular work. A job tells you its prompt when it is due, also when you sleep; the prompt must "
        "make sense without this talk. add needs prompt and one of at, inMinutes, everyMinutes, cron.",
        object_schema(
            {"action": {"enum": ["list", "add", "update", "remove", "run", "runs"]}},
            id=_TEXT,
            name=_TEXT,
            prompt=_TEXT,
            at={"type": "string", "description": "ISO 8601; without offset in your time zone"},
            inMinutes=_MINUTES,
            everyMinutes=_MINUTES,
            cron={"type": "string", "description": "5 fields"},
            timeZone=_TEXT,
            isolated={"type": "boolean", "description": "default true: own conversation, its answer is delivered here"},
            enabled={"type": "boolean"},
        ),
        _Cron(schedule).run,
        Risk.OUTWARD,
        describe=_describe,
        risk_of=lambda given: Risk.NONE if given.get("action") in _LOOKS else Risk.OUTWARD,
    )


def _describe(given: Mapping[str, object]) -> str:
    return " ".join(str(given[name]) for name in ("action", "id", *_TIMES, "prompt") if name in given)


class _Cron:
    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    async def run(self, call: ToolCall) -> ToolOutcome:
        if not call.private:
            # What is planned runs with the owner's memory and speaks in the owner's conversation.
            return failed("Jobs are planned only in the owner's own conversation.")
        try:
            match call.text("action"):
                case "list":
                    return await self._list()
                case "add":
                    return await self._add(call)
                case "update":
                    return await self._update(call)
                case "remove":
                    removed = await self._schedule.remove(_id(call))
                    return ToolOutcome("Removed.") if removed else failed("There is no such job; list shows them.")
                case "run":
                    ran = await self._schedule.run(_id(call))
                    return ToolOutcome("It runs now; its answer comes into the main conversation." if ran else "It runs already.")
                case _:
                    return await self._runs(_id(call))
        except (InvalidRequest, Unavailable) as error:
            return failed(f"{str(error)[:1].upper()}{str(error)[1:]}.")

    async def _list(self) -> ToolOutcome:
        rows = await self._schedule.jobs()
        text = "\n".join(self._line(job, last) for job, last in rows) or "There are no jobs."
        jobs = [job_to_wire(job, last, self._schedule.running_since_ms(job.id)) for job, last in rows[:20]]
        return ToolOutcome(text, f"{len(rows)} jobs", details={"jobs": jobs})

    async def _add(self, call: ToolCall) -> ToolOutcome:
        prompt = call.text("prompt").strip()
        if not prompt:
            raise InvalidRequest("add needs a prompt: what you are to be told when it is due")
        timing = self._timing(call)
        if timing is None:
            raise InvalidRequest(f"add needs one of {', '.join(_TIMES)}")
        params: dict[str, object] = {
            "name": call.text("name") or prompt.splitlines()[0][:_NAME],
            "schedule": timing,
            "payload": {"kind": "agentTurn", "message": prompt},
            "sessionTarget": Target.ISOLATED if call.flag("isolated", True) else Target.MAIN,
            "enabled": call.flag("enabled", True),
        }
        return self._done("Planned", await self._schedule.add(params, Source.ASSISTANT))

    async def _update(self, call: ToolCall) -> ToolOutcome:
        patch: dict[str, object] = {name: call.input[name] for name in ("name", "enabled") if name in call.input}
        if "prompt" in call.input:
            patch["payload"] = {"kind": "agentTurn", "message": call.text("prompt")}
        if "isolated" in call.input:
            patch["sessionTarget"] = Target.ISOLATED if call.flag("isolated", True) else Target.MAIN
        if (timing := self._timing(call)) is not None:
            patch["schedule"] = timing
        if not patch:
            raise InvalidRequest("say what is to change")
        return self._done("Changed", await self._schedule.update(_id(call), patch))

    async def _runs(self, job_id: str) -> ToolOutcome:
        runs = await self._schedule.runs(job_id, _RUNS)
        lines = [f"{self._when(run.started_ms)} {run.status}: {run.error or run.summary[:200] or 'nothing to say'}" for run in runs]
        return ToolOutcome("\n".join(lines) or "It never ran.", f"{len(runs)} runs")

    def _timing(self, call: ToolCall) -> dict[str, object] | None:
        """`schedule` as cron.add has it; `None`: no time was named."""
        named = [name for name in _TIMES if name in call.input]
        if len(named) > 1:
            raise InvalidRequest(f"name one time, not {' and '.join(named)}")
        zone = call.text("timeZone") or self._schedule.zone
        match named:
            case ["at"]:
                return {"kind": "at", "atMs": read_time(call.text("at"), zone)}
            case ["inMinutes"]:
                return {"kind": "at", "atMs": self._schedule.now_ms() + call.number("inMinutes", 1) * 60_000}
            case ["everyMinutes"]:
                return {"kind": "every", "everyMs": call.number("everyMinutes", 1) * 60_000}
            case ["cron"]:
                return {"kind": "cron", "expr": call.text("cron"), "tz": zone}
            case _:
                return None

    def _done(self, what: str, job: Job) -> ToolOutcome:
        said = f"{what}: {self._line(job, None)}"
        return ToolOutcome(said, f"{what}: {job.name}, {self._next(job)}", details={"job": job_to_wire(job, None, None)})

    def _line(self, job: Job, last: JobRun | None) -> str:
        parts = [f"{job.id} {job.name!r}", _how_often(job), self._next(job)]
        if last is not None:
            parts.append(f"last {last.status} {self._when(last.started_ms)}")
        if job.source is Source.SPEC:
            parts.append("of the resource, can only be run")
        return "; ".join(parts)

    def _next(self, job: Job) -> str:
        if job.next_ms is None:
            return "switched off" if not job.enabled else "not due any more"
        return f"next {self._when(job.next_ms)}"

    def _when(self, moment_ms: int) -> str:
        return datetime.fromtimestamp(moment_ms // 1000, zone_of(self._schedule.zone)).isoformat(timespec="minutes")


def _how_often(job: Job) -> str:
    match timing_of(job):
        case At():
            return "once"
        case Every(every_ms):
            return f"every {every_ms / 60_000:g} minutes"
        case ByCron(expression, zone):
            return f"cron {expression} ({zone})"


def _id(call: ToolCall) -> str:
    job_id = call.text("id")
    if not job_id:
        raise InvalidRequest("name the job by its id; list shows them")
    return job_id
