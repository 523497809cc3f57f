"""The closed catalogue of conditions and their reasons (api.md, status).

A reason that is not here cannot be written; ``docs/reference/conditions.md`` explains each one to people, and a test compares.
"""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """For people only; programs read conditions."""

    PENDING = "Pending"
    WAKING = "Waking"
    AWAKE = "Awake"
    DRAINING = "Draining"
    ASLEEP = "Asleep"
    SUSPENDED = "Suspended"
    FAILED = "Failed"


class ConditionType(StrEnum):
    READY = "Ready"
    SLEEPING = "Sleeping"
    SECRETS_READY = "SecretsReady"
    STORAGE_READY = "StorageReady"
    MODEL_READY = "ModelReady"
    BACKUP_READY = "BackupReady"
    EXPOSED = "Exposed"
    PROGRESSING = "Progressing"
    NAME_TAKEN = "NameTaken"
    FOREIGN_FIELDS = "ForeignFields"


class Reason(StrEnum):
    """Every reason of every condition and event."""

    # Ready
    SERVING = "Serving"
    ASLEEP = "Asleep"
    STARTING = "Starting"
    WAKING = "Waking"
    RESTORING = "Restoring"
    DRAINING = "Draining"
    SUSPENDED = "Suspended"
    NOT_CREATED = "NotCreated"
    PREVIOUS_POD_STUCK = "PreviousPodStuck"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CRASH_LOOP = "CrashLoop"
    CONTAINER_CONFIG = "ContainerConfigError"
    UNSCHEDULABLE = "Unschedulable"
    GATEWAY_UNREACHABLE = "GatewayUnreachable"
    BAD_REPORT = "BadReport"
    STATE_WAITING = "StateWaiting"
    SECRETS_NOT_READY = "SecretsNotReady"
    STORAGE_NOT_READY = "StorageNotReady"
    KUBERNETES_TOO_OLD = "KubernetesTooOld"
    DELETING = "Deleting"
    RECONCILE_FAILED = "ReconcileFailed"
    # Sleeping
    AWAKE = "Awake"
    IDLE = "Idle"
    NEVER = "Never"
    REQUESTED = "Requested"
    BUSY = "Busy"
    BACKUP_FAILED = "BackupFailed"
    # SecretsReady
    RESOLVED = "Resolved"
    SECRET_MISSING = "SecretMissing"
    SECRET_KEY_MISSING = "SecretKeyMissing"
    GROUP_INCOMPLETE = "GroupIncomplete"
    VALUE_INVALID = "ValueInvalid"
    VALUE_CLEANED = "ValueCleaned"
    KEY_UNKNOWN = "KeyUnknown"
    KEY_NOT_SERVED = "KeyNotServed"
    # StorageReady
    BOUND = "Bound"
    EPHEMERAL = "Ephemeral"
    LOSE_ON_RESTART = "LoseOnRestart"
    CLAIM_PENDING = "ClaimPending"
    CLAIM_LOST = "ClaimLost"
    CLAIM_MISSING = "ClaimMissing"
    CLAIM_IN_USE = "ClaimInUse"
    CLAIM_ADOPTED = "ClaimAdopted"
    NO_STORAGE_CLASS = "NoStorageClass"
    NO_BUCKET_FOR_EPHEMERAL = "NoBucketForEphemeral"
    DATABASE_DAMAGED = "DatabaseDamaged"
    DATABASE_TOO_NEW = "DatabaseTooNew"
    STATE_MISSING = "StateMissing"
    STATE_OLDER = "StateOlderThanRecorded"
    STATE_UNREADABLE = "StateUnreadable"
    STATE_OF_ANOTHER = "StateOfAnotherLineage"
    # ModelReady
    CONFIGURED = "Configured"
    ANSWERED = "Answered"
    DEMO_MODEL = "DemoModel"
    NO_MODEL = "NoModel"
    MODEL_AUTHENTICATION = "ModelAuthenticationFailed"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_UNREACHABLE = "ModelUnreachable"
    MODEL_RATE_LIMITED = "ModelRateLimited"
    MODEL_FORBIDDEN = "ModelForbidden"
    MODEL_BILLING = "ModelBilling"
    MODEL_OVERLOADED = "ModelOverloaded"
    MODEL_TIMED_OUT = "ModelTimedOut"
    MODEL_BAD_ANSWER = "ModelBadAnswer"
    MODEL_ERROR = "ModelError"
    # BackupReady
    BACKED_UP = "BackedUp"
    NOT_CONFIGURED = "NotConfigured"
    NOT_BACKED_UP_YET = "NotBackedUpYet"
    BUCKET_MISSING = "BucketMissing"
    BUCKET_UNREACHABLE = "BucketUnreachable"
    BUCKET_CREDENTIALS = "BucketCredentials"
    BUCKET_ERROR = "BucketError"
    NO_CONDITIONAL_WRITES = "NoConditionalWrites"
    FOREIGN_PREFIX = "ForeignPrefix"
    DIVERGED = "Diverged"
    SNAPSHOT_CORRUPT = "SnapshotCorrupt"
    SNAPSHOT_OLDER = "SnapshotOlderThanRecorded"
    SNAPSHOT_MISSING = "SnapshotMissing"
    SNAPSHOT_TOO_NEW = "SnapshotTooNew"
    SNAPSHOT_OF_ANOTHER = "SnapshotOfAnotherLineage"
    # Exposed
    ROUTED = "Routed"
    HOST_CONFLICT = "HostConflict"
    # Progressing
    UP_TO_DATE = "UpToDate"
    ROLLING = "RollingOut"
    APPLIES_AT_NEXT_WAKE = "AppliesAtNextWake"
    CHANGED_BY_ADMISSION = "ChangedByAdmission"
    # NameTaken, ForeignFields
    NAME_TAKEN = "NameTaken"
    FOREIGN_FIELDS = "ForeignFields"
    # events about what a person asked for
    ACTION_DONE = "ActionDone"
    ACTION_IGNORED = "ActionIgnored"
    ACTION_REFUSED = "ActionRefused"
    ACTION_SUPERSEDED = "ActionSuperseded"
    WOKE = "Woke"
    FELL_ASLEEP = "FellAsleep"
