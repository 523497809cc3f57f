"""The one method table: who answers a method, who may call it, whether it is activity (rule 6), and what happens to it asleep (rule 4).

`activity` and `asleep` belong together: exactly the methods that are activity wake a sleeping assistant. A method that is in no row is
unknown, for the router and the gateway alike, and unknown is refused: nothing reaches a pod because nobody thought of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from moltbot_protocol import params as p
from moltbot_protocol.errors import ErrorCode, ErrorShape
from moltbot_protocol.schema import Shape

OPERATOR = "operator"
NODE = "node"


class Scope(StrEnum):
    """What a device may do. Admin implies all, write implies read."""

    ADMIN = "operator.admin"
    READ = "operator.read"
    WRITE = "operator.write"
    APPROVALS = "operator.approvals"
    PAIRING = "operator.pairing"
    QUESTIONS = "operator.questions"
    TALK = "operator.talk"
    TALK_SECRETS = "operator.talk.secrets"


class Asleep(StrEnum):
    """What a call of a sleeping assistant gets."""

    WAKE = "wake"  # held; wakes it
    STATUS = "status"  # the router answers from what the resource's status says
    UNAVAILABLE = "unavailable"  # a retryable error
    ROUTER = "router"  # the router answers always, asleep and awake


class Answers(StrEnum):
    """Whose method it is."""

    ROUTER = "router"
    GATEWAY = "gateway"


class Remembered(StrEnum):
    """Subscriptions that the router keeps for a parked socket and replays on its next upstream."""

    NO = ""
    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Method:
    """One row. `since`: protocol version. `scope` None: no scope is needed (for node methods: the role is). `idempotency`: the params'
    field that makes a call safe to send again after a lost upstream, None when there is none. `served`: this version answers it; the
    others are known and refused as unknown, as official servers of another version do."""

    name: str
    since: int
    scope: Scope | None
    activity: bool
    asleep: Asleep
    answers: Answers = Answers.GATEWAY
    idempotency: str | None = None
    served: bool = False
    params: Shape = p.UNREAD
    role: str = OPERATOR
    remembered: Remembered = Remembered.NO


def _reads(since: int, scope: Scope, names: str) -> list[Method]:
    """Reads: no activity, retryable while asleep."""
    return [Method(name, since, scope, activity=False, asleep=Asleep.UNAVAILABLE) for name in names.split()]


def _work(since: int, scope: Scope, names: str, idempotency: str | None = None) -> list[Method]:
    """Work and changes: activity, and so they wake."""
    return [Method(name, since, scope, activity=True, asleep=Asleep.WAKE, idempotency=idempotency) for name in names.split()]


def _boot(since: int, name: str, shape: Shape, remembered: Remembered = Remembered.NO) -> Method:
    """The reads without which official clients send nothing: answered from status while asleep (tried)."""
    return Method(name, since, Scope.READ, activity=False, asleep=Asleep.STATUS, served=True, params=shape, remembered=remembered)


def _served(rows: list[Method], **shapes: Shape) -> list[Method]:
    """Rows that this version answers; `shapes` by name with `_` for `.`, the others take nothing that is read."""
    return [replace(row, served=True, params=shapes.get(row.name.replace(".", "_"), p.UNREAD)) for row in rows]


def _router(since: int, scope: Scope | None, name: str, shape: Shape = p.UNREAD) -> Method:
    """The router's own: it works with the operator down and the pod asleep."""
    return Method(name, since, scope, activity=False, asleep=Asleep.ROUTER, answers=Answers.ROUTER, served=True, params=shape)


def _node(since: int, names: str) -> list[Method]:
    """What a node says: nodes are not served yet."""
    return [Method(name, since, None, activity=False, asleep=Asleep.UNAVAILABLE, role=NODE) for name in names.split()]


