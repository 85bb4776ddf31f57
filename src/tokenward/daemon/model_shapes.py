"""Params and results of ``model.*``; the rules of ``daemon.service`` hold here as well."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tokenward.daemon.rpc_types import AgentName, ModelName, Params, Result

TierName = Annotated[
    Literal["free", "pro", "max", "max_5", "max_20", "api"],
    Field(description="A tier; absent = that of the credential that would be served now."),
]
TableName = Literal["current", "documents"]


class ModelResolveParams(Params):
    """A name for a model."""

    model: ModelName
    strict: bool = Field(default=False, description="Refuse an id that no table holds.")


class ModelResolveResult(Result):
    """What the name means."""

    provider: str
    model: str
    known: bool = Field(description="Whether a table holds the id; one that none holds passes through as it is.")
    suggestion: str | None = Field(description="For an unknown id the nearest known one.")
    note: str | None = Field(description="What a person should know, as that it was retired.")


class ModelInfoParams(Params):
    """One model."""

    model: ModelName


class ModelResult(Result):
    """One model; null = no source says."""

    provider: str
    model: str
    family: str
    context_window: int | None = Field(description="Tokens.")
    max_output: int | None = Field(description="Tokens.")
    vision: bool | None
    extended_thinking: bool | None
    tool_use: bool | None
    deprecated: bool
    retired: str | None = Field(description="The day since which the API serves it no longer.")
    minimum_tier: str | None = Field(description="The least tier that may use it; null = any, as far as is known.")
    table: TableName = Field(description="Which table says so.")
    note: str | None


class ModelListParams(Params):
    """Which models."""

    table: TableName | None = Field(default=None, description="Absent = both.")
    family: str | None = Field(default=None, max_length=64)
    capability: Literal["vision", "extended_thinking", "tool_use"] | None = None
    tier: TierName | None = Field(default=None, description="Only those that the tier table opens to this tier.")
    latest: bool = Field(default=False, description="Only the newest of each family that is not deprecated.")


class ModelTableResult(Result):
    """Where models were taken from."""

    table: TableName
    dated: str
    source: str


class ModelListResult(Result):
    """Models, within a family the older first, and what is used where nobody names one."""

    tables: list[ModelTableResult]
    models: list[ModelResult]
    default: str | None = Field(description="Goes out with a token of the default provider.")
    default_note: str | None
    defaults_by_tier: dict[str, str]
    aliases: dict[str, str]


class ModelForTierParams(Params):
    """Which model to use."""

    model: ModelName | None = Field(default=None, description="The one wanted; absent = the tier's own.")
    tier: TierName | None = None
    agent: AgentName = "main"
    strict: bool = Field(default=False, description="Refuse instead of falling back.")


class ModelForTierResult(Result):
    """The model to use."""

    provider: str
    model: str
    tier: str | None = Field(description="Null = none is known, and none forbids anything.")
    warning: str | None = Field(description="Why it is not the one wanted.")
    note: str | None = Field(description="What a person should know, as that it was retired.")


class ModelAccessParams(Params):
    """A model, and who wants to use it."""

    model: ModelName
    tier: TierName | None = None
    agent: AgentName = "main"
    strict: bool = Field(default=False, description="Refuse with an error instead of saying no.")


class ModelAccessResult(Result):
    """Whether the tier may use the model."""

    allowed: bool
    provider: str
    model: str
    tier: str | None
    required_tier: str | None = Field(description="The least that may; null = any, as far as is known.")
