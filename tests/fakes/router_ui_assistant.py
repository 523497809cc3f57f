"""What an assistant knows beside its conversations, for the fake router: jobs, skills, files, usage, pictures, approvals. Each is what a
test puts there; the answers have the shapes of docs/reference/agent.md, "Wire"."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moltbot_protocol import params as p
from moltbot_protocol.errors import ErrorCode, ErrorShape
from moltbot_protocol.methods import METHODS
from moltbot_protocol.schema import Shape, array, integer, shape, text

# Contract of this project's own methods, for as long as the method table does not serve one of them.
OWN: Mapping[str, Shape] = {
    "media.get": shape({"id": text(1, 256)}),
    "chat.rewind": shape({"sessionKey": p.SESSION_KEY, "messageId": text(1, 256)}),
    "chat.continue": shape({"sessionKey": p.SESSION_KEY, "idempotencyKey": text(1, 256)}),
    "sessions.search": shape({"query": text(1, 4096)}, limit=integer(1, 100)),
    "sessions.usage": shape({"key": p.SESSION_KEY}),
    "usage.cost": shape(days=integer(1, 366)),
}
_TO_COME = {"type": text(1, 32), "mimeType": text(1, 128), "fileName": text(1, 512), "content": text(1, 30_000_000)}
ATTACHMENTS = array(Shape({}, {**_TO_COME, "mediaId": text(1, 256)}), 32)
# A red square of 8 × 8 pixels.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mM4YaOBFTEMLQkAdntLAWbUZrkAAAAASUVORK5CYII="
Broadcast = Callable[[str, Mapping[str, object]], Awaitable[None]]


def now_ms() -> int:
    return int(time.time() * 1000)


def shape_of(method: str) -> Shape | None:
    """How the params of a served method look; `None`: not served."""
    row = METHODS.get(method)
    if row is not None and row.served:
        return row.params
    return OWN.get(method)


@dataclass
class AssistantSide:
    broadcast: Broadcast
    media: dict[str, dict[str, object]] = field(default_factory=dict)
    asked_for: list[str] = field(default_factory=list)
    """Media that were fetched, each time."""
    approvals: dict[str, dict[str, object]] = field(default_factory=dict)
    decisions: list[tuple[str, str]] = field(default_factory=list)
    allowed: list[dict[str, object]] = field(default_factory=list)
    """What was allowed for good."""
    jobs: dict[str, dict[str, object]] = field(default_factory=dict)
    runs: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    skills: list[dict[str, object]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=lambda: {"SOUL.md": "Be kind.\n", "USER.md": ""})
    usage: dict[str, object] = field(default_factory=dict)
    session_usage: dict[str, object] = field(default_factory=dict)
    hits: list[dict[str, object]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    models: list[dict[str, object]] = field(
        default_factory=lambda: [
            {"id": "claude-sonnet-4-5", "name": "Claude Sonnet 4.5", "provider": "anthropic", "reasoning": True, "available": True},
            {"id": "openai/gpt-5-mini", "name": "GPT-5 mini", "provider": "openai", "reasoning": False, "available": True},
        ]
    )
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    # --- what a test does ---

    def keep(self, file_name: str, mime_type: str = "image/png", data: str = PNG) -> dict[str, object]:
        """A file that conversations name; its block."""
        media_id = f"m-{len(self.media) + 1}"
        self.media[media_id] = {"id": media_id, "mimeType": mime_type, "fileName": file_name, "data": data}
        kind = "image" if mime_type.startswith("image/") else "document"
        size = len(base64.b64decode(data))
        return {"type": kind, "mimeType": mime_type, "mediaId": media_id, "fileName": file_name, "bytes": size}

    async def ask(self, command: str, session: str, *, call: str = "", pattern: str | None = "git *", seconds: float = 120) -> str:
        """A call waits for a person's word; the id of the question."""
        approval = str(uuid.uuid4())
        request: dict[str, object] = {
            "command": command,
            "tool": "exec",
            "label": "Run a program",
            "cwd": "workspace",
            "sessionKey": session,
        }
        request |= {"toolCallId": call, "agentId": "main", "host": "gateway", "security": "allowlist", "ask": "on-miss"}
        if pattern is not None:
            request["pattern"] = pattern
        now = now_ms()
        self.approvals[approval] = {"id": approval, "request": request, "createdAtMs": now, "expiresAtMs": now + int(seconds * 1000)}
        await self.broadcast("exec.approval.requested", self.approvals[approval])
        return approval

    async def resolve(self, approval: str, decision: str, by: str = "Safari on macOS") -> None:
        """Decided here, or elsewhere."""
        del self.approvals[approval]
        payload = {"id": approval, "decision": decision, "resolvedBy": by, "ts": now_ms()}
        await self.broadcast("exec.approval.resolved", payload)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(is_so), 10)

    # --- answers ---

    async def do(self, method: str, params: Mapping[str, object]) -> object | None:
        """The answer; `None`: not a method of this side."""
        answer = await self._do(method, params)
        async with self.changed:
            self.changed.notify_all()
        return answer

    async def _do(self, method: str, params: Mapping[str, object]) -> object | None:
        match method:
            case "media.get":
                self.asked_for.append(str(params["id"]))
                found = self.media.get(str(params["id"]))
                return ErrorShape(ErrorCode.INVALID_REQUEST, "there is no such file any more") if found is None else found
            case "exec.approval.list":
                return list(self.approvals.values())
            case "exec.approval.resolve":
                return await self._decide(str(params["id"]), str(params["decision"]))
            case "exec.approvals.get":
                return self._allowed()
            case "exec.approvals.set":
                if params["baseHash"] != str(len(self.allowed)):
                    return ErrorShape(ErrorCode.INVALID_REQUEST, "the list has changed; read it again")
                given: Any = params["file"]
                self.allowed = [dict(row) for row in given["agents"]["main"]["allowlist"]]
                return self._allowed()
            case "skills.status":
                return {"workspaceDir": "workspace", "managedSkillsDir": "managed", "skills": self.skills}
            case "usage.cost":
                return self.usage
            case "sessions.usage":
                return self.session_usage
            case "sessions.search":
                self.queries.append(str(params["query"]))
                return {"results": self.hits}
            case "models.list":
                return {"models": self.models}
            case _ if method.startswith("cron."):
                return await self._job(method, params)
            case _ if method.startswith("agents.files."):
                return self._file(method, params)
            case _:
                return None

    def _allowed(self) -> dict[str, object]:
        file = {"version": 1, "defaults": {"security": "allowlist", "ask": "on-miss"}, "agents": {"main": {"allowlist": self.allowed}}}
        return {"path": "moltbot.sqlite", "exists": True, "hash": str(len(self.allowed)), "file": file}

    async def _decide(self, approval: str, decision: str) -> object:
        if approval not in self.approvals:
            return ErrorShape(ErrorCode.INVALID_REQUEST, "this was decided already")
        self.decisions.append((approval, decision))
        await self.resolve(approval, decision, "this browser")
        return {"ok": True}

    async def _job(self, method: str, params: Mapping[str, object]) -> object:
        key = str(params.get("id", ""))
        match method:
            case "cron.list":
                return {"jobs": list(self.jobs.values())}
            case "cron.runs":
                return {"entries": self.runs.get(key, [])}
            case "cron.add":
                key = f"job-{len(self.jobs) + 1}"
                state = {"nextRunAtMs": now_ms() + 3_600_000, "runningAtMs": None, "lastRunAtMs": None, "lastStatus": None}
                self.jobs[key] = {"id": key, "enabled": True, "source": "person", "state": state, **params}
            case "cron.update":
                patch = params["patch"]
                assert isinstance(patch, dict)
                self.jobs[key] |= patch
            case "cron.remove":
                del self.jobs[key]
            case "cron.run":
                self.ran.append(key)
        await self.broadcast("cron", {"jobId": key, "action": "updated"})
        return {"ok": True, "ran": True} if method == "cron.run" else self.jobs.get(key, {"ok": True})

    def _file(self, method: str, params: Mapping[str, object]) -> object:
        name = str(params.get("name", ""))
        match method:
            case "agents.files.get":
                return {"file": {**self._row(name), "content": self.files[name]}}
            case "agents.files.set":
                self.files[name] = str(params["content"])
                return {"ok": True, "file": self._row(name)}
            case _:
                return {"workspace": "workspace", "files": [self._row(one) for one in self.files]}

    def _row(self, name: str) -> dict[str, object]:
        content = self.files[name]
        return {"name": name, "path": name, "size": len(content.encode()), "updatedAtMs": now_ms() - 90_000, "missing": not content}