_ROWS: list[Method] = [
    # the router's
    _router(3, None, "connect"),
    _router(3, Scope.PAIRING, "device.pair.list", p.NOTHING),
    _router(3, Scope.PAIRING, "device.pair.approve", p.DEVICE_PAIR_REQUEST),
    _router(3, Scope.PAIRING, "device.pair.reject", p.DEVICE_PAIR_REQUEST),
    _router(4, Scope.PAIRING, "device.pair.remove", p.DEVICE_PAIR_REMOVE),
    _router(3, Scope.PAIRING, "device.token.rotate", p.DEVICE_TOKEN_ROTATE),
    _router(3, Scope.PAIRING, "device.token.revoke", p.DEVICE_TOKEN_REVOKE),
    # boot reads
    _boot(3, "health", p.HEALTH),
    _boot(3, "status", p.STATUS),
    _boot(4, "chat.startup", p.CHAT_STARTUP),
    _boot(3, "chat.history", p.CHAT_HISTORY),
    _boot(4, "sessions.subscribe", p.UNREAD, Remembered.ADD),
    _boot(4, "sessions.unsubscribe", p.UNREAD, Remembered.REMOVE),
    _boot(4, "sessions.messages.subscribe", p.SESSIONS_MESSAGES_SUBSCRIBE, Remembered.ADD),
    _boot(4, "sessions.messages.unsubscribe", p.SESSIONS_MESSAGES_UNSUBSCRIBE, Remembered.REMOVE),
    _boot(3, "sessions.list", p.SESSIONS_LIST),
    _boot(3, "agents.list", p.NOTHING),
    _boot(3, "agent.identity.get", p.AGENT_IDENTITY_GET),
    _boot(3, "models.list", p.MODELS_LIST),
    # chat
    Method("chat.send", 3, Scope.WRITE, activity=True, asleep=Asleep.WAKE, idempotency="idempotencyKey", served=True, params=p.CHAT_SEND),
    # Nothing runs while it sleeps, so there is nothing to abort and no reason to wake.
    replace(_boot(3, "chat.abort", p.CHAT_ABORT), scope=Scope.WRITE),
    # ours: an answer that was cut off goes on; a message and what came after it are put aside (edit and send again, retry)
    *_served(_work(4, Scope.WRITE, "chat.continue", idempotency="idempotencyKey"), chat_continue=p.CHAT_CONTINUE),
    *_served(_work(4, Scope.WRITE, "chat.rewind"), chat_rewind=p.CHAT_REWIND),
    *_served(_reads(4, Scope.READ, "media.get"), media_get=p.MEDIA_GET),
    *_work(3, Scope.WRITE, "send agent poll", idempotency="idempotencyKey"),
    *_work(3, Scope.ADMIN, "chat.inject"),
    *_work(4, Scope.WRITE, "sessions.send", idempotency="idempotencyKey"),
    *_reads(3, Scope.WRITE, "agent.wait"),
    *_served(
        _reads(4, Scope.READ, "chat.metadata commands.list sessions.describe sessions.branches.list"),
        chat_metadata=p.CHAT_METADATA,
        commands_list=p.COMMANDS_LIST,
        sessions_describe=p.SESSIONS_DESCRIBE,
        sessions_branches_list=p.SESSIONS_BRANCHES_LIST,
    ),
    *_served(_reads(4, Scope.READ, "models.authStatus tasks.list progressCard.get"), tasks_list=p.TASKS_LIST),
    *_reads(4, Scope.READ, "chat.message.get tasks.get tools.catalog"),
    *_served(
        _reads(4, Scope.READ, "sessions.search agents.files.list agents.files.get"),
        sessions_search=p.SESSIONS_SEARCH,
        agents_files_list=p.AGENTS_FILES_LIST,
        agents_files_get=p.AGENTS_FILES_GET,
    ),
    *_served(_work(4, Scope.ADMIN, "agents.files.set"), agents_files_set=p.AGENTS_FILES_SET),
    # sessions
    *_reads(3, Scope.READ, "sessions.preview sessions.resolve"),
    *_served(_reads(4, Scope.READ, "sessions.usage"), sessions_usage=p.USAGE),
    *_reads(4, Scope.READ, "sessions.usage.timeseries sessions.usage.logs"),
    *_served(
        _work(3, Scope.ADMIN, "sessions.patch sessions.reset sessions.delete"),
        sessions_patch=p.SESSIONS_PATCH,
        sessions_reset=p.SESSIONS_RESET,
        sessions_delete=p.SESSIONS_DELETE,
    ),
    *_served(_work(3, Scope.ADMIN, "sessions.compact"), sessions_compact=p.SESSIONS_KEY),
    # ours: a conversation as a document, and back
    *_served(_reads(4, Scope.READ, "sessions.export"), sessions_export=p.SESSIONS_KEY),
    *_served(_work(4, Scope.ADMIN, "sessions.import"), sessions_import=p.SESSIONS_IMPORT),
    *_work(4, Scope.WRITE, "sessions.create"),
    *_reads(4, Scope.WRITE, "sessions.abort"),
    # the gateway about itself
    *_reads(3, Scope.READ, "logs.tail system-presence"),
    *_served(_reads(3, Scope.READ, "usage.status usage.cost"), usage_status=p.NOTHING, usage_cost=p.USAGE),
    *_reads(4, Scope.READ, "gateway.identity.get"),
    *_work(3, Scope.ADMIN, "set-heartbeats system-event update.run"),
    *_work(3, Scope.WRITE, "wake"),
    *_reads(3, Scope.READ, "config.get"),
    *_reads(3, Scope.ADMIN, "config.schema"),
    *_work(3, Scope.ADMIN, "config.set config.apply config.patch"),
    *_work(3, Scope.ADMIN, "wizard.start wizard.next wizard.cancel"),
    *_reads(3, Scope.ADMIN, "wizard.status"),
    # approvals
    *_served(_reads(3, Scope.ADMIN, "exec.approvals.get"), exec_approvals_get=p.NOTHING),
    *_served(_work(3, Scope.ADMIN, "exec.approvals.set"), exec_approvals_set=p.EXEC_APPROVALS_SET),
    *_reads(3, Scope.ADMIN, "exec.approvals.node.get"),
    *_work(3, Scope.ADMIN, "exec.approvals.node.set"),
    *_work(3, Scope.APPROVALS, "exec.approval.request"),
    *_served(_work(3, Scope.APPROVALS, "exec.approval.resolve"), exec_approval_resolve=p.EXEC_APPROVAL_RESOLVE),
    *_served(_reads(4, Scope.APPROVALS, "exec.approval.get"), exec_approval_get=p.EXEC_APPROVAL_GET),
    *_served(_reads(4, Scope.APPROVALS, "exec.approval.list plugin.approval.list")),
    *_reads(4, Scope.APPROVALS, "exec.approval.waitDecision"),
    *_work(4, Scope.APPROVALS, "plugin.approval.resolve"),
    *_served(_reads(4, Scope.QUESTIONS, "question.list")),
    *_work(4, Scope.QUESTIONS, "question.resolve"),
    # channels
    *_reads(3, Scope.READ, "channels.status"),
    *_work(3, Scope.ADMIN, "channels.logout web.login.start web.login.wait"),
    *_reads(4, Scope.PAIRING, "channels.pairing.list"),
    *_work(4, Scope.PAIRING, "channels.pairing.approve channels.pairing.dismiss"),
    # skills, jobs, tools
    *_served(_reads(3, Scope.READ, "skills.status"), skills_status=p.SKILLS_STATUS),
    *_work(3, Scope.ADMIN, "skills.install skills.update"),
    *_served(
        _reads(3, Scope.READ, "cron.list cron.status cron.runs last-heartbeat"),
        cron_list=p.CRON_LIST,
        cron_status=p.NOTHING,
        cron_runs=p.CRON_RUNS,
    ),
    *_served(
        _work(3, Scope.ADMIN, "cron.add cron.update cron.remove cron.run"),
        cron_add=p.CRON_ADD,
        cron_update=p.CRON_UPDATE,
        cron_remove=p.CRON_REMOVE,
        cron_run=p.CRON_RUN,
    ),
    *_work(3, Scope.WRITE, "browser.request"),
    # speech
    *_reads(3, Scope.READ, "tts.status tts.providers voicewake.get"),
    *_work(3, Scope.WRITE, "tts.enable tts.disable tts.convert tts.setProvider voicewake.set talk.mode"),
    # nodes
    *_reads(3, Scope.READ, "node.list node.describe"),
    *_work(3, Scope.WRITE, "node.invoke"),
    *_reads(3, Scope.PAIRING, "node.pair.list"),
    *_work(3, Scope.PAIRING, "node.rename node.pair.request node.pair.approve node.pair.reject node.pair.verify"),
    *_node(3, "node.invoke.result node.event skills.bins"),
]

