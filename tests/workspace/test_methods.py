"""Files, skills and search through the gateway's socket, as pages ask."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moltbot_gateway.store.search import parse_query, snippet_of
from moltbot_protocol.methods import Scope
from moltbot_trust.seals import Seal
from tests.fakes.clock import FakeClock
from tests.fakes.gateway_client import CallFailed, SealedClient
from tests.gateway.models import ScriptedModel
from tests.gateway.pod import Live, Pod, control, start

AGENT = {
    "workspace": [{"path": "SOUL.md", "content": "I am from the resource."}, {"path": "../moltbot.sqlite", "content": "x"}],
    "skills": [
        {"name": "brew", "content": "---\nname: brew\ndescription: Make tea.\n---\n"},
        {"name": "hub", "content": "---\nname: hub\ndescription: Ask the hub.\nrequires:\n  bins: [no-such-program]\n---\n"},
        {"name": "weather", "enabled": False},
    ],
}


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
async def live(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[Live]:
    pod = Pod(tmp_path, environ={"MOLTBOT_AGENT": json.dumps(AGENT)})
    async with start(pod, model=model, clock=FakeClock()) as started:
        yield started


@pytest.fixture
async def client(live: Live) -> AsyncIterator[SealedClient]:
    async with SealedClient.connect(live.address) as connected:
        yield connected


async def test_the_files_are_listed_read_and_written(client: SealedClient, tmp_path: Path) -> None:
    listed = {row["name"]: row for row in (await client.call("agents.files.list", agentId="main"))["files"]}
    assert listed["MEMORY.md"] == {"name": "MEMORY.md", "path": "workspace/MEMORY.md", "missing": True}
    assert (listed["SOUL.md"]["missing"], listed["SOUL.md"]["size"]) == (False, len("I am from the resource."))
    assert (await client.call("agents.files.get", name="SOUL.md"))["file"]["content"] == "I am from the resource."
    missing = (await client.call("agents.files.get", name="MEMORY.md"))["file"]
    assert (missing["missing"], missing["content"]) == (True, "")
    answer = await client.call("agents.files.set", name="MEMORY.md", content="Anna: figs\n")
    assert (answer["ok"], answer["file"]["size"]) == (True, 11)
    assert (tmp_path / "current/workspace/MEMORY.md").read_text() == "Anna: figs\n"


@pytest.mark.parametrize("name", ["../moltbot.sqlite", "/etc/passwd", ".skills/notes/SKILL.md", "memory/../../moltbot.sqlite", ".x.txt"])
async def test_no_other_file_is_read_or_written(client: SealedClient, name: str) -> None:
    for method, more in (("agents.files.get", {}), ("agents.files.set", {"content": "x"})):
        with pytest.raises(CallFailed) as caught:
            await client.call(method, name=name, **more)
        assert caught.value.error["code"] == "INVALID_REQUEST"


async def test_a_link_that_a_tool_made_is_not_shown_to_a_page(client: SealedClient, tmp_path: Path) -> None:
    await client.call("agents.files.list")
    (tmp_path / "key").write_text("the key")
    (tmp_path / "current/workspace/MEMORY.md").symlink_to(tmp_path / "key")
    with pytest.raises(CallFailed) as caught:
        await client.call("agents.files.get", name="MEMORY.md")
    assert "link" in caught.value.error["message"]
    assert str(tmp_path) not in caught.value.error["message"]


async def test_a_device_that_may_only_read_cannot_write(live: Live) -> None:
    async with SealedClient.connect(live.address, Seal("b" * 64, "operator", (Scope.READ,), 1, "reader")) as reader:
        assert (await reader.call("agents.files.list"))["files"]
        with pytest.raises(CallFailed, match="scope"):
            await reader.call("agents.files.set", name="MEMORY.md", content="x")


async def test_skills_say_what_is_missing_and_the_report_too(live: Live, client: SealedClient) -> None:
    answer = await client.call("skills.status")
    skills = {row["name"]: row for row in answer["skills"]}
    assert {name: (row["source"], row["eligible"], row["disabled"]) for name, row in skills.items()} == {
        "brew": ("managed", True, False),
        "hub": ("managed", False, False),
        "notes": ("bundled", True, False),
        "schedule": ("bundled", True, False),
        "summarise": ("bundled", True, False),
        "weather": ("bundled", False, True),
    }
    assert skills["hub"]["missing"]["bins"] == ["no-such-program"]
    assert skills["brew"]["filePath"] == ".skills/brew/SKILL.md"
    conditions = (await control(live, "GET", "/report"))["conditions"]
    assert isinstance(conditions, list)
    (condition,) = [row for row in conditions if row["type"] == "SkillsReady"]
    assert (condition["status"], condition["reason"]) == ("False", "SkillRequirementsMissing")
    assert "skill hub needs program no-such-program" in condition["message"]


async def test_a_skill_that_a_person_writes_in_the_page_is_there_at_once(client: SealedClient) -> None:
    await client.call("agents.files.set", name="skills/mine/SKILL.md", content="---\nname: mine\ndescription: My own.\n---\n")
    assert ("mine", "workspace") in [(row["name"], row["source"]) for row in (await client.call("skills.status"))["skills"]]
    await client.call("agents.files.set", name="skills/mine/SKILL.md", content="---\nname: mine\n---\n")
    answer = await client.call("skills.status")
    assert "mine" not in [row["name"] for row in answer["skills"]]
    assert "no description" in answer["problems"][0]


async def talk(client: SealedClient, model: ScriptedModel, text: str, answer: str, session: str = "agent:main:main") -> None:
    model.answer(answer)
    await client.wait_end(await client.send(text, session=session))


async def test_words_are_found_in_the_conversations_that_there_are(client: SealedClient, model: ScriptedModel) -> None:
    await talk(client, model, "Where shall we go?", "Lisbon is lovely in spring.")
    await talk(client, model, "Plan the trip to Lisbon, please", "Gladly.", session="agent:main:trip")
    results = (await client.call("sessions.search", query="lisb"))["results"]
    assert {(row["key"], row["role"], row["title"]) for row in results} == {
        ("agent:main:main", "assistant", "Main"),
        ("agent:main:trip", "user", "Plan the trip to Lisbon, please"),
    }
    assert "\u0002Lisbon\u0003 is lovely" in next(row["snippet"] for row in results if row["role"] == "assistant")
    history = (await client.call("chat.history", sessionKey="agent:main:trip"))["messages"]
    assert next(row["messageId"] for row in results if row["role"] == "user") == history[0]["id"]
    assert [row["key"] for row in (await client.call("sessions.search", query="trip lisbon"))["results"]] == ["agent:main:trip"]
    await client.call("sessions.delete", key="agent:main:trip")
    await client.call("sessions.reset", key="agent:main:main")
    assert (await client.call("sessions.search", query="lisbon"))["results"] == []


async def test_the_newest_of_equal_hits_comes_first_and_the_limit_holds(client: SealedClient, model: ScriptedModel, live: Live) -> None:
    clock = live.address.clock
    assert isinstance(clock, FakeClock)
    for number in range(4):
        await talk(client, model, f"oslo {number}", "Yes.", session=f"agent:main:s{number}")
        await clock.advance(10)
    results = (await client.call("sessions.search", query="oslo", limit=3))["results"]
    assert [row["key"] for row in results] == ["agent:main:s3", "agent:main:s2", "agent:main:s1"]


@pytest.mark.parametrize("query", ["", '"', "AND", "NEAR(a", "-x", "*", "text:y", "a\0b", "猫", "%"])
async def test_no_search_is_an_error(client: SealedClient, model: ScriptedModel, query: str) -> None:
    await talk(client, model, "hello", "hello")
    assert (await client.call("sessions.search", query=query))["results"] == []


async def test_words_without_spaces_are_found_where_they_stand(client: SealedClient, model: ScriptedModel) -> None:
    await talk(client, model, "我的猫很可爱", "是的")
    (row,) = (await client.call("sessions.search", query="可爱"))["results"]
    assert row["snippet"] == "我的猫很\u0002可爱\u0003"


async def test_a_snippet_shows_the_place_and_marks_what_was_found(client: SealedClient, model: ScriptedModel) -> None:
    await talk(client, model, "word " * 100 + "then we meet at the Café Müller\u0002 in\n\nWuppertal " + "more " * 100, "Yes.")
    (row,) = (await client.call("sessions.search", query="MULLER café"))["results"]
    assert "meet at the \u0002Café\u0003 \u0002Müller\u0003 in Wuppertal more" in row["snippet"]
    assert row["snippet"].startswith("…")
    assert row["snippet"].endswith("…")
    assert len(row["snippet"]) < 220


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400), st.text(max_size=30))
def test_a_snippet_is_the_text_with_marks_in_pairs(text: str, words: str) -> None:
    shown = snippet_of(text, parse_query(words))
    assert shown.count("\u0002") == shown.count("\u0003")
    plain = shown.replace("\u0002", "").replace("\u0003", "")
    if not text.startswith("…") and not text.endswith("…"):
        plain = plain.removeprefix("…").removesuffix("…")
    assert plain in " ".join(text.replace("\u0002", "").replace("\u0003", "").split())
