"""The verbs against an API server: the miniature one, and with `-m cluster` the real one. Operator and router lean on every one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from moltbot_kube import AlreadyExists, Cache, Conflict, Forbidden, Invalid, Kube, NotFound, Object, Unauthorized
from moltbot_kube.resources import CONFIG_MAPS, MOLTBOTS, NAMESPACES, SECRETS, STATEFUL_SETS, STORAGE_CLASSES
from tests.controller.harness import local_cluster


@dataclass
class Place:
    kube: Kube
    namespace: str
    operator_config: str | None = None


@pytest.fixture(params=["local", pytest.param("real", marks=pytest.mark.cluster)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "local":
        async with local_cluster(tmp_path) as cluster:
            yield Place(cluster.person, "default", cluster.operator_config)
        return
    name = f"kube-{uuid.uuid4().hex[:8]}"
    async with await Kube.connect() as kube:
        await kube.create(NAMESPACES, {"metadata": {"name": name}}, field_manager="tests")
        try:
            yield Place(kube, name)
        finally:
            await kube.delete(NAMESPACES, name)


def config_map(place: Place, name: str = "a", uid: str | None = None, **data: str) -> Object:
    metadata: Object = {"name": name, "namespace": place.namespace}
    if uid is not None:
        metadata["uid"] = uid
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def statefulset(place: Place, **spec: object) -> Object:
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nowhere.invalid/none:1"}]}}
    whole = {"serviceName": "a", "selector": {"matchLabels": labels}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "a", "namespace": place.namespace}, "spec": whole}


async def test_what_is_absent_is_none_and_deleting_it_is_false(place: Place) -> None:
    assert await place.kube.get(CONFIG_MAPS, "a", place.namespace) is None
    assert await place.kube.get_metadata(SECRETS, "a", place.namespace) is None
    assert await place.kube.get_scale(STATEFUL_SETS, "a", place.namespace) is None
    assert await place.kube.delete(CONFIG_MAPS, "a", place.namespace) is False
    with pytest.raises(NotFound):
        await place.kube.patch(CONFIG_MAPS, "a", place.namespace, {"data": {}}, field_manager="t")


async def test_create_apply_patch_delete(place: Place) -> None:
    kube = place.kube
    made = await kube.create(CONFIG_MAPS, config_map(place, x="1"), field_manager="t")
    with pytest.raises(AlreadyExists):
        await kube.create(CONFIG_MAPS, config_map(place, x="1"), field_manager="t")
    applied = await kube.apply(CONFIG_MAPS, config_map(place, x="2"), field_manager="u")
    assert applied["data"] == {"x": "2"}
    again = await kube.apply(CONFIG_MAPS, config_map(place, x="2"), field_manager="u")
    assert again["metadata"]["resourceVersion"] == applied["metadata"]["resourceVersion"], "a no-op writes nothing"
    patched = await kube.patch(CONFIG_MAPS, "a", place.namespace, {"data": {"y": "3"}}, field_manager="t")
    assert patched["data"] == {"x": "2", "y": "3"}
    assert await kube.delete(CONFIG_MAPS, "a", place.namespace, uid=made["metadata"]["uid"]) is True


async def test_an_apply_that_carries_a_uid_never_creates(place: Place) -> None:
    """Rule 2."""
    with pytest.raises(Conflict):
        await place.kube.apply(CONFIG_MAPS, config_map(place, uid=str(uuid.uuid4()), x="1"), field_manager="t")
    assert await place.kube.get(CONFIG_MAPS, "a", place.namespace) is None
    await place.kube.create(CONFIG_MAPS, config_map(place), field_manager="t")
    with pytest.raises(Conflict):
        await place.kube.apply(CONFIG_MAPS, config_map(place, uid=str(uuid.uuid4()), x="1"), field_manager="t")


async def test_preconditions_of_patch_and_delete(place: Place) -> None:
    kube, uid = place.kube, str(uuid.uuid4())
    made = await kube.create(CONFIG_MAPS, config_map(place), field_manager="t")
    for options in ({"resource_version": "1"}, {"uid": uid}):
        with pytest.raises(Conflict):
            await kube.patch(CONFIG_MAPS, "a", place.namespace, {"data": {"x": "1"}}, field_manager="t", **options)
        with pytest.raises(Conflict):
            await kube.delete(CONFIG_MAPS, "a", place.namespace, **options)
    found = await kube.get(CONFIG_MAPS, "a", place.namespace)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_scale_is_read_and_written_with_its_preconditions_and_leaves_zero_out(place: Place) -> None:
    kube = place.kube
    made = await kube.create(STATEFUL_SETS, statefulset(place, replicas=0), field_manager="t")
    scale = await kube.get_scale(STATEFUL_SETS, "a", place.namespace)
    assert scale is not None
    assert int(scale["spec"].get("replicas") or 0) == 0
    assert scale["metadata"]["uid"] == made["metadata"]["uid"]
    with pytest.raises(Conflict):
        await kube.patch_scale(STATEFUL_SETS, "a", place.namespace, 1, field_manager="t", resource_version="1")
    with pytest.raises(Conflict):
        body: Object = {"metadata": {"uid": str(uuid.uuid4())}, "spec": {"replicas": 1}}
        await kube.patch(STATEFUL_SETS, "a", place.namespace, body, field_manager="t", subresource="scale", uid=str(uuid.uuid4()))
    await kube.patch_scale(STATEFUL_SETS, "a", place.namespace, 1, field_manager="t")
    found = await kube.get(STATEFUL_SETS, "a", place.namespace)
    assert found is not None
    assert found["spec"]["replicas"] == 1
    await kube.patch_scale(STATEFUL_SETS, "a", place.namespace, 0, field_manager="t")


async def test_metadata_of_a_secret_comes_without_its_data(place: Place) -> None:
    metadata = {"name": "s", "namespace": place.namespace}
    made = await place.kube.create(SECRETS, {"metadata": metadata, "stringData": {"k": "hidden"}}, field_manager="t")
    found = await place.kube.get_metadata(SECRETS, "s", place.namespace)
    assert found is not None
    assert "data" not in found
    assert found["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_refusal_names_the_field(place: Place) -> None:
    if await place.kube.get(MOLTBOTS, "x", place.namespace) is None and place.operator_config is None:
        try:
            await place.kube.list(MOLTBOTS, place.namespace)
        except NotFound:
            pytest.skip("the CRDs are not installed there")
    body = {"apiVersion": MOLTBOTS.api_version, "kind": "Moltbot", "metadata": {"name": "ada", "namespace": place.namespace}}
    with pytest.raises(Invalid) as raised:
        await place.kube.create(MOLTBOTS, {**body, "spec": {"sleepAfter": "soon"}}, field_manager="t")
    assert any("sleepAfter" in cause.field for cause in raised.value.causes)


async def test_lists_name_kind_and_version_of_their_items_and_select(place: Place) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "2"})):
        body = config_map(place, name)
        body["metadata"]["labels"] = labels
        await place.kube.create(CONFIG_MAPS, body, field_manager="t")
    listing = await place.kube.list(CONFIG_MAPS, place.namespace, label_selector="x=2")
    assert [(one["kind"], one["apiVersion"], one["metadata"]["name"]) for one in listing.items] == [("ConfigMap", "v1", "b")]
    assert int(listing.resource_version) > 0


async def test_a_cache_follows_what_happens(place: Place) -> None:
    cache = Cache(place.kube, CONFIG_MAPS, namespaces=[place.namespace])
    running = asyncio.create_task(cache.run())
    try:
        async with asyncio.timeout(10):
            await cache.wait_synced()
            made = await place.kube.create(CONFIG_MAPS, config_map(place, x="1"), field_manager="t")
            await cache.wait_for("a", place.namespace, lambda found: found is not None)
            await place.kube.patch(CONFIG_MAPS, "a", place.namespace, {"data": {"x": "2"}}, field_manager="t")
            changed = await cache.wait_for("a", place.namespace, lambda found: found is not None and found["data"]["x"] == "2")
            assert changed is not None
            assert changed["metadata"]["uid"] == made["metadata"]["uid"]
            await place.kube.delete(CONFIG_MAPS, "a", place.namespace)
            await cache.wait_for("a", place.namespace, lambda found: found is None)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_versions_and_cluster_scoped_kinds(place: Place) -> None:
    assert await place.kube.version() >= (1, 30)
    assert (await place.kube.list(STORAGE_CLASSES)).items


async def test_who_may_not_is_forbidden_and_who_is_unknown_is_unauthorized(place: Place, tmp_path: Path) -> None:
    if place.operator_config is None:
        pytest.skip("the real cluster's kubeconfig is an administrator's")
    async with await Kube.connect(place.operator_config) as operator:
        with pytest.raises(Forbidden):
            await operator.list(SECRETS, place.namespace)
    wrong = tmp_path / "wrong"
    wrong.write_text(Path(place.operator_config).read_text().replace("token-of-operator", "nonsense"))
    async with await Kube.connect(str(wrong)) as stranger:
        with pytest.raises(Unauthorized):
            await stranger.list(CONFIG_MAPS, place.namespace)
