"""Params of the methods that are served: versions 3 and 4 together, for one connection may speak either. Unknown properties are refused,
as everywhere."""

from __future__ import annotations

from moltbot_protocol.schema import Check, Shape, anything, array, boolean, by_kind, either, integer, nullable, one_of, shape, text

# A session key of the official clients has up to 512 characters; ids and labels are shorter.
SESSION_KEY = text(1, 512)
_NAME = text(1, 256)
_LABEL = text(1, 512)
MAX_MESSAGE = 1_000_000

NOTHING = shape()
HEALTH = shape(probe=boolean(), includeSensitive=boolean())
STATUS = shape(includeChannelSummary=boolean())

_HISTORY = {
    "agentId": _NAME,
    "cursor": text(0, 4096),
    "limit": integer(1, 1000),
    "maxBytes": integer(1024),
    "offset": integer(0),
    "pendingBefore": integer(1),
    "inputRunIds": array(_NAME, 50),
    "messageId": _NAME,
    "sessionId": _NAME,
    "maxChars": integer(1, 500_000),
}
CHAT_HISTORY = Shape({"sessionKey": SESSION_KEY}, _HISTORY)
_BY_LINK = shape({"shortId": _NAME, "agentId": _NAME}, slugHint=_NAME, limit=integer(1, 1000), maxBytes=integer(1024))


class _Startup(Shape):
    """A session by its key, or by a short link."""

    def __call__(self, value: object, path: str = "") -> None:
        (_BY_LINK if isinstance(value, dict) and "shortId" in value else CHAT_HISTORY)(value, path)


CHAT_STARTUP: Shape = _Startup()
CHAT_SEND = shape(
    {"sessionKey": SESSION_KEY, "message": text(0, MAX_MESSAGE), "idempotencyKey": _NAME},
    agentId=_NAME,
    sessionId=_NAME,
    thinking=text(0, 64),
    fastMode=either(boolean(), one_of("auto")),
    fastAutoOnSeconds=integer(1),
    deliver=boolean(),
    originatingChannel=text(0, 256),
    originatingTo=text(0, 256),
    originatingAccountId=text(0, 256),
    originatingThreadId=text(0, 256),
    attachments=array(anything(), 32),
    timeoutMs=integer(0),
    systemInputProvenance=anything(),
    systemProvenanceReceipt=text(0, 65536),
    suppressCommandInterpretation=boolean(),
    clarification=anything(),
)
CHAT_ABORT = shape({"sessionKey": SESSION_KEY}, agentId=_NAME, runId=_NAME)
CHAT_CONTINUE = shape({"sessionKey": SESSION_KEY, "idempotencyKey": _NAME}, agentId=_NAME, thinking=text(0, 64), timeoutMs=integer(0))
CHAT_REWIND = shape({"sessionKey": SESSION_KEY, "messageId": _NAME}, agentId=_NAME)
MEDIA_GET = shape({"id": _NAME})
USAGE = Shape({}, {"key": SESSION_KEY, "days": integer(1), "agentId": _NAME}, open=True)
CHAT_METADATA = shape(agentId=_NAME, sessionKey=SESSION_KEY)

SESSIONS_LIST = shape(
    limit=integer(1),
    offset=integer(0),
    activeMinutes=integer(1),
    includeGlobal=boolean(),
    includeUnknown=boolean(),
    configuredAgentsOnly=boolean(),
    includeDerivedTitles=boolean(),
    includeLastMessage=boolean(),
    label=_LABEL,
    spawnedBy=_NAME,
    agentId=_NAME,
    search=text(0, 4096),
    archived=either(boolean(), text(1, 32)),
)
SESSIONS_DESCRIBE = shape({"key": SESSION_KEY}, agentId=_NAME, includeDerivedTitles=boolean(), includeLastMessage=boolean())
SESSIONS_MESSAGES_SUBSCRIBE = shape({"key": SESSION_KEY}, agentId=_NAME, includeApprovals=boolean())
SESSIONS_MESSAGES_UNSUBSCRIBE = shape({"key": SESSION_KEY}, agentId=_NAME)
SESSIONS_BRANCHES_LIST = shape({"sessionKey": SESSION_KEY}, agentId=_NAME)

