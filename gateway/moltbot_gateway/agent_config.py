"""What the resource says about the assistant itself: JSON in `MOLTBOT_AGENT`, written by the operator (docs/reference/agent.md).

Parsed once, at start. A part that cannot be used is left out and told (`problems`): one bad skill never keeps an assistant from answering.
Values that a person put into the environment stand there as `PERSON_ENV_<n>`; here are only their names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

MAX_ITEMS = 64

Part = TypeVar("Part")
Word = TypeVar("Word", bound=StrEnum)


class Confinement(StrEnum):
    LANDLOCK = "landlock"
    POD = "pod"  # a person's word that the pod is the boundary


class Approval(StrEnum):
    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class Missed(StrEnum):
    RUN = "run"
    SKIP = "skip"


@dataclass(frozen=True)
class EnvVar:
    """`name` as the program sees it; its value is that of our own variable `source`."""

    name: str
    source: str


@dataclass(frozen=True)
class Limits:
    """A day's; `None`: no limit. `money_micros`: millionths of a US dollar."""

    tokens: int | None = None
    money_micros: int | None = None


@dataclass(frozen=True)
class WorkspaceFile:
    """Written at start. `always`: again at every start; else only where there is none."""

    path: str
    content: str
    always: bool = False


@dataclass(frozen=True)
class SkillConfig:
    """`content`: its SKILL.md; empty for a bundled one that is only switched or given variables."""

    name: str
    content: str = ""
    enabled: bool = True
    env: tuple[EnvVar, ...] = ()


@dataclass(frozen=True)
class McpServer:
    """`command` (stdio) or `url` (streamable HTTP). `tools`: only these; empty: all."""

    name: str
    command: tuple[str, ...] = ()
    url: str = ""
    env: tuple[EnvVar, ...] = ()
    headers: tuple[EnvVar, ...] = ()
    tools: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScheduledJob:
    """One of `cron`, `every_ms`, `at_ms`."""

    name: str
    prompt: str
    cron: str = ""
    every_ms: int | None = None
    at_ms: int | None = None
    time_zone: str = ""
    isolated: bool = True
    missed: Missed = Missed.RUN
    model: str = ""
    enabled: bool = True


@dataclass(frozen=True)
class Heartbeat:
    """`active`: (from, to) in minutes of the day, `None`: all day."""

    every_ms: int
    prompt: str = ""
    active: tuple[int, int] | None = None
    model: str = ""


@dataclass(frozen=True)
class WebSearch:
    """`key`: our own variable that holds the provider's key; empty where it needs none."""

    provider: str
    key: str = ""
    base_url: str = ""


@dataclass(frozen=True)
class AgentConfig:
    fallbacks: tuple[str, ...] = ()
    thinking: str | None = None
    limits: Limits = field(default_factory=Limits)
    time_zone: str = "UTC"
    confinement: Confinement = Confinement.LANDLOCK
    on_cluster: bool = False
    programs: Approval = Approval.ASK
    allowed: tuple[str, ...] = ()
    denied_tools: tuple[str, ...] = ()
    web_search: WebSearch | None = None
    env: tuple[EnvVar, ...] = ()
    workspace: tuple[WorkspaceFile, ...] = ()
    skills: tuple[SkillConfig, ...] = ()
    mcp_servers: tuple[McpServer, ...] = ()
    schedule: tuple[ScheduledJob, ...] = ()
    heartbeat: Heartbeat | None = None
    problems: tuple[str, ...] = ()


class _Bad(Exception):
    """A value of the wrong type; its text names the place."""


def parse_agent_config(text: str) -> AgentConfig:
    """Empty text: the defaults. Never raises: what is wrong is in `problems`, in sentences."""
    if not text.strip():
        return AgentConfig()
    try:
        data = json.loads(text)
    except ValueError as error:
        return AgentConfig(problems=(f"MOLTBOT_AGENT is no JSON ({error}): the assistant runs with defaults",))
    if not isinstance(data, dict):
        return AgentConfig(problems=("MOLTBOT_AGENT is no object: the assistant runs with defaults",))
    reader = _Reader(data)
    return AgentConfig(
        fallbacks=reader.texts("model", "fallbacks"),
        thinking=reader.text("model", "thinking") or None,
        limits=Limits(reader.number("model", "limits", "tokensPerDay"), reader.number("model", "limits", "microDollarsPerDay")),
        time_zone=reader.text("timeZone") or "UTC",
        confinement=reader.word(Confinement, "confinement") or Confinement.LANDLOCK,
        on_cluster=reader.flag("onCluster"),
        programs=reader.word(Approval, "programs") or Approval.ASK,
        allowed=reader.texts("allowed"),
        denied_tools=reader.texts("deniedTools"),
        web_search=reader.one("webSearch", _web_search),
        env=reader.many("env", _env),
        workspace=reader.many("workspace", _workspace_file),
        skills=reader.many("skills", _skill),
        mcp_servers=reader.many("mcpServers", _mcp_server),
        schedule=reader.many("schedule", _job),
        heartbeat=reader.one("heartbeat", _heartbeat),
        problems=tuple(reader.problems),
    )


