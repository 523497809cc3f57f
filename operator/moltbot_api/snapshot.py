"""MoltbotSnapshot: a snapshot in the bucket, which is the truth; creating one asks for a snapshot now (api.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from moltbot_api.model import SpecModel, StatusModel, Time, rule, schema_extra
from moltbot_api.names import MOLTBOT_NAME_LENGTH, MOLTBOT_NAME_PATTERN
from moltbot_api.status import Sentence, Word


class MoltbotSnapshotSpec(SpecModel):
    """Which Moltbot, and what becomes of the data when this object is deleted."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(rule("self.moltbot == oldSelf.moltbot", "moltbot is immutable"))
    }

    moltbot: Annotated[str, Field(min_length=1, max_length=MOLTBOT_NAME_LENGTH, pattern=MOLTBOT_NAME_PATTERN)] = Field(
        description="Name of the Moltbot."
    )
    deletion_policy: Literal["Retain"] = Field(default="Retain", description="Deleting this object keeps the snapshot in the bucket.")


class MoltbotSnapshotStatus(StatusModel):
    """What is in the bucket."""

    phase: Literal["Pending", "Complete", "Failed"] | None = Field(default=None, description="Pending, Complete or Failed.")
    message: Sentence | None = Field(default=None, description="Why it failed, and what to do.")
    moltbot_uid: Word | None = Field(default=None, alias="moltbotUID", description="UID of the Moltbot whose state it is.")
    time: Time | None = Field(default=None, description="When it was made.")
    verified: bool | None = Field(default=None, description="Every block of it was read back or listed, and HEAD pointed to it.")
    bytes: int | None = Field(default=None, ge=0, description="Size of the state in bytes.")
    files: int | None = Field(default=None, ge=0, description="Number of files.")
    lineage: Word | None = Field(default=None, description="Which history of snapshots.")
    sequence: int | None = Field(default=None, ge=0, description="How far in it.")
    parent: Word | None = Field(default=None, description="Id of the snapshot before it.")
    bucket_id: Annotated[str, Field(max_length=128)] | None = Field(default=None, description="Id of the snapshot in the bucket.")
