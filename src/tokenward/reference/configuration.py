"""``docs/reference/config.md``: every table and key of ``config.toml``, from the types of its tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from tokenward.reference.schema_words import cell, table, type_words
from tokenward.setting_types import About, KeyOfTable, Table
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
    return _HEAD + "".join(_section(path, kind) for path, kind in sorted(TABLES.items()) if _keys(path, kind))


def undescribed() -> list[str]:
    """The keys whose type in ``settings.py`` has no ``About``, as ``table.key``."""
    return [
        ".".join((*path, name))
        for path, kind in TABLES.items()
        for name, key in _keys(path, kind)
        if not _description(key)
    ]


def _keys(path: tuple[str, ...], kind: type[Table]) -> list[tuple[str, KeyOfTable]]:
    """The keys of a table that are no tables with a section of their own."""
    return [(name, key) for name, key in kind.keys().items() if not _is_table((*path, name))]


def _is_table(path: tuple[str, ...]) -> bool:
    return any(known[: len(path)] == path for known in TABLES)


def _section(path: tuple[str, ...], kind: type[Table]) -> str:
    about = cell(kind.__doc__ or "").partition(": ")[2]
    schema = TypeAdapter(kind).json_schema()
    rows = list(_rows(path, kind, schema.get("properties", {})))
    title = ".".join(path).replace("*", "NAME")
    said = f"{about[:1].upper()}{about[1:].replace('``', '`')}\n\n" if about else ""
    return f"\n## {_brackets(kind, title)}\n\n{said}{table(('key', 'type', 'default', 'meaning'), rows)}"


def _brackets(kind: type[Table], title: str) -> str:
    written = (kind.__doc__ or "").split("``")
    return f"`{written[1]}`" if len(written) > 1 and written[1].startswith("[") else f"`[{title}]`"


def _rows(
    path: tuple[str, ...], kind: type[Table], properties: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, str]]:
    for name, key in _keys(path, kind):
        words = type_words(properties[name]).removesuffix(" or null")
        yield f"`{name}`", cell(words), _default(kind, key), cell(_description(key).replace("``", "`"))


def _description(key: KeyOfTable) -> str:
    return " ".join(mark.words for mark in key.marks if isinstance(mark, About))


def _default(kind: type[Table], key: KeyOfTable) -> str:
    if key.required:
        return "*required*"
    value = getattr(kind, key.part)
    if value is None:
        return "none"
    return f"`{json.dumps(dict(value) if isinstance(value, Mapping) else value, default=str)}`"
