"""What clients read first: groups, kinds, versions, tables."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.contract.client import Client, Json
from tests.contract.widgets import widget

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


async def fetch(client: Client, path: str, accept: str, **query: str) -> Json:
    session = client._session
    async with session.get(client.server + path, headers={"Accept": accept}, params=query) as response:
        assert response.status == 200, await response.text()
        return json.loads(await response.read())


async def test_a_custom_kind_is_discovered_in_both_forms(client: Client, widgets: str) -> None:
    listed = (await client.get("/apis/contract.moltbot.test/v1")).ok()["resources"]
    by_name = {item["name"]: item for item in listed}
    assert by_name["widgets"]["kind"] == "Widget"
    assert by_name["widgets"]["shortNames"] == ["wd"]
    assert by_name["widgets"]["namespaced"] is True
    assert set(by_name["widgets"]["verbs"]) == {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
    assert set(by_name["widgets/status"]["verbs"]) == {"get", "patch", "update"}

    async def item() -> Json:
        groups = (await fetch(client, "/apis", AGGREGATED))["items"]
        found = [group for group in groups if group["metadata"]["name"] == "contract.moltbot.test"]
        return found[0]["versions"][0]["resources"][0] if found and found[0]["versions"][0].get("resources") else None

    async with asyncio.timeout(20):
        while (resource := await item()) is None:
            await asyncio.sleep(0.1)
    assert resource["resource"] == "widgets"
    assert resource["responseKind"] == {"group": "contract.moltbot.test", "version": "v1", "kind": "Widget"}
    assert (resource["scope"], resource["singularResource"], resource["shortNames"]) == ("Namespaced", "widget", ["wd"])
    assert resource["subresources"][0]["subresource"] == "status"


async def test_built_in_kinds_are_discovered(client: Client) -> None:
    core = {item["name"]: item for item in (await client.get("/api/v1")).ok()["resources"]}
    assert core["pods"]["shortNames"] == ["po"]
    assert core["namespaces"]["namespaced"] is False
    apps = {item["name"]: item for item in (await client.get("/apis/apps/v1")).ok()["resources"]}
    assert apps["statefulsets"]["shortNames"] == ["sts"]
    assert (apps["statefulsets/scale"]["kind"], apps["statefulsets/scale"]["group"]) == ("Scale", "autoscaling")
    assert (await client.get("/version")).ok()["major"] == "1"
    for path in ("/healthz", "/livez", "/readyz"):
        answer = await client.get(path)
        assert (answer.code, answer.body) == (200, "ok")


async def test_a_table_has_the_columns_of_the_definition(client: Client, widgets: str) -> None:
    await client.create(widgets, widget(spec={"mode": "A", "a": 4}))
    await client.patch(f"{widgets}/w/status", {"status": {"conditions": [{"type": "X"}, {"type": "Ready", "status": "True"}]}})
    table = await fetch(client, widgets, TABLE)
    columns = [(column["name"], column["type"], column["format"], column["priority"]) for column in table["columnDefinitions"]]
    assert columns == [
        ("Name", "string", "name", 0),
        ("Mode", "string", "", 0),
        ("Ready", "string", "", 0),
        ("Secret", "integer", "", 1),
        ("Age", "date", "", 0),
    ]
    assert table["rows"][0]["cells"][:4] == ["w", "A", "True", 4]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert table["rows"][0]["object"]["metadata"]["name"] == "w"
    async with client._session.get(
        client.server + widgets, headers={"Accept": TABLE}, params={"watch": "1", "timeoutSeconds": "2"}
    ) as response:
        first = json.loads(await response.content.readline())
        await client.create(widgets, widget("x"))
        second = json.loads(await response.content.readline())
    assert (first["type"], first["object"]["kind"]) == ("ADDED", "Table")
    assert first["object"]["columnDefinitions"]
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][0] == "x"


async def test_tables_of_built_in_kinds(client: Client) -> None:
    async def shown(path: str) -> tuple[list[str], list[list[Any]]]:
        table = await fetch(client, path, TABLE)
        columns = [column["name"] for column in table["columnDefinitions"] if not column["priority"]]
        rows = [
            [cell for cell, column in zip(row["cells"], table["columnDefinitions"], strict=True) if not column["priority"]]
            for row in table["rows"]
        ]
        return columns, rows

    await client.create(client.core("secrets"), {"metadata": {"name": "q"}, "stringData": {"a": "b", "c": "d"}})
    columns, rows = await shown(client.core("secrets"))
    assert columns == ["Name", "Type", "Data", "Age"]
    assert rows[0][:3] == ["q", "Opaque", 2]
    spec = {"clusterIP": "None", "selector": {"a": "b"}, "ports": [{"port": 80}]}
    await client.create(client.core("services"), {"metadata": {"name": "s"}, "spec": spec})
    columns, rows = await shown(client.core("services"))
    assert columns == ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"]
    assert rows[0][:5] == ["s", "ClusterIP", "None", "<none>", "80/TCP"]
    container = {"name": "c", "image": "x:1"}
    pod = {
        "metadata": {"name": "p"},
        "spec": {
            "nodeName": "no-such-node",
            "containers": [container],
            "initContainers": [{**container, "name": "i", "restartPolicy": "Always"}],
        },
    }
    await client.create(client.core("pods"), pod)
    columns, rows = await shown(client.core("pods"))
    assert columns == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert rows[0][:4] == ["p", "0/2", "Pending", "0"]
    columns, _ = await shown(client.of("apps", "v1", "statefulsets"))
    assert columns == ["Name", "Ready", "Age"]
    columns, _ = await shown(client.of("batch", "v1", "cronjobs"))
    assert columns == ["Name", "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age"]
    columns, _ = await shown(client.core("persistentvolumeclaims"))
    assert columns == ["Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age"]
    columns, _ = await shown(client.core("events"))
    assert columns == ["Last Seen", "Type", "Reason", "Object", "Message"]


async def test_metadata_alone_can_be_asked_for(client: Client) -> None:
    """Rule 10: Secrets are compared by their metadata alone."""
    await client.create(client.core("secrets"), {"metadata": {"name": "q"}, "stringData": {"a": "b"}})
    partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    item = await fetch(client, client.core("secrets", "q"), partial)
    assert (item["kind"], item["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert "data" not in item
    listed = await fetch(client, client.core("secrets"), "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")
    assert listed["kind"] == "PartialObjectMetadataList"
    assert all("data" not in item for item in listed["items"])
