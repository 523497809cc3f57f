"""Plays one row of the table in a namespace of its own, on whatever Kubernetes that is, and looks at what a person is told.

Also what holds for every row: no container was ever restarted, what was there before is as it was, and what is remembered is not less.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from moltbot_kube import AlreadyExists, BadRequest, Invalid, Kube, NotFound, Object
from moltbot_kube.resources import (
    EVENTS,
    MOLTBOT_DEVICES,
    MOLTBOTS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    STATEFUL_SETS,
    resource_of,
)
from moltbot_state.format import OWNER_KEY, Owner, encode_owner
from tests.bad_input.table import Answers, Refused, Remedy, Row, Says, Scene, Shows, Speaks, Spec, Tells, Told, moltbot
from tests.router.world import OPERATOR_SCOPES, Browser, Wire

# Three processes start for each wake, many at once, on two cores; the deadline only ends a failing test (seconds).
PATIENCE = 60.0
PAUSE = 0.1
STRANGER = "00000000-0000-4000-8000-000000000000"


@dataclass
class Stage:
    """`values`: what `$…` of the table is here. `s3`: a boto3 client of the bucket server. `port`: the router's, on this machine."""

    kube: Kube
    namespace: str
    values: Mapping[str, str]
    port: int = 0
    s3: Any = None
    kept: list[Object] = field(default_factory=list)
    bucket_before: dict[str, str] | None = None
    recorded: Any = None
    conversation: list[str] = field(default_factory=list)
    blocks: dict[str, bytes] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    device: Browser = field(default_factory=Browser)

    # what a row says, here

    def fill(self, part: Any) -> Any:
        """The same with every `$…` replaced; a string that is one alone may become a number."""
        match part:
            case str():
                filled = part
                for name, value in {**self.values, "NAMESPACE": self.namespace}.items():
                    filled = filled.replace(f"${name}", value)
                return int(filled) if filled != part and filled.isdigit() else filled
            case Mapping():
                return {key: self.fill(value) for key, value in part.items()}
            case list() | tuple():
                return [self.fill(value) for value in part]
            case _:
                return part

    def manifest(self, row: Row) -> Object:
        spec: Spec = row.spec if row.runs or row.refused else {**row.spec, "operatingMode": "Suspended"}
        made = moltbot(row.name, self.fill(copy.deepcopy(dict(spec))))
        made["metadata"]["namespace"] = self.namespace
        return made

    # a person's hands

    async def apply(self, manifest: Object) -> Object:
        manifest = copy.deepcopy(manifest)
        manifest["metadata"]["namespace"] = self.namespace
        return await self.kube.apply(resource_of(manifest), manifest, field_manager="person")

    async def secret(self, name: str, values: Mapping[str, str]) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        await self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})

    async def ask(self, action: str, name: str = "ada") -> None:
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        patch = {"metadata": {"annotations": {f"moltbot.dev/{action}": when}}}
        await self.kube.patch(MOLTBOTS, name, self.namespace, patch, field_manager="person")

    async def status(self, name: str = "ada") -> dict[str, Any]:
        found = await self.kube.get(MOLTBOTS, name, self.namespace)
        assert found is not None, f"Moltbot {name} is gone"
        status: dict[str, Any] = found.get("status") or {}
        return status

    async def until(self, what: str, holds: Callable[[], Awaitable[tuple[bool, object]]]) -> None:
        """Asks again and again; a failure says what was seen last."""
        deadline, seen = time.monotonic() + PATIENCE, None
        while time.monotonic() < deadline:
            holding, seen = await holds()
            if holding:
                return
            await asyncio.sleep(PAUSE)
        raise AssertionError(
            f"{self.namespace}: not within {PATIENCE:.0f} s: {what}. Last seen: {json.dumps(seen, indent=1, default=str)[:6000]}"
        )

    async def phase(self, wanted: str, name: str = "ada") -> dict[str, Any]:
        async def holds() -> tuple[bool, object]:
            status = await self.status(name)
            return status.get("phase") == wanted, status

        await self.until(f"{name} is {wanted}", holds)
        return await self.status(name)

    async def token(self, name: str = "ada") -> str:
        async def holds() -> tuple[bool, object]:
            found = await self.kube.get(SECRETS, f"{name}-gateway-token", self.namespace)
            return bool(found and found.get("data")), found and found["metadata"]

        await self.until("there is a gateway token", holds)
        found = await self.kube.get(SECRETS, f"{name}-gateway-token", self.namespace)
        assert found is not None
        return base64.b64decode(found["data"]["MOLTBOT_GATEWAY_TOKEN"]).decode()

    def host(self, name: str = "ada") -> str:
        return f"{name}--{self.namespace}.localhost:{self.port}"

    # the bucket

    @property
    def prefix(self) -> str:
        return f"{self.namespace}/ada/"

    async def objects(self) -> dict[str, str]:
        """Key → ETag of everything beneath this Moltbot's prefix."""

        def listed() -> dict[str, str]:
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.values["BUCKET"], Prefix=self.prefix)
            return {one["Key"]: one["ETag"] for page in pages for one in page.get("Contents", ())}

        return await asyncio.to_thread(listed)

    async def put(self, key: str, content: bytes) -> None:
        await asyncio.to_thread(lambda: self.s3.put_object(Bucket=self.values["BUCKET"], Key=key, Body=content))

    async def content(self, key: str) -> bytes:
        def read() -> bytes:
            return bytes(self.s3.get_object(Bucket=self.values["BUCKET"], Key=key)["Body"].read())

        return await asyncio.to_thread(read)

    async def damage(self) -> None:
        """Every block keeps its name and length, and nothing of its content."""
        blocks = [key for key in await self.objects() if key.startswith(f"{self.prefix}blocks/")]
        assert blocks, "the snapshot has blocks"
        for key in blocks:
            self.blocks[key] = await self.content(key)
            await self.put(key, b"\0" * 64)


