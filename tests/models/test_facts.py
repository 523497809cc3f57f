"""What is known of models by name, and what a request cost."""

from __future__ import annotations

import pytest

from moltbot_gateway.models.base import Usage
from moltbot_gateway.models.facts import cost_micros, facts_of

MILLION = 1_000_000

# name, window, thinks, documents, price
KNOWN: list[tuple[str, int, bool, bool, tuple[float, float, float, float] | None]] = [
    ("claude-sonnet-5-5", MILLION, True, True, (2.0, 10.0, 0.1, 2.5)),
    ("anthropic/claude-opus-5-5", MILLION, True, True, (4.0, 20.0, 0.2, 5.0)),
    ("claude-haiku-5-5", MILLION, True, True, (0.1, 0.5, 0.01, 0.125)),
    ("claude-opus-4-6", MILLION, True, True, (5.0, 25.0, 0.5, 6.25)),
    ("claude-sonnet-4-5-20250929", 200_000, True, True, (3.0, 15.0, 0.3, 3.75)),
    ("claude-opus-4-20250514", 200_000, True, True, (15.0, 75.0, 1.5, 18.75)),
    ("anthropic.claude-opus-4-6-v1", MILLION, True, True, (5.0, 25.0, 0.5, 6.25)),
    ("anthropic/claude-sonnet-4.6", MILLION, True, True, (3.0, 15.0, 0.3, 3.75)),
    ("claude-3-7-sonnet-20250219", 200_000, True, True, (3.0, 15.0, 0.3, 3.75)),
    ("claude-3-5-haiku-latest", 200_000, False, True, (0.8, 4.0, 0.08, 1.0)),
    ("claude-3-haiku-20240307", 200_000, False, False, (0.25, 1.25, 0.03, 0.3)),
    ("claude-sonnet-9", MILLION, True, True, None),
    ("openai/gpt-5-mini", 400_000, True, True, (0.25, 2.0, 0.025, 0.25)),
    ("gpt-5-2025-08-07", 400_000, True, True, (1.25, 10.0, 0.125, 1.25)),
    ("gpt-4o-mini", 128_000, False, True, (0.15, 0.6, 0.075, 0.15)),
    ("gpt-9", 400_000, True, True, None),
    ("workers-ai/@cf/meta/llama-4-scout", 32_000, False, False, None),
    ("something", 32_000, False, False, None),
    ("", 32_000, False, False, None),
]


@pytest.mark.parametrize(("name", "window", "thinks", "documents", "price"), KNOWN, ids=[row[0] or "none" for row in KNOWN])
def test_what_is_known_of_a_name(
    name: str, window: int, thinks: bool, documents: bool, price: tuple[float, float, float, float] | None
) -> None:
    facts = facts_of(name)
    assert (facts.context_tokens, facts.thinks, facts.documents, facts.price) == (window, thinks, documents, price)
    assert facts.images
    assert 1_024 < facts.output_tokens < facts.context_tokens


@pytest.mark.parametrize(
    ("name", "usage", "cost"),
    [
        ("claude-sonnet-5-5", Usage(1_000, 100, 10_000, 400), 2_000 + 1_000 + 1_000 + 1_000),
        ("claude-haiku-5-5", Usage(100_000, 1_000), 10_000 + 500),
        ("claude-haiku-5-5", Usage(1, 1_000, 100_000), 5 * 500 + 5_000),
        ("gpt-6-sol", Usage(272_000, 1_000), 544_000 + 10_000),
        ("gpt-6-sol", Usage(272_001, 1_000), 1_088_004 + 15_000),
        ("gpt-5-mini", Usage(1_000, 100, 1_000), 250 + 200 + 25),
        ("claude-sonnet-5-5", Usage(), 0),
        ("something", Usage(1_000, 100), None),
    ],
)
def test_what_a_request_cost(name: str, usage: Usage, cost: int | None) -> None:
    assert cost_micros(name, usage) == cost


def test_every_model_that_the_sdk_names_has_a_window() -> None:
    from typing import get_args

    from anthropic.types import ModelParam

    names = [name for arm in get_args(ModelParam) for name in get_args(arm)]
    assert len(names) > 10
    for name in names:
        if "preview" not in name:
            assert facts_of(name).thinks, name
