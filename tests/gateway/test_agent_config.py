"""`MOLTBOT_AGENT`: what cannot be used is left out and told, and never keeps the assistant from answering."""

from __future__ import annotations

import json

from moltbot_gateway.agent_config import MAX_ITEMS, EnvVar, parse_agent_config


def test_what_is_more_than_is_taken_is_told() -> None:
    given = [{"name": f"A{number}", "from": f"PERSON_ENV_{number}"} for number in range(MAX_ITEMS + 1)]
    whole, cut = parse_agent_config(json.dumps({"env": given[:-1]})), parse_agent_config(json.dumps({"env": given}))
    assert whole.problems == ()
    assert cut.env == whole.env
    assert cut.env[-1] == EnvVar("A63", "PERSON_ENV_63")
    assert cut.problems == ("env has 65 entries, of which 64 are used",)
