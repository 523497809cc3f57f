"""`health` says of heartbeats what the resource says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moltbot_gateway.schedule.heartbeat import DEFAULT_PROMPT
from tests.fakes.gateway_client import SealedClient
from tests.gateway.models import ScriptedModel
from tests.gateway.pod import Pod, start


@pytest.mark.parametrize(
    ("agent", "seconds", "told"),
    [
        ({}, 0, (False, "0m", 0, "")),
        ({"heartbeat": {"everyMs": 1_800_000}}, 1800, (True, "30m", 1_800_000, DEFAULT_PROMPT)),
        ({"heartbeat": {"everyMs": 3_600_000, "prompt": "Look."}}, 3600, (True, "60m", 3_600_000, "Look.")),
    ],
)
async def test_heartbeats_are_told_as_they_are_set(
    tmp_path: Path, agent: dict[str, object], seconds: int, told: tuple[bool, str, int, str]
) -> None:
    pod = Pod(tmp_path, environ={"MOLTBOT_AGENT": json.dumps(agent)})
    async with start(pod, model=ScriptedModel()) as live, SealedClient.connect(live.address) as client:
        health = await client.call("health")
    heartbeat = health["agents"][0]["heartbeat"]
    assert health["heartbeatSeconds"] == seconds
    assert tuple(heartbeat[name] for name in ("enabled", "every", "everyMs", "prompt")) == told
