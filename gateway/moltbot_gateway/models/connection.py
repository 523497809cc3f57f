"""How a provider is reached and for how long it is waited for: what every adapter is given."""

from __future__ import annotations

from dataclasses import dataclass

from moltbot_trust.redaction import Secret

# Cloudflare's: developers.cloudflare.com/ai-gateway/configuration/authentication
GATEWAY_HEADER = "cf-aig-authorization"


@dataclass(frozen=True)
class Connection:
    """How the provider is reached; each key optional."""

    base_url: str = ""
    api_key: Secret | None = None
    gateway_authorization: Secret | None = None

    @property
    def gateway_value(self) -> str:
        """What the AI Gateway's header carries; empty without one. People copy the token with or without its first word."""
        if not self.gateway_authorization:
            return ""
        token = self.gateway_authorization.reveal().strip()
        return token if token.lower().startswith("bearer ") else f"Bearer {token}"

    @property
    def key_value(self) -> str:
        return self.api_key.reveal().strip() if self.api_key else ""


@dataclass(frozen=True)
class Limits:
    """Seconds. `connect`: TCP asks a third time after 3 s, and whoever waits for an answer is told after four of these; `silence`: no byte
    (a quiet stream is pinged); `quiet`: pings, but no event."""

    connect: float = 4.0
    silence: float = 60.0
    quiet: float = 180.0
