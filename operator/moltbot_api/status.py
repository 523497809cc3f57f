"""What is reported of a Moltbot. Lists and strings are bounded: what a pod says is hostile input (architecture, rule 12)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from moltbot_api.assistant import MOST_JOBS
from moltbot_api.model import StatusModel, Time, schema_extra

Word = Annotated[str, Field(max_length=63)]
Sentence = Annotated[str, Field(max_length=1024)]
HISTORY_LENGTH = 12


class Condition(StatusModel):
    """One condition, as the Kubernetes API conventions have it."""

    type: Word = Field(description="Which condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: Word = Field(description="Why, in one word; docs/reference/conditions.md explains each.")
    message: Sentence = Field(default="", description="Why, in words that say what to do.")
    observed_generation: int | None = Field(default=None, ge=0, description="Generation of the spec that this speaks of.")
    last_transition_time: Time | None = Field(default=None, description="When the status last changed.")


class Verifier(StatusModel):
    """What lets a router check the gateway token without holding it."""

    key_id: Word = Field(description="Which master key it was made with.")
    value: Annotated[str, Field(max_length=64)] = Field(description="HMAC over the token's SHA-256.")


class LastBackup(StatusModel):
    """When the bucket was last found equal to the state."""

    time: Time = Field(description="When.")
    snapshot: Word | None = Field(default=None, description="Id of the snapshot in the bucket.")
    bytes: int | None = Field(default=None, ge=0, description="Size of the state in bytes.")


class LastWake(StatusModel):
    """How the last wake went."""

    time: Time = Field(description="When the assistant could answer.")
    reason: Word | None = Field(default=None, description="What woke it: page, request, message, job, schedule, person, start.")
    seconds: float | None = Field(default=None, ge=0, description="From scale-up to answering.")
    breakdown: Annotated[dict[str, Annotated[int, Field(ge=0)]], Field(max_length=12)] | None = Field(
        default=None, description="Its parts in milliseconds."
    )


class HistoryEntry(StatusModel):
    """One change of phase."""

    phase: Word = Field(description="The phase it went into.")
    time: Time = Field(description="When.")
    reason: Annotated[str, Field(max_length=256)] | None = Field(default=None, description="Why, in words.")


class ActionRecord(StatusModel):
    """What became of something that a person asked for."""

    action: Literal["wake", "sleep", "restart", "refresh"] = Field(description="What was asked.")
    requested: Annotated[str, Field(max_length=64)] = Field(description="The annotation's value: when it was asked.")
    result: Literal["done", "running", "superseded", "ignored", "refused"] = Field(description="What became of it.")
    time: Time = Field(description="When that was decided.")
    message: Sentence | None = Field(default=None, description="Why.")
    instance: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="UID of the pod that it was asked of, so that a restarted operator neither forgets nor repeats it."
    )


class Usage(StatusModel):
    """What it has cost so far."""

    awake_seconds: int | None = Field(default=None, ge=0, description="Time awake in all.")
    counted_at: Time | None = Field(default=None, description="Until when awakeSeconds has been counted; absent while no pod is there.")
    tokens: int | None = Field(default=None, ge=0, description="Tokens of the model, as the gateway reports them.")


class Recorded(StatusModel):
    """The newest state that is known to exist: nothing older or emptier is ever opened in its place."""

    lineage: Word | None = Field(default=None, description="Which history of snapshots.")
    sequence: int | None = Field(default=None, ge=0, description="How far in it.")


class MoltbotStatus(StatusModel):
    """What is known of the assistant."""

    phase: Word | None = Field(
        default=None, description="For people: Pending, Waking, Awake, Draining, Asleep, Suspended or Failed. Programs read the conditions."
    )
    observed_generation: int | None = Field(default=None, ge=0, description="Generation of the spec that this status speaks of.")
    conditions: Annotated[list[Condition], Field(max_length=16)] | None = Field(
        default=None, description="What holds and what does not.", json_schema_extra=schema_extra(list_type="map", list_map_keys=["type"])
    )
    url: Annotated[str, Field(max_length=512)] | None = Field(default=None, description="Where people reach it.")
    host: Annotated[str, Field(max_length=253)] | None = Field(default=None, description="The host that leads to it.")
    model: Annotated[str, Field(max_length=128)] | None = Field(default=None, description="The model that answers.")
    sleep_after: Word | None = Field(default=None, description="The effective sleepAfter.")
    instance: Annotated[str, Field(max_length=64)] | None = Field(default=None, description="UID of the pod that is awake.")
    verifiers: Annotated[list[Verifier], Field(max_length=4)] | None = Field(
        default=None,
        description="What lets routers check the gateway token without holding it.",
        json_schema_extra=schema_extra(list_type="map", list_map_keys=["keyId"]),
    )
    last_activity_time: Time | None = Field(default=None, description="When it was last used.")
    next_wake_time: Time | None = Field(default=None, description="When it is next due by itself.")
    last_backup: LastBackup | None = Field(default=None, description="When the bucket was last found equal to the state.")
    last_wake: LastWake | None = Field(default=None, description="How the last wake went.")
    history: Annotated[list[HistoryEntry], Field(max_length=HISTORY_LENGTH)] | None = Field(
        default=None, description="The newest changes of phase, newest first.", json_schema_extra=schema_extra(list_type="atomic")
    )
    actions: Annotated[list[ActionRecord], Field(max_length=4)] | None = Field(
        default=None,
        description="What became of the newest request of each kind.",
        json_schema_extra=schema_extra(list_type="map", list_map_keys=["action"]),
    )
    usage: Usage | None = Field(default=None, description="What it has cost so far.")
    recorded: Recorded | None = Field(default=None, description="The newest state known to exist.")
    jobs: Annotated[list[Word], Field(max_length=MOST_JOBS)] | None = Field(
        default=None,
        description="Fingerprints of the times of the resource's jobs that the assistant has read; a new one has it woken, once.",
        json_schema_extra=schema_extra(list_type="atomic"),
    )
