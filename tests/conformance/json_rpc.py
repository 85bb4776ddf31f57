"""What JSON-RPC 2.0 fixes, and our protocol beyond it: lines, and the ids and codes of their answers."""

from __future__ import annotations

import json
from typing import Any


def codes(answer: Any) -> Any:
    """Ids and error codes, or ids and "ok": what the specification fixes."""
    if isinstance(answer, list):
        return sorted((codes(each) for each in answer), key=repr)
    return answer["id"], answer["error"]["code"] if "error" in answer else "ok"


def hello(members: str) -> str:
    """The text of a request for ``daemon.hello`` with these further members."""
    return '{"jsonrpc": "2.0", "method": "daemon.hello", ' + members + "}"


SPECIFICATION = {
    "named parameters": (hello('"params": {"client": "t/1"}, "id": 3'), (3, "ok")),
    "absent parameters": (hello('"id": 3'), (3, "ok")),
    "string id": (hello('"id": "1"'), ("1", "ok")),
    "empty string id": (hello('"id": ""'), ("", "ok")),
    "zero id": (hello('"id": 0'), (0, "ok")),
    "negative id": (hello('"id": -7'), (-7, "ok")),
    "id of many digits": (hello('"id": 123456789012345678901'), (123456789012345678901, "ok")),
    "positional parameters": (hello('"params": ["t/1"], "id": 1'), (1, -32602)),
    "empty positional parameters": (hello('"params": [], "id": 1'), (1, -32602)),
    "non-existent method": ('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', ("1", -32601)),
    "private method name": ('{"jsonrpc": "2.0", "method": "__init__", "id": "1"}', ("1", -32601)),
    "invalid JSON": ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', (None, -32700)),
    "invalid request object": ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', (None, -32600)),
    "batch, invalid JSON": (
        '[{"jsonrpc": "2.0", "method": "sum", "id": "1"}, {"jsonrpc": "2.0", "method"',
        (None, -32700),
    ),
    "empty array": ("[]", (None, -32600)),
    "invalid batch of one": ("[1]", [(None, -32600)]),
    "invalid batch": ("[1,2,3]", [(None, -32600)] * 3),
    "batch": (
        json.dumps(
            [
                {"jsonrpc": "2.0", "method": "daemon.hello", "id": "1"},
                {"jsonrpc": "2.0", "method": "daemon.hello"},
                {"foo": "boo"},
                {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
                {"jsonrpc": "2.0", "method": "profile.list", "id": "9"},
            ]
        ),
        sorted([("1", "ok"), (None, -32600), ("5", -32601), ("9", "ok")], key=repr),
    ),
    "batch of 32": (json.dumps([{"jsonrpc": "2.0", "method": "daemon.hello", "id": 1}] * 32), [(1, "ok")] * 32),
    "batch of 33": (json.dumps([{"jsonrpc": "2.0", "method": "daemon.hello", "id": 1}] * 33), (None, -32600)),
    "batch with a batch in it": ("[[" + hello('"id": 1') + "]]", [(None, -32600)]),
    "null id": (hello('"id": null'), (None, -32600)),
    "float id": (hello('"id": 1.0'), (None, -32600)),
    "boolean id": (hello('"id": true'), (None, -32600)),
    "object id": (hello('"id": {"a": 1}'), (None, -32600)),
    "array id": (hello('"id": [1]'), (None, -32600)),
    "another version": ('{"jsonrpc": "1.0", "method": "daemon.hello", "id": 4}', (4, -32600)),
    "no version": ('{"method": "daemon.hello", "id": 4}', (4, -32600)),
    "no method": ('{"jsonrpc": "2.0", "id": 4}', (4, -32600)),
    "null parameters": (hello('"params": null, "id": 4'), (4, -32600)),
    "unknown parameter": (hello('"params": {"cilent": "t"}, "id": 4'), (4, -32602)),
    "parameter of a wrong type": (hello('"params": {"client": 5}, "id": 4'), (4, -32602)),
    "twice the same member": (hello('"id": 1, "id": 2'), (2, "ok")),
    "a number": ("17", (None, -32600)),
    "a string": ('"daemon.hello"', (None, -32600)),
    "null": ("null", (None, -32600)),
    "nothing": ("", (None, -32700)),
    "NaN": (hello('"params": {"client": NaN}, "id": 4'), (None, -32700)),
    "infinity": (hello('"id": -Infinity'), (None, -32700)),
    "more digits than can be read": (hello('"id": ' + "9" * 5000), (None, -32700)),
    "deep nesting": ("[" * 100_000, (None, -32700)),
    "deep nesting that ends": ("[" * 100_000 + "]" * 100_000, (None, -32700)),
    "carriage return": (hello('"id": 1') + "\r", (1, "ok")),
}
