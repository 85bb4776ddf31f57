"""``openrpc.json``: the reference of the socket, made from the table of methods.

The problem: a reference written by hand is wrong the day after. So it is generated, ``rpc.discover`` answers
with it, and a test compares the committed file.

Rules: OpenRPC 1.3.2 (spec.open-rpc.org), params by name only; an error's ``data.type`` names the class of
``errors.py``. pjrpc's own generator reads function signatures, and ours take one model, so it does not fit.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from tokenward import errors
from tokenward.core import protocol
from tokenward.daemon.event_models import Event
from tokenward.daemon.methods.method import Method
from tokenward.daemon.methods.registry import METHODS
from tokenward.daemon.rpc_types import Params, Result
from tokenward.errors import TokenwardError

OPENRPC_VERSION = "1.3.2"
_SCHEMAS = "#/components/schemas/"
_ALWAYS: tuple[type[TokenwardError], ...] = (
    errors.InvalidRequest,
    errors.MethodNotFound,
    errors.InvalidParams,
    errors.PermissionDenied,
    errors.RefreshFailed,  # too many calls of one process
)
"""What every call can meet."""
_DESCRIPTION = (
    "JSON-RPC 2.0 over a Unix stream socket, one object or batch a line, UTF-8. "
    "Params are given by name; unknown ones are refused. Clients ignore unknown members of results."
)


def document() -> dict[str, Any]:
    """The OpenRPC document."""
    schemas = _schemas()
    raised = {error for method in METHODS.values() for error in method.errors} | set(_ALWAYS)
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": protocol.APPLICATION,
            "version": str(protocol.PROTOCOL_VERSION),
            "description": _DESCRIPTION,
        },
        "methods": [_method(method, schemas) for method in METHODS.values()],
        "components": {
            "schemas": {name: schemas[name] for name in sorted(schemas)},
            "errors": {error.__name__: _error(error) for error in sorted(raised, key=lambda e: e.__name__)},
        },
        "x-notifications": [
            {
                "name": "event",
                "summary": "Sent to subscribers (events.subscribe), without an id.",
                "params": {"$ref": f"{_SCHEMAS}{Event.__name__}"},
            }
        ],
    }


def _schemas() -> dict[str, Any]:
    models: list[tuple[type[Params | Result], JsonSchemaMode]] = [(Event, "serialization")]
    for method in METHODS.values():
        models += [(method.params, "validation"), (method.result, "serialization")]
    _, definitions = models_json_schema(list(dict.fromkeys(models)), ref_template=f"{_SCHEMAS}{{model}}")
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas


def _method(method: Method, schemas: dict[str, Any]) -> dict[str, Any]:
    model = schemas[method.params.__name__]
    required = set(model.get("required", ()))
    return {
        "name": method.name,
        "summary": method.summary,
        "paramStructure": "by-name",
        "params": [
            {"name": name, "required": name in required, "schema": schema}
            for name, schema in model.get("properties", {}).items()
        ],
        "result": {"name": method.result.__name__, "schema": {"$ref": f"{_SCHEMAS}{method.result.__name__}"}},
        "errors": [
            {"$ref": f"#/components/errors/{error.__name__}"}
            for error in dict.fromkeys((*method.errors, *_ALWAYS))
        ],
    }


def _error(error: type[TokenwardError]) -> dict[str, Any]:
    message = (error.__doc__ or "").splitlines()[0]
    return {"code": error.code, "message": message, "data": {"type": error.__name__}}


def text() -> str:
    """The document as the committed file holds it."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
