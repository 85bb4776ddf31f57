"""Coverage-guided fuzzing of the socket: any bytes, torn anywhere, against the real server in memory.

``python tests/fuzz/socket_lines.py -runs=1000000`` by hand; the number is kept small where it runs with every
change. Needs ``pip install -e '.[fuzz]'``. What it finds is a file ``crash-…``: give its path as the argument to
see it again, and make a test of it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["tokenward"]):
    from daemon.torn_peer import TornPeers
    from tokenward.daemon.methods.registry import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_PIECE = 64
"""Bytes at once: lines are torn, and several arrive together."""


def seeds() -> Iterator[bytes]:
    """A call of each method, and what JSON-RPC knows besides."""
    for method in METHODS.keys() - {"rpc.discover"}:  # a long answer that teaches nothing
        yield json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"profile": "acme:me"}}).encode()
    yield b'[{"jsonrpc":"2.0","id":"a","method":"token.get"},{"jsonrpc":"2.0","method":"daemon.hello"},1]'
    yield b'{"jsonrpc":"2.0","id":1,"method":"token.get","params":{"profile":"acme:slow"}}\n' * 40
    yield b'{"jsonrpc":"2.0","id":1.5,"method":"token.get","params":[1]}\r\n\n{"id":{}}'


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough, or something was found."""
    with TornPeers() as peers, tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds()):
            (Path(corpus) / str(number)).write_bytes(bytes([number % LARGEST_PIECE]) + seed + b"\n")

        def one(data: bytes) -> None:
            if data:
                peers.answers_to(data[1:], piece=1 + data[0] % LARGEST_PIECE)

        given = [each for each in sys.argv[1:] if not each.startswith("-")]
        atheris.Setup([*sys.argv, *([] if given else [corpus])], one)
        atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    main()
