"""What is known of a model by its name: windows, lengths, what it reads, prices, and how Claude's generations think.

Read on 2026-11-24. Claude: platform.claude.com/docs/en/about-claude/pricing and …/about-claude/models/overview, prices of the five-minute
cache (ours). OpenAI: developers.openai.com/api/docs/pricing and …/docs/models, standard tier; what it charges for a cache write where it
says so, else a write is an ordinary read. A name in neither table has no price; nobody is kept from using it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from moltbot_gateway.models.base import ModelFacts, Usage

Price = tuple[float, float, float, float]

_CLAUDE = re.compile(r"claude-([a-z]+)-(\d+)(?:[-.](\d{1,2}))?(?=$|[-@:\[])")
_OLD_CLAUDE = re.compile(r"claude-(\d)(?:[-.](\d))?-([a-z]+)")
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True)
class Claude:
    """A Claude by its name: `family` haiku | sonnet | opus | fable …, `version` (4, 6)."""

    family: str
    version: tuple[int, int]

    @property
    def adapts(self) -> bool:
        """Adaptive thinking and effort: since 4.6, where thinking by a budget of tokens went out of use."""
        return self.version >= (4, 6)

    @property
    def has_budget(self) -> bool:
        return (3, 7) <= self.version < (4, 6)

    @property
    def thinks_by_itself(self) -> bool:
        """Since 5 a request that says nothing about thinking is thought about."""
        return self.version >= (5, 0)


def claude_of(model: str) -> Claude | None:
    """`None`: no name of a Claude. Names of gateways and clouds hold Anthropic's own."""
    if match := _CLAUDE.search(model):
        return Claude(match[1], (int(match[2]), int(match[3] or 0)))
    if match := _OLD_CLAUDE.search(model):
        return Claude(match[3], (int(match[1]), int(match[2] or 0)))
    return None


# family and version → price
_CLAUDE_PRICES: dict[tuple[str, tuple[int, int]], Price] = {
    ("fable", (5, 1)): (10.0, 50.0, 0.25, 12.5),
    ("mythos", (5, 1)): (10.0, 50.0, 0.25, 12.5),
    ("fable", (5, 0)): (10.0, 50.0, 1.0, 12.5),
    ("mythos", (5, 0)): (10.0, 50.0, 1.0, 12.5),
    ("opus", (5, 5)): (4.0, 20.0, 0.2, 5.0),
    ("opus", (5, 0)): (5.0, 25.0, 0.5, 6.25),
    ("opus", (4, 8)): (5.0, 25.0, 0.5, 6.25),
    ("opus", (4, 7)): (5.0, 25.0, 0.5, 6.25),
    ("opus", (4, 6)): (5.0, 25.0, 0.5, 6.25),
    ("opus", (4, 5)): (5.0, 25.0, 0.5, 6.25),
    ("opus", (4, 1)): (15.0, 75.0, 1.5, 18.75),
    ("opus", (4, 0)): (15.0, 75.0, 1.5, 18.75),
    ("opus", (3, 0)): (15.0, 75.0, 1.5, 18.75),
    ("sonnet", (5, 5)): (2.0, 10.0, 0.1, 2.5),
    ("sonnet", (5, 0)): (2.0, 10.0, 0.2, 2.5),
    ("sonnet", (4, 6)): (3.0, 15.0, 0.3, 3.75),
    ("sonnet", (4, 5)): (3.0, 15.0, 0.3, 3.75),
    ("sonnet", (4, 0)): (3.0, 15.0, 0.3, 3.75),
    ("sonnet", (3, 7)): (3.0, 15.0, 0.3, 3.75),
    ("haiku", (5, 5)): (0.1, 0.5, 0.01, 0.125),
    ("haiku", (4, 5)): (1.0, 5.0, 0.1, 1.25),
    ("haiku", (3, 5)): (0.8, 4.0, 0.08, 1.0),
    ("haiku", (3, 0)): (0.25, 1.25, 0.03, 0.3),
}

