"""The pod template of the gateway: containers `state` (restartable init container, only with a bucket) and `gateway`. Pure.

Settings and keys reach it as environment by reference: that costs a wake nothing, where every kind of volume costs 0.3 s
(docs/reference/internals.md names each variable).
"""

from __future__ import annotations

from moltbot_api.names import (
    AGENT_KEY,
    ANNOTATION_AGENT,
    ANNOTATION_CERTIFICATE,
    ANNOTATION_INPUTS,
    ANNOTATION_JOBS,
    ANNOTATION_MODEL,
    ANNOTATION_SECRETS,
    COMPONENT_GATEWAY,
    CONTAINER_GATEWAY,
    CONTAINER_STATE,
    PORT_GATEWAY,
    PORT_GATEWAY_CONTROL,
    PORT_GATEWAY_METRICS,
    PORT_STATE_CONTROL,
    PORT_STATE_METRICS,
    STATE_MOUNT_PATH,
    child_labels,
)
from moltbot_operator.effective import ModelAdapter
from moltbot_operator.manifests.agent import agent_hash, build_jobs_annotation, build_person_env
from moltbot_operator.manifests.plan import (
    Manifest,
    Plan,
    container_security,
    env_config,
    env_field,
    env_secret,
    env_value,
    pod_security,
)
from moltbot_operator.manifests.schedule import DEFAULT_SCHEDULE, longest_gap_seconds

# A running turn is ended and the last flush to a bucket made in it (rule 5): two minutes at least.
GRACE_SECONDS = 150
# How long the last flush may take within it (seconds): all there is where the state is nowhere else.
FLUSH_SECONDS_EPHEMERAL = 110
FLUSH_SECONDS_VOLUME = 10
TMP_BYTES = "256Mi"
# The gateway after a turn with a provider (110 MiB, 150 at most) and the process of its tools (20).
GATEWAY_REQUESTS = {"cpu": "50m", "memory": "192Mi"}
STATE_REQUESTS = {"cpu": "10m", "memory": "48Mi"}
# Keys of Secret `<name>-model`, each of them there or not.
MODEL_VARIABLES = (
    "MOLTBOT_MODEL_API_KEY",
    "MOLTBOT_MODEL_GATEWAY_AUTHORIZATION",
    "MOLTBOT_MODEL_BASE_URL",
    "MOLTBOT_MODEL_OPENAI_API_KEY",
    "MOLTBOT_MODEL_OPENAI_BASE_URL",
)


def build_pod_template(plan: Plan) -> Manifest:
    """`spec.template` of the StatefulSet. Never names what the operator changes while the pod runs."""
    gateway = plan.spec.gateway
    annotations = {
        ANNOTATION_CERTIFICATE: plan.fingerprint,
        ANNOTATION_SECRETS: plan.secrets_hash,
        ANNOTATION_AGENT: agent_hash(plan.agent),
        ANNOTATION_MODEL: plan.model_hash,
        ANNOTATION_JOBS: build_jobs_annotation(plan.agent),
        ANNOTATION_INPUTS: plan.inputs_hash,
    }
    spec: Manifest = {
        "serviceAccountName": plan.children.gateway,
        "automountServiceAccountToken": False,
        # dozens of MOLTBOT_*_PORT variables of other Services would come in otherwise
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": pod_security(),
        "containers": [_build_gateway(plan)],
        "volumes": _build_volumes(plan),
    }
    if plan.bucket is not None:
        spec["initContainers"] = [_build_state(plan)]
    if gateway is not None:
        if gateway.image_pull_secrets:
            spec["imagePullSecrets"] = [{"name": secret.name} for secret in gateway.image_pull_secrets]
        if gateway.node_selector:
            spec["nodeSelector"] = dict(gateway.node_selector)
        if gateway.tolerations:
            spec["tolerations"] = [one.model_dump(by_alias=True, exclude_none=True) for one in gateway.tolerations]
        if gateway.runtime_class_name:
            spec["runtimeClassName"] = gateway.runtime_class_name
    return {"metadata": {"labels": child_labels(plan.name, COMPONENT_GATEWAY), "annotations": annotations}, "spec": spec}


def _image(plan: Plan) -> Manifest:
    gateway = plan.spec.gateway
    return {
        "image": (gateway and gateway.image) or plan.installation.image,
        "imagePullPolicy": (gateway and gateway.image_pull_policy) or plan.installation.pull_policy,
    }


def _common_env(plan: Plan, container: str, metrics_port: int) -> list[Manifest]:
    children, installation = plan.children, plan.installation
    return [
        env_value("MOLTBOT_NAME", plan.name),
        env_field("MOLTBOT_NAMESPACE", "metadata.namespace"),
        env_value("MOLTBOT_UID", plan.uid),
        env_field("MOLTBOT_POD_UID", "metadata.uid"),
        env_field("MOLTBOT_POD_IP", "status.podIP"),
        env_value("MOLTBOT_STATE_DIR", STATE_MOUNT_PATH),
        env_secret("MOLTBOT_KEYS", children.keys, container),
        env_secret("MOLTBOT_TLS_CERTIFICATE", children.certificate, "tls.crt"),
        env_secret("MOLTBOT_TLS_PRIVATE_KEY", children.certificate, "tls.key"),
        env_value("MOLTBOT_STORAGE", "ephemeral" if plan.ephemeral else "volume"),
        env_value("MOLTBOT_LOSE_ON_RESTART", "true" if plan.lose_on_restart else "false"),
        env_value("MOLTBOT_LOG_FORMAT", installation.log_format),
        env_value("MOLTBOT_LOG_LEVEL", installation.log_level),
        env_value("MOLTBOT_METRICS_PORT", str(metrics_port if installation.metrics else 0)),
        env_config("MOLTBOT_RECORDED_LINEAGE", children.boot),
        env_config("MOLTBOT_RECORDED_SEQUENCE", children.boot),
    ]


