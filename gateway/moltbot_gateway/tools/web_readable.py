"""A page's HTML made readable, in a process of its own (`moltbot_tools.readable`; docs/adr/0008-readable-pages.md): here only its start,
its bounds and its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from dataclasses import dataclass

from moltbot_gateway.errors import WebError
from moltbot_gateway.tools.own_program import own_program

# Seconds that a page may take on a busy machine; the largest that is read takes three of CPU, and its process ends itself at ten.
SECONDS = 30.0
# Bytes of the answer: its text in JSON's longest form.
MAX_ANSWER = 4 * 2**20
# At once: one large page takes some 200 MB while it is read.
_AT_ONCE = asyncio.Semaphore(2)


@dataclass(frozen=True)
class Readable:
    title: str
    byline: str
    markdown: str


async def make_readable(page: bytes, url: str, charset: str | None, seconds: float = SECONDS) -> Readable:
    """Raises WebError where nothing can be made of it. Cancellation ends the process."""
    async with _AT_ONCE:
        process = await asyncio.create_subprocess_exec(
            *own_program("readable", url, *([charset] if charset else [])),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            start_new_session=True,
            limit=MAX_ANSWER,
        )
        try:
            async with asyncio.timeout(seconds):
                answer = await _exchange(process, page)
        except TimeoutError as error:
            raise WebError("The page is too large or too tangled to be made readable; ask for it with raw: true.") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return _parse(answer)


async def _exchange(process: asyncio.subprocess.Process, page: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(page)
        await process.stdin.drain()
    process.stdin.close()
    answer = bytearray()
    while (chunk := await process.stdout.read(65_536)) and len(answer) <= MAX_ANSWER:
        answer += chunk
    return bytes(answer)


def _parse(answer: bytes) -> Readable:
    try:
        data = json.loads(answer)
        error = data.get("error")
        if error is None:
            return Readable(*(str(data[name]) for name in ("title", "byline", "markdown")))
    except (ValueError, KeyError, AttributeError) as broken:
        raise WebError("The page broke what makes pages readable; ask for it with raw: true.") from broken
    raise WebError(f"The page cannot be made readable ({error}); raw: true gives it as it is.")