async def arrange(stage: Stage, row: Row) -> None:
    """Everything up to the moment at which the person is told."""
    if row.refused is not None:
        return
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with contextlib.suppress(AlreadyExists):
        await stage.kube.create(NAMESPACES, {"metadata": {"name": stage.namespace, "labels": labels}}, field_manager="person")
    for name, values in row.secrets.items():
        await stage.secret(name, {key: str(stage.fill(value)) for key, value in values.items()})
    for manifest in row.before:
        stage.kept.append(await stage.apply(stage.fill(dict(manifest))))
    if stage.kept:
        await until_known(stage, row)
    if row.scene is Scene.FOREIGN:
        await stage.put(stage.prefix + OWNER_KEY, encode_owner(Owner(STRANGER, "elsewhere", "ada", "2026-01-01T00:00:00Z")))
        stage.bucket_before = await stage.objects()
    await stage.apply(stage.manifest(row))
    match row.scene:
        case Scene.ASKED:
            await ask_it(stage)
        case Scene.ASLEEP | Scene.EDITED_ASLEEP | Scene.DAMAGED:
            await stage.phase("Awake")
            await stage.ask("sleep")
            stage.recorded = (await stage.phase("Asleep")).get("recorded")
            assert stage.recorded, "what it knows is recorded"
        case _:
            pass
    if row.scene is Scene.EDITED_ASLEEP:
        await stage.kube.patch(MOLTBOTS, "ada", stage.namespace, {"spec": dict(row.edit)}, field_manager="person")
    if row.scene is Scene.DAMAGED:
        await stage.damage()
        stage.bucket_before = await stage.objects()
        await stage.ask("wake")


