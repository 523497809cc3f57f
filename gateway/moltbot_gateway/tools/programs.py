"""exec and process: programs, run by the confined child."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.tools.base import Risk, Tool, ToolCall, ToolOutcome, failed, object_schema
from moltbot_gateway.tools.host import HostFailure, ToolHost
from moltbot_gateway.tools.results import number_in, objects_in, text_in

# Seconds.
DEFAULT_TIMEOUT, MAX_TIMEOUT = 120, 1800
# Beyond a program's own limit: for ending it and everything that came from it.
_SLACK = 15.0
_ASK = 20.0
MAX_WAIT = 60
_TEXT = {"type": "string"}


def program_tools(host: ToolHost) -> tuple[Tool, ...]:
    programs = _Programs(host)
    return (
        Tool(
            "exec",
            "Run program",
            "Run a shell command in the workspace; it sees that and the system's programs only. What it leaves running ends with it: for "
            "servers and long work set background, then use process.",
            object_schema(
                {"command": _TEXT},
                cwd=_TEXT,
                timeout={"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT, "description": f"seconds, default {DEFAULT_TIMEOUT}"},
                background={"type": "boolean"},
            ),
            programs.exec,
            Risk.PROGRAMS,
            timeout=None,
            describe=lambda given: str(given.get("command", "")),
        ),
        Tool(
            "process",
            "Background programs",
            "Programs that exec left in the background: list them, poll new output (wait: seconds for it), write text to the input, kill.",
            object_schema(
                {"action": {"enum": ["list", "poll", "write", "kill"]}},
                id=_TEXT,
                text=_TEXT,
                wait={"type": "integer", "minimum": 0, "maximum": MAX_WAIT},
            ),
            programs.process,
            Risk.PROGRAMS,
            timeout=None,
            describe=_describe_process,
            risk_of=lambda given: Risk.PROGRAMS if given.get("action") == "write" else Risk.NONE,
        ),
    )


def _describe_process(given: Mapping[str, object]) -> str:
    return " ".join(str(given[name]) for name in ("action", "id", "text") if name in given)


class _Programs:
    def __init__(self, host: ToolHost) -> None:
        self._host = host

    async def exec(self, call: ToolCall) -> ToolOutcome:
        params: dict[str, object] = {"command": call.text("command"), "cwd": call.text("cwd"), "env": self._host.environment}
        try:
            if call.flag("background"):
                name = text_in(await self._host.call("start", params, timeout=_ASK), "name")
                said = f"Runs in the background as {name}."
                return ToolOutcome(f"{said} See what it does with process.", said, details={"process": name})
            timeout = max(1, min(call.number("timeout", DEFAULT_TIMEOUT), MAX_TIMEOUT))
            result = await self._host.call(
                "exec",
                {**params, "timeout": timeout},
                timeout=timeout + _SLACK,
                update=lambda so_far: call.update(text_in(so_far, "text")),
            )
        except HostFailure as failure:
            return failed(str(failure), code=failure.code)
        return _outcome(result)

    async def process(self, call: ToolCall) -> ToolOutcome:
        name, action = call.text("id"), call.text("action")
        if action != "list" and not name:
            return failed(f"{action} needs the id of a program; action list shows them")
        try:
            match action:
                case "poll":
                    wait = max(0, min(call.number("wait", 0), MAX_WAIT))
                    return _news(await self._host.call("poll", {"name": name, "wait": wait}, timeout=wait + _ASK))
                case "write":
                    await self._host.call("tell", {"name": name, "text": call.text("text")}, timeout=_ASK)
                    return ToolOutcome(f"Written to {name}.", details={"process": name})
                case "kill":
                    await self._host.call("end", {"name": name}, timeout=_ASK)
                    return ToolOutcome(f"{name} is being ended.", details={"process": name})
                case _:
                    return _rows(await self._host.call("processes", {}, timeout=_ASK))
        except HostFailure as failure:
            return failed(str(failure), code=failure.code)


def _outcome(result: Mapping[str, object]) -> ToolOutcome:
    code, ended, output = result.get("exitCode"), text_in(result, "ended"), text_in(result, "output")
    left = number_in(result, "left")
    details: dict[str, object] = {
        "exitCode": code if isinstance(code, int) else None,
        "durationMs": number_in(result, "durationMs"),
        "truncated": number_in(result, "truncated") > 0,
    }
    notes = [_standing(result)] if ended or code != 0 else []
    if left:
        notes.append(f"{left} processes that it left behind were ended; background keeps them running")
    body = output.rstrip("\n") or ("" if notes else "[no output]")
    text = "\n".join(part for part in (body, *(f"[{note}]" for note in notes)) if part)
    return ToolOutcome(text, text, error=bool(ended) or code != 0, details=details | ({"ended": ended} if ended else {}))


def _standing(result: Mapping[str, object]) -> str:
    """How a program stands, in words."""
    ended, code, by_signal = text_in(result, "ended"), result.get("exitCode"), text_in(result, "signal")
    if result.get("running") is True:
        return f"running for {number_in(result, 'seconds')} s"
    if ended:
        return "it was ended: cancelled" if ended == "cancelled" else f"it was ended: {ended}"
    return f"ended by {by_signal}" if by_signal else f"exit code {code}" if isinstance(code, int) else "ended"


def _news(result: Mapping[str, object]) -> ToolOutcome:
    name, dropped = text_in(result, "name"), number_in(result, "dropped")
    gap = f"[{dropped} characters before this were dropped]\n" if dropped else ""
    output = text_in(result, "output")
    # The host keeps more than the model is given at once.
    text = f"{gap}{output}".rstrip("\n")
    standing = f"[{name}: {_standing(result)}]"
    return ToolOutcome(f"{text}\n{standing}" if text else standing, details={"process": name, "running": result.get("running") is True})


def _rows(result: Mapping[str, object]) -> ToolOutcome:
    lines = [f"{text_in(row, 'name')}  {_standing(row)}  {text_in(row, 'command')}" for row in objects_in(result, "processes")]
    return ToolOutcome("\n".join(lines) or "No program runs in the background.", details={"processes": len(lines)})
