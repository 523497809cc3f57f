"""What a command does with Moltbots, devices and snapshots through the Kubernetes API: the same doors as the administration's page."""

import asyncio
import base64
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from moltbot_api.names import ADMIN_KEY, ADMIN_SECRET, ANNOTATION_REFRESH, GATEWAY_TOKEN_KEY, GROUP, Children, requested_snapshot_name
from moltbot_kube import Change, Conflict, Kube, Object, Resource, Scope, WatchEvent, watch
from moltbot_kube.resources import DEPLOYMENTS, MOLTBOT_DEVICES, MOLTBOT_SNAPSHOTS, MOLTBOTS, SECRETS
from moltbot_trust.clock import format_time

MANAGER = "moltbot-cli"
# A sleep may first finish a turn and back up; a backup may upload everything.
ACTION_SECONDS, BACKUP_SECONDS = 300.0, 1800.0
# Of a device's id: fewer are a slip rather than a choice.
LEAST_DIGITS = 4
ROUTER_LABELS = "app.kubernetes.io/name=moltbot-operator,app.kubernetes.io/component=router"


class CommandError(Exception):
    """What went wrong, in a sentence that says how to mend it."""


@dataclass(frozen=True)
class Place:
    kube: Kube
    namespace: str


async def list_moltbots(kube: Kube, namespace: str | None) -> list[Object]:
    return (await kube.list(MOLTBOTS, namespace)).items


async def find_moltbot(place: Place, name: str | None) -> Object:
    """The one of that name, or the only one. Raises CommandError."""
    if name is not None:
        found = await place.kube.get(MOLTBOTS, name, place.namespace)
        if found is None:
            raise CommandError(f"there is no Moltbot {name} in namespace {place.namespace} (`moltbot status -A` shows all)")
        return found
    items = await list_moltbots(place.kube, place.namespace)
    if not items:
        raise CommandError(f"there is no Moltbot in namespace {place.namespace} (`moltbot status -A` shows all)")
    if len(items) > 1:
        names = ", ".join(item["metadata"]["name"] for item in items)
        raise CommandError(f"namespace {place.namespace} has several Moltbots; name one of {names}")
    return items[0]


# --- actions (rule 1: an annotation with a time) ----------------------------------------------------------------------


async def ask(place: Place, moltbot: Object, action: str) -> str:
    """Ask for wake, sleep, restart or refresh now; returns the annotation's value."""
    value = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    patch: Object = {"metadata": {"annotations": {f"{GROUP}/{action}": value}}}
    meta = moltbot["metadata"]
    await place.kube.patch(MOLTBOTS, meta["name"], place.namespace, patch, field_manager=MANAGER, uid=meta["uid"])
    return value


async def until(
    place: Place, resource: Resource, name: str, done: Callable[[Object], bool], seconds: float
) -> Object:  # fmt: skip
    """Watch one object until it is so. Raises CommandError when it is deleted, or when it takes longer."""
    try:
        async with asyncio.timeout(seconds):
            scope = Scope(resource, place.namespace, field_selector=f"metadata.name={name}")
            async with aclosing(cast(AsyncGenerator[WatchEvent, None], watch(place.kube, scope))) as events:
                async for event in events:
                    if event.change is Change.SYNCED or event.object["metadata"]["name"] != name:
                        continue
                    if event.change is Change.DELETED:
                        raise CommandError(f"{resource.kind} {name} was deleted meanwhile")
                    if done(event.object):
                        return event.object
    except TimeoutError:
        raise CommandError(f"{resource.kind} {name} did not come so far within {seconds:.0f} s; `moltbot status {name}` says why") from None
    raise CommandError(f"the watch of {resource.kind} {name} ended")


def action_record(moltbot: Object, action: str, requested: str) -> Object | None:
    """What became of a request, once that is decided."""
    for record in (moltbot.get("status") or {}).get("actions") or ():
        if record.get("action") == action and record.get("requested") == requested and record.get("result") != "running":
            return dict(record)
    return None


async def wait_for_action(place: Place, moltbot: Object, action: str, requested: str) -> Object:
    name = moltbot["metadata"]["name"]
    found = await until(place, MOLTBOTS, name, lambda item: action_record(item, action, requested) is not None, ACTION_SECONDS)
    record = action_record(found, action, requested)
    assert record is not None
    return record


# --- devices ------------------------------------------------------------------------------------------------------------


async def list_devices(place: Place, moltbot: str | None) -> list[Object]:
    items = (await place.kube.list(MOLTBOT_DEVICES, place.namespace)).items
    return [item for item in items if moltbot is None or (item.get("spec") or {}).get("moltbot") == moltbot]


def match_devices(devices: Sequence[Object], wanted: str) -> list[Object]:
    """By name, device id, or the beginning of the id, alone or after the Moltbot's name as in the device's own."""
    exact = [d for d in devices if wanted in (d["metadata"]["name"], d["spec"].get("deviceId"))]
    return exact or [d for d in devices if _begins(d["spec"], wanted)]


def _begins(spec: Mapping[str, Any], wanted: str) -> bool:
    beginning = wanted.removeprefix(f"{spec.get('moltbot')}-")
    return len(beginning) >= LEAST_DIGITS and str(spec.get("deviceId", "")).startswith(beginning)


def build_approval(device: Object, now: datetime) -> Object:
    """The merge patch that approves what is asked now: what was granted before stays granted (as the router does it)."""
    spec = device["spec"]
    request, before = spec["request"], spec.get("approved") or {}
    approved = {
        "request": request["id"],
        "roles": list(dict.fromkeys([*(before.get("roles") or ()), request["role"]])),
        "scopes": list(dict.fromkeys([*(before.get("scopes") or ()), *request["scopes"]])),
        "by": "moltbot devices approve",
        "at": format_time(now),
    }
    return {"spec": {"approved": approved, "request": None}}