class _Reader:
    def __init__(self, data: Mapping[str, object]) -> None:
        self._data = data
        self.problems: list[str] = []

    def _at(self, path: Sequence[str]) -> object:
        value: object = self._data
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def _typed(self, path: Sequence[str], kind: type, words: str) -> object:
        value = self._at(path)
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            self.problems.append(f"{'.'.join(path)} must be {words}; it is left out")
            return None
        return value

    def text(self, *path: str) -> str:
        value = self._typed(path, str, "text")
        return value if isinstance(value, str) else ""

    def number(self, *path: str) -> int | None:
        value = self._typed(path, int, "a whole number")
        return value if isinstance(value, int) else None

    def flag(self, *path: str) -> bool:
        return self._typed(path, bool, "true or false") is True

    def texts(self, *path: str) -> tuple[str, ...]:
        value = self._typed(path, list, "a list")
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()

    def word(self, kind: type[Word], *path: str) -> Word | None:
        text = self.text(*path)
        try:
            return kind(text) if text else None
        except ValueError:
            self.problems.append(f"{'.'.join(path)} must be one of {', '.join(kind)}; it is left out")
            return None

    def one(self, name: str, parse: Callable[[_Item], Part]) -> Part | None:
        value = self._data.get(name)
        return None if value is None else self._parse(name, value, parse)

    def many(self, name: str, parse: Callable[[_Item], Part]) -> tuple[Part, ...]:
        value = self._typed((name,), list, "a list")
        items = value[:MAX_ITEMS] if isinstance(value, list) else []
        if isinstance(value, list) and len(value) > MAX_ITEMS:
            self.problems.append(f"{name} has {len(value)} entries, of which {MAX_ITEMS} are used")
        parsed = [self._parse(f"{name}[{number}]", item, parse) for number, item in enumerate(items)]
        return tuple(item for item in parsed if item is not None)

    def _parse(self, place: str, value: object, parse: Callable[[_Item], Part]) -> Part | None:
        try:
            if not isinstance(value, dict):
                raise _Bad("must be an object")
            return parse(_Item(value))
        except _Bad as error:
            self.problems.append(f"{place}: {error}; it is left out")
            return None


class _Item:
    """One object of a list, read strictly."""

    def __init__(self, data: Mapping[str, object]) -> None:
        self._data = data

    def text(self, name: str, default: str | None = "") -> str:
        value = self._data.get(name, default)
        if not isinstance(value, str):
            raise _Bad(f"{name} must be text" if value is not None else f"{name} is missing")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._data.get(name, default)
        if not isinstance(value, bool):
            raise _Bad(f"{name} must be true or false")
        return value

    def number(self, name: str) -> int | None:
        value = self._data.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise _Bad(f"{name} must be a whole number")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._data.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _Bad(f"{name} must be a list of texts")
        return tuple(value)

    def items(self, name: str, parse: Callable[[_Item], Part]) -> tuple[Part, ...]:
        value = self._data.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise _Bad(f"{name} must be a list of objects")
        return tuple(parse(_Item(item)) for item in value)


def _env(item: _Item) -> EnvVar:
    return EnvVar(item.text("name", None), item.text("from", None))


def _workspace_file(item: _Item) -> WorkspaceFile:
    return WorkspaceFile(item.text("path", None), item.text("content", None), item.flag("always", False))


def _skill(item: _Item) -> SkillConfig:
    return SkillConfig(item.text("name", None), item.text("content"), item.flag("enabled", True), item.items("env", _env))


def _mcp_server(item: _Item) -> McpServer:
    server = McpServer(
        item.text("name", None),
        item.texts("command"),
        item.text("url"),
        item.items("env", _env),
        item.items("headers", _env),
        item.texts("tools"),
    )
    if bool(server.command) == bool(server.url):
        raise _Bad("a server has either a command or a url")
    return server


def _job(item: _Item) -> ScheduledJob:
    missed = item.text("missed") or Missed.RUN.value
    if missed not in set(Missed):
        raise _Bad("missed must be run or skip")
    return ScheduledJob(
        item.text("name", None),
        item.text("prompt", None),
        item.text("cron"),
        item.number("everyMs"),
        item.number("atMs"),
        item.text("timeZone"),
        item.flag("isolated", True),
        Missed(missed),
        item.text("model"),
        item.flag("enabled", True),
    )


def _heartbeat(item: _Item) -> Heartbeat:
    every, start, end = item.number("everyMs"), item.number("activeFrom"), item.number("activeTo")
    if every is None or every <= 0:
        raise _Bad("everyMs must be more than 0")
    active = None if start is None or end is None else (start, end)
    return Heartbeat(every, item.text("prompt"), active, item.text("model"))


def _web_search(item: _Item) -> WebSearch:
    return WebSearch(item.text("provider", None), item.text("key"), item.text("baseUrl"))
