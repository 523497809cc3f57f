"""What a spec says of the assistant itself, end to end against an API server: refused, left out, taken in, and the pod's template."""

from __future__ import annotations

import json
from typing import Any

import pytest

from moltbot_kube import Invalid, Object
from moltbot_kube.resources import CONFIG_MAPS, MOLTBOTS, STATEFUL_SETS
from tests.controller.harness import Cluster, running
from tests.controller.plans import ASSISTANT, KEYS
from tests.controller.plans import CONFIG_MAPS as TEXTS
from tests.controller.test_reconcile import refresh, template_of

DEMO: dict[str, Any] = {"model": {"name": "demo"}, "operatingMode": "Suspended"}


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def document(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await cluster.get(CONFIG_MAPS, "ada-agent"))["data"]["agent.json"])
    return found


async def edit(cluster: Cluster, spec: dict[str, Any]) -> None:
    await cluster.person.patch(MOLTBOTS, "ada", cluster.namespace, {"spec": spec}, field_manager="person")


async def changed_since(cluster: Cluster, template: dict[str, str]) -> set[str]:
    """The annotations that differ, once one does."""

    def is_another(found: Object | None) -> bool:
        return found is not None and found["spec"]["template"]["metadata"]["annotations"] != template

    await cluster.until(STATEFUL_SETS, "ada-gateway", is_another)
    now = await template_of(cluster)
    return {key for key in now if now[key] != template.get(key)}


async def test_a_whole_assistant_is_taken_as_it_is_written(cluster: Cluster) -> None:
    await cluster.secret("ada", {"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"})
    await cluster.secret("keys", KEYS)
    await cluster.apply(config_map("texts", **TEXTS["texts"]))
    async with running(cluster) as run:
        await cluster.moltbot(spec=ASSISTANT)
        await cluster.condition("ScheduleReady", "Scheduled")
        await cluster.condition("SecretsReady", "Resolved")
        await run.quiet()
        found = await document(cluster)
        assert [job["name"] for job in found["schedule"]] == ["brief", "tidy", "party"]
        run.written.clear()
        await run.reconcile(3)
        assert run.written == []


async def test_a_missing_config_map_and_key_keep_nothing_from_starting_and_are_taken_in_when_they_come(cluster: Cluster) -> None:
    spec = {
        "model": {"name": "demo"},
        "workspace": {"files": [{"path": "SOUL.md", "configMapKeyRef": {"name": "texts", "key": "soul"}}]},
        "gateway": {"env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}}]},
    }
    async with running(cluster) as run:
        await cluster.moltbot(spec=spec)
        said = await cluster.condition("SecretsReady", "SecretMissing")
        assert "Secret keys does not exist in this namespace; create it; until then it is left out" in said["message"]
        assert "ConfigMap texts does not exist in this namespace; create it; until then it is left out" in said["message"]
        await cluster.until(STATEFUL_SETS, "ada-gateway", lambda found: found and found["spec"].get("replicas") == 1)
        await run.quiet()
        assert await document(cluster) == {"onCluster": True}
        template = await template_of(cluster)
        await cluster.apply(config_map("texts", soul="Be kind."))
        await cluster.secret("keys", {"token": "t-1"})
        await refresh(cluster, "2030-01-01T00:00:00Z")
        await cluster.condition("SecretsReady", "Resolved")
        assert await changed_since(cluster, template) == {"moltbot.dev/agent", "moltbot.dev/inputs", "moltbot.dev/secrets"}
        assert (await document(cluster))["workspace"] == [{"path": "SOUL.md", "content": "Be kind.", "always": False}]
        await run.quiet()


async def test_a_changed_value_of_a_tool_changes_the_template_and_not_the_document(cluster: Cluster) -> None:
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}}]
    await cluster.secret("keys", {"token": "t-1", "other": "x"})
    async with running(cluster) as run:
        await cluster.moltbot(spec={**DEMO, "gateway": {"env": env}})
        await cluster.condition("SecretsReady", "Resolved")
        await run.quiet()
        template, before = await template_of(cluster), await document(cluster)
        await cluster.secret("keys", {"token": "t-1", "other": "y"})
        await refresh(cluster, "2030-01-01T00:00:00Z")
        await run.quiet()
        assert await template_of(cluster) == template
        await cluster.secret("keys", {"token": "t-2", "other": "y"})
        await refresh(cluster, "2030-01-01T00:00:01Z")
        assert await changed_since(cluster, template) == {"moltbot.dev/secrets", "moltbot.dev/inputs"}
        assert await document(cluster) == before
        await run.quiet()


async def test_a_schedule_that_is_mended_while_it_sleeps_is_told_so(cluster: Cluster) -> None:
    async with running(cluster) as run:
        await cluster.moltbot(spec={**DEMO, "schedule": [{"name": "brief", "cron": "0 25 * * *", "prompt": "x"}]})
        said = await cluster.condition("ScheduleReady", "ScheduleInvalid")
        assert "25 is no hour: they go from 0 to 23; until it is corrected it does not run" in said["message"]
        await run.quiet()
        assert [one["message"] for one in await cluster.events("ScheduleInvalid")] == [said["message"]]
        await edit(cluster, {"schedule": [{"name": "brief", "cron": "0 7 * * *", "prompt": "x"}]})
        await cluster.condition("ScheduleReady", "Scheduled")
        await edit(cluster, {"schedule": None})
        await cluster.until(
            MOLTBOTS, "ada", lambda found: found and all(one["type"] != "ScheduleReady" for one in found["status"]["conditions"])
        )
        await run.quiet()


