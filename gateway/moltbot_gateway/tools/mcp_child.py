"""The process that speaks to one MCP server (`moltbot_tools.mcp_bridge`): its start, frames and end. What comes from it is read as hostile.

The values that a person gave to this server go to it alone, over its standard input: neither its arguments nor its environment hold them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moltbot_gateway.agent_config import McpServer
from moltbot_gateway.errors import GatewayError
from moltbot_gateway.person_environment import for_program, for_request
from moltbot_gateway.tools.own_program import own_program
from moltbot_trust.redaction import scrub_text

MAX_FRAME = 8 * 2**20 + 1024
# Seconds until the process has said what its server can do; it gives up by itself a little earlier.
HELLO_SECONDS = 75.0
# Characters of a value from which on it is taken for a secret.
LEAST_SECRET = 8
# Seconds that it has to end its server in order, the SDK's own steps together.
END_SECONDS = 8.0


class McpFailure(GatewayError):
    """The server cannot be used, or a call of it failed; the text is one line, without secrets."""


@dataclass(frozen=True)
class RemoteTool:
    name: str
    title: str
    description: str
    schema: Mapping[str, object]


@dataclass(frozen=True)
class Offer:
    """What a server can do. `left_out`: sentences about tools that cannot be used."""

    tools: tuple[RemoteTool, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """`pieces`: text, or a picture as base64."""

    pieces: tuple[tuple[str, str], ...]
    error: bool


@dataclass
class _Call:
    answer: asyncio.Future[Result]
    update: Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """Where children run. `environment`: made anew, nothing of ours in it. `values`: what a person put into our environment, by our names.
    `unconfined`: a person's word that the pod is the boundary; `required`: start nothing by stdio that the kernel cannot confine."""

    workspace: Path
    environment: Mapping[str, str]
    values: Mapping[str, str]
    unconfined: bool = False
    required: bool = False


