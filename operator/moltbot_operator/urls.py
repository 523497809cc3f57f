"""Addresses that people write for a model: cleaned of what a client appends by itself, and judged. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

AI_GATEWAY_HOST = "https://gateway.ai.cloudflare.com/v1"
# Ends by which an address says that it speaks OpenAI's chat completions: OpenAI's own words, and AI Gateway's names of its doors
# (https://developers.cloudflare.com/ai-gateway/usage/providers/).
_COMPLETIONS = re.compile(r"/(openai|openai/v1|compat|workers-ai|workers-ai/v1|chat/completions)$")


def clean_base_url(url: str) -> str:
    """For the Messages API: without a trailing slash, `/v1` or `/v1/messages`."""
    text = url.strip().rstrip("/")
    for tail in ("/v1/messages", "/v1"):
        if text.endswith(tail):
            return text[: -len(tail)].rstrip("/")
    return text


def clean_completions_url(url: str) -> str:
    """For chat completions: without a trailing slash or `/chat/completions`. Workers AI answers below `/v1` alone."""
    text = url.strip().rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return f"{text}/v1" if text.endswith("/workers-ai") else text


def speaks_completions(url: str) -> bool:
    """Whether the address says that OpenAI's chat completions are spoken there, and not the Messages API."""
    return _COMPLETIONS.search(url.strip().rstrip("/")) is not None


def url_problem(url: str) -> str | None:
    """Why this is not an address that can be used, or None."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "is not a URL: it begins with https:// (or http://) and a host"
    if parts.username or parts.password:
        return "holds a user or password: put secrets into keys of their own"
    if parts.query or parts.fragment or any(character.isspace() for character in url):
        return "has a query, a fragment or white space, which do not belong there"
    return None
