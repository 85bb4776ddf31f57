"""``docs/reference/config.md``: every table and key of ``config.toml``, from the models that read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from annotated_types import Ge
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tokenward.reference.schema_words import cell, table, type_words
from tokenward.settings import TABLES

_HEAD = """# The configuration

`~/.config/tokenward/config.toml`, or what `--config` or `$TOKENWARD_CONFIG` names; on macOS
`~/Library/Application Support/tokenward/config.toml`. Every key is optional unless it says *required*; a key that
is not here is an error, with its line. `${NAME}` stands for a variable in credentials and addresses of
`[providers.*]`, and nowhere else. A daemon reads the file again on SIGHUP and `daemon.reload`; a file that is
wrong changes nothing, and `tokenward status` says why.
"""


def page() -> str:
    """The page."""
    return _HEAD + "".join(_section(path, model) for path, model in sorted(TABLES.items()) if _keys(path, model))


def undescribed() -> list[str]:
    """The keys whose ``Field`` in ``settings.py`` has no description, as ``table.key``."""
    return [
        ".".join((*path, name))
        for path, model in TABLES.items()
        for name, field in _keys(path, model)
        if not field.description
    ]


def _keys(path: tuple[str, ...], model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """The keys of a table that are no tables with a section of their own."""
    named = ((field.alias or name, field) for name, field in model.model_fields.items())
    return [(name, field) for name, field in named if not _is_table((*path, name))]


def _is_table(path: tuple[str, ...]) -> bool:
    return any(known[: len(path)] == path for known in TABLES)


def _section(path: tuple[str, ...], model: type[BaseModel]) -> str:
    about = cell(model.__doc__ or "").partition(": ")[2]
    schema = model.model_json_schema()
    rows = list(_rows(path, model, schema.get("properties", {})))
    title = ".".join(path).replace("*", "NAME")
    said = f"{about[:1].upper()}{about[1:].replace('``', '`')}\n\n" if about else ""
    return f"\n## {_brackets(model, title)}\n\n{said}{table(('key', 'type', 'default', 'meaning'), rows)}"


def _brackets(model: type[BaseModel], title: str) -> str:
    written = (model.__doc__ or "").split("``")
    return f"`{written[1]}`" if len(written) > 1 and written[1].startswith("[") else f"`[{title}]`"


def _rows(
    path: tuple[str, ...], model: type[BaseModel], properties: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, str]]:
    for name, field in _keys(path, model):
        words = type_words(_bounded(properties[name], field)).removesuffix(" or null")
        yield f"`{name}`", cell(words), _default(field), cell((field.description or "").replace("``", "`"))


def _bounded(schema: Mapping[str, Any], field: FieldInfo) -> Mapping[str, Any]:
    """The schema with the highest of its lower bounds: pydantic checks all of them, and shows one."""
    lowest = [each.ge for each in field.metadata if isinstance(each, Ge) and isinstance(each.ge, int | float)]
    return {**schema, "minimum": max(lowest)} if lowest and "minimum" in schema else schema


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "none"
    return f"`{json.dumps(value, default=str)}`"
