"""The links that `moltbot up` prints, from what the store holds. They carry secrets: shown to the person, never logged."""

import base64
from collections.abc import Mapping
from typing import Any

from moltbot_api.names import ADMIN_KEY, ADMIN_SECRET, GATEWAY_TOKEN_KEY, Children

from .store import Store

ADMIN = "admin"


def find_links(store: Store, port: int, admin_port: int, namespace: str) -> dict[str, str]:
    """Moltbots' links by `namespace/name`, the administration's under `ADMIN`; empty until all of them would work."""
    admin = store.entry("secrets", ADMIN_SECRET, namespace)
    if admin is None:
        return {}
    links = {}
    moltbots = [entry.item for entry in store.entries("moltbots.moltbot.dev") if "deletionTimestamp" not in entry.item["metadata"]]
    for moltbot in moltbots:
        status, token = moltbot.get("status") or {}, read_token(store, moltbot)
        # The verifiers are what the router checks a token by: before they are there the link would be refused.
        if token is None or not status.get("url") or not status.get("verifiers"):
            return {}
        # The only one answers to plain localhost.
        base = f"http://localhost:{port}/" if len(moltbots) == 1 else str(status["url"]).rstrip("/") + "/"
        links[f"{moltbot['metadata']['namespace']}/{moltbot['metadata']['name']}"] = f"{base}?token={token}"
    key = base64.b64decode(admin.item["data"][ADMIN_KEY]).decode()
    return {**links, ADMIN: f"http://localhost:{admin_port}/_admin/#key={key}"}


def read_token(store: Store, moltbot: Mapping[str, Any]) -> str | None:
    """The gateway token in force: what the spec names, else a key of `secretsFrom`, else the one that the operator made."""
    meta, spec = moltbot["metadata"], moltbot.get("spec") or {}
    reference = (spec.get("gateway") or {}).get("tokenSecretRef")
    places = [(reference["name"], reference["key"])] if reference else []
    places += [(source["name"], GATEWAY_TOKEN_KEY) for source in spec.get("secretsFrom") or ()]
    places.append((Children(meta["name"]).gateway_token, GATEWAY_TOKEN_KEY))
    for name, key in places:
        entry = store.entry("secrets", name, meta["namespace"])
        value = ((entry.item.get("data") or {}) if entry is not None else {}).get(key)
        if value:
            return base64.b64decode(value).decode(errors="replace").strip().strip("\"'")
    return None
