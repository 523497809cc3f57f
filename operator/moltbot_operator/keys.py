"""Keys in the operator's own namespace (rule 10), and what is derived of them for one Moltbot.

The master key is made once, here, and never rendered by the chart. Routers get branches, the administration a key of its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from moltbot_api.names import (
    ADMIN_KEY,
    ADMIN_SECRET,
    APP,
    FIELD_MANAGER,
    LABEL_APP,
    LABEL_MANAGED_BY,
    MANAGED_BY,
    MASTER_KEY_SECRET,
    ROUTER_KEYS_FILE,
    ROUTER_KEYS_SECRET,
)
from moltbot_kube import AlreadyExists, Kube, Object
from moltbot_kube.resources import SECRETS
from moltbot_operator.manifests.hashing import canonical
from moltbot_operator.manifests.plan import KeyRings
from moltbot_trust.keys import BACKUP_PURPOSES, GATEWAY_PURPOSES, ROUTER_PURPOSES, STATE_PURPOSES, KeyRing, MasterKeys, Purpose
from moltbot_trust.logs import get_logger
from moltbot_trust.redaction import Secret

log = get_logger("moltbot_operator.keys")
# Bytes of entropy of a generated gateway token or administration key; 43 characters of base64url.
TOKEN_BYTES = 32
OPERATOR_PURPOSES = frozenset({Purpose.OPERATOR_GATEWAY, Purpose.OPERATOR_STATE, Purpose.OPERATOR_ROUTER})


@dataclass(frozen=True, slots=True, repr=False)
class DerivedKeys:
    """What the operator derives from the master key. Replaced as a whole when that is rotated."""

    master: MasterKeys

    def rings(self, uid: str) -> KeyRings:
        """`MOLTBOT_KEYS` of the containers of one Moltbot."""
        return KeyRings(
            gateway=self.master.key_ring(GATEWAY_PURPOSES, uid).to_json(),
            state=self.master.key_ring(STATE_PURPOSES, uid).to_json(),
            backup=self.master.key_ring(BACKUP_PURPOSES, uid).to_json(),
        )

    def own(self, uid: str) -> KeyRing:
        """The operator's own keys towards one Moltbot."""
        return self.master.key_ring(OPERATOR_PURPOSES, uid)

    def hash_key(self) -> bytes:
        """Key of the hashes that stand in annotations and cover secrets: who reads them can try no guesses."""
        return hmac.digest(self.master.keys[self.master.current], canonical([1, "annotation-hash"]), hashlib.sha256)

    def keyed_hash(self, value: object) -> str:
        """Hex HMAC of a JSON value."""
        return hmac.digest(self.hash_key(), canonical(value), hashlib.sha256).hex()


def new_token() -> Secret:
    """A token that nobody has to type."""
    return Secret(secrets.token_urlsafe(TOKEN_BYTES))


def _secret(namespace: str, name: str, data: dict[str, str]) -> Object:
    encoded = {key: base64.b64encode(value.encode()).decode("ascii") for key, value in data.items()}
    labels = {LABEL_APP: APP, LABEL_MANAGED_BY: MANAGED_BY}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": encoded}


def decode_data(secret: Object) -> dict[str, bytes]:
    """`data` of a Secret as bytes; a value that is not base64 is left out (the API server admits none)."""
    found = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            found[key] = base64.b64decode(value or "", validate=True)
        except ValueError:
            continue
    return found


async def _get_or_create(kube: Kube, namespace: str, name: str, data: dict[str, str]) -> dict[str, str]:
    """The Secret's text data, made with `data` when there was none. Two at once agree on the first one's."""
    found = await kube.get(SECRETS, name, namespace)
    if found is None:
        try:
            found = await kube.create(SECRETS, _secret(namespace, name, data), field_manager=FIELD_MANAGER)
            log.info("secret created", namespace=namespace, name=name)
        except AlreadyExists:
            found = await kube.get(SECRETS, name, namespace)
    if found is None:
        raise RuntimeError(f"Secret {name} was created and is gone again")
    return {key: value.decode("utf-8", "replace") for key, value in decode_data(found).items()}


async def bootstrap_keys(kube: Kube, namespace: str, known: DerivedKeys | None = None) -> DerivedKeys:
    """Read the master key, making it at the first start, and see to the Secrets that follow from it. Writes nothing when all is there.

    `known`: what this process works with; should the Secret be gone, it is made again from that, so that nobody is locked out.
    Raises KubeError, or KeyRingError when the Secret was edited into something that is no key.
    """
    fresh = known.master if known is not None else MasterKeys.generate()
    master = MasterKeys.parse(await _get_or_create(kube, namespace, MASTER_KEY_SECRET, fresh.to_data()))
    branches = master.branches(ROUTER_PURPOSES).to_json()
    found = await _get_or_create(kube, namespace, ROUTER_KEYS_SECRET, {ROUTER_KEYS_FILE: branches})
    if found.get(ROUTER_KEYS_FILE) != branches:
        await kube.apply(SECRETS, _secret(namespace, ROUTER_KEYS_SECRET, {ROUTER_KEYS_FILE: branches}), field_manager=FIELD_MANAGER)
        log.info("router keys follow the master key", namespace=namespace)
    await _get_or_create(kube, namespace, ADMIN_SECRET, {ADMIN_KEY: new_token().reveal()})
    return DerivedKeys(master)
