"""Claude on the cluster, through the strict fake of Anthropic's API at this machine's address (rule 11: a private peer needs an entry)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from playwright.async_api import expect

from moltbot_kube.resources import MOLTBOTS
from tests.e2e.cluster import FAKES_ADDRESS, Place, condition_of, started
from tests.e2e.people import Visitor
from tests.e2e.release import ROOT

Visit = Callable[..., Awaitable[Visitor]]
KEY = "sk-ant-test-key"


@asynccontextmanager
async def open_fake() -> AsyncIterator[int]:
    """The fake as a process; its port."""
    program = [str(ROOT / ".venv/bin/python"), "-m", "tests.fakes.anthropic_api", "--host", FAKES_ADDRESS, "--port", "0"]
    async with started(*program, "--api-key", KEY, "--word-pause", "0.15", env={"PYTHONPATH": str(ROOT)}) as said:
        line = (await said.readline()).decode()
        found = re.search(r":(\d+)", line.removeprefix("listening on http:"))
        assert found, line
        yield int(found[1])


def asked(port: int) -> dict[str, object]:
    return {
        "secretsFrom": [{"name": "ada"}],
        "model": {"baseURL": f"http://{FAKES_ADDRESS}:{port}"},
        "gateway": {"egress": [{"cidr": f"{FAKES_ADDRESS}/32", "ports": [{"port": port}]}]},
    }


async def test_claude_streams_to_the_page_and_its_errors_are_told_in_words(place: Place, visit: Visit) -> None:
    async with open_fake() as port:
        await place.secret("ada", {"ANTHROPIC_API_KEY": KEY})
        await place.moltbot("ada", asked(port))
        ada = await visit(place)
        await ada.enter()

        await ada.say("The door is blue, and the roof is red")
        running = ada.page.get_by_test_id("running")
        await expect(running).to_contain_text("You said: The door")
        assert "of our talk with" not in await running.inner_text(), "the answer's end is there before its beginning was shown"
        await expect(ada.log.get_by_text("This was turn 1 of our talk with claude-")).to_be_visible()
        await ada.say("[fake:overloaded] hello?")
        await expect(ada.page.get_by_test_id("model-error").last).to_contain_text("provider is overloaded")
        await ada.ask("[fake:recall] what did I tell you?", "The door is blue, and the roof is red")
        await ada.say("[fake:unauthorized] hello?")
        await expect(ada.page.get_by_test_id("model-error").last).to_contain_text("did not accept the key. Correct ANTHROPIC_API_KEY")
        # Falling asleep asks the pod for its report, which is otherwise due every minute (rule 12); what it said stands while it sleeps.
        await place.put_to_sleep("ada")
        assert condition_of(await place.get(MOLTBOTS, "ada"), "ModelReady")["reason"] == "ModelAuthenticationFailed"
        await ada.ask("[fake:recall] and after your sleep?", "The door is blue, and the roof is red")


async def test_private_provider_without_its_egress_entry_is_told(place: Place, visit: Visit) -> None:
    async with open_fake() as port:
        await place.secret("ada", {"ANTHROPIC_API_KEY": KEY})
        await place.moltbot("ada", asked(port) | {"gateway": {}})
        ada = await visit(place)
        await ada.enter()
        await ada.say("Hello?")
        await expect(ada.page.get_by_test_id("model-error")).to_contain_text("gateway.egress")
        await place.put_to_sleep("ada")
        assert condition_of(await place.get(MOLTBOTS, "ada"), "ModelReady")["reason"] == "ModelUnreachable"


async def test_no_key_is_told_where_it_is_missed(place: Place, visit: Visit) -> None:
    await place.moltbot("ada", {})
    ada = await visit(place)
    await ada.enter()
    await ada.say("Hello?")
    await expect(ada.page.get_by_test_id("model-error")).to_contain_text("ANTHROPIC_API_KEY")
    assert "ANTHROPIC_API_KEY" in (await place.condition("ada", "ModelReady", "NoModel"))["message"]