async def until_known(stage: Stage, row: Row) -> None:
    """The Moltbots that were there first are looked after before another one comes, and that one is younger: ages are whole seconds."""
    for kept in stage.kept:
        if kept["kind"] == "Moltbot":
            second = datetime.fromisoformat(kept["metadata"]["creationTimestamp"]) + timedelta(seconds=1)
            await asyncio.sleep(max(0.0, (second - datetime.now(UTC)).total_seconds()))

            async def holds(name: str = kept["metadata"]["name"]) -> tuple[bool, object]:
                status = await stage.status(name)
                return bool(status.get("conditions")), status

            await stage.until(f"{kept['metadata']['name']} of {row.id} is looked after", holds)


class PatientWire(Wire):
    """A first turn loads the SDK while other rows start their pods."""

    async def receive(self) -> dict[str, Any]:
        message = await asyncio.wait_for(self.socket.receive(), PATIENCE)
        assert message.type is aiohttp.WSMsgType.TEXT, (message.type, message.data, message.extra)
        frame: dict[str, Any] = json.loads(message.data)
        return frame


async def ask_it(stage: Stage) -> None:
    """A person's device is approved, and says something; what comes instead of an answer is kept."""
    await stage.phase("Awake")
    url, headers = f"http://127.0.0.1:{stage.port}/", {"Host": stage.host()}
    async with aiohttp.ClientSession() as http, http.ws_connect(url, headers=headers) as socket:
        answer = await PatientWire(socket).connect(stage.device, token=await stage.token())
        assert answer["error"]["code"] == "NOT_PAIRED"
    name = f"ada-{stage.device.id}"
    found = await stage.kube.get(MOLTBOT_DEVICES, name, stage.namespace)
    assert found is not None
    request = found["spec"]["request"]
    approved = {"request": request["id"], "roles": ["operator"], "scopes": list(OPERATOR_SCOPES), "by": "test", "at": request["at"]}
    patch = {"spec": {"approved": approved, "request": None}}
    await stage.kube.patch(MOLTBOT_DEVICES, name, stage.namespace, patch, field_manager="person")
    stage.conversation.append(await say(stage, "hello"))
    # An awake one that is not idle is asked once a minute (rule 12); a person who does not want to wait asks like this.
    await stage.ask("refresh")


async def ask_again(stage: Stage) -> None:
    """Its pod is replaced for the right key; then there is an answer, in the same conversation."""

    async def holds() -> tuple[bool, object]:
        said = await say(stage, "hello again")
        return "You said: hello again" in said, said

    await stage.until("it answers", holds)
    await stage.ask("refresh")


async def say(stage: Stage, words: str) -> str:
    """What came of it: the error's message, else the answer."""
    said = ""

    async def holds() -> tuple[bool, object]:
        nonlocal said
        url, headers = f"http://127.0.0.1:{stage.port}/", {"Host": stage.host()}
        async with aiohttp.ClientSession() as http, http.ws_connect(url, headers=headers) as socket:
            wire = PatientWire(socket)
            answer = await wire.connect(stage.device, token=await stage.token())
            if not answer["ok"]:
                return False, answer
            params = {"sessionKey": "agent:main:main", "message": words, "idempotencyKey": secrets.token_hex(8)}
            sent = await wire.call("chat.send", params)
            if not sent["ok"]:
                return False, sent
            while (payload := (await wire.event("chat"))["payload"])["state"] not in ("error", "final"):
                pass
            said = str(payload.get("errorMessage") or payload)
            return True, payload

    await stage.until(f"something comes of {words!r}", holds)
    return said


async def play(stage: Stage, row: Row) -> None:
    """The whole of a row; rows in namespaces of their own can be played at the same time."""
    await arrange(stage, row)
    await check(stage, row)
    await remove(stage)


# what a person is told


async def check(stage: Stage, row: Row) -> None:
    """All that the row says, and that nothing is lost."""
    for told in row.told:
        await check_one(stage, row, told)
    await check_nothing_lost(stage, row)
    if row.remedy is not None:
        await mend(stage, row, row.remedy)


