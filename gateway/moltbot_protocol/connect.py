"""`connect`: the first request of a connection, as typed values, and which protocol version the two sides speak."""

from __future__ import annotations

import re
from dataclasses import dataclass

from moltbot_protocol import PROTOCOL_MAX, PROTOCOL_MIN
from moltbot_protocol.errors import CloseCode, ErrorCode, ErrorShape, ParamsError
from moltbot_protocol.schema import array, boolean, integer, mapping, nullable, shape, strings, text

# Client ids that the official servers know. A well-formed other one is let in: apps that we do not know yet are no attack.
_CLIENT_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
CLIENT_MODES = frozenset({"webchat", "cli", "ui", "backend", "node", "probe", "test", "worker"})
ROLES = frozenset({"operator", "node"})
DEFAULT_ROLE = "operator"

_WORD = text(1, 256)
_CREDENTIAL = text(0, 4096)
_CONNECT = shape(
    {
        "minProtocol": integer(1, 1000),
        "maxProtocol": integer(1, 1000),
        "client": shape(
            {"id": _WORD, "version": _WORD, "platform": _WORD, "mode": _WORD},
            displayName=_WORD, deviceFamily=_WORD, modelIdentifier=_WORD, instanceId=_WORD, buildId=_WORD, timeZone=_WORD,
        ),
    },
    caps=array(_WORD, 64),
    commands=array(_WORD, 512),
    permissions=mapping(boolean()),
    pathEnv=text(0, 32768),
    role=_WORD,
    scopes=array(_WORD, 32),
    device=shape({"id": _WORD, "publicKey": _WORD, "signature": _WORD, "signedAt": integer()}, nonce=text(0, 256)),
    auth=nullable(
        shape(
            token=_CREDENTIAL, password=_CREDENTIAL, deviceToken=_CREDENTIAL, bootstrapToken=_CREDENTIAL,
            approvalRuntimeToken=_CREDENTIAL, agentRuntimeIdentityToken=_CREDENTIAL,
        )
    ),
    locale=text(0, 64),
    userAgent=text(0, 1024),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Client:
    """What a client says of itself: hostile text, shown and never trusted."""

    id: str
    version: str
    platform: str
    mode: str
    display_name: str = ""
    device_family: str = ""
    model_identifier: str = ""
    instance_id: str = ""
    time_zone: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """The claimed identity. `signed_at` in milliseconds since the epoch; `nonce` empty when the client sent none."""

    id: str
    public_key: str
    signature: str
    signed_at: int
    nonce: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Auth:
    """The strings sent in `auth`, each None when absent."""

    token: str | None = None
    password: str | None = None
    device_token: str | None = None
    bootstrap_token: str | None = None

    def __repr__(self) -> str:
        return f"Auth({', '.join(name for name in self.__slots__ if getattr(self, name) is not None)})"

    @property
    def signature_token(self) -> str:
        """The string that goes into the device's signature: the first that is there, as the official servers choose it."""
        for value in (self.token, self.device_token, self.bootstrap_token):
            if value is not None:
                return value
        return ""


@dataclass(frozen=True, slots=True)
class Connect:
    """Checked `connect` params. `scopes` None: the client asked for none by name."""

    min_protocol: int
    max_protocol: int
    client: Client
    role: str
    scopes: tuple[str, ...] | None
    caps: tuple[str, ...]
    device: Device | None
    auth: Auth
    locale: str = ""
    user_agent: str = ""


def parse_connect(params: object) -> Connect:
    """Raises ParamsError with the official wording; the connection ends then."""
    try:
        document = _CONNECT.check(params)
    except ParamsError as error:
        raise ParamsError(f"invalid connect params: {error.message}", close=CloseCode.POLICY) from error
    client = _object(document["client"])
    if not _CLIENT_ID.fullmatch(str(client["id"])):
        raise ParamsError("invalid connect params: at /client/id: must be equal to one of the allowed values", close=CloseCode.POLICY)
    if client["mode"] not in CLIENT_MODES:
        raise ParamsError("invalid connect params: at /client/mode: must be equal to one of the allowed values", close=CloseCode.POLICY)
    role = str(document.get("role", DEFAULT_ROLE))
    if role not in ROLES:
        raise ParamsError("invalid role", close=CloseCode.POLICY)
    device = _object(document.get("device"))
    auth = _object(document.get("auth"))
    return Connect(
        min_protocol=_number(document["minProtocol"]),
        max_protocol=_number(document["maxProtocol"]),
        client=Client(
            id=_text(client, "id"),
            version=_text(client, "version"),
            platform=_text(client, "platform"),
            mode=_text(client, "mode"),
            display_name=_text(client, "displayName"),
            device_family=_text(client, "deviceFamily"),
            model_identifier=_text(client, "modelIdentifier"),
            instance_id=_text(client, "instanceId"),
            time_zone=_text(client, "timeZone"),
        ),
        role=role,
        scopes=tuple(strings(document["scopes"])) if "scopes" in document else None,
        caps=tuple(strings(document.get("caps"))),
        device=Device(
            id=_text(device, "id"),
            public_key=_text(device, "publicKey"),
            signature=_text(device, "signature"),
            signed_at=_number(device["signedAt"]),
            nonce=_text(device, "nonce"),
        )
        if device
        else None,
        auth=Auth(_optional(auth, "token"), _optional(auth, "password"), _optional(auth, "deviceToken"), _optional(auth, "bootstrapToken")),
        locale=_text(document, "locale"),
        user_agent=_text(document, "userAgent"),
    )


def negotiate(connect: Connect) -> int | None:
    """The version both sides speak, or None (then answer `protocol_mismatch` and close with 1002)."""
    version = min(PROTOCOL_MAX, connect.max_protocol)
    return version if version >= max(PROTOCOL_MIN, connect.min_protocol) else None


def protocol_mismatch(connect: Connect) -> ErrorShape:
    """The answer to a client that speaks none of our versions."""
    return ErrorShape(
        ErrorCode.INVALID_REQUEST,
        "protocol mismatch",
        {
            "code": "PROTOCOL_MISMATCH",
            "clientMinProtocol": connect.min_protocol,
            "clientMaxProtocol": connect.max_protocol,
            "expectedProtocol": PROTOCOL_MAX,
            "minimumProbeProtocol": PROTOCOL_MIN,
        },
    )


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _text(document: dict[str, object], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _optional(document: dict[str, object], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
