"""The protocol's own rules, on the socket of a real daemon: what a client of another hand may rely on.

The problem: a server that is tested in memory, with a service that is scripted, may be right there alone. So the
same table of lines goes to the process that users run, and every answer is held against JSON-RPC 2.0, the limits
of the protocol and the document that ``rpc.discover`` gives.
"""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conformance.json_rpc import SPECIFICATION, codes, hello
from e2e.daemon_process import DaemonProcess
from tokenward.core import protocol

PATIENCE_SECONDS = 30.0
"""How long a test waits for what must come; only a failing test waits so long."""
MOST_BYTES = 1 << 20
"""Of a line without its newline."""
ENDING = b'"id": "end"}'
LAST = b'{"jsonrpc": "2.0", "method": "daemon.hello", ' + ENDING
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    """One for all of them: nothing that is sent here may change what the next answer is."""
    with tempfile.TemporaryDirectory() as home, DaemonProcess(Path(home)) as running:
        yield running


def exchange(daemon: DaemonProcess, sent: bytes) -> list[Any]:
    """Everything that is answered to these bytes, after which we write no more."""
    with closing(socket.socket(socket.AF_UNIX)) as peer:
        peer.settimeout(PATIENCE_SECONDS)
        peer.connect(str(daemon.socket_file))
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        with peer.makefile("rb") as answers:
            return [json.loads(line) for line in answers]


def conforms(answer: Any) -> bool:
    """Whether it is a response of JSON-RPC 2.0, or a batch of them, with nothing beside what it may have."""
    if isinstance(answer, list):
        return bool(answer) and all(conforms(each) for each in answer)
    if answer.keys() == {"jsonrpc", "id", "result"}:
        return bool(answer["jsonrpc"] == "2.0")
    error = answer["error"]
    return bool(
        answer.keys() == {"jsonrpc", "id", "error"}
        and answer["jsonrpc"] == "2.0"
        and {"code", "message"} <= error.keys() <= {"code", "message", "data"}
        and type(error["code"]) is int
        and isinstance(error["message"], str)
    )


@pytest.mark.parametrize("case", SPECIFICATION)
def test_every_line_is_answered_by_the_book(daemon: DaemonProcess, case: str) -> None:
    """One line, one answer, of the form, the id and the code that are fixed; and the next line has its own."""
    line, expected = SPECIFICATION[case]
    answers = exchange(daemon, line.encode() + b"\n" + LAST + b"\n")
    assert all(conforms(answer) for answer in answers)
    (last,) = (answer for answer in answers if isinstance(answer, dict) and answer["id"] == "end")
    assert codes(last) == ("end", "ok")
    (answer,) = (answer for answer in answers if answer is not last)
    assert codes(answer) == expected


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc": "2.0", "method": "daemon.hello"}',
        b'{"jsonrpc": "2.0", "method": "foobar"}',
        b'{"jsonrpc": "2.0", "method": "daemon.hello", "params": [1]}',
        b'[{"jsonrpc": "2.0", "method": "daemon.hello"}, {"jsonrpc": "2.0", "method": "foobar"}]',
    ],
)
def test_a_notification_has_no_answer(daemon: DaemonProcess, line: bytes) -> None:
    """Known or not, right or wrong, alone or in a batch."""
    assert [codes(answer) for answer in exchange(daemon, line + b"\n" + LAST)] == [("end", "ok")]


def test_the_longest_line_and_the_one_that_is_too_long(daemon: DaemonProcess) -> None:
    """One MiB is read; with a byte more the line is refused without an id, and the connection ends."""
    longest = LAST.replace(ENDING, b" " * (MOST_BYTES - len(LAST)) + ENDING)
    assert len(longest) == MOST_BYTES
    assert [codes(answer) for answer in exchange(daemon, longest + b"\n")] == [("end", "ok")]
    (refused,) = exchange(daemon, b" " + longest)
    assert (codes(refused), conforms(refused)) == ((None, -32600), True)


def test_requests_overlap_and_each_answer_has_its_id(daemon: DaemonProcess) -> None:
    """More than are worked at together are all answered, in whatever order, each once."""
    ids = list(range(100))
    lines = "\n".join(hello(f'"id": {number}') for number in ids)
    assert sorted(codes(answer) for answer in exchange(daemon, lines.encode())) == [(each, "ok") for each in ids]


def _shape(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


@pytest.mark.parametrize(
    "method",
    ["daemon.hello", "daemon.status", "profile.list", "source.list", "sink.list", "provider.list", "usage.get"],
)
def test_results_are_as_the_document_says(daemon: DaemonProcess, method: str) -> None:
    """Each member that it requires is there, of the type it names, and no other is."""
    request = {"jsonrpc": "2.0", "method": method, "id": 1}
    discover = {"jsonrpc": "2.0", "method": "rpc.discover", "id": 2}
    lines = "\n".join(map(json.dumps, (request, discover))).encode()
    answers = {answer["id"]: answer["result"] for answer in exchange(daemon, lines)}
    document = answers[2]
    (described,) = (each for each in document["methods"] if each["name"] == method)
    schema = _shape(described["result"]["schema"], document)
    members = schema["properties"]
    assert set(schema.get("required", ())) <= answers[1].keys() <= members.keys()
    for name, value in answers[1].items():
        if (kind := _shape(members[name], document).get("type")) is not None:
            assert isinstance(value, TYPES[kind]), name


def test_the_protocol_has_the_version_that_is_promised(daemon: DaemonProcess) -> None:
    """A client asks for it before anything else."""
    with closing(daemon.connect()) as connection:
        assert connection.call("daemon.hello", {})["protocol"] == protocol.PROTOCOL_VERSION
