"""The keys that a Secret of ``secretsFrom`` may hold: the names of the Cloudflare guide (api.md).

A catalogue: which keys there are, which belong together, and which this version serves. What values mean is decided by
``moltbot_operator.secrets_from``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    """Keys that only make sense together."""

    ANTHROPIC = "Anthropic"
    OPENAI = "OpenAI"
    AI_GATEWAY_LEGACY = "AI Gateway (base URL)"
    AI_GATEWAY = "AI Gateway"
    GATEWAY = "gateway"
    ACCESS = "Cloudflare Access"
    BUCKET = "R2 bucket"
    TELEGRAM = "Telegram"
    DISCORD = "Discord"
    SLACK = "Slack"
    BROWSER = "browser"
    GENERAL = "general"


@dataclass(frozen=True)
class SecretKey:
    """One key: its group, whether the group is incomplete without it, whether its value is secret, and whether this version serves it."""

    name: str
    group: Group
    required: bool = False
    secret: bool = True
    served: bool = True


SECRET_KEYS: dict[str, SecretKey] = {
    key.name: key
    for key in (
        SecretKey("ANTHROPIC_API_KEY", Group.ANTHROPIC),
        SecretKey("ANTHROPIC_BASE_URL", Group.ANTHROPIC, secret=False),
        SecretKey("OPENAI_API_KEY", Group.OPENAI),
        SecretKey("AI_GATEWAY_API_KEY", Group.AI_GATEWAY_LEGACY, required=True),
        SecretKey("AI_GATEWAY_BASE_URL", Group.AI_GATEWAY_LEGACY, required=True, secret=False),
        SecretKey("CLOUDFLARE_AI_GATEWAY_API_KEY", Group.AI_GATEWAY, required=True),
        SecretKey("CF_AI_GATEWAY_ACCOUNT_ID", Group.AI_GATEWAY, required=True, secret=False),
        SecretKey("CF_AI_GATEWAY_GATEWAY_ID", Group.AI_GATEWAY, required=True, secret=False),
        SecretKey("CF_AI_GATEWAY_MODEL", Group.AI_GATEWAY, secret=False),
        SecretKey("MOLTBOT_GATEWAY_TOKEN", Group.GATEWAY),
        SecretKey("CF_ACCESS_TEAM_DOMAIN", Group.ACCESS, required=True, secret=False, served=False),
        SecretKey("CF_ACCESS_AUD", Group.ACCESS, required=True, secret=False, served=False),
        SecretKey("R2_ACCESS_KEY_ID", Group.BUCKET, required=True),
        SecretKey("R2_SECRET_ACCESS_KEY", Group.BUCKET, required=True),
        SecretKey("CF_ACCOUNT_ID", Group.BUCKET, required=True, secret=False),
        SecretKey("R2_BUCKET_NAME", Group.BUCKET, secret=False),
        SecretKey("TELEGRAM_BOT_TOKEN", Group.TELEGRAM, required=True, served=False),
        SecretKey("TELEGRAM_DM_POLICY", Group.TELEGRAM, secret=False, served=False),
        SecretKey("DISCORD_BOT_TOKEN", Group.DISCORD, required=True, served=False),
        SecretKey("DISCORD_DM_POLICY", Group.DISCORD, secret=False, served=False),
        SecretKey("SLACK_BOT_TOKEN", Group.SLACK, required=True, served=False),
        SecretKey("SLACK_APP_TOKEN", Group.SLACK, required=True, served=False),
        SecretKey("SLACK_DM_POLICY", Group.SLACK, secret=False, served=False),
        SecretKey("CDP_SECRET", Group.BROWSER, served=False),
        SecretKey("WORKER_URL", Group.GENERAL, secret=False),
        SecretKey("SANDBOX_SLEEP_AFTER", Group.GENERAL, secret=False),
        SecretKey("DEBUG_ROUTES", Group.GENERAL, secret=False, served=False),
    )
}
# moltworker's default
DEFAULT_BUCKET_NAME = "moltbot-data"