# The fields that are not served are named by the method itself, in words.
SESSIONS_PATCH = Shape({"key": SESSION_KEY}, {"agentId": _NAME, "label": nullable(text(0, 512))}, open=True)
SESSIONS_RESET = shape({"key": SESSION_KEY}, agentId=_NAME, reason=text(0, 64))
SESSIONS_KEY = Shape({"key": SESSION_KEY}, {"agentId": _NAME}, open=True)
SESSIONS_IMPORT = shape({"document": anything()}, key=SESSION_KEY, agentId=_NAME)
SESSIONS_DELETE = shape({"key": SESSION_KEY}, agentId=_NAME, deleteTranscript=boolean())

SESSIONS_SEARCH = shape({"query": text(0, 4096)}, limit=integer(1, 100), agentId=_NAME)
AGENTS_FILES_LIST = shape(agentId=_NAME)
AGENTS_FILES_GET = shape({"name": text(1, 1024)}, agentId=_NAME)
AGENTS_FILES_SET = shape({"name": text(1, 1024), "content": text(0, MAX_MESSAGE)}, agentId=_NAME)
SKILLS_STATUS = shape(agentId=_NAME)

MODELS_LIST = shape(view=text(1, 64), agentId=_NAME, provider=_NAME, sessionKey=SESSION_KEY, includeUnavailable=boolean())
AGENT_IDENTITY_GET = shape(agentId=nullable(_NAME), sessionKey=nullable(SESSION_KEY))
TASKS_LIST = Shape({}, {"limit": integer(1), "offset": integer(0)}, open=True)
COMMANDS_LIST = Shape({}, {"agentId": _NAME}, open=True)

EXEC_APPROVAL_GET = shape({"id": _NAME})
EXEC_APPROVAL_RESOLVE = shape({"id": _NAME, "decision": one_of("allow-once", "allow-always", "deny")})
# `file` is read by the method itself.
EXEC_APPROVALS_SET = shape({"file": Shape({}, {}, open=True)}, baseHash=text(0, 128))

DEVICE_PAIR_REQUEST = shape({"requestId": _NAME})
DEVICE_PAIR_REMOVE = shape({"deviceId": _NAME})
DEVICE_TOKEN_ROTATE = shape({"deviceId": _NAME, "role": _NAME}, scopes=array(_NAME, 32))
DEVICE_TOKEN_REVOKE = shape({"deviceId": _NAME, "role": _NAME})

_SCHEDULE = by_kind(
    at=shape({"kind": one_of("at")}, atMs=integer(1), at=text(1, 64)),
    every=shape({"kind": one_of("every"), "everyMs": integer(1)}, anchorMs=integer(0)),
    cron=shape({"kind": one_of("cron"), "expr": text(1, 256)}, tz=nullable(text(0, 64))),
)
# What is named and not served (delivery to channels) the method refuses in words.
_PAYLOAD = by_kind(
    agentTurn=shape(
        {"kind": one_of("agentTurn")},
        message=text(1, 20_000),
        model=nullable(text(0, 200)),
        thinking=nullable(text(0, 64)),
        timeoutSeconds=integer(1),
        deliver=boolean(),
        channel=text(0, 256),
        to=text(0, 256),
        bestEffortDeliver=boolean(),
    ),
    systemEvent=shape({"kind": one_of("systemEvent")}, text=text(1, 20_000)),
)
_JOB: dict[str, Check] = {
    "agentId": nullable(_NAME),
    "description": text(0, 2000),
    "enabled": boolean(),
    "deleteAfterRun": boolean(),
    "sessionTarget": one_of("main", "isolated"),
    "wakeMode": one_of("now", "next-heartbeat"),
    "missed": one_of("run", "skip"),
}
_JOB_NAME = text(1, 200)
_JOB_IDS: dict[str, Check] = {"id": _NAME, "jobId": _NAME}
CRON_LIST = shape(includeDisabled=boolean(), agentId=_NAME)
CRON_ADD = Shape({"name": _JOB_NAME, "schedule": _SCHEDULE, "payload": _PAYLOAD}, _JOB)
CRON_UPDATE = Shape({"patch": Shape({}, {"name": _JOB_NAME, "schedule": _SCHEDULE, "payload": _PAYLOAD, **_JOB})}, _JOB_IDS)
CRON_REMOVE = Shape({}, _JOB_IDS)
CRON_RUN = Shape({}, {**_JOB_IDS, "mode": one_of("force", "due")})
CRON_RUNS = Shape({}, {**_JOB_IDS, "limit": integer(1, 1000)})

# Methods whose params are not served yet: only that they are an object.
UNREAD = Shape({}, {}, open=True)
