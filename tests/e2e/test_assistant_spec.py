"""What the resource says of the assistant itself, from `kubectl apply` to what the model is offered; what cannot work says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from moltbot_kube.resources import MOLTBOTS
from tests.e2e.cluster import Place, condition_of
from tests.e2e.devices import claude, model_spec, open_device, open_model, use
from tests.e2e.release import ROOT
from tests.e2e.test_tools import ALLOW
from tests.fakes.anthropic_api import FakeAnthropic

SERVER = Path(__file__).parents[1] / "fakes/mcp_server.py"
WORKSPACE = "/state/current/workspace"
# The operator asks an open pod for its report every 60 s.
REPORT_SECONDS = 100.0
SKILL = """---
name: {name}
description: Make tea. Use when somebody asks for tea.
requires:
  bins: [{program}]
---
{text}
"""


def skill(name: str, program: str = "sh", text: str = "Boil water.") -> dict[str, Any]:
    return {"name": name, "content": SKILL.format(name=name, program=program, text=text)}


def tools_offered(fake: FakeAnthropic) -> set[str]:
    return {tool["name"] for tool in fake.requests[-1].body["tools"]}


def texts(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


async def apply_example(place: Place, fake: FakeAnthropic) -> None:
    """examples/assistant.yaml as it stands, with the fake for a model; without the Secret of its tools."""
    for document in yaml.safe_load_all((ROOT / "examples/assistant.yaml").read_text()):
        if document["kind"] == "Moltbot":
            document["spec"] = await model_spec(place, fake, document["spec"])
            document["spec"]["gateway"]["tools"]["allowed"].append("printenv *")
        await place.kubectl("apply", "-f", "-", stdin=json.dumps(document))


async def test_the_example_applies_and_a_missing_key_only_costs_what_needs_it(place: Place) -> None:
    async with open_model() as fake:
        await apply_example(place, fake)
        async with open_device(place) as device:
            async with device.connect() as ada:
                missing = await place.condition("ada", "SecretsReady", "SecretMissing")
                assert "ada-tools" in missing["message"]
                assert (
                    await use(ada, "read", path="USER.md")
                    == "Ada lives in Berlin, gets up at half past six, and does not like to be called before nine."
                )
                assert "[exit code 1]" in await use(ada, "exec", command="printenv GITHUB_TOKEN")
                assert await use(ada, "exec", command="printenv GIT_AUTHOR_NAME TZ") == "Ada's assistant\nEurope/Berlin"
                system = texts(fake.requests[-1].body["system"])
                assert "You are Ada's assistant. You are brief" in system
                assert "Keeps the list of groceries" in system
                assert fake.requests[-1].body["thinking"]
                assert not [name for name in tools_offered(fake) if name.startswith("mcp_")]
                assert "needs a key, and none is there" in await use(ada, "web_search", query="tea")
                jobs = {one["name"]: one for one in (await ada.call("cron.list"))["jobs"]}
                assert jobs.keys() == {"morning", "tidy", "birthday"}
                assert jobs["morning"]["schedule"]["tz"] == "Europe/Berlin"
                limits = (await ada.call("usage.cost"))["limits"]
                assert (limits["tokensPerDay"], limits["dollarsPerDay"], limits["reached"]) == (2_000_000, 5, False)
            await place.condition("ada", "ToolsReady", "WebSearchNotConfigured", REPORT_SECONDS)
            moltbot = await place.phase("ada", "Awake")
            assert condition_of(moltbot, "ScheduleReady")["reason"] == "Scheduled"
            assert condition_of(moltbot, "McpReady") == {}, "its server is left out without its key"
            # The Secret comes: read again when asked to, and the pod is made anew (rule 2).
            before = moltbot["status"]["instance"]
            await place.secret("ada-tools", {"brave": "b", "github": "gh-token", "notes": "Bearer n"})
            await place.ask("ada", "refresh")
            await place.condition("ada", "SecretsReady", "Resolved")
            await place.until(MOLTBOTS, "ada", lambda found: (found or {})["status"].get("instance") not in (before, None))
            await place.phase("ada", "Awake")
            async with device.connect() as ada:
                assert await use(ada, "exec", command="printenv GITHUB_TOKEN") == "gh-token"
            await place.condition("ada", "ToolsReady", "ToolsAvailable", REPORT_SECONDS)
            # Nobody answers at the example's address: only its tools are missing.
            await place.condition("ada", "McpReady", "McpServerFailed", REPORT_SECONDS)


async def test_explain_tells_what_each_field_means(place: Place) -> None:
    for field, words in {
        "spec.schedule.missed": "Run does it once as soon as it can",
        "spec.mcpServers.command": "started beside the assistant's own tools",
        "spec.gateway.tools.programs": "you approve each command",
        "spec.model.limits": "What a day may cost",
    }.items():
        assert words in " ".join((await place.kubectl("explain", f"moltbot.{field}")).split())


def broken_and_good() -> Mapping[str, Any]:
    return {
        "gateway": {"tools": {"programs": "allow", "denied": ["web_fetch", "mcp_notes_picture"]}},
        "workspace": {
            "files": [
                {"path": "server.py", "content": SERVER.read_text(), "policy": "Always"},
                {"path": "SOUL.md", "content": "You like tea."},
            ]
        },
        "skills": [skill("tea"), skill("coffee", "no-such-program")],
        "mcpServers": [
            {"name": "notes", "command": ["python3", f"{WORKSPACE}/server.py", "good"], "env": [{"name": "MINE", "value": "for notes"}]},
            {"name": "broken", "command": ["no-such-server"]},
        ],
        "schedule": [{"name": "never", "cron": "0 0 30 2 *", "prompt": "It never is."}],
    }


async def test_what_cannot_work_is_named_and_the_rest_works(place: Place) -> None:
    async with open_model() as fake:
        await claude(place, fake, broken_and_good())
        async with open_device(place) as device, device.connect() as ada:
            said = await use(ada, "mcp_notes_environment")
            environment = json.loads(said.splitlines()[2])
            assert "MINE" in environment
            assert "for notes" not in said, "its value is the server's alone"
            assert not [name for name in environment if name.startswith(("MOLTBOT", "PERSON"))]
            assert "7" in await use(ada, "mcp_notes_add", a=3, b=4)
            offered = tools_offered(fake)
            assert {"mcp_notes_add", "exec", "read"} <= offered
            assert not {"web_fetch", "mcp_notes_picture"} & offered
            system = texts(fake.requests[-1].body["system"])
            assert "You like tea." in system
            assert "tea" in system
            skills = {one["name"]: one for one in (await ada.call("skills.status"))["skills"]}
            assert skills["tea"]["eligible"]
            assert skills["coffee"]["missing"]["bins"] == ["no-such-program"]
        wanted = {
            "SkillsReady": ("SkillRequirementsMissing", "no-such-program"),
            "McpReady": ("McpServerFailed", "broken"),
            "ScheduleReady": ("ScheduleInvalid", "never"),
        }
        for kind, (reason, word) in wanted.items():
            found = await place.condition("ada", kind, reason, REPORT_SECONDS)
            assert found["status"] == "False"
            assert word in found["message"]
        assert condition_of(await place.get(MOLTBOTS, "ada"), "Ready")["status"] == "True", "it answers all the same"


async def test_changed_skills_and_files_are_a_changed_template(place: Place) -> None:
    """Rule 2: a person's change is applied at once, with what was said kept; what the assistant wrote itself stays."""

    def files(soul: str, user: str) -> dict[str, Any]:
        return {"files": [{"path": "SOUL.md", "content": soul}, {"path": "USER.md", "content": user, "policy": "Always"}]}

    async with open_model() as fake:
        await claude(place, fake, {"gateway": ALLOW, "workspace": files("Be brief.", "She is Ada."), "skills": [skill("tea")]})
        async with open_device(place) as device:
            async with device.connect() as ada:
                await use(ada, "write", path="SOUL.md", content="I am my own.")
                await use(ada, "write", path="USER.md", content="I do not know her.")
            before = (await place.phase("ada", "Awake"))["status"]["instance"]
            changed = {
                "workspace": files("Be long.", "She is Ada Lovelace."),
                "skills": [skill("tea", text="Use the kettle."), skill("cake")],
            }
            await place.patch("ada", changed)
            await place.until(MOLTBOTS, "ada", lambda found: (found or {})["status"].get("instance") not in (before, None))
            async with device.connect() as ada:
                assert "Use the kettle." in await use(ada, "read", path=".skills/tea/SKILL.md")
                system = texts(fake.requests[-1].body["system"])
                assert "I am my own." in system
                assert "She is Ada Lovelace." in system
                assert "cake" in system
                roles = [role for role, _ in await ada.history()]
                assert roles.count("toolResult") == 3, "what was said and done before is there"


async def test_a_days_limit_is_told_in_status_and_stops_it(place: Place) -> None:
    async with open_model() as fake:
        await claude(place, fake, {"model": {"limits": {"tokensPerDay": 1}}})
        async with open_device(place) as device, device.connect() as ada:
            await ada.say("hello")
            end = await ada.wait_end(await ada.send("hello again"))
            assert end["state"] == "error"
            assert "limit" in end["errorMessage"]
            asked = len(fake.requests)
        await place.condition("ada", "ModelReady", "ModelLimitReached", REPORT_SECONDS)
        assert len(fake.requests) == asked == 1
