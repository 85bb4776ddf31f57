"""What the keys of ``config.toml`` have in common: the class of its tables, and the types of values.

The problem: a path, an endpoint or a key must be read in the same way wherever the file may name one, and refused
before anything is done with it.

Rules:
- Values are strict: a number is not a text, and a truth is neither.
- No error quotes a value: it could be a key.
- Paths are expanded by the environment that the file is read in, and absolute.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
)

from tokenward import config_values, paths
from tokenward.core.model_reference import MODEL_TEXT

LARGEST_REFRESH_TIMEOUT_SECONDS = 50.0
"""A refresh must end before others take our lock for a dead one's: Claude Code's grows stale in 60 s."""


def _path(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    expanded = paths.expanded(value, (info.context or {})["environ"])
    if not expanded.is_absolute():
        raise ValueError("must be an absolute path or begin with ~/")
    return expanded


def _secret(value: SecretStr) -> SecretStr:
    if fault := config_values.credential_fault(value.get_secret_value()):
        raise ValueError(fault)
    return value


def _endpoint(value: str) -> str:
    if fault := config_values.url_fault(value, endpoint=True):
        raise ValueError(fault)
    return value


def _address(value: str) -> str:
    if fault := config_values.url_fault(value, endpoint=False):
        raise ValueError(fault)
    return value


def _page(value: str) -> str:
    if fault := config_values.page_fault(value):
        raise ValueError(fault)
    return value


Secretive = Annotated[SecretStr, AfterValidator(_secret)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Address = Annotated[str, AfterValidator(_address)]
Page = Annotated[str, Field(max_length=2048), AfterValidator(_page)]
AbsolutePath = Annotated[Path, BeforeValidator(_path)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ProfileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}:[A-Za-z0-9._@+-]{1,128}$")]
CommandName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._@+-]{1,128}$")]
SinkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_@+-][A-Za-z0-9._@+-]{0,127}$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Text = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[\x20-\x7e]+$")]
PassedOn = Annotated[
    list[Text], Field(description="Variables passed on to the command besides PATH, HOME, LANG and XDG_*.")
]
ModelText = Annotated[str, Field(pattern=MODEL_TEXT)]
TierName = Literal["free", "pro", "max", "max_5", "max_20", "api"]


class Table(BaseModel):
    """A table of the file; what is not named here is an error."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        validate_default=False,
        defer_build=True,  # one validator for the whole file, instead of one a table that none uses by itself
    )


OVERFLOW_UID = 65534
"""Stands for every user that a namespace does not know (user_namespaces(7)), so for nobody in particular."""


def _nameable(uid: int) -> int:
    if uid == OVERFLOW_UID:
        raise ValueError("stands for every user that a container does not know, and is never admitted")
    return uid


Uid = Annotated[int, Field(ge=0, lt=2**32 - 1), AfterValidator(_nameable)]
ProfileKey = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9._-]{1,64}/)?[a-z0-9][a-z0-9_-]{0,63}:[A-Za-z0-9._@+-]{1,128}$")
]
