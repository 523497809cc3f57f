"""MoltbotDevice: one person's browser, app or command line, as a CertificateSigningRequest is one request (api.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from moltbot_api.model import SpecModel, StatusModel, Time, rule, schema_extra
from moltbot_api.names import MOLTBOT_NAME_LENGTH, MOLTBOT_NAME_PATTERN
from moltbot_api.status import Word

Role = Literal["operator", "node"]
Scope = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z][a-z.-]*$")]
Scopes = Annotated[list[Scope], Field(max_length=16)]
# What a device says of itself is hostile text: bounded here, escaped wherever it is shown.
SelfDescription = Annotated[str, Field(max_length=128)]


class DeviceRequest(SpecModel):
    """What a device asks for now; it lives five minutes."""

    id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")] = Field(description="Identifies this request.")
    at: Time = Field(description="When it was asked.")
    role: Role = Field(description="Role that is asked for.")
    scopes: Scopes = Field(description="Scopes that are asked for.", json_schema_extra=schema_extra(list_type="atomic"))


class DeviceApproval(SpecModel):
    """What a person granted."""

    request: Annotated[str, Field(max_length=64)] = Field(description="The request that was approved.")
    roles: Annotated[list[Role], Field(min_length=1, max_length=2)] = Field(
        description="Roles that were granted.", json_schema_extra=schema_extra(list_type="atomic")
    )
    scopes: Scopes = Field(description="Scopes that were granted.", json_schema_extra=schema_extra(list_type="atomic"))
    by: Annotated[str, Field(max_length=128)] = Field(description="Who approved it.")
    at: Time = Field(description="When.")


class MoltbotDeviceSpec(SpecModel):
    """One device of one Moltbot. To approve it: write approved from request, and remove request."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(
            rule("self.moltbot == oldSelf.moltbot", "moltbot is immutable"),
            rule("self.deviceId == oldSelf.deviceId", "deviceId is immutable"),
            rule("self.publicKey == oldSelf.publicKey", "publicKey is immutable"),
            rule(
                "has(self.tokenGeneration) && (!has(oldSelf.tokenGeneration) || self.tokenGeneration >= oldSelf.tokenGeneration)",
                "tokenGeneration only grows: a revoked token never becomes valid again",
            ),
        )
    }

    moltbot: Annotated[str, Field(min_length=1, max_length=MOLTBOT_NAME_LENGTH, pattern=MOLTBOT_NAME_PATTERN)] = Field(
        description="Name of the Moltbot."
    )
    device_id: Annotated[str, Field(min_length=64, max_length=64, pattern=r"^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the public key, in hex."
    )
    public_key: Annotated[str, Field(min_length=43, max_length=43, pattern=r"^[A-Za-z0-9_-]{43}$")] = Field(
        description="Ed25519 public key, base64url."
    )
    name: SelfDescription | None = Field(default=None, description="What the device calls itself.")
    platform: SelfDescription | None = Field(default=None, description="On what it runs, as it says.")
    client: SelfDescription | None = Field(default=None, description="Which program it is, as it says.")
    request: DeviceRequest | None = Field(default=None, description="What it asks for now.")
    approved: DeviceApproval | None = Field(default=None, description="What a person granted.")
    token_generation: int = Field(default=0, ge=0, le=1_000_000, description="Device tokens of a smaller generation are void.")


class MoltbotDeviceStatus(StatusModel):
    """When the device was seen; written at most every five minutes."""

    first_seen: Time | None = Field(default=None, description="When it came first.")
    last_seen: Time | None = Field(default=None, description="When it came last.")
    state: Word | None = Field(default=None, description="Pending or Approved.")
