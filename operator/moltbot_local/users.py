"""Who may call: three users by bearer token, and what each may do.

The rights of operator and router are those of the chart's `templates/rbac.yaml`: a missing right shows here too. The person may do all.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

_READ = frozenset({"get", "list", "watch"})
_WRITE = frozenset({"create", "patch", "delete"})
_OWNED = _READ | _WRITE

# key (with subresource) → verbs
_OPERATOR: dict[str, frozenset[str]] = {
    "moltbots.moltbot.dev": _READ,
    "moltbotdevices.moltbot.dev": _READ,
    "moltbotsnapshots.moltbot.dev": _READ | {"create", "delete"},
    "moltbots.moltbot.dev/status": frozenset({"patch"}),
    "moltbotsnapshots.moltbot.dev/status": frozenset({"patch"}),
    "statefulsets.apps": _OWNED,
    "statefulsets.apps/scale": frozenset({"get", "patch", "update"}),
    "cronjobs.batch": _OWNED,
    "networkpolicies.networking.k8s.io": _OWNED,
    "services": _OWNED,
    "serviceaccounts": _OWNED,
    "configmaps": _OWNED,
    "persistentvolumeclaims": _OWNED,
    "secrets": frozenset({"get", "create", "patch", "delete"}),
    "pods": _READ | {"delete"},
    "events": frozenset({"create", "patch"}),
    "storageclasses.storage.k8s.io": frozenset({"get", "list"}),
    "endpointslices.discovery.k8s.io": frozenset({"get"}),
    "namespaces": _READ,
    "leases.coordination.k8s.io": frozenset({"get", "create", "patch", "update"}),
}
_ROUTER: dict[str, frozenset[str]] = {
    "moltbots.moltbot.dev": _READ | {"patch"},
    "moltbotdevices.moltbot.dev": _OWNED,
    "moltbotdevices.moltbot.dev/status": frozenset({"patch"}),
    "moltbotsnapshots.moltbot.dev": _READ | {"create"},
    "statefulsets.apps": _READ,
    "statefulsets.apps/scale": frozenset({"patch"}),
    "pods": _READ,
}
_RIGHTS: dict[str, dict[str, frozenset[str]] | None] = {"operator": _OPERATOR, "router": _ROUTER, "person": None}


@dataclass(frozen=True)
class User:
    name: str  # operator | router | person

    def may(self, verb: str, key: str, subresource: str = "") -> bool:
        rights = _RIGHTS[self.name]
        return rights is None or verb in rights.get(f"{key}/{subresource}" if subresource else key, ())

    def rules(self) -> list[dict[str, list[str]]]:
        """The rights as `ResourceRule`s, for `kubectl auth can-i --list`."""
        rights = _RIGHTS[self.name]
        if rights is None:
            return [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        rules = []
        for key, verbs in rights.items():
            main, _, subresource = key.partition("/")
            plural, _, group = main.partition(".")
            resource = f"{plural}/{subresource}" if subresource else plural
            rules.append({"verbs": sorted(verbs), "apiGroups": [group], "resources": [resource]})
        return rules


class Users:
    def __init__(self, tokens: Mapping[str, str]) -> None:
        """`tokens`: user → bearer token. Raises KeyError for a user that does not exist."""
        for name in tokens:
            _RIGHTS[name]
        self._tokens = {name: token.encode() for name, token in tokens.items()}

    def of(self, authorization: str) -> User | None:
        """The user of an Authorization header; every token is compared, each in constant time."""
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode()
        found = None
        for name, expected in self._tokens.items():
            if hmac.compare_digest(given, expected):
                found = name
        return User(found) if found and scheme.lower() == "bearer" else None
