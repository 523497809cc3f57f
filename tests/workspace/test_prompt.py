"""What the model is told: lean, the same from turn to turn, and of the owner only to the owner."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from moltbot_gateway.agent_config import SkillConfig
from moltbot_gateway.workspace import files
from moltbot_gateway.workspace.prompts import Prompts
from moltbot_gateway.workspace.skills import Host, Skills
from moltbot_gateway.workspace.stamps import stamp

TODAY = date(2026, 11, 24)


class Made:
    def __init__(self, current: Path, config: tuple[SkillConfig, ...] = ()) -> None:
        self.root, self.today = current / "workspace", TODAY
        files.prepare(self.root, ())
        self.skills = Skills(self.root, current / "skills", config, Host("/usr/bin:/bin"))
        self.skills.install()
        self.prompts = Prompts(self.root, "ada", self.skills, lambda: self.today)

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "current")


async def test_with_the_templates_and_no_skills_it_is_under_five_kilobytes(tmp_path: Path) -> None:
    made = Made(tmp_path, tuple(SkillConfig(name, enabled=False) for name in ("notes", "schedule", "summarise", "weather")))
    parts = await made.prompts.for_session(private=True)
    assert len(parts) == 2
    assert sum(len(part.encode()) for part in parts) <= 5 * 1024
    assert "# Skills" not in parts[0]


async def test_with_our_own_skills_it_stays_lean(made: Made) -> None:
    parts = await made.prompts.for_session(private=True)
    assert sum(len(part.encode()) for part in parts) <= 6 * 1024
    assert "- weather: " in parts[0]
    assert "(.skills/weather/SKILL.md)" in parts[0]


async def test_it_is_the_same_bytes_while_the_files_are(made: Made) -> None:
    made.write("memory/2026-11-24.md", "today")
    first = await made.prompts.for_session(private=True)
    again = await Made(made.root.parent).prompts.for_session(private=True)  # another process
    assert await made.prompts.for_session(private=True) == first == again
    made.write("memory/2026-11-24.md", "today, and more")
    changed = await made.prompts.for_session(private=True)
    assert changed[0] == first[0]
    assert "today, and more" in changed[1]


async def test_a_private_conversation_has_memory_and_the_notes_of_today_and_yesterday(made: Made) -> None:
    made.write("MEMORY.md", "long ago")
    for day in ("2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25"):
        made.write(f"memory/{day}.md", f"note of {day}")
    _, part = await made.prompts.for_session(private=True)
    assert "long ago" in part
    assert [day for day in ("22", "23", "24", "25") if f"note of 2026-11-{day}" in part] == ["23", "24"]
    made.today = date(2026, 11, 25)
    _, part = await made.prompts.for_session(private=True)
    assert [day for day in ("22", "23", "24", "25") if f"note of 2026-11-{day}" in part] == ["24", "25"]


@pytest.mark.parametrize("heartbeat", [False, True])
async def test_no_other_conversation_has_a_byte_of_the_owner(made: Made, heartbeat: bool) -> None:
    for name in ("USER.md", "MEMORY.md", "memory/2026-11-24.md", "memory/2026-11-23.md", "BOOTSTRAP.md"):
        made.write(name, "SECRET")
    assert "SECRET" in "".join(await made.prompts.for_session(private=True))  # also when a private one was built before
    prompt = "".join(await made.prompts.for_session(private=False, heartbeat=heartbeat))
    assert "SECRET" not in prompt
    assert "memory_search" not in prompt
    assert "Who you are" in prompt


async def test_heartbeat_is_told_to_heartbeats_and_the_first_conversation_once(made: Made) -> None:
    made.write("HEARTBEAT.md", "- look at the mail")
    ordinary = "".join(await made.prompts.for_session(private=True))
    beat = "".join(await made.prompts.for_session(private=True, heartbeat=True))
    assert ("look at the mail" in ordinary, "look at the mail" in beat) == (False, True)
    assert ("First conversation" in ordinary, "First conversation" in beat) == (True, False)
    assert "HEARTBEAT_OK" in beat
    (made.root / "BOOTSTRAP.md").unlink()
    assert "First conversation" not in "".join(await made.prompts.for_session(private=True))


async def test_a_link_in_the_workspace_is_not_read_into_the_prompt(made: Made, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the model key")
    (made.root / "SOUL.md").unlink()
    (made.root / "SOUL.md").symlink_to(tmp_path / "key")
    (made.root / "MEMORY.md").symlink_to(tmp_path / "key")
    (made.root / "memory").rename(made.root / "old")
    (made.root / "memory").symlink_to(tmp_path)
    (tmp_path / "2026-11-24.md").write_text("the model key")
    prompt = "".join(await made.prompts.for_session(private=True))
    assert "the model key" not in prompt
    assert "How to work" in prompt


async def test_a_skill_that_was_just_written_is_told_in_the_next_turn(made: Made) -> None:
    assert "- brew" not in (await made.prompts.for_session(private=True))[0]
    made.write("skills/brew/SKILL.md", "---\nname: brew\ndescription: Make tea.\n---\n")
    assert "- brew: Make tea. (skills/brew/SKILL.md)" in (await made.prompts.for_session(private=True))[0]
    (made.root / "skills/brew/SKILL.md").unlink()
    assert "- brew" not in (await made.prompts.for_session(private=True))[0]


async def test_many_turns_at_once_get_the_same(made: Made) -> None:
    parts = await asyncio.gather(*(made.prompts.for_session(private=True) for _ in range(20)))
    assert len(set(parts)) == 1


@pytest.mark.parametrize(
    ("at", "zone", "words"),
    [
        ("2026-11-24T10:40:00Z", "Europe/Berlin", "[Tue 2026-11-24 11:40 CET]"),
        ("2026-07-01T10:40:00Z", "Europe/Berlin", "[Wed 2026-07-01 12:40 CEST]"),
        ("2026-10-25T01:30:00Z", "Europe/Berlin", "[Sun 2026-10-25 02:30 CET]"),
        ("2026-11-24T23:59:59Z", "UTC", "[Tue 2026-11-24 23:59 UTC]"),
        ("2026-11-24T23:59:59Z", "No/Where", "[Tue 2026-11-24 23:59 UTC]"),
        ("2026-11-24T23:59:59Z", "../../etc/passwd", "[Tue 2026-11-24 23:59 UTC]"),
        ("2026-11-24T00:00:00Z", "", "[Tue 2026-11-24 00:00 UTC]"),
    ],
)
def test_a_message_carries_its_time_in_the_persons_zone(at: str, zone: str, words: str) -> None:
    moment = datetime.fromisoformat(at.replace("Z", "+00:00")).astimezone(UTC)
    assert stamp(int(moment.timestamp() * 1000), zone) == words