def job(**more: Any) -> dict[str, Any]:
    return {"schedule": [{"name": "j", "prompt": "x", **more}]}


def env(name: str, **more: Any) -> dict[str, Any]:
    return {"gateway": {"env": [{"name": name, **(more or {"value": "1"})}]}}


def server(**more: Any) -> dict[str, Any]:
    return {"mcpServers": [{"name": "s", **more}]}


def search(provider: str) -> dict[str, Any]:
    return {"gateway": {"tools": {"webSearch": {"provider": provider}}}}


SECRET_REF = {"secretKeyRef": {"name": "s", "key": "k"}}
TEXT_REF = {"name": "n", "key": "k"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    (env("MOLTBOT_KEYS"), "not yours to set"),
    (env("PERSON_ENV_1"), "not yours to set"),
    (env("LD_PRELOAD"), "not yours to set"),
    (env("PYTHONPATH"), "not yours to set"),
    (env("PATH"), "not yours to set"),
    ({"skills": [{"name": "s", "env": [{"name": "HOME", "value": "x"}]}]}, "not yours to set"),
    (server(command=["x"], env=[{"name": "BASH_ENV", "value": "x"}]), "not yours to set"),
    (env("A", value="1", valueFrom=SECRET_REF), "name either a value or valueFrom"),
    ({"gateway": {"env": [{"name": "A"}]}}, "name either a value or valueFrom"),
    ({"gateway": {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}}, "Duplicate value"),
    (server(), "name either a command or a url"),
    (server(command=["x"], url="https://x.example"), "name either a command or a url"),
    (server(command=["x"], headers=[{"name": "A", "value": "1"}]), "headers are for a url"),
    (server(url="https://x.example", env=[{"name": "A", "value": "1"}]), "env is for a command"),
    (server(url="https://x.example", headers=[{"name": "HoSt", "value": "1"}]), "belongs to the connection"),
    (server(url="https://x.example", headers=[{"name": "A", "value": "1\r\nB: 2"}]), "should match"),
    (job(), "name exactly one of cron, every and at"),
    (job(cron="0 7 * * *", every="1h"), "name exactly one of cron, every and at"),
    (job(every="1w"), "should match"),
    (job(at="tomorrow"), "should match"),
    (job(every="1h", session="main"), "Unsupported value"),
    ({"schedule": [{"name": "j", "every": "1h", "prompt": "x"}] * 2}, "Duplicate value"),
    (search("brave"), "this provider needs a key"),
    (search("searxng"), "name its baseURL"),
    (search("google"), "Unsupported value"),
    ({"workspace": {"files": [{"path": "a", "content": "x", "configMapKeyRef": TEXT_REF}]}}, "either content or configMapKeyRef"),
    ({"workspace": {"files": [{"path": "../a", "content": "x"}]}}, "should match"),
    ({"workspace": {"files": [{"path": "/etc/passwd", "content": "x"}]}}, "should match"),
    ({"workspace": {"files": [{"path": "a", "content": "x" * 65537}]}}, "Too long"),
    ({"skills": [{"name": "s", "content": "x", "configMapKeyRef": TEXT_REF}]}, "not both"),
    ({"model": {"aiGateway": {"accountId": "a", "gatewayId": "g", "provider": "groq"}}}, "Unsupported value"),
    ({"model": {"limits": {"dollarsPerDay": "five"}}}, "should match"),
    ({"model": {"limits": {"tokensPerDay": 0}}}, "greater than or equal to 1"),
    ({"model": {"thinking": "max"}}, "Unsupported value"),
    ({"heartbeat": {"every": "30m", "activeHours": {"from": "8:00", "to": "22:00"}}}, "should match"),
    ({"heartbeat": {"prompt": "x"}}, "every"),
    ({"timeZone": "Europe/Berlin; rm"}, "should match"),
]  # fmt: skip


async def test_what_makes_no_sense_is_refused_with_words(cluster: Cluster) -> None:
    """Sent as it is: a server-side apply of a list with one key twice fails earlier, with an error of the server's own (500)."""
    for spec, words in REFUSED:
        about = {"name": "ada", "namespace": cluster.namespace}
        body: Object = {"apiVersion": MOLTBOTS.api_version, "kind": "Moltbot", "metadata": about, "spec": spec}
        with pytest.raises(Invalid) as refused:
            await cluster.person.create(MOLTBOTS, body, field_manager="person")
        assert words in str(refused.value), spec


async def test_a_day_may_cost_a_whole_number_or_a_decimal_in_quotes(cluster: Cluster) -> None:
    for number, dollars in enumerate((5, "5.00", "0.5")):
        await cluster.moltbot(f"ada{number}", {"model": {"limits": {"dollarsPerDay": dollars}}, "operatingMode": "Suspended"})
