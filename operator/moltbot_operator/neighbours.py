"""What a Moltbot shares with others: hosts and existing claims, and who had them first. The rules are in `exposure` and `storage`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from moltbot_api.model import parse_time
from moltbot_api.names import Children
from moltbot_api.spec import MoltbotSpec
from moltbot_kube import Object
from moltbot_kube.resources import MOLTBOTS
from moltbot_operator.exposure import Claim, Exposure, decide_exposure, wanted_host
from moltbot_operator.lifecycle.observed import Key
from moltbot_operator.world import World


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a Moltbot asked for in its last pass: the host, and whether that came from its Secrets (no spec tells of it)."""

    host: str
    from_secrets: bool


class Neighbours:
    """One for the process. `enqueue`: have a Moltbot looked at, because what it may have has changed."""

    def __init__(self, world: World, base_domain: str, public_port: int, enqueue: Callable[[Key], None]) -> None:
        self._world, self._base_domain, self._port, self._enqueue = world, base_domain, public_port, enqueue
        self._wishes: dict[Key, _Wish] = {}

    def expose(self, moltbot: Object, spec: MoltbotSpec, public_url: str | None) -> Exposure:
        """Host and URL of this Moltbot; those whose host that changes are looked at again."""
        key, (created_at, uid) = key_of(moltbot), age_of(moltbot)
        named = spec.exposure.host if spec.exposure else None
        host = wanted_host(key, named, public_url, self._base_domain)
        before, self._wishes[key] = self._wishes.get(key), _Wish(host, not named and public_url is not None)
        if before is None or before.host != host:
            self._tell_rivals(key, host, before.host if before else None)
        return decide_exposure(Claim(key, uid, created_at, host), public_url, self._claims(), self._base_domain, self._port)

    def forget(self, key: Key) -> None:
        """The Moltbot is gone: its host is free."""
        wish = self._wishes.pop(key, None)
        if wish is not None:
            self._tell_rivals(key, wish.host)

    def _tell_rivals(self, key: Key, *hosts: str | None) -> None:
        for claim in list(self._claims()):
            if claim.key != key and claim.host in hosts:
                self._enqueue(claim.key)

    def _claims(self) -> Iterator[Claim]:
        """Hosts that Moltbots ask for besides their default ones."""
        for other in self._world.all(MOLTBOTS):
            key, (created_at, uid) = key_of(other), age_of(other)
            host = ((other.get("spec") or {}).get("exposure") or {}).get("host")
            wish = self._wishes.get(key)
            if not host and wish is not None and wish.from_secrets:
                host = wish.host
            if host:
                yield Claim(key, uid, created_at, str(host).lower())

    def user_of_claim(self, key: Key, claim: str) -> str | None:
        """Another Moltbot of this namespace that mounts the same claim: its own by name, or it was there first."""
        mine = self._world.moltbot(key)
        for other in self._world.all(MOLTBOTS):
            metadata = other["metadata"]
            if metadata.get("namespace") != key.namespace or metadata["name"] == key.name:
                continue
            persistence = (other.get("spec") or {}).get("persistence") or {}
            existing = persistence.get("existingClaim")
            theirs = existing or (None if persistence.get("ephemeral") else Children(metadata["name"]).state)
            if theirs == claim and (not existing or (mine is not None and age_of(other) < age_of(mine))):
                return str(metadata["name"])
        return None


def key_of(moltbot: Object) -> Key:
    return Key(str(moltbot["metadata"]["namespace"]), str(moltbot["metadata"]["name"]))


def age_of(moltbot: Object) -> tuple[datetime, str]:
    """(creation time, uid): the smaller one was first."""
    created = parse_time(moltbot["metadata"].get("creationTimestamp"))
    assert created is not None, "the API server sets it"
    return created, str(moltbot["metadata"]["uid"])
