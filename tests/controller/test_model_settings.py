"""How the model is reached, by spec and Secrets: adapter, name as it goes to the provider, address, key. One row a choice of a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from moltbot_api.conditions import Reason
from moltbot_operator.effective import ModelAdapter, ModelConnection
from moltbot_operator.model_settings import DEFAULT_OPENAI_MODEL
from moltbot_protocol.models import DEFAULT_MODEL
from tests.controller.test_secrets_from import settle

CF = {"CLOUDFLARE_AI_GATEWAY_API_KEY": "cf", "CF_AI_GATEWAY_ACCOUNT_ID": "acc", "CF_AI_GATEWAY_GATEWAY_ID": "gw"}
BLOCK = {"accountId": "acc", "gatewayId": "gw"}
HOST = "https://gateway.ai.cloudflare.com/v1/acc/gw"
CLAUDE, OPENAI = ModelAdapter.ANTHROPIC, ModelAdapter.OPENAI


@dataclass(frozen=True)
class Case:
    id: str
    adapter: ModelAdapter
    name: str
    base_url: str = ""
    key: str | None = None
    model: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    second: tuple[str | None, str] | None = None


CASES = [
    # keys alone
    Case("claude", CLAUDE, DEFAULT_MODEL, key="a", keys={"ANTHROPIC_API_KEY": "a"}),
    Case("openai alone", OPENAI, DEFAULT_OPENAI_MODEL, key="o", keys={"OPENAI_API_KEY": "o"}),
    Case("both", CLAUDE, DEFAULT_MODEL, key="a", keys={"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"}, second=("o", "")),
    Case(
        "both, openai named",
        CLAUDE,
        "openai/gpt-5",
        key="a",
        keys={"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"},
        model={"name": "openai/gpt-5"},
        second=("o", ""),
    ),
    Case("openai alone, named", OPENAI, "gpt-5", key="o", keys={"OPENAI_API_KEY": "o"}, model={"name": "openai/gpt-5"}),
    Case("provider before claude", CLAUDE, "claude-x", key="a", keys={"ANTHROPIC_API_KEY": "a"}, model={"name": "anthropic/claude-x"}),
    # addresses
    Case(
        "base URL that ends in openai",
        OPENAI,
        "gpt-5",
        "https://own.example/openai",
        "o",
        {"name": "gpt-5", "baseURL": "https://own.example/openai/"},
        {"OPENAI_API_KEY": "o", "ANTHROPIC_API_KEY": "a"},
    ),
    Case(
        "base URL of a copied example",
        OPENAI,
        "gpt-5",
        "https://own.example/openai/v1",
        model={"name": "gpt-5", "baseURL": "https://own.example/openai/v1/chat/completions"},
    ),
    Case(
        "base URL of messages",
        CLAUDE,
        "x",
        "https://own.example",
        "a",
        {"name": "x", "baseURL": "https://own.example/v1"},
        {"ANTHROPIC_API_KEY": "a"},
    ),
    Case(
        "a model on one's own machine beside nothing else",
        OPENAI,
        "llama3",
        "http://ollama.ai.svc:11434/v1",
        model={"name": "openai/llama3", "openAI": {"baseURL": "http://ollama.ai.svc:11434/v1/"}},
    ),
    Case(
        "the same beside Claude",
        CLAUDE,
        DEFAULT_MODEL,
        key="a",
        model={"openAI": {"baseURL": "http://ollama.ai.svc:11434/v1"}},
        keys={"ANTHROPIC_API_KEY": "a"},
        second=(None, "http://ollama.ai.svc:11434/v1"),
    ),
    # AI Gateway of the Secrets: it wins over a direct key
    Case(
        "gateway, openai",
        OPENAI,
        "gpt-5",
        f"{HOST}/openai",
        "cf",
        keys={**CF, "CF_AI_GATEWAY_MODEL": "openai/gpt-5", "OPENAI_API_KEY": "o"},
    ),
    Case(
        "gateway, workers ai",
        OPENAI,
        "@cf/meta/llama-3",
        f"{HOST}/workers-ai/v1",
        "cf",
        keys={**CF, "CF_AI_GATEWAY_MODEL": "workers-ai/@cf/meta/llama-3", "ANTHROPIC_API_KEY": "a"},
    ),
    Case("gateway, compat", OPENAI, "groq/llama", f"{HOST}/compat", "cf", keys={**CF, "CF_AI_GATEWAY_MODEL": "compat/groq/llama"}),
    Case(
        "gateway, the spec's name wins",
        OPENAI,
        "gpt-5",
        f"{HOST}/openai",
        "cf",
        {"name": "openai/gpt-5"},
        {**CF, "CF_AI_GATEWAY_MODEL": "anthropic/claude-x"},
    ),
    Case(
        "gateway for claude, openai beside it",
        CLAUDE,
        "claude-x",
        f"{HOST}/anthropic",
        "cf",
        keys={**CF, "CF_AI_GATEWAY_MODEL": "anthropic/claude-x", "OPENAI_API_KEY": "o"},
        second=("o", ""),
    ),
    Case(
        "older pair, openai",
        OPENAI,
        DEFAULT_OPENAI_MODEL,
        "https://gw.example/openai",
        "p",
        keys={"AI_GATEWAY_API_KEY": "p", "AI_GATEWAY_BASE_URL": "https://gw.example/openai/", "OPENAI_API_KEY": "o"},
    ),
    # AI Gateway of the spec
    Case("block", CLAUDE, DEFAULT_MODEL, f"{HOST}/anthropic", "a", {"aiGateway": BLOCK}, {"ANTHROPIC_API_KEY": "a"}),
    Case(
        "block, by the name",
        OPENAI,
        "gpt-5",
        f"{HOST}/openai",
        "o",
        {"name": "openai/gpt-5", "aiGateway": BLOCK},
        {"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"},
    ),
    Case(
        "block, compat, key of the name's provider",
        OPENAI,
        "anthropic/claude-x",
        f"{HOST}/compat",
        "a",
        {"name": "anthropic/claude-x", "aiGateway": {**BLOCK, "provider": "compat"}},
        {"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"},
    ),
    Case("block, workers ai", OPENAI, "@cf/x", f"{HOST}/workers-ai/v1", None, {"name": "@cf/x", "aiGateway": BLOCK}),
]


def connection_of(case: Case) -> ModelConnection:
    return settle({"secretsFrom": [{"name": "ada"}], "model": case.model}, ada=case.keys).model


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_model_is_reached_as_spec_and_secrets_say(case: Case) -> None:
    made = connection_of(case)
    assert (made.adapter, made.name, made.base_url) == (case.adapter, case.name, case.base_url), made.problem
    assert (made.api_key.reveal() if made.api_key else None) == case.key
    second = (made.openai_api_key.reveal() if made.openai_api_key else None, made.openai_base_url) if made.has_openai else None
    assert second == case.second


BROKEN = [
    ({"name": "openai/gpt-5"}, {"ANTHROPIC_API_KEY": "a"}, Reason.GROUP_INCOMPLETE, "add OPENAI_API_KEY to Secret ada"),
    ({"name": "claude-x"}, {"OPENAI_API_KEY": "o"}, Reason.NO_MODEL, "add ANTHROPIC_API_KEY to Secret ada"),
    ({"openAI": {"apiKeySecretRef": {"name": "no", "key": "k"}}}, {}, Reason.SECRET_MISSING, "model.openAI.apiKeySecretRef: Secret no"),
    ({}, {"OPENAI_API_KEY": "o # mine"}, Reason.VALUE_INVALID, "OPENAI_API_KEY has a comment"),
    ({"aiGateway": {**BLOCK, "provider": "workers-ai"}}, {}, Reason.VALUE_INVALID, "a model has to be named, such as @cf/"),
    ({"name": "claude-x", "aiGateway": {**BLOCK, "provider": "compat"}}, {}, Reason.VALUE_INVALID, "such as anthropic/claude"),
    ({}, {**CF, "CF_AI_GATEWAY_MODEL": "groq/llama"}, Reason.VALUE_INVALID, "write compat/<provider>/<model>"),
]


@pytest.mark.parametrize(("model", "keys", "reason", "words"), BROKEN, ids=[one[3] for one in BROKEN])
def test_what_cannot_work_is_said_and_nothing_else_answers(model: dict[str, Any], keys: dict[str, str], reason: Reason, words: str) -> None:
    found = settle({"secretsFrom": [{"name": "ada"}], "model": model}, ada=keys).model
    assert (found.adapter, found.problem_reason) == (ModelAdapter.NONE, reason)
    assert words in found.problem
