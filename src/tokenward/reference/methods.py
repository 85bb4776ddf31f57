"""``docs/reference/rpc.md``: every method of the socket, from ``openrpc.json``'s own document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tokenward.core import protocol
from tokenward.daemon import openrpc
from tokenward.reference.schema_words import cell, table, type_words

_HEAD = f"""# The socket

JSON-RPC 2.0, one object or batch (at most {protocol.MAX_BATCH}) a line, UTF-8, at most
{protocol.MAX_LINE_BYTES // 1024} KiB, over a Unix stream socket. Params are given by name, and unknown ones are
refused; clients ignore members of results that they do not know. Answers may come in any order:
{protocol.MAX_OVERLAPPING} calls of one connection may overlap. A connection that says nothing for
{protocol.IDLE_SECONDS:g} s is closed, unless it subscribed to [events](events.md). Names that end in `_ms` are
Unix milliseconds, other times are seconds. [openrpc.json](../../openrpc.json) is the same for machines, and
`rpc.discover` answers with it. What the errors mean: [errors](errors.md).

"""


def page() -> str:
    """The page."""
    document = openrpc.document()
    schemas: dict[str, Any] = document["components"]["schemas"]
    listed = [
        (f"[`{each['name']}`](#{_anchor(each['name'])})", cell(each["summary"])) for each in document["methods"]
    ]
    parts = [_HEAD, table(("method", "what it does"), listed)]
    parts += [_method(each, schemas) for each in document["methods"]]
    results = {each["result"]["name"] for each in document["methods"]}
    shared = {name: schema for name, schema in schemas.items() if name in _reached(schemas, results) - results}
    parts.append("\n## What they are made of\n")
    parts += [f"\n### {name}\n\n{_about(schema)}{_members(schema)}" for name, schema in sorted(shared.items())]
    return "".join(parts)


def _anchor(heading: str) -> str:
    return heading.replace(".", "")


def _about(schema: Mapping[str, Any]) -> str:
    return f"{cell(schema.get('description', '')).replace('``', '`')}\n\n"


def _method(method: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    params = [
        (f"`{each['name']}`", cell(type_words(each["schema"])), _necessity(each), _meaning(each["schema"]))
        for each in method["params"]
    ]
    own = table(("param", "type", "default", "meaning"), params) if params else "No params.\n"
    result = schemas[method["result"]["name"]]
    errors = ", ".join(dict.fromkeys(f"`{each['$ref'].rpartition('/')[2]}`" for each in method["errors"]))
    return (
        f"\n## {method['name']}\n\n{method['summary']}\n\n{own}\nResult: {_about(result)}{_members(result)}"
        f"\nErrors: {errors}.\n"
    )


def _necessity(param: Mapping[str, Any]) -> str:
    if param["required"]:
        return "*required*"
    return f"`{json.dumps(param['schema']['default'])}`" if "default" in param["schema"] else ""


def _meaning(schema: Mapping[str, Any]) -> str:
    return cell(schema.get("description", "")).replace("``", "`")


def _members(schema: Mapping[str, Any]) -> str:
    if "properties" not in schema:
        return f"{cell(type_words(schema))}\n"
    if not schema["properties"]:
        return "No members.\n"
    rows = [(f"`{name}`", cell(type_words(each)), _meaning(each)) for name, each in schema["properties"].items()]
    return table(("member", "type", "meaning"), rows)


def _reached(schemas: Mapping[str, Any], roots: set[str]) -> set[str]:
    """The names of all models that the roots and every method's params are made of."""
    found: set[str] = set()
    waiting = [*roots, *(name for name in schemas if name.endswith("Params")), "Event"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(schemas[name])
    return {name for name in found if not name.endswith("Params")}


def _references(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        own = [str(value["$ref"]).rpartition("/")[2]] if "$ref" in value else []
        return own + [each for below in value.values() for each in _references(below)]
    return [each for below in value for each in _references(below)] if isinstance(value, list) else []