@dataclass
class McpChild:
    """One process, from `start` to its end. `changed` is called with every new offer after the first."""

    process: asyncio.subprocess.Process
    changed: Callable[[Offer], None]
    secrets: tuple[str, ...]
    last_words: str = ""
    reason: str = ""
    _calls: dict[int, _Call] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    async def start(cls, server: McpServer, place: Place, changed: Callable[[Offer], None]) -> McpChild:
        """Raises McpFailure where a value is missing, OSError where no process can be had."""
        env = {variable.name: for_program(_value(place, variable.source)) for variable in server.env}
        headers = {variable.name: for_request(_value(place, variable.source)) for variable in server.headers}
        options = ["--unconfined"] if place.unconfined else ["--required"] if place.required and server.command else []
        process = await asyncio.create_subprocess_exec(
            *own_program("mcp_bridge", "--workspace", str(place.workspace), *options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd="/",
            env=dict(place.environment),
            start_new_session=True,
            limit=MAX_FRAME,
        )
        child = cls(process, changed, _secrets((*env.values(), *headers.values())))
        described = {"command": list(server.command), "env": env} if server.command else {"url": server.url, "headers": headers}
        child._send({"server": described, "only": list(server.tools)})
        return child

    async def hello(self) -> Offer:
        """What the server can do. Raises McpFailure where it cannot be used."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                frame = await self._read()
        except TimeoutError as error:
            raise McpFailure(f"it did not answer within {HELLO_SECONDS:g} seconds") from error
        if not isinstance(frame.get("hello"), dict):
            raise McpFailure("it answered something else than its tools")
        return _offer(frame["hello"])

    async def follow(self) -> None:
        """Give each frame to whom it belongs, until the process ends. Raises McpFailure then. Cancelling it is safe."""
        try:
            while True:
                self._take(await self._read())
        except McpFailure as error:
            self._fail_calls(str(error))
            raise

    async def call(self, name: str, arguments: Mapping[str, object], seconds: float, update: Callable[[str], None]) -> Result:
        """Raises McpFailure. Cancellation cancels the call at the server."""
        number = next(self._numbers)
        call = _Call(asyncio.get_running_loop().create_future(), update)
        self._calls[number] = call
        try:
            self._send({"id": number, "call": {"name": name, "arguments": dict(arguments), "seconds": seconds}})
            # The process ends the call in time by itself; this is for one that does nothing at all any more.
            async with asyncio.timeout(seconds + 10):
                return await call.answer
        except TimeoutError as error:
            raise McpFailure(f"it took longer than {seconds:g} seconds") from error
        except asyncio.CancelledError:
            self._send({"cancel": number})
            raise
        finally:
            self._calls.pop(number, None)

    async def listen_to_its_words(self) -> None:
        """Keep the last line of standard error: what a server says when it does not start. Ends with the process."""
        assert self.process.stderr is not None
        rest = b""
        while chunk := await self.process.stderr.read(8192):
            *lines, rest = (rest + chunk)[-16_384:].split(b"\n")
            # Python draws a frame around groups of errors: words are what has letters.
            said = [line for line in (*lines, rest) if any(character.isalpha() for character in line.decode("utf-8", "replace"))]
            if said:
                self.last_words = self.scrub(said[-1].decode("utf-8", "replace"))

    async def end(self) -> None:
        """Close its input, so that it ends its server; kill what does not end."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self.process.wait()
        except TimeoutError:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()
            self._fail_calls("it was stopped")

    def scrub(self, text: str) -> str:
        """One line without the values that a person gave to this server, and without what looks like a key."""
        text = self.hide(text)
        return scrub_text("".join(character for character in text if character.isprintable()).strip())[:300]

    def hide(self, text: str) -> str:
        """The same text without the values that a person gave to this server: a model needs none of them."""
        for secret in self.secrets:
            text = text.replace(secret, "…")
        return text

    async def _read(self) -> dict[str, object]:
        assert self.process.stdout is not None
        try:
            line = await self.process.stdout.readline()
            frame = json.loads(line) if line else None
        except (ValueError, RecursionError) as error:
            raise McpFailure("it sent what cannot be read") from error
        if frame is None:
            raise McpFailure(self.reason or self.last_words or "it ended without a word")
        if not isinstance(frame, dict):
            raise McpFailure("it sent what cannot be read")
        if "id" not in frame and isinstance(frame.get("failed"), str):
            self.reason = self.scrub(str(frame["failed"]))
            # A server that ends says why on standard error; the SDK only sees its pipe close.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self.process.wait()
            raise McpFailure(f"{self.reason} (it said: {self.last_words})" if self.last_words else self.reason)
        return frame

    def _take(self, frame: Mapping[str, object]) -> None:
        number = frame.get("id")
        if number is None:
            self.changed(_offer(frame))
            return
        call = self._calls.get(number) if isinstance(number, int) else None
        if call is None or call.answer.done():
            return
        if isinstance(update := frame.get("update"), str):
            call.update(update[:1000])
        elif isinstance(failed := frame.get("failed"), str):
            call.answer.set_exception(McpFailure(self.scrub(failed)))
        else:
            call.answer.set_result(_result(frame.get("result"), self.hide))

    def _fail_calls(self, reason: str) -> None:
        for call in self._calls.values():
            if not call.answer.done():
                call.answer.set_exception(McpFailure(f"the server ended meanwhile: {reason}"))

    def _send(self, frame: Mapping[str, object]) -> None:
        if self.process.stdin is not None and not self.process.stdin.is_closing():
            self.process.stdin.write(json.dumps(frame).encode() + b"\n")


def _value(place: Place, source: str) -> str:
    if source not in place.values:
        raise McpFailure(f"a value that the resource names is not there ({source})")
    return place.values[source]


def _secrets(values: Iterable[str]) -> tuple[str, ...]:
    """The longest first. What is shorter than a key (a user's name, a port) would only make holes in ordinary words."""
    parts = {part for value in values for part in (value, value.removeprefix("Bearer ")) if len(part) >= LEAST_SECRET}
    return tuple(sorted(parts, key=len, reverse=True))


def _offer(frame: object) -> Offer:
    data = frame if isinstance(frame, dict) else {}
    tools = [tool for tool in (_tool(item) for item in _list(data.get("tools"))) if tool is not None]
    return Offer(tuple(tools), tuple(str(words)[:300] for words in _list(data.get("left_out"))[:20]))


def _tool(item: object) -> RemoteTool | None:
    if not isinstance(item, dict) or not isinstance(item.get("schema"), dict) or not isinstance(item.get("name"), str):
        return None
    return RemoteTool(item["name"], str(item.get("title", "")), str(item.get("description", "")), item["schema"])


def _result(data: object, hide: Callable[[str], str]) -> Result:
    held = data if isinstance(data, dict) else {}
    pieces = [
        (kind, hide(piece[kind]) if kind == "text" else piece[kind])
        for piece in _list(held.get("content"))
        if isinstance(piece, dict)
        for kind in ("text", "image")
        if isinstance(piece.get(kind), str)
    ]
    return Result(tuple(pieces), held.get("error") is True)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
