"""The Secrets of a Moltbot that follow from its settings: keys, model, bucket; and the two that are made once: token, certificate. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from moltbot_api.names import (
    COMPONENT_GATEWAY,
    CONTAINER_BACKUP,
    CONTAINER_GATEWAY,
    CONTAINER_STATE,
    GATEWAY_TOKEN_KEY,
)
from moltbot_operator.effective import Bucket
from moltbot_operator.manifests.plan import Manifest, Plan, metadata
from moltbot_trust.redaction import Secret


def _secret(plan: Plan, name: str, values: Mapping[str, str], *, kind: str = "Opaque") -> Manifest:
    data = {key: base64.b64encode(value.encode()).decode("ascii") for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata(plan, name, COMPONENT_GATEWAY), "type": kind, "data": data}


def build_keys_secret(plan: Plan) -> Manifest:
    """`MOLTBOT_KEYS` of each container (rule 10): a pod holds only its own Moltbot's keys, a container only those of its purposes."""
    rings = {CONTAINER_GATEWAY: plan.keys.gateway, CONTAINER_STATE: plan.keys.state, CONTAINER_BACKUP: plan.keys.backup}
    return _secret(plan, plan.children.keys, rings)


def build_model_secret(plan: Plan) -> Manifest:
    """The model's connection, resolved and cleaned; keys that are not set are not there."""
    model = plan.model
    values: dict[str, str] = {}
    if model.api_key is not None:
        values["MOLTBOT_MODEL_API_KEY"] = model.api_key.reveal()
    if model.gateway_authorization is not None:
        values["MOLTBOT_MODEL_GATEWAY_AUTHORIZATION"] = model.gateway_authorization.reveal()
    if model.base_url:
        values["MOLTBOT_MODEL_BASE_URL"] = model.base_url
    if model.openai_api_key is not None:
        values["MOLTBOT_MODEL_OPENAI_API_KEY"] = model.openai_api_key.reveal()
    if model.openai_base_url:
        values["MOLTBOT_MODEL_OPENAI_BASE_URL"] = model.openai_base_url
    return _secret(plan, plan.children.model, values)


def build_bucket_secret(plan: Plan, bucket: Bucket) -> Manifest:
    """The bucket's keys, resolved and cleaned: in the pod only the state container has them."""
    values = {
        "MOLTBOT_BUCKET_ACCESS_KEY_ID": bucket.access_key_id.reveal(),
        "MOLTBOT_BUCKET_SECRET_ACCESS_KEY": bucket.secret_access_key.reveal(),
    }
    return _secret(plan, plan.children.bucket, values)


def build_token_secret(plan: Plan, token: Secret) -> Manifest:
    """The generated gateway token. Made once; editing or deleting it is a person's way to rotate the token."""
    return _secret(plan, plan.children.gateway_token, {GATEWAY_TOKEN_KEY: token.reveal()})


def build_certificate_secret(plan: Plan, certificate_pem: str, private_key_pem: str) -> Manifest:
    """The pod's certificate (rule 3). Made once; another one is a changed template."""
    values = {"tls.crt": certificate_pem, "tls.key": private_key_pem}
    return _secret(plan, plan.children.certificate, values, kind="kubernetes.io/tls")