def _build_gateway(plan: Plan) -> Manifest:
    children = plan.children
    env = _common_env(plan, CONTAINER_GATEWAY, PORT_GATEWAY_METRICS)
    if plan.bucket is not None:
        env.append(env_value("MOLTBOT_STATE_URL", f"https://$(MOLTBOT_POD_IP):{PORT_STATE_CONTROL}"))
    env.append(env_value("MOLTBOT_MODEL_ADAPTER", plan.model.adapter.value))
    env.append(env_value("MOLTBOT_MODEL_NAME", plan.model.name))
    if plan.model.adapter is ModelAdapter.NONE:
        env.append(env_value("MOLTBOT_MODEL_PROBLEM", plan.model.problem))
    env += [env_secret(name, children.model, optional=True) for name in MODEL_VARIABLES]
    env.append(env_config("MOLTBOT_AGENT", children.agent, AGENT_KEY))
    env += build_person_env(plan)
    ports = [
        {"name": "gateway", "containerPort": PORT_GATEWAY, "protocol": "TCP"},
        {"name": "control", "containerPort": PORT_GATEWAY_CONTROL, "protocol": "TCP"},
    ]
    if plan.installation.metrics:
        ports.append({"name": "metrics", "containerPort": PORT_GATEWAY_METRICS, "protocol": "TCP"})
    return {
        "name": CONTAINER_GATEWAY,
        **_image(plan),
        "command": ["python", "-m", "moltbot_gateway"],
        "env": env,
        "ports": ports,
        # only the kubelet's view of things: router and operator ask the pod itself
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": PORT_GATEWAY, "scheme": "HTTPS"},
            "periodSeconds": 5,
            "timeoutSeconds": 3,
            "failureThreshold": 2,
        },
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": PORT_GATEWAY, "scheme": "HTTPS"},
            "initialDelaySeconds": 10,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "resources": _resources(plan),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "state", "mountPath": STATE_MOUNT_PATH}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }


def _resources(plan: Plan) -> Manifest:
    given = plan.spec.gateway.resources if plan.spec.gateway else None
    made: Manifest = {"requests": dict(GATEWAY_REQUESTS)}
    if given is not None and given.requests:
        made["requests"].update({name: str(value) for name, value in given.requests.items()})
    if given is not None and given.limits:
        made["limits"] = {name: str(value) for name, value in given.limits.items()}
    return made


def _build_state(plan: Plan) -> Manifest:
    children = plan.children
    env = _common_env(plan, CONTAINER_STATE, PORT_STATE_METRICS)
    for name in ("ENDPOINT", "REGION", "NAME", "PREFIX", "KIND", "REVISION"):
        env.append(env_config(f"MOLTBOT_BUCKET_{name}", children.boot))
    env.append(env_secret("MOLTBOT_BUCKET_ACCESS_KEY_ID", children.bucket))
    env.append(env_secret("MOLTBOT_BUCKET_SECRET_ACCESS_KEY", children.bucket))
    env.append(env_value("MOLTBOT_GATEWAY_URL", f"https://$(MOLTBOT_POD_IP):{PORT_GATEWAY_CONTROL}"))
    backup = plan.spec.persistence.backup if plan.spec.persistence else None
    schedule = backup.schedule if backup else DEFAULT_SCHEDULE
    env.append(env_value("MOLTBOT_BACKUP_SECONDS", str(longest_gap_seconds(schedule))))
    env.append(env_value("MOLTBOT_FLUSH_SECONDS", str(FLUSH_SECONDS_EPHEMERAL if plan.ephemeral else FLUSH_SECONDS_VOLUME)))
    ports = [{"name": "state", "containerPort": PORT_STATE_CONTROL, "protocol": "TCP"}]
    if plan.installation.metrics:
        ports.append({"name": "state-metrics", "containerPort": PORT_STATE_METRICS, "protocol": "TCP"})
    return {
        "name": CONTAINER_STATE,
        "restartPolicy": "Always",
        **_image(plan),
        "command": ["python", "-m", "moltbot_state"],
        "env": env,
        "ports": ports,
        "resources": {"requests": dict(STATE_REQUESTS)},
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "state", "mountPath": STATE_MOUNT_PATH}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }


def _build_volumes(plan: Plan) -> list[Manifest]:
    state: Manifest = {"name": "state"}
    if plan.claim is None:
        state["emptyDir"] = {}
    else:
        state["persistentVolumeClaim"] = {"claimName": plan.claim}
    return [state, {"name": "tmp", "emptyDir": {"sizeLimit": TMP_BYTES}}]
