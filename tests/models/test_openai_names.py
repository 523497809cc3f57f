"""Addresses and names for chat completions, however they were copied."""

from __future__ import annotations

import pytest

from moltbot_gateway.models.openai_body import clean_base_url, wire_name

GATEWAY = "https://gateway.ai.cloudflare.com/v1/account/gateway"

ADDRESSES = [
    ("", "https://api.openai.com/v1"),
    ("https://api.openai.com", "https://api.openai.com/v1"),
    (" https://api.openai.com/v1/ ", "https://api.openai.com/v1"),
    ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1"),
    (f"{GATEWAY}/openai", f"{GATEWAY}/openai"),
    (f"{GATEWAY}/openai/", f"{GATEWAY}/openai"),
    (f"{GATEWAY}/openai/v1", f"{GATEWAY}/openai"),
    (f"{GATEWAY}/openai/chat/completions/", f"{GATEWAY}/openai"),
    (f"{GATEWAY}/compat", f"{GATEWAY}/compat"),
    (f"{GATEWAY}/compat/chat/completions", f"{GATEWAY}/compat"),
    (GATEWAY, f"{GATEWAY}/compat"),
    (f"{GATEWAY}/workers-ai", f"{GATEWAY}/workers-ai/v1"),
    (f"{GATEWAY}/workers-ai/v1", f"{GATEWAY}/workers-ai/v1"),
    ("https://api.cloudflare.com/client/v4/accounts/a/ai/v1", "https://api.cloudflare.com/client/v4/accounts/a/ai/v1"),
    ("http://localhost:11434", "http://localhost:11434/v1"),
    ("http://localhost:11434/", "http://localhost:11434/v1"),
    ("https://example.com/openai", "https://example.com/openai"),
    ("https://example.com/openai/v1/chat/completions", "https://example.com/openai/v1"),
    ("https://example.com/v1/openai/", "https://example.com/v1/openai"),
]


@pytest.mark.parametrize(("url", "base"), ADDRESSES, ids=[row[0] or "none" for row in ADDRESSES])
def test_a_base_url_is_taken_however_it_was_copied(url: str, base: str) -> None:
    assert clean_base_url(url) == base
    assert clean_base_url(base) == base


@pytest.mark.parametrize(
    ("model", "base", "name"),
    [
        ("openai/gpt-5", "https://api.openai.com/v1", "gpt-5"),
        ("gpt-5", f"{GATEWAY}/openai", "gpt-5"),
        ("workers-ai/@cf/meta/llama-4-scout", f"{GATEWAY}/workers-ai/v1", "@cf/meta/llama-4-scout"),
        ("openai/gpt-5", f"{GATEWAY}/compat", "openai/gpt-5"),
        ("anthropic/claude-sonnet-5-5", f"{GATEWAY}/compat", "anthropic/claude-sonnet-5-5"),
        ("@cf/meta/llama-4-scout", f"{GATEWAY}/compat", "workers-ai/@cf/meta/llama-4-scout"),
        ("gpt-5", f"{GATEWAY}/compat", "openai/gpt-5"),
        ("meta-llama/llama-4", "https://openrouter.ai/api/v1", "meta-llama/llama-4"),
    ],
)
def test_the_model_is_named_as_the_address_knows_it(model: str, base: str, name: str) -> None:
    assert wire_name(model, base) == name
