"""Settings of the state container and of the backup's client: the environment of internals.md, read once."""

from __future__ import annotations

from dataclasses import dataclass

from moltbot_state.bucket import BucketKind, Place
from moltbot_state.choice import Storage
from moltbot_state.lineage import Mark
from moltbot_state.ownership import Identity
from moltbot_trust.logs import LogFormat, LogLevel
from moltbot_trust.redaction import Secret
from moltbot_trust.settings import setting
from moltbot_trust.tls import STATE_CONTROL_PORT


@dataclass(frozen=True, kw_only=True)
class StateSettings:
    """`python -m moltbot_state`, and its workers."""

    name: str = setting(doc="Name of the Moltbot.")
    namespace: str = setting(doc="Namespace of the Moltbot.")
    uid: str = setting(doc="uid of the Moltbot's resource.")
    pod_uid: str = setting(doc="uid of this pod.")
    pod_ip: str = setting(doc="Address of this pod, on which everything listens.")
    state_dir: str = setting("/state", doc="The state directory.")
    keys: Secret = setting(doc="Key ring of this container as JSON.")
    tls_certificate: Secret = setting(doc="Certificate of this Moltbot, PEM.")
    tls_private_key: Secret = setting(doc="Its key, PEM.")
    storage: Storage = setting(Storage.VOLUME, doc="What the state directory is on.")
    lose_on_restart: bool = setting(False, doc="The person accepted that an ephemeral state without a bucket is lost.")
    log_format: LogFormat = setting(LogFormat.AUTO, doc="Form of log lines.")
    log_level: LogLevel = setting(LogLevel.INFO, doc="Least level that is logged.")
    metrics_port: int = setting(0, doc="Port of the metrics; 0: none.", minimum=0, maximum=65535)
    recorded_lineage: str = setting("", doc="Lineage that the operator recorded; empty: none.")
    recorded_sequence: int = setting(0, doc="Sequence that the operator recorded.", minimum=0)
    bucket_endpoint: str = setting("", doc="S3 endpoint; empty: AWS by region.")
    bucket_region: str = setting("auto", doc="Region of the bucket.")
    bucket_name: str = setting(doc="Name of the bucket.")
    bucket_prefix: str = setting(doc="Effective prefix, ends in a slash.", pattern=r".*/")
    bucket_kind: BucketKind = setting(BucketKind.S3, doc="What serves the bucket.")
    bucket_access_key_id: Secret = setting(doc="Access key id of the bucket.")
    bucket_secret_access_key: Secret = setting(doc="Secret access key of the bucket.")
    bucket_revision: str = setting("", doc="What the operator calls this place with these keys; reported, so that it knows what we read.")
    gateway_url: str = setting(doc="Control of the gateway beside this container.", pattern=r"https://.+")
    backup_seconds: float = setting(
        300.0, doc="Period of the backup schedule; not asked for two of them, it snapshots by itself.", minimum=1
    )
    flush_seconds: float = setting(100.0, doc="Longest time of the last flush.", minimum=0)
    # Fixed wherever operator, backup and gateway look for it; tests take 0.
    listen_control_port: int = setting(STATE_CONTROL_PORT, doc="Control.", minimum=0, maximum=65535)

    @property
    def place(self) -> Place:
        return Place(self.bucket_endpoint, self.bucket_region, self.bucket_name, self.bucket_prefix, self.bucket_kind)

    @property
    def identity(self) -> Identity:
        return Identity(self.uid, self.namespace, self.name)

    @property
    def recorded(self) -> Mark | None:
        return Mark(self.recorded_lineage, self.recorded_sequence) if self.recorded_lineage else None


@dataclass(frozen=True)
class BackupSettings:
    """`python -m moltbot_state backup`."""

    name: str = setting(doc="Name of the Moltbot.")
    namespace: str = setting(doc="Namespace of the Moltbot.")
    uid: str = setting(doc="uid of the Moltbot's resource.")
    keys: Secret = setting(doc="Key ring of the backup as JSON.")
    certificate: str = setting(doc="Fingerprint of the Moltbot's certificate, hex.")
    state_url: str = setting(doc="Control of the state container.", pattern=r"https://.+")
    log_format: LogFormat = setting(LogFormat.AUTO, doc="Form of log lines.")
    log_level: LogLevel = setting(LogLevel.INFO, doc="Least level that is logged.")