async def mend(stage: Stage, row: Row, remedy: Remedy) -> None:
    """A person does what they were told, and that was it."""
    for name, values in remedy.secrets.items():
        await stage.secret(name, {key: str(stage.fill(value)) for key, value in values.items()})
    for manifest in remedy.create:
        await stage.apply(stage.fill(dict(manifest)))
    for kind, name in remedy.remove:
        await stage.kube.delete(resource_of({"apiVersion": "v1", "kind": kind}), name, stage.namespace)
    for key, content in stage.blocks.items():
        await stage.put(key, content)
    if remedy.make_bucket:
        stage.made.append(str(stage.fill(remedy.make_bucket)))
        await asyncio.to_thread(lambda: stage.s3.create_bucket(Bucket=stage.made[-1]))
    if remedy.spec is not None:
        patch = {"spec": stage.fill(copy.deepcopy(dict(remedy.spec)))}
        await stage.kube.patch(MOLTBOTS, row.name, stage.namespace, patch, field_manager="person")
    await stage.ask("refresh", row.name)
    if row.scene is Scene.ASKED:
        await ask_again(stage)
    await check_condition(stage, row, remedy.then)
    if stage.recorded is not None:
        assert (await stage.status(row.name))["recorded"]["lineage"] == stage.recorded["lineage"], "it is another memory"


async def check_one(stage: Stage, row: Row, told: Told) -> None:
    match told:
        case Refused():
            await check_refused(stage, row, told)
        case Says():
            await check_condition(stage, row, told)
        case Tells():
            await check_event(stage, row, told)
        case Shows():
            await check_page(stage, row, told)
        case Answers():
            await check_answer(stage, row, told)
        case Speaks():
            assert missing(told.words, " ".join(stage.conversation)) == [], stage.conversation


def missing(words: tuple[str, ...], text: str) -> list[str]:
    return [word for word in words if word not in text]


async def check_refused(stage: Stage, row: Row, told: Refused) -> None:
    """As `kubectl apply` validates: strictly. Nothing is kept of it."""
    query = {"fieldValidation": "Strict", "dryRun": "All"}
    with pytest.raises((Invalid, BadRequest)) as refusal:
        await stage.kube.request("POST", MOLTBOTS.path(stage.namespace), query=query, body=stage.manifest(row))
    assert missing(told.words, str(refusal.value)) == [], str(refusal.value)


async def check_condition(stage: Stage, row: Row, told: Says) -> None:
    words = stage.fill(list(told.words))
    begun_again = False

    async def holds() -> tuple[bool, object]:
        nonlocal begun_again
        status = await stage.status(row.name)
        if told.reason == "BucketUnreachable" and status.get("phase") == "Awake" and not begun_again:
            # A cluster's network may enforce a policy a moment after a pod began: what slipped through then asks for its bucket again.
            begun_again = True
            await stage.ask("restart", row.name)
        one: Object = next((c for c in status.get("conditions") or () if c["type"] == told.type), {})
        same = (one.get("status"), one.get("reason")) == (told.status, told.reason)
        return same and not missing(tuple(words), one.get("message", "")), status

    await stage.until(f"{told.type}={told.status}/{told.reason} with {words}", holds)


async def check_event(stage: Stage, row: Row, told: Tells) -> None:
    words = tuple(stage.fill(list(told.words)))

    async def holds() -> tuple[bool, object]:
        events = [one for one in (await stage.kube.list(EVENTS, stage.namespace)).items if one["involvedObject"].get("name") == row.name]
        kind = "Warning" if told.warning else "Normal"
        found = [one for one in events if (one["reason"], one["type"]) == (told.reason, kind) and not missing(words, one["message"])]
        return bool(found), [(one["type"], one["reason"], one["message"]) for one in events]

    await stage.until(f"an event {told.reason} with {words}", holds)


