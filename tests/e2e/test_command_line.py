"""`kubectl moltbot …` against an installed release: what a person without a browser does, and the way to the administration."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import aiohttp

from bench.measure import free_port
from tests.e2e.cluster import DEMO, Place, command, started, until

MOLTBOT = str(Path(sys.executable).parent / "kubectl-moltbot")


async def test_a_person_without_a_browser(place: Place) -> None:
    """Rule 1: wishes are annotations, and the command waits until the operator has done them."""
    await place.moltbot("ada", DEMO)
    await place.phase("ada", "Awake")

    async def moltbot(*words: str) -> str:
        return await command(MOLTBOT, "-n", place.namespace, *words)

    assert json.loads(await moltbot("-o", "json", "status", "ada"))["status"]["phase"] == "Awake"
    assert await place.token("ada") in await moltbot("token", "ada")
    assert "no device" in await moltbot("devices", "list")
    assert "ada is asleep" in await moltbot("sleep", "ada")
    assert await place.replicas("ada") == 0
    assert "ada is awake" in await moltbot("wake", "ada")
    assert "ada was restarted" in await moltbot("restart", "ada")
    await place.phase("ada", "Awake")
    assert "state open" in await moltbot("logs", "ada")


async def test_the_administration_is_reached_without_knowing_where_it_is(place: Place) -> None:
    """Lock 1: by port-forward, with the key that the command hands over."""
    port = free_port()
    async with started(MOLTBOT, "-n", place.namespace, "admin", "--port", str(port)) as output:
        found = None
        async with asyncio.timeout(30):
            while found is None:
                line = (await output.readline()).decode()
                assert line, "it ended"
                found = re.fullmatch(rf"http://localhost:{port}/_admin/#key=(\S+)\n", line)
        base = f"http://localhost:{port}"
        async with aiohttp.ClientSession(headers={"Origin": base}) as session:

            async def opens() -> bool:
                try:
                    async with session.post(f"{base}/_admin/api/session", json={"key": found[1]}) as answer:
                        return answer.status < 300
                except aiohttp.ClientError:
                    return False

            await until("the administration takes the key", opens)
            async with session.get(f"{base}/_admin/api/moltbots") as answer:
                assert answer.status == 200
