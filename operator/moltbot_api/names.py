"""Names, labels and annotations: every string that two processes must spell alike.

What is *in* the objects is not decided here but by the builders of ``moltbot_operator.manifests``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

GROUP = "moltbot.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

MOLTBOT_NAME_PATTERN = r"^[a-z]([a-z0-9]|-[a-z0-9])*$"
# A StatefulSet's pods carry the label `controller-revision-hash: <name>-<hash>`, at most 63 characters; a host label has the same bound.
MOLTBOT_NAME_LENGTH = 40

_NAME = re.compile(MOLTBOT_NAME_PATTERN)

# --- labels: a small fixed set, the only ones that selectors use
LABEL_NAME = "moltbot.dev/name"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_APP = "app.kubernetes.io/name"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
APP = "moltbot"
MANAGED_BY = "moltbot-operator"
COMPONENT_GATEWAY = "gateway"
COMPONENT_BACKUP = "backup"

# --- annotations on children
ANNOTATION_HASH = "moltbot.dev/hash"
ANNOTATION_CERTIFICATE = "moltbot.dev/certificate"
ANNOTATION_SECRETS = "moltbot.dev/secrets"
# on the pod template: hash of the ConfigMap NAME-agent, so that a change of it is a changed template
ANNOTATION_AGENT = "moltbot.dev/agent"
# on the pod template: keyed hash of how the model is reached, so that what a pod says of the model can be told from what another one said
ANNOTATION_MODEL = "moltbot.dev/model"
# on the pod template: a fingerprint for each job's time, in words with spaces between; `-`: there is none
ANNOTATION_JOBS = "moltbot.dev/jobs"
# on the pod template: hash of what a person chose (spec, Secrets), so that an upgrade of ours can be told from a change of theirs
ANNOTATION_INPUTS = "moltbot.dev/inputs"
# a retained claim remembers whose it was
ANNOTATION_LAST_OWNER = "moltbot.dev/last-owner"

# --- annotations on a Moltbot: what a person asks for now, as RFC 3339 UTC times
ANNOTATION_WAKE = "moltbot.dev/wake"
ANNOTATION_SLEEP = "moltbot.dev/sleep"
ANNOTATION_RESTART = "moltbot.dev/restart"
ANNOTATION_REFRESH = "moltbot.dev/refresh"

# --- ports of the gateway pod
PORT_GATEWAY = 18789
PORT_GATEWAY_CONTROL = 18790
PORT_STATE_CONTROL = 18791
PORT_GATEWAY_METRICS = 9090
PORT_STATE_METRICS = 9091

# --- field managers: the skeleton's is a second one, so that an apply never owns `replicas` (architecture, rule 2)
FIELD_MANAGER = "moltbot-operator"
FIELD_MANAGER_CREATE = "moltbot-operator-create"
FIELD_MANAGER_ROUTER = "moltbot-router"

# --- in the operator's own namespace
MASTER_KEY_SECRET = "moltbot-master-key"
ROUTER_KEYS_SECRET = "moltbot-router-keys"
ROUTER_KEYS_FILE = "keys.json"
ADMIN_SECRET = "moltbot-admin"
ADMIN_KEY = "MOLTBOT_ADMIN_KEY"
OPERATOR_LEASE = "moltbot-operator"

GATEWAY_TOKEN_KEY = "MOLTBOT_GATEWAY_TOKEN"
AGENT_KEY = "agent.json"

CONTAINER_GATEWAY = "gateway"
CONTAINER_STATE = "state"
CONTAINER_BACKUP = "backup"
STATE_MOUNT_PATH = "/state"


def is_moltbot_name(name: str) -> bool:
    """Whether the API server would take this as a Moltbot's name (the CRD says the same in CEL)."""
    return len(name) <= MOLTBOT_NAME_LENGTH and _NAME.match(name) is not None


@dataclass(frozen=True)
class Children:
    """The names of one Moltbot's children, all in its own namespace.

    A child's name is the Moltbot's and a fixed suffix, and no suffix is the tail of another one of the same kind, so children of
    ``ada`` and of ``ada-gateway`` never share a name.
    """

    moltbot: str

    @property
    def gateway(self) -> str:
        """StatefulSet, governing Service, NetworkPolicy and ServiceAccount of the gateway."""
        return f"{self.moltbot}-gateway"

    @property
    def pod(self) -> str:
        return f"{self.moltbot}-gateway-0"

    @property
    def backup(self) -> str:
        """CronJob and NetworkPolicy of the backup."""
        return f"{self.moltbot}-backup"

    @property
    def state(self) -> str:
        """PersistentVolumeClaim."""
        return f"{self.moltbot}-state"

    @property
    def boot(self) -> str:
        """ConfigMap that the pod reads as environment at start."""
        return f"{self.moltbot}-boot"

    @property
    def agent(self) -> str:
        """ConfigMap with what the resource says about the assistant itself."""
        return f"{self.moltbot}-agent"

    @property
    def gateway_token(self) -> str:
        """Secret with the generated gateway token."""
        return f"{self.moltbot}-gateway-token"

    @property
    def keys(self) -> str:
        """Secret with the key rings of the pod's containers."""
        return f"{self.moltbot}-keys"

    @property
    def certificate(self) -> str:
        """Secret with the pod's TLS key and certificate."""
        return f"{self.moltbot}-certificate"

    @property
    def model(self) -> str:
        """Secret with the model's connection, resolved and cleaned."""
        return f"{self.moltbot}-model"

    @property
    def bucket(self) -> str:
        """Secret with the bucket's credentials, resolved and cleaned."""
        return f"{self.moltbot}-bucket"


def device_object_name(moltbot: str, device_id: str) -> str:
    """Name of the MoltbotDevice of one device: the Moltbot's name and the device id (64 hex digits)."""
    return f"{moltbot}-{device_id}"


def requested_snapshot_name(moltbot: str, now: datetime, salt: str) -> str:
    """Name for a MoltbotSnapshot that a person asks for: the time (UTC) for people, and `salt` (hex) against two in one second."""
    return f"{moltbot}-{now.strftime('%Y%m%d-%H%M%S')}-{salt}"


def gateway_selector(moltbot: str) -> dict[str, str]:
    """Selector of the gateway's StatefulSet: immutable, so it holds nothing that could ever change."""
    return {LABEL_NAME: moltbot, LABEL_COMPONENT: COMPONENT_GATEWAY}


def child_labels(moltbot: str, component: str) -> dict[str, str]:
    """Labels of every child."""
    return {LABEL_APP: APP, LABEL_COMPONENT: component, LABEL_MANAGED_BY: MANAGED_BY, LABEL_NAME: moltbot}