METHODS: Mapping[str, Method] = {row.name: row for row in _ROWS}


def find_method(name: str) -> Method | None:
    """The row of a method that this version serves, else None."""
    method = METHODS.get(name)
    return method if method is not None and method.served else None


def served_methods() -> list[str]:
    """`features.methods` of hello-ok; `connect` is not in it."""
    return sorted(row.name for row in _ROWS if row.served and row.name != "connect")


def unknown_method(name: str) -> ErrorShape:
    """The official answer; the socket stays open."""
    return ErrorShape(ErrorCode.INVALID_REQUEST, f"unknown method: {name}")


def missing_scope(method: Method, role: str, scopes: Iterable[str], protocol: int) -> ErrorShape | None:
    """None when role and scopes suffice, else the official refusal of that protocol version."""
    if role != method.role:
        if method.scope is None and method.role == OPERATOR:
            return None
        return ErrorShape(ErrorCode.INVALID_REQUEST, f"unauthorized role: {role}")
    if method.scope is None or has_scope(scopes, method.scope):
        return None
    code = ErrorCode.FORBIDDEN if protocol >= 4 else ErrorCode.INVALID_REQUEST
    return ErrorShape(code, f"missing scope: {method.scope}", {"code": "AUTH_SCOPE_MISMATCH", "missingScope": method.scope.value})


def has_scope(scopes: Iterable[str], wanted: str) -> bool:
    """Whether one of these scopes is the wanted one or implies it."""
    held = set(scopes)
    return Scope.ADMIN in held or wanted in held or (wanted == Scope.READ and Scope.WRITE in held)


def covers(held: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether everything wanted is held or implied."""
    have = list(held)
    return all(has_scope(have, scope) for scope in wanted)


def idempotency_key(method: Method, params: object) -> str | None:
    """The key that makes this call safe to send again, or None."""
    if method.idempotency is None or not isinstance(params, dict):
        return None
    value = params.get(method.idempotency)
    return value if isinstance(value, str) and value else None
