"""exec and process: through the tools as the loop calls them, with a real confined child."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from moltbot_gateway.tools.base import MAX_MODEL_TEXT, Risk, ToolOutcome
from moltbot_gateway.tools.host import ToolHost
from moltbot_gateway.tools.programs import program_tools
from tests.tools.calls import call, named

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what descends from a program is found by /proc")


class Programs:
    def __init__(self, host: ToolHost) -> None:
        self.tools = program_tools(host)

    async def exec(self, command: str, **given: Any) -> ToolOutcome:
        return await call(named(self.tools, "exec"), command=command, **given)

    async def process(self, action: str, **given: Any) -> ToolOutcome:
        return await call(named(self.tools, "process"), action=action, **given)


@pytest.fixture
def programs(host: ToolHost) -> Programs:
    return Programs(host)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_output_and_exit_code(programs: Programs, workspace: Path) -> None:
    outcome = await programs.exec("pwd; echo err >&2; echo out; exit 3")
    assert outcome.model == f"{workspace}\nerr\nout\n[exit code 3]"
    assert outcome.error
    assert outcome.details["exitCode"] == 3
    good = await programs.exec("true")
    assert not good.error
    assert good.model == "[no output]"
    assert set(good.details) == {"exitCode", "durationMs", "truncated"}


async def test_a_signal_is_named(programs: Programs) -> None:
    assert (await programs.exec("kill -SEGV $$")).model == "[ended by SIGSEGV]"


async def test_the_directory_is_the_workspace_or_one_in_it(programs: Programs, workspace: Path) -> None:
    (workspace / "sub").mkdir()
    assert (await programs.exec("pwd", cwd="sub")).model == str(workspace / "sub")
    for place in ("nowhere", "/root", ".."):
        outcome = await programs.exec("pwd", cwd=place)
        assert outcome.error
        assert outcome.details["code"] in ("not-found", "outside")


async def test_it_has_no_input(programs: Programs) -> None:
    assert (await programs.exec("cat; echo over")).model == "over"


async def test_long_output_keeps_its_beginning_and_its_end(programs: Programs) -> None:
    outcome = await programs.exec("seq 1 100000")
    assert len(outcome.model) <= MAX_MODEL_TEXT
    assert outcome.model.startswith("1\n2\n3\n")
    assert outcome.model.endswith("\n99999\n100000")
    left_out = int(re.findall(r"… (\d+) bytes left out", outcome.model)[0])
    head, _, tail = outcome.model.partition(f"[… {left_out} bytes left out …]")
    assert left_out + len(head) + len(tail) + 1 - 2 == sum(len(str(number)) + 1 for number in range(1, 100001))
    assert outcome.details["truncated"] is True


async def test_one_line_of_megabytes(programs: Programs) -> None:
    outcome = await programs.exec("head -c 20000000 /dev/zero | tr '\\0' x")
    assert len(outcome.model) <= MAX_MODEL_TEXT
    assert "bytes left out" in outcome.model


async def test_binary_output_is_described(programs: Programs) -> None:
    outcome = await programs.exec("head -c 1000 /dev/zero")
    assert outcome.model.startswith("[binary output, 1000 bytes; it begins with 00 00")
    assert "\0" not in outcome.model


async def test_the_time_limit_ends_it_and_says_so(programs: Programs) -> None:
    outcome = await programs.exec("echo before; sleep 60", timeout=1)
    assert outcome.error
    assert outcome.model == "before\n[it was ended: it took longer than 1 s]"


async def test_what_it_leaves_behind_ends_with_it(programs: Programs, workspace: Path) -> None:
    """In a session of its own, without its environment, with its output elsewhere: it is found by descent."""
    script = "setsid env -i sh -c 'echo $$ > pid; exec sleep 300' >/dev/null 2>&1 </dev/null &"
    outcome = await programs.exec(f"{script} until test -s pid; do sleep 0.01; done; echo done")
    assert outcome.model == "done\n[1 processes that it left behind were ended; background keeps them running]"
    assert not alive(int((workspace / "pid").read_text()))


async def test_a_program_that_runs_on(programs: Programs) -> None:
    begun = await programs.exec("echo ready; while read line; do echo got $line; done; echo over", background=True)
    assert begun.details == {"process": "p1"}
    ready = await programs.process("poll", id="p1", wait=10)
    assert re.fullmatch(r"ready\n\[p1: running for \d+ s\]", ready.model)
    assert re.fullmatch(r"p1  running for \d+ s  echo ready; .*", (await programs.process("list")).model)
    await programs.process("write", id="p1", text="hello\n")
    assert (await programs.process("poll", id="p1", wait=10)).model.startswith("got hello\n")
    await programs.process("kill", id="p1")
    ended = await programs.process("poll", id="p1", wait=10)
    assert ended.model == "[p1: it was ended: cancelled]"
    assert ended.details["running"] is False


async def test_a_program_that_ended_says_how(programs: Programs) -> None:
    await programs.exec("echo last words; exit 4", background=True)
    seen = ""
    while "exit code" not in seen:
        seen += (await programs.process("poll", id="p1", wait=10)).model
    assert "last words" in seen
    assert "[p1: exit code 4]" in seen
    again = await programs.process("write", id="p1", text="x")
    assert again.error
    assert "no more input" in again.model


async def test_polling_waits_no_longer_than_it_was_told(programs: Programs) -> None:
    await programs.exec("sleep 300", background=True)
    assert re.fullmatch(r"\[p1: running for \d+ s\]", (await programs.process("poll", id="p1", wait=1)).model)


async def test_a_flood_in_the_background_keeps_its_end(programs: Programs) -> None:
    await programs.exec("i=0; while [ $i -lt 12000 ]; do echo 0123456789 $i; i=$((i+1)); done", background=True)
    text = ""
    async with asyncio.timeout(30):
        while not (outcome := await programs.process("poll", id="p1", wait=5)).model.endswith("exit code 0]"):
            text += outcome.model
            assert len(outcome.model) < 70_000
    assert "0123456789 11999" in text + outcome.model


async def test_what_is_not_there(programs: Programs) -> None:
    assert (await programs.process("list")).model == "No program runs in the background."
    for action in ("poll", "kill", "write"):
        assert "no program p9" in (await programs.process(action, id="p9")).model
        assert "needs the id" in (await programs.process(action)).model


async def test_only_so_many_run_in_the_background(programs: Programs) -> None:
    for _ in range(16):
        assert not (await programs.exec("sleep 300", background=True)).error
    outcome = await programs.exec("sleep 300", background=True)
    assert outcome.error
    assert "end one of them first" in outcome.model


async def test_a_call_in_the_foreground_cannot_end_what_runs_in_the_background(programs: Programs, workspace: Path) -> None:
    await programs.exec("echo $$ > pid; exec sleep 300", background=True)
    outcome = await programs.exec("until test -s pid; do sleep 0.01; done; kill -9 $(cat pid); kill -9 -1; echo still here")
    assert "still here" in outcome.model
    assert alive(int((workspace / "pid").read_text()))


def test_only_what_runs_something_needs_an_approval(host: ToolHost) -> None:
    exec_tool, process = program_tools(host)
    assert exec_tool.risk is Risk.PROGRAMS
    assert exec_tool.describe is not None
    assert exec_tool.describe({"command": "git status"}) == "git status"
    assert process.risk_of is not None
    assert process.risk_of({"action": "write"}) is Risk.PROGRAMS
    assert process.risk_of({"action": "poll"}) is Risk.NONE
