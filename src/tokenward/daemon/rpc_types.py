"""What the params and results of all RPC methods share: two base classes, and the types of their members.

The problem: a member must mean the same in every method, and be refused for the same reason.

Rules:
- Params refuse unknown members; clients ignore unknown members of results (design section 6).
- An error quotes no value: it could be a secret.
- No result ever holds a refresh token (design I9).
- Times are Unix milliseconds where a name ends in ``_ms``, else seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from tokenward.core import names
from tokenward.core.model_reference import MODEL_TEXT, may_be_model

ProfileId = Annotated[
    str,
    Field(
        pattern=names.PROFILE_ID,
        description="A profile's id, `provider:name`.",
        examples=["anthropic:claude-cli", "acme:me@work.com"],
    ),
]
ProfileKey = Annotated[
    str,
    Field(
        pattern=names.PROFILE_KEY,
        description="A profile's id; of another agent than main, `agent/provider:name`.",
    ),
]
AgentName = Annotated[str, Field(pattern=names.AGENT, description="A namespace of profiles.")]
KindName = Literal["api_key", "auth_token", "setup_token", "oauth", "federated"]
SessionName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=names.LONGEST_SESSION,
        description="Any text by which the caller knows a conversation.",
    ),
]
Generation = Annotated[str, Field(pattern=names.GENERATION, description="Names one value of a credential.")]
Degraded = Literal["short", "refresh_failing", "unsaved", "cooling"]


def _model_name(text: str) -> str:
    if not may_be_model(text):
        raise ValueError("not the name of a model")
    return text


ModelName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=160),
    AfterValidator(_model_name),
    Field(
        json_schema_extra={"pattern": MODEL_TEXT},
        description="`provider/model`, `provider:model`, or an id or alias alone.",
        examples=["anthropic/claude-opus-5-5", "opus"],
    ),
]
BetaName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._, -]{0,511}$")]


class Params(BaseModel):
    """What a caller sends; an unknown member is an error, so that a misspelt wish is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


class Result(BaseModel):
    """What a caller gets; members may be added within a protocol version."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)


class NoParams(Params):
    """No parameters."""