# A router that writes when a device was last seen changes the object under us; what it asks for stays the same.
APPROVE_TRIES = 5


async def approve_device(place: Place, device: Object) -> None:
    """Raises CommandError when it asks for nothing, or asks for something else than what was shown."""
    name, shown = device["metadata"]["name"], device["spec"].get("request")
    if not shown:
        words = "is approved already" if device["spec"].get("approved") else "asks for nothing any more; open the page on it again"
        raise CommandError(f"{name} {words}")
    for _ in range(APPROVE_TRIES):
        patch, version = build_approval(device, datetime.now(UTC)), device["metadata"]["resourceVersion"]
        try:
            await place.kube.patch(MOLTBOT_DEVICES, name, place.namespace, patch, field_manager=MANAGER, resource_version=version)
        except Conflict:
            found = await place.kube.get(MOLTBOT_DEVICES, name, place.namespace)
            if found is None or found["spec"].get("request") != shown:
                break
            device = found
        else:
            return
    raise CommandError(f"{name} changed since it was read; look again with `moltbot devices list`")


async def remove_device(place: Place, device: Object) -> None:
    meta = device["metadata"]
    await place.kube.delete(MOLTBOT_DEVICES, meta["name"], place.namespace, uid=meta["uid"])


# --- backup -------------------------------------------------------------------------------------------------------------


async def back_up(place: Place, moltbot: Object) -> Object:
    name = moltbot["metadata"]["name"]
    snapshot: Object = {
        "apiVersion": MOLTBOT_SNAPSHOTS.api_version,
        "kind": MOLTBOT_SNAPSHOTS.kind,
        "metadata": {"name": requested_snapshot_name(name, datetime.now(UTC), secrets.token_hex(2)), "namespace": place.namespace},
        "spec": {"moltbot": name},
    }
    return await place.kube.create(MOLTBOT_SNAPSHOTS, snapshot, field_manager=MANAGER)


async def wait_for_backup(place: Place, snapshot: Object) -> Object:
    def done(item: Object) -> bool:
        return (item.get("status") or {}).get("phase") in ("Complete", "Failed")

    return await until(place, MOLTBOT_SNAPSHOTS, snapshot["metadata"]["name"], done, BACKUP_SECONDS)


# --- token and administration key ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TokenPlace:
    """Where the token in force stands. `made`: the operator made it, so that it can be replaced."""

    secret: str
    key: str
    value: str
    made: bool


async def find_token(place: Place, moltbot: Object) -> TokenPlace:
    """Raises CommandError when there is none yet."""
    name, spec = moltbot["metadata"]["name"], moltbot.get("spec") or {}
    own = Children(name).gateway_token
    reference = (spec.get("gateway") or {}).get("tokenSecretRef")
    places = [(reference["name"], reference["key"], False)] if reference else []
    places += [(source["name"], GATEWAY_TOKEN_KEY, False) for source in spec.get("secretsFrom") or ()]
    places.append((own, GATEWAY_TOKEN_KEY, True))
    for secret, key, made in places:
        found = await place.kube.get(SECRETS, secret, place.namespace)
        value = read_secret(found, key)
        if value:
            return TokenPlace(secret, key, value, made)
    raise CommandError(f"{name} has no gateway token yet; is the operator running? `moltbot status {name}` shows it")


def read_secret(secret: Mapping[str, Any] | None, key: str) -> str:
    raw = ((secret or {}).get("data") or {}).get(key)
    return base64.b64decode(raw).decode(errors="replace").strip().strip("\"'") if raw else ""


async def rotate_token(place: Place, moltbot: Object) -> TokenPlace:
    """A new token, in force at once. Raises CommandError when it is a person's own Secret."""
    old = await find_token(place, moltbot)
    if not old.made:
        raise CommandError(f"the token is key {old.key} of your Secret {old.secret}: change it there, then `moltbot refresh`")
    value = secrets.token_urlsafe(32)
    data = {old.key: base64.b64encode(value.encode()).decode()}
    await place.kube.patch(SECRETS, old.secret, place.namespace, {"data": data}, field_manager=MANAGER)
    await ask(place, moltbot, ANNOTATION_REFRESH.removeprefix(f"{GROUP}/"))
    return TokenPlace(old.secret, old.key, value, True)


async def find_router(kube: Kube, namespace: str | None) -> Object:
    """The router's Deployment. Raises CommandError."""
    items = (await kube.list(DEPLOYMENTS, namespace, label_selector=ROUTER_LABELS)).items
    if not items:
        where = f"in namespace {namespace}" if namespace else "in this cluster"
        raise CommandError(
            f"no router of the Moltbot operator was found {where}; is the chart installed? --system-namespace names another place"
        )
    if len(items) > 1:
        raise CommandError(
            "there are several releases; choose one with --system-namespace: " + ", ".join(i["metadata"]["namespace"] for i in items)
        )
    return items[0]


async def find_admin_key(kube: Kube, namespace: str) -> str:
    """Raises CommandError."""
    key = read_secret(await kube.get(SECRETS, ADMIN_SECRET, namespace), ADMIN_KEY)
    if not key:
        raise CommandError(
            f"Secret {ADMIN_SECRET} with key {ADMIN_KEY} is not in namespace {namespace}; the operator makes it at its start"
        )
    return key
