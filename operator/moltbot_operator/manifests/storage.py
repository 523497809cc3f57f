"""Where the state lives and what the pod is told of it at start: claim, ConfigMap `<name>-boot`. Pure."""

from __future__ import annotations

from moltbot_api.names import ANNOTATION_LAST_OWNER, COMPONENT_GATEWAY
from moltbot_api.spec import DeletionPolicy
from moltbot_operator.manifests.plan import Manifest, Plan, metadata

DEFAULT_SIZE = "1Gi"


def build_claim(plan: Plan) -> Manifest:
    """The claim `<name>-state`: an object of its own, so that it can grow and can outlive the Moltbot (rule 2).

    With `deletionPolicy: Delete` it is owned and goes with the Moltbot; else it only remembers whose it was.
    """
    persistence = plan.spec.persistence
    delete = persistence is not None and persistence.deletion_policy is DeletionPolicy.DELETE
    made = metadata(plan, plan.children.state, COMPONENT_GATEWAY, owned=delete)
    made["annotations"] = {ANNOTATION_LAST_OWNER: plan.uid}
    size = persistence.size if persistence and persistence.size is not None else DEFAULT_SIZE
    spec: Manifest = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": str(size)}}}
    if persistence is not None and persistence.storage_class_name:
        spec["storageClassName"] = persistence.storage_class_name
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": made, "spec": spec}


def build_boot_config(plan: Plan) -> Manifest:
    """What the pod reads at start: what was recorded of the state, and the bucket's place."""
    recorded = plan.recorded
    data = {
        "MOLTBOT_RECORDED_LINEAGE": recorded.lineage,
        "MOLTBOT_RECORDED_SEQUENCE": "" if recorded.sequence is None else str(recorded.sequence),
    }
    if plan.bucket is not None:
        data |= {
            "MOLTBOT_BUCKET_ENDPOINT": plan.bucket.endpoint,
            "MOLTBOT_BUCKET_REGION": plan.bucket.region,
            "MOLTBOT_BUCKET_NAME": plan.bucket.name,
            "MOLTBOT_BUCKET_PREFIX": plan.bucket.prefix,
            "MOLTBOT_BUCKET_KIND": plan.bucket.kind.value,
            "MOLTBOT_BUCKET_REVISION": plan.bucket_revision,
        }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(plan, plan.children.boot, COMPONENT_GATEWAY), "data": data}
