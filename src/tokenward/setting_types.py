"""What the keys of ``config.toml`` have in common: the class of its tables, and the types of values.

The problem: a path, an endpoint or a key must be read in the same way wherever the file may name one, and refused
before anything is done with it. And most people write no file: they must not pay for what would check it.

Rules:
- Values are strict: a number is not a text, and a truth is neither.
- No error quotes a value: it could be a key.
- Paths are expanded by the environment that the file is read in, and absolute.
- pydantic is what checks (``config_check``), and nothing here imports it before it asks: what it needs to know of
  a type stands in ``Annotated``, as marks of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar, get_args, get_type_hints

from tokenward import paths
from tokenward.core import names
from tokenward.core.credential import Secret
from tokenward.core.model_reference import MODEL_TEXT
from tokenward.core.value import Value

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, ValidationInfo
    from pydantic_core import CoreSchema

LARGEST_REFRESH_TIMEOUT_SECONDS = 50.0
"""A refresh must end before others take our lock for a dead one's: Claude Code's grows stale in 60 s."""

T = TypeVar("T")


class About:
    """What a key is for: the documentation of the configuration is made from it.

    Args:
        words: one or two sentences.
    """

    def __init__(self, words: str) -> None:
        self.words = words


class Key:
    """How the file writes a key, where Python cannot.

    Args:
        name: the key.
    """

    def __init__(self, name: str) -> None:
        self.name = name


class _Mark:
    """What pydantic is to know of a type; it is asked for by the protocol of ``annotated_types``."""

    __is_annotated_types_grouped_metadata__: Literal[True] = True

    def __iter__(self) -> Iterator[object]:
        raise NotImplementedError


class Limits(_Mark):
    """What a value may be.

    Args:
        limits: arguments of ``pydantic.Field``.
    """

    def __init__(self, **limits: Any) -> None:
        self.limits = limits

    def __iter__(self) -> Iterator[object]:
        from pydantic import Field

        yield from Field(**self.limits).metadata


class Checked(_Mark):
    """A value that has the right type, and passes a check.

    Args:
        by: returns the value, or raises ValueError with the reason.
    """

    def __init__(self, by: Callable[..., object]) -> None:
        self._by = by

    def __iter__(self) -> Iterator[object]:
        from pydantic import AfterValidator

        yield AfterValidator(self._by)


class _Read(_Mark):
    """A value that is made from what is written, before its type is looked at."""

    def __init__(self, by: Callable[[object, ValidationInfo], object]) -> None:
        self._by = by

    def __iter__(self) -> Iterator[object]:
        from pydantic import BeforeValidator

        yield BeforeValidator(self._by)


class _FromList:
    """A tuple that is written as a list, as TOML has nothing else."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        items = core_schema.list_schema(handler.generate_schema(get_args(source)[0]))
        return core_schema.no_info_after_validator_function(tuple, items)


class HeldSecret:
    """A text that is kept as a ``Secret``."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(Secret, handler.generate_schema(str))


class KeyOfTable(NamedTuple):
    """A key that a table may hold.

    Args:
        part: the part of the ``Table`` that it is.
        hint: its type, with its marks.
        required: whether it must be there.
    """

    part: str
    hint: Any
    required: bool

    @property
    def marks(self) -> tuple[object, ...]:
        """What is said of its type."""
        return get_args(self.hint)[1:] if hasattr(self.hint, "__metadata__") else ()


class Table(Value):
    """A table of the file; what is not named here is an error."""

    @classmethod
    def keys(cls) -> dict[str, KeyOfTable]:
        """Every key, as the file writes it."""
        found = {}
        for part, hint in get_type_hints(cls, include_extras=True).items():
            if part in cls.parts():
                key = KeyOfTable(part, hint, not hasattr(cls, part))
                found[next((mark.name for mark in key.marks if isinstance(mark, Key)), part)] = key
        return found

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        keys = cls.keys()
        table = core_schema.typed_dict_schema(
            {
                name: core_schema.typed_dict_field(handler.generate_schema(key.hint), required=key.required)
                for name, key in keys.items()
            },
            extra_behavior="forbid",
            config=core_schema.CoreConfig(strict=True),
        )

        def made(values: Mapping[str, object]) -> Table:
            return cls(**{keys[name].part: value for name, value in values.items()})

        return core_schema.no_info_after_validator_function(made, table)


def _path(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    expanded = paths.expanded(value, (info.context or {})["environ"])
    if not expanded.is_absolute():
        raise ValueError("must be an absolute path or begin with ~/")
    return expanded


def _secret(value: Secret) -> Secret:
    from tokenward.config_values import credential_fault

    if fault := credential_fault(value.reveal()):
        raise ValueError(fault)
    return value


def _endpoint(value: str) -> str:
    from tokenward.config_values import url_fault

    if fault := url_fault(value, endpoint=True):
        raise ValueError(fault)
    return value


def _address(value: str) -> str:
    from tokenward.config_values import url_fault

    if fault := url_fault(value, endpoint=False):
        raise ValueError(fault)
    return value


def _page(value: str) -> str:
    from tokenward.config_values import page_fault

    if fault := page_fault(value):
        raise ValueError(fault)
    return value


ListOf = Annotated[tuple[T, ...], _FromList()]
Secretive = Annotated[Secret, HeldSecret(), Checked(by=_secret)]
Endpoint = Annotated[str, Checked(by=_endpoint)]
Address = Annotated[str, Checked(by=_address)]
Page = Annotated[str, Limits(max_length=2048), Checked(by=_page)]
AbsolutePath = Annotated[Path, _Read(by=_path)]
Seconds = Annotated[float, Limits(ge=0, allow_inf_nan=False)]
ProfileName = Annotated[str, Limits(pattern=names.PROFILE_ID)]
CommandName = Annotated[str, Limits(pattern=r"^[A-Za-z0-9._@+-]{1,128}$")]
SinkName = Annotated[str, Limits(pattern=r"^[A-Za-z0-9_@+-][A-Za-z0-9._@+-]{0,127}$")]
VariableName = Annotated[str, Limits(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Text = Annotated[str, Limits(min_length=1, max_length=4096, pattern=r"^[\x20-\x7e]+$")]
PassedOn = Annotated[ListOf[Text], About("Variables passed on to the command besides PATH, HOME, LANG and XDG_*.")]
ModelText = Annotated[str, Limits(pattern=MODEL_TEXT)]
TierName = Literal["free", "pro", "max", "max_5", "max_20", "api"]


OVERFLOW_UID = 65534
"""Stands for every user that a namespace does not know (user_namespaces(7)), so for nobody in particular."""


def _nameable(uid: int) -> int:
    if uid == OVERFLOW_UID:
        raise ValueError("stands for every user that a container does not know, and is never admitted")
    return uid


Uid = Annotated[int, Limits(ge=0, lt=2**32 - 1), Checked(by=_nameable)]
ProfileKey = Annotated[str, Limits(pattern=names.PROFILE_KEY)]
