"""The backup CronJob (rule 9): it asks the state container for a snapshot, holding nothing but this Moltbot's backup key. Pure."""

from __future__ import annotations

from moltbot_api.names import COMPONENT_BACKUP, CONTAINER_BACKUP, PORT_STATE_CONTROL, child_labels
from moltbot_operator.manifests.plan import (
    Manifest,
    Plan,
    container_security,
    env_field,
    env_secret,
    env_value,
    metadata,
    pod_security,
)
from moltbot_operator.manifests.schedule import DEFAULT_SCHEDULE, offset_schedule

# A firing that the controller missed by more than this is left to the next one (seconds); without it a long outage, or a long sleep, ends
# in a burst. https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#starting-deadline
STARTING_DEADLINE_SECONDS = 120
# An upload that takes longer is not waited for; the snapshot goes on in the state container (seconds).
ACTIVE_DEADLINE_SECONDS = 600


def build_backup(plan: Plan) -> Manifest:
    """Runs while awake, suspended asleep."""
    children, installation, gateway = plan.children, plan.installation, plan.spec.gateway
    backup = plan.spec.persistence.backup if plan.spec.persistence else None
    container = {
        "name": CONTAINER_BACKUP,
        "image": (gateway and gateway.image) or installation.image,
        "imagePullPolicy": (gateway and gateway.image_pull_policy) or installation.pull_policy,
        "command": ["python", "-m", "moltbot_state", "backup"],
        "env": [
            env_value("MOLTBOT_NAME", plan.name),
            env_field("MOLTBOT_NAMESPACE", "metadata.namespace"),
            env_value("MOLTBOT_UID", plan.uid),
            env_secret("MOLTBOT_KEYS", children.keys, CONTAINER_BACKUP),
            env_value("MOLTBOT_CERTIFICATE", plan.fingerprint),
            env_value("MOLTBOT_STATE_URL", f"https://{children.gateway}.{plan.namespace}.svc:{PORT_STATE_CONTROL}"),
            env_value("MOLTBOT_LOG_FORMAT", installation.log_format),
            env_value("MOLTBOT_LOG_LEVEL", installation.log_level),
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    pod: Manifest = {
        "serviceAccountName": children.gateway,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": pod_security(),
        "containers": [container],
    }
    if gateway is not None:
        if gateway.image_pull_secrets:
            pod["imagePullSecrets"] = [{"name": secret.name} for secret in gateway.image_pull_secrets]
        if gateway.node_selector:
            pod["nodeSelector"] = dict(gateway.node_selector)
        if gateway.tolerations:
            pod["tolerations"] = [one.model_dump(by_alias=True, exclude_none=True) for one in gateway.tolerations]
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata(plan, children.backup, COMPONENT_BACKUP),
        "spec": {
            "schedule": offset_schedule(backup.schedule if backup else DEFAULT_SCHEDULE, plan.uid),
            "suspend": not plan.awake,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": STARTING_DEADLINE_SECONDS,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {
                "metadata": {"labels": child_labels(plan.name, COMPONENT_BACKUP)},
                "spec": {
                    "backoffLimit": 0,
                    "activeDeadlineSeconds": ACTIVE_DEADLINE_SECONDS,
                    "ttlSecondsAfterFinished": 3600,
                    "template": {"metadata": {"labels": child_labels(plan.name, COMPONENT_BACKUP)}, "spec": pod},
                },
            },
        },
    }
