"""Settings of the gateway process; the reference of each is its `doc`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from moltbot_protocol.models import DEFAULT_MODEL
from moltbot_trust.logs import LogFormat, LogLevel
from moltbot_trust.redaction import Secret
from moltbot_trust.settings import setting
from moltbot_trust.tls import GATEWAY_CONTROL_PORT, GATEWAY_PORT


class ModelAdapter(StrEnum):
    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    DEMO = "demo"
    NONE = "none"


# The state's own `Storage` once more: nothing of moltbot_state is imported at a cold start (a test holds that).
class Storage(StrEnum):
    VOLUME = "volume"
    EPHEMERAL = "ephemeral"


@dataclass(frozen=True)
class Settings:
    name: str = setting(doc="Name of the Moltbot.")
    namespace: str = setting(doc="Its namespace.")
    uid: str = setting(doc="Uid of the Moltbot: its keys were derived for it.")
    pod_uid: str = setting(doc="Uid of this pod: what seals and assertions must name.")
    pod_ip: str = setting(doc="The address on which every port is served.")
    keys: Secret = setting(doc="Key ring of this container as JSON.")
    tls_certificate: str = setting(doc="Certificate of the Moltbot, PEM; clients pin its fingerprint.")
    tls_private_key: Secret = setting(doc="Its key, PEM.")
    state_dir: str = setting("/state", doc="Where `current/` and what belongs to it stand.")
    storage: Storage = setting(Storage.VOLUME, doc="Where the state directory is; decides how long a turn may go on after SIGTERM.")
    lose_on_restart: bool = setting(False, doc="Whether a person accepted that an ephemeral state without a bucket is lost.")
    recorded_lineage: str = setting("", doc="Lineage that the operator recorded; empty: none.")
    recorded_sequence: int | None = setting(None, doc="Sequence that it recorded.", minimum=0)
    state_url: str = setting("", doc="Control of the state container; empty without a bucket: then the gateway opens the state by itself.")
    model_adapter: ModelAdapter = setting(
        ModelAdapter.NONE, doc="Who answers: Claude, what speaks chat completions, the offline demo, or nobody yet."
    )
    model_name: str = setting(DEFAULT_MODEL, doc="Model that is asked for.")
    model_api_key: Secret | None = setting(None, doc="The provider's key.")
    model_gateway_authorization: Secret | None = setting(None, doc="Token of an AI Gateway (header cf-aig-authorization).")
    model_base_url: str = setting("", doc="Base URL of the Messages API or of chat completions; empty: Anthropic's or OpenAI's own.")
    model_openai_api_key: Secret | None = setting(None, doc="Key for models named `openai/…` where another adapter is the main one.")
    model_openai_base_url: str = setting("", doc="Base URL of chat completions for such models; empty: OpenAI's own.")
    model_problem: str = setting("", doc="What the person is told while no model can work (adapter none).")
    agent: str = setting("", doc="What the resource says about the assistant itself, JSON ([agent](agent.md)).")
    log_format: LogFormat = setting(LogFormat.AUTO, doc="JSON lines or text.")
    log_level: LogLevel = setting(LogLevel.INFO, doc="Least level that is written.")
    metrics_port: int = setting(0, doc="Port of the metrics; 0: off.", minimum=0, maximum=65535)
    # Fixed wherever a router or an operator looks for them; tests take 0.
    listen_port: int = setting(GATEWAY_PORT, doc="People's traffic.", minimum=0, maximum=65535)
    listen_control_port: int = setting(GATEWAY_CONTROL_PORT, doc="Control.", minimum=0, maximum=65535)