# name → context window, price. All of these reason except the last rows.
_OPENAI: dict[str, tuple[int, Price]] = {
    "gpt-6.2-astra": (1_050_000, (8.0, 40.0, 0.4, 10.0)),
    "gpt-6.2-sol": (1_050_000, (2.0, 10.0, 0.1, 2.5)),
    "gpt-6.1-sol": (1_050_000, (2.0, 10.0, 0.1, 2.5)),
    "gpt-6-astra": (1_050_000, (10.0, 50.0, 1.0, 12.5)),
    "gpt-6-sol": (1_050_000, (2.0, 10.0, 0.2, 2.5)),
    "gpt-6-luna": (1_050_000, (0.1, 0.5, 0.01, 0.125)),
    "gpt-5.6-sol": (1_050_000, (4.0, 20.0, 0.4, 4.0)),
    "gpt-5.6-terra": (1_050_000, (2.0, 12.0, 0.2, 2.0)),
    "gpt-5.6-luna": (1_050_000, (0.2, 1.2, 0.02, 0.2)),
    "gpt-5.5": (1_050_000, (5.0, 30.0, 0.5, 5.0)),
    "gpt-5.4": (1_050_000, (2.5, 15.0, 0.25, 2.5)),
    "gpt-5.4-mini": (400_000, (0.75, 4.5, 0.075, 0.75)),
    "gpt-5.4-nano": (400_000, (0.2, 1.25, 0.02, 0.2)),
    "gpt-5.2": (400_000, (1.75, 14.0, 0.175, 1.75)),
    "gpt-5.1": (400_000, (1.25, 10.0, 0.125, 1.25)),
    "gpt-5": (400_000, (1.25, 10.0, 0.125, 1.25)),
    "gpt-5-mini": (400_000, (0.25, 2.0, 0.025, 0.25)),
    "gpt-5-nano": (400_000, (0.05, 0.4, 0.005, 0.05)),
    "o3": (200_000, (2.0, 8.0, 0.5, 2.0)),
    "o4-mini": (200_000, (1.1, 4.4, 0.275, 1.1)),
    "gpt-4.1": (1_047_576, (2.0, 8.0, 0.5, 2.0)),
    "gpt-4.1-mini": (1_047_576, (0.4, 1.6, 0.1, 0.4)),
    "gpt-4.1-nano": (1_047_576, (0.1, 0.4, 0.025, 0.1)),
    "gpt-4o": (128_000, (2.5, 10.0, 1.25, 2.5)),
    "gpt-4o-mini": (128_000, (0.15, 0.6, 0.075, 0.15)),
}
_OPENAI_LONG_PROMPT = 272_000
_HAIKU_LONG_PROMPT = 100_000


def bare_name(model: str) -> str:
    """The provider's own name: without `openai/`, `anthropic/` or `workers-ai/` before it, and without a date after it."""
    name = model.strip().removeprefix("@")
    for prefix in ("openai/", "anthropic/", "workers-ai/"):
        name = name.removeprefix(prefix)
    return _DATE.sub("", name)


def reasons(model: str) -> bool:
    """Whether it is a reasoning model of OpenAI, which takes `reasoning_effort` and no `max_tokens`."""
    return re.match(r"(gpt-([5-9]|\d\d)|o\d)(?!.*-chat)", bare_name(model)) is not None


def facts_of(model: str) -> ModelFacts:
    """Never fails: a name that nobody knows gets careful guesses and no price."""
    if (claude := claude_of(model)) is not None:
        return _claude_facts(claude)
    name = bare_name(model)
    if name in _OPENAI:
        window, price = _OPENAI[name]
        return ModelFacts(window, thinks=reasons(name), price=price, output_tokens=32_000 if reasons(name) else 16_384)
    if reasons(name):
        return ModelFacts(400_000, thinks=True, output_tokens=32_000)
    # Open models behind Workers AI and the like: smaller windows; many see pictures, none is given PDFs.
    known = name.startswith(("gpt-", "chatgpt-"))
    return ModelFacts(128_000 if known else 32_000, documents=known, output_tokens=4_096)


def _claude_facts(claude: Claude) -> ModelFacts:
    facts = ModelFacts(200_000, thinks=claude.adapts or claude.has_budget, price=_claude_price(claude))
    if claude.adapts:
        return replace(facts, context_tokens=1_000_000, output_tokens=64_000)
    if claude.version >= (3, 7):
        return replace(facts, output_tokens=32_000)
    return replace(facts, output_tokens=8_192 if claude.version >= (3, 5) else 4_096, documents=claude.version >= (3, 5))


def _claude_price(claude: Claude) -> Price | None:
    return _CLAUDE_PRICES.get((claude.family, claude.version))


def cost_micros(model: str, usage: Usage) -> int | None:
    """What one request cost, in millionths of a US dollar; `None` where the price is not known. Long prompts cost more at some models, so
    this is asked for each request, not for sums."""
    price = facts_of(model).price
    if price is None:
        return None
    factors = _long_prompt(model, usage.input + usage.cache_read + usage.cache_write)
    counts = (usage.input, usage.output, usage.cache_read, usage.cache_write)
    return round(sum(count * rate * factor for count, rate, factor in zip(counts, price, factors, strict=True)))


def _long_prompt(model: str, prompt: int) -> tuple[float, float, float, float]:
    """Claude Haiku 5.5 costs five times as much for prompts over 100,000 tokens; OpenAI's models of a million tokens double the prompt and
    take half as much again for the answer over 272,000."""
    if claude_of(model) == Claude("haiku", (5, 5)) and prompt > _HAIKU_LONG_PROMPT:
        return (5.0, 5.0, 5.0, 5.0)
    window, _ = _OPENAI.get(bare_name(model), (0, None))
    if window == 1_050_000 and prompt > _OPENAI_LONG_PROMPT:
        return (2.0, 1.5, 2.0, 2.0)
    return (1.0, 1.0, 1.0, 1.0)