async def check_page(stage: Stage, row: Row, told: Shows) -> None:
    """The sentence that the Control UI shows: the first `phase` of `/api/events`."""
    if not stage.port:
        return
    words, token = tuple(stage.fill(list(told.words))), await stage.token(row.name)

    async def holds() -> tuple[bool, object]:
        headers = {"Host": stage.host(row.name), "Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{stage.port}/api/events", headers=headers) as answer:
            if answer.status != 200:
                return False, (answer.status, await answer.text())
            async for line in answer.content:
                if line.startswith(b"data:"):
                    phase = json.loads(line.removeprefix(b"data:"))
                    return not missing(words, str(phase.get("message"))), phase
        return False, "the stream ended"

    await stage.until(f"the page says {words}", holds)


async def check_answer(stage: Stage, row: Row, told: Answers) -> None:
    """As a browser sees it; what a wrong token gets is what a host that nobody has gets, to the byte."""
    token = told.token or await stage.token(row.name)
    browser = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    async def fetch(host: str) -> tuple[int, str]:
        if told.token is None:
            headers, url = {"Authorization": f"Bearer {token}"}, told.path
        else:
            headers, url = browser, f"{told.path}?token={token}"
        url = f"http://127.0.0.1:{stage.port}{url}"
        async with aiohttp.ClientSession() as http, http.get(url, headers={"Host": host, **headers}, allow_redirects=False) as answer:
            return answer.status, await answer.text()

    status, page = await fetch(stage.host(row.name))
    assert (status, missing(told.words, page)) == (told.status, []), page
    if told.token is not None:
        assert await fetch(f"nobody--nowhere.localhost:{stage.port}") == (status, page)


async def check_nothing_lost(stage: Stage, row: Row) -> None:
    for pod in (await stage.kube.list(PODS, stage.namespace)).items:
        status = pod.get("status") or {}
        for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            assert one["restartCount"] == 0, f"{one['name']} was restarted: {one}"
    for kept in stage.kept:
        now = await stage.kube.get(resource_of(kept), kept["metadata"]["name"], stage.namespace)
        assert now is not None, f"{kept['kind']} {kept['metadata']['name']} is gone"
        assert now["metadata"]["uid"] == kept["metadata"]["uid"]
        assert [now.get("data"), now["metadata"].get("labels")] == [kept.get("data"), kept["metadata"].get("labels")]
    if stage.bucket_before is not None:
        assert await stage.objects() == stage.bucket_before, "something was written over what cannot be read"
    if row.refused is None and stage.recorded is not None:
        assert (await stage.status(row.name)).get("recorded") == stage.recorded
    if row.scene in (Scene.ASLEEP, Scene.EDITED_ASLEEP):
        await check_sleeps_on(stage)
    if row.scene is Scene.EDITED_ASLEEP:
        await check_mended(stage)


async def check_sleeps_on(stage: Stage) -> None:
    assert (await stage.status())["phase"] == "Asleep"
    assert ((await stage.kube.get_scale(STATEFUL_SETS, "ada-gateway", stage.namespace)) or {})["spec"].get("replicas", 0) == 0
    assert await stage.kube.get(PODS, "ada-gateway-0", stage.namespace) is None
    assert await stage.kube.get(PERSISTENT_VOLUME_CLAIMS, "ada-state", stage.namespace) is not None


async def check_mended(stage: Stage) -> None:
    """What the message asks for mends it, and the memory is there."""
    await stage.secret("ada", {"ANTHROPIC_API_KEY": "k"})
    await stage.ask("refresh")
    await stage.ask("wake")
    recorded = (await stage.phase("Awake"))["recorded"]
    assert recorded["lineage"] == stage.recorded["lineage"]


def namespace_of(row: Row, suffix: str = "") -> str:
    """One of its own; what is refused leaves nothing anywhere."""
    return "default" if row.refused else f"bad-{row.id}{suffix}"


async def remove(stage: Stage) -> None:
    """Its processes end, so that the next rows have the machine."""
    if stage.namespace == "default":
        return
    with contextlib.suppress(NotFound):
        await stage.kube.delete(NAMESPACES, stage.namespace)
