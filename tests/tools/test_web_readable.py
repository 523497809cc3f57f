"""The process in which strangers' HTML is parsed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moltbot_gateway.errors import WebError
from moltbot_gateway.tools.own_program import own_program
from moltbot_gateway.tools.web_readable import make_readable


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
async def test_it_is_shut_in_before_it_reads_a_byte_and_finds_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLTBOT_MODEL_API_KEY", "sk-our-key")
    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def keep(*arguments: str, **options: object) -> asyncio.subprocess.Process:
        started.append(await start(*arguments, **options))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", keep)
    # More than a pipe holds: it is written only as far as the process reads.
    task = asyncio.create_task(make_readable(b"<p>text</p>" * 400_000, "https://example.org/", None))
    async with asyncio.timeout(20):
        while not started or "NoNewPrivs:\t1" not in _status(started[0].pid):
            await asyncio.sleep(0.001)
        environment = Path(f"/proc/{started[0].pid}/environ").read_bytes() if os.getuid() == 0 else b""
    assert b"sk-our-key" not in environment
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert started[0].returncode is not None


def _status(process: int) -> str:
    return Path(f"/proc/{process}/status").read_text()


async def test_a_page_that_takes_too_long_is_given_up_and_its_process_ended() -> None:
    with pytest.raises(WebError, match="raw: true"):
        await make_readable(b"<p>text</p>" * 400_000, "https://example.org/", None, seconds=0.05)


def test_it_starts_ours_whatever_lies_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the working directory or in PYTHONPATH would run before the process has shut itself in."""
    (tmp_path / "moltbot_tools").mkdir()
    (tmp_path / "moltbot_tools" / "__init__.py").write_text("raise SystemExit('not ours')")
    (tmp_path / "json.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = subprocess.run(
        own_program("readable", "https://example.org/"), input=b"<p>hello</p>", capture_output=True, check=True, timeout=60
    )
    assert b"hello" in done.stdout
