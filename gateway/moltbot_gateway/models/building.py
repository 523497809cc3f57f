"""The one model of a process, made of its settings: the main adapter, those that names with a prefix belong to, and the fallbacks."""

from __future__ import annotations

from moltbot_gateway.agent_config import AgentConfig
from moltbot_gateway.models.base import Model
from moltbot_gateway.models.claude import ClaudeModel
from moltbot_gateway.models.connection import Connection
from moltbot_gateway.models.demo import DemoModel
from moltbot_gateway.models.fallback import FallbackModel, Routes
from moltbot_gateway.models.openai import OpenAIModel
from moltbot_gateway.models.openai_body import clean_base_url
from moltbot_gateway.models.retrying import RetryPolicy
from moltbot_gateway.models.unset import UnsetModel
from moltbot_gateway.settings import ModelAdapter, Settings
from moltbot_trust.clock import Clock

# With somebody else to ask, nobody waits long for the first.
_SHORT = RetryPolicy(retries=1, timeouts=0, longest_wait=5.0)


def build_model(settings: Settings, config: AgentConfig, clock: Clock) -> Model:
    """Nothing is connected to and nothing heavy imported before the first question."""
    policy = _SHORT if config.fallbacks else RetryPolicy()
    connection = Connection(settings.model_base_url, settings.model_api_key, settings.model_gateway_authorization)
    match settings.model_adapter:
        case ModelAdapter.ANTHROPIC:
            claude = ClaudeModel(connection, policy=policy, sleep=clock.sleep)
            completions = _completions(settings, policy, clock)
            return FallbackModel(
                Routes(claude, {"anthropic": claude, "openai": completions, "workers-ai": completions}, config.fallbacks), clock
            )
        case ModelAdapter.OPENAI:
            # Behind `…/compat` a prefix is part of the name, and all names are this adapter's.
            main = OpenAIModel(connection, policy=policy, sleep=clock.sleep)
            return FallbackModel(Routes(main, {}, config.fallbacks), clock)
        case ModelAdapter.DEMO:
            return DemoModel(clock.sleep)
        case ModelAdapter.NONE:
            return UnsetModel(settings.model_problem)


def _completions(settings: Settings, policy: RetryPolicy, clock: Clock) -> Model:
    """For names such as `openai/…` beside Claude."""
    key, url = settings.model_openai_api_key, settings.model_openai_base_url
    if not key and not url:
        return UnsetModel(
            "No key is there for models of OpenAI or Workers AI: put OPENAI_API_KEY into the Secret that the Moltbot names in secretsFrom, "
            "or choose another model with /model."
        )
    # The AI Gateway's token is for the gateway alone.
    gateway = settings.model_gateway_authorization if "gateway.ai.cloudflare.com" in clean_base_url(url) else None
    return OpenAIModel(Connection(url, key, gateway), policy=policy, sleep=clock.sleep)
