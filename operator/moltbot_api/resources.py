"""The three kinds: what the API is told of them beside their schemas."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from moltbot_api.device import MoltbotDeviceSpec, MoltbotDeviceStatus
from moltbot_api.model import rule
from moltbot_api.names import MOLTBOT_NAME_LENGTH, MOLTBOT_NAME_PATTERN
from moltbot_api.snapshot import MoltbotSnapshotSpec, MoltbotSnapshotStatus
from moltbot_api.spec import MoltbotSpec
from moltbot_api.status import MoltbotStatus

# not `moltbot`: a category of the name of a kind would make `kubectl get moltbot ada` mean all three kinds (tried)
CATEGORY = "assistants"


@dataclass(frozen=True)
class Column:
    """One column of ``kubectl get``; priority 1 shows only with ``-o wide``."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True)
class Resource:
    """One kind."""

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    description: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[Column, ...]
    rules: tuple[dict[str, str], ...] = ()
    # whether a bare object without a spec is meant: `spec: {}` is then defaulted
    spec_optional: bool = False


MOLTBOT = Resource(
    kind="Moltbot",
    plural="moltbots",
    singular="moltbot",
    short_names=("mb", "molt"),
    description="Moltbot is one personal AI assistant: it answers, remembers, sleeps when idle and wakes when it is needed.",
    spec=MoltbotSpec,
    status=MoltbotStatus,
    columns=(
        Column("Phase", ".status.phase", description="Where it is in its life"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status', description="Whether a request sent now would be answered"),
        Column("URL", ".status.url", description="Where people reach it"),
        Column("Model", ".status.model", description="The model that answers"),
        Column("Last Backup", ".status.lastBackup.time", "date", description="When the bucket was last found equal to the state"),
        Column("Idle", ".status.lastActivityTime", "date", description="Time since it was last used"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', priority=1, description="Why it is, or is not, ready"),
        Column("Sleep After", ".status.sleepAfter", priority=1, description="When it sleeps"),
    ),
    rules=(
        rule(
            f"self.metadata.name.matches('{MOLTBOT_NAME_PATTERN}') && size(self.metadata.name) <= {MOLTBOT_NAME_LENGTH}",
            f"a Moltbot's name is at most {MOLTBOT_NAME_LENGTH} characters: lower-case letters, digits and single hyphens, beginning with a letter",
        ),
    ),
    spec_optional=True,
)

MOLTBOT_DEVICE = Resource(
    kind="MoltbotDevice",
    plural="moltbotdevices",
    singular="moltbotdevice",
    short_names=("mbdev",),
    description="MoltbotDevice is one browser, app or command line that asks to talk to a Moltbot, or may.",
    spec=MoltbotDeviceSpec,
    status=MoltbotDeviceStatus,
    columns=(
        Column("Moltbot", ".spec.moltbot"),
        Column("Device", ".spec.name", description="What the device calls itself"),
        Column("Platform", ".spec.platform"),
        Column("State", ".status.state"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
    rules=(rule("self.metadata.name == self.spec.moltbot + '-' + self.spec.deviceId", "the name is <moltbot>-<deviceId>"),),
)

MOLTBOT_SNAPSHOT = Resource(
    kind="MoltbotSnapshot",
    plural="moltbotsnapshots",
    singular="moltbotsnapshot",
    short_names=("mbsnap",),
    description="MoltbotSnapshot is one snapshot of a Moltbot's memory in its bucket; creating one asks for a snapshot now.",
    spec=MoltbotSnapshotSpec,
    status=MoltbotSnapshotStatus,
    columns=(
        Column("Moltbot", ".spec.moltbot"),
        Column("Phase", ".status.phase"),
        Column("Files", ".status.files", "integer"),
        Column("Bytes", ".status.bytes", "integer"),
        Column("Sequence", ".status.sequence", "integer"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
)

RESOURCES = (MOLTBOT, MOLTBOT_DEVICE, MOLTBOT_SNAPSHOT)
