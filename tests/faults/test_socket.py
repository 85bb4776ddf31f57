"""Peers that send anything, come in crowds, never end their lines, or are somebody else."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.served import serving, settle, until
from daemon.test_peer import ASK
from daemon.torn_peer import TornPeers
from e2e.daemon_process import Connection, DaemonProcess
from tokenward.core import protocol
from tokenward.daemon.methods.registry import METHODS
from tokenward.daemon.pace import BURST
from tokenward.sandbox import HOLD_BEFORE, Sandbox

CROWD = 10_000
LORISES = 200
GIBIBYTE = 1024**3
MOST_GROWTH_KIB = 64 * 1024
"""Of the daemon's memory while it is attacked: far below what was sent, far above noise."""

SUBSCRIBE = b'{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{}}'
_words = st.sampled_from([*METHODS, "no.such", "acme:me", "acme:locked", "acme:slow", "2.0", "0123456789ab", ""])
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | _words, inner, max_size=3),
    max_leaves=8,
)
_params = st.dictionaries(
    st.sampled_from(["profile", "min_valid", "kinds", "newer_than", "timeout", "agent", "credential", "headers"]),
    _json,
    max_size=3,
)
_requests = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0") | _json, "method": _words | _json},
    optional={"id": st.integers() | st.text(max_size=4) | _json, "params": _params | _json},
)
_lines = st.one_of(
    st.binary(max_size=64),
    st.one_of(_requests, _json, st.lists(_requests | _json, max_size=40)).map(
        lambda value: json.dumps(value).encode()
    ),
)


def memory_kib(pid: int) -> int:
    """What a process holds in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise LookupError(pid)


@pytest.mark.fault(
    "socket-any-bytes",
    "any bytes, and JSON of any shape, torn anywhere",
    "each line gets at most one answer, well formed and without a word of what was sent; the connection and the "
    "daemon have no fault",
)
def test_any_bytes_are_answered_or_refused(record_property: Callable[[str, object], None]) -> None:
    """What must hold for any bytes is asserted by the peer; the coverage-guided fuzzer shares it."""
    tried = 0
    with TornPeers() as peers:

        @settings(max_examples=400, deadline=None, database=None, derandomize=True)
        @given(
            lines=st.lists(_lines, max_size=4),
            end=st.sampled_from([b"\n", b"\r\n", b""]),
            piece=st.integers(1, 99),
        )
        @example(lines=[SUBSCRIBE], end=b"\n", piece=99)
        def answered(lines: list[bytes], end: bytes, piece: int) -> None:
            nonlocal tried
            tried += 1
            peers.answers_to(end.join(lines) + end, piece=piece)

        answered()
    assert tried >= 400
    record_property("figure", "400 examples")


@pytest.mark.fault(
    "socket-slow-loris",
    f"{LORISES} peers that begin a line and send a byte now and then",
    "each is refused 5 s after its first byte; nobody else waits",
)
async def test_lines_that_never_end_cost_nobody_anything(tmp_path: Path) -> None:
    """While they trickle another caller is served, and when their time is over they are gone."""
    async with serving(tmp_path) as served, served.peer() as caller, contextlib.AsyncExitStack() as stack:
        lorises = [await stack.enter_async_context(served.peer()) for _ in range(LORISES)]
        for loris in lorises:
            await loris.send(b"{")
        await until(lambda: served.server.connections == LORISES + 1)
        await settle()
        for _ in range(4):
            await served.advance(1)
            for loris in lorises:
                await loris.send(b" ")
            assert (await caller.call("token.get"))["result"]
        assert served.server.connections == LORISES + 1
        await served.advance(protocol.PARTIAL_LINE_SECONDS - 4)
        assert [json.loads(await loris.rest())["error"]["code"] for loris in lorises] == [-32600] * LORISES
        await until(lambda: served.server.connections == 1)
        assert (await caller.call("token.get"))["result"]


@pytest.fixture
def many_descriptors() -> Iterator[int]:
    """As many open files as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.fault(
    "socket-crowd",
    f"{CROWD:,} connections at once",
    f"{protocol.MAX_CONNECTIONS:,} are held, the longest idle yield, newcomers are served, memory is bounded",
)
def test_a_crowd_keeps_nobody_out(
    own_home: Path, many_descriptors: int, record_property: Callable[[str, object], None]
) -> None:
    """Whoever speaks is served, in the middle of it and after; no more are held than there is room for."""
    if many_descriptors < CROWD + 200:
        pytest.skip(f"NOT TESTED: this process may open only {many_descriptors} files")
    with DaemonProcess(own_home, config="") as daemon, contextlib.ExitStack() as stack:
        before = memory_kib(daemon.pid)
        for number in range(CROWD):
            peer = stack.enter_context(socket.socket(socket.AF_UNIX))
            peer.connect(str(daemon.socket_file))
            if number % 1000 == 999:
                assert daemon.call("daemon.status")["connections"] <= protocol.MAX_CONNECTIONS
        status = daemon.call("daemon.status")
        assert status["connections"] == protocol.MAX_CONNECTIONS
        grown = memory_kib(daemon.pid) - before
        assert grown < MOST_GROWTH_KIB
        stack.close()
        daemon.wait_for("daemon.status", lambda shown: shown["connections"] == 1)
        assert "failed" not in daemon.log
    record_property("figure", f"{grown // 1024} MiB more memory")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.fault(
    "socket-endless-line",
    "a peer that sends a line of 1 GiB",
    "-32600 after the first MiB, the connection closed, nothing of it kept in memory",
)
def test_a_line_of_a_gibibyte_is_not_swallowed(own_home: Path) -> None:
    """The peer is cut off: it cannot send the rest."""
    piece = b" " * (1024 * 1024)
    with DaemonProcess(own_home, config="") as daemon, socket.socket(socket.AF_UNIX) as peer:
        before = memory_kib(daemon.pid)
        peer.settimeout(30)
        peer.connect(str(daemon.socket_file))
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < GIBIBYTE:
                sent += peer.send(piece)
        answer = peer.makefile("rb").readline()
        assert json.loads(answer)["error"]["code"] == -32600
        assert sent < 16 * len(piece)
        assert memory_kib(daemon.pid) - before < MOST_GROWTH_KIB
        assert daemon.call("daemon.hello")["name"] == "tokenward"


@pytest.mark.fault(
    "socket-half-open",
    "peers that ask or subscribe and vanish, close their half and never read, or hang up in the middle of a line",
    "nothing is left of them, and the daemon serves on",
)
def test_peers_that_vanish_leave_nothing(own_home: Path) -> None:
    """Every connection ends, also those whose answer nobody took; no fault is logged."""
    call = b'{"jsonrpc":"2.0","id":1,"method":"daemon.status","params":{}}\n'
    with DaemonProcess(own_home, config="") as daemon:
        half_open = []
        for number in range(300):
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(str(daemon.socket_file))
            with contextlib.suppress(BrokenPipeError):
                peer.sendall((call * 3, call[:20], call + call[:9], b"", SUBSCRIBE)[number % 5])
            if number % 3 == 0:
                peer.shutdown(socket.SHUT_WR)
                half_open.append(peer)
            else:
                peer.close()
        daemon.wait_for("daemon.status", lambda shown: shown["connections"] == 1)
        for peer in half_open:
            peer.close()
        assert "failed" not in daemon.log


FLOOD = textwrap.dedent(
    """
    import collections, json, socket, sys
    peers = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    for peer in peers:
        peer.connect(sys.argv[1])
    answers = [peer.makefile("rb") for peer in peers]
    def asked(peer, method, times):
        line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode() + b"\\n"
        peers[peer].sendall(line * times)
        return [json.loads(answers[peer].readline()) for _ in range(times)]
    told = collections.Counter()
    for turn in range(int(sys.argv[2]) // 20):
        for answer in asked(turn % 2, "daemon.hello", 20):
            told[json.dumps(answer.get("error"), sort_keys=True)] += 1
    tokens = sum("result" in answer for answer in asked(0, "token.get", 100))
    print(json.dumps({"told": told, "tokens": tokens}))
    """
)


@pytest.mark.fault(
    "socket-flood",
    f"a process that calls {BURST + 1000:,} times in one breath, over two connections",
    f"{BURST:,} calls are carried out, the others refused with -32004 and `retry_after`; it still gets "
    "tokens, and another process is served all the while",
)
async def test_a_flood_is_cut_off_and_wets_nobody_else(tmp_path: Path) -> None:
    """The clock stands still, so that what is let through does not depend on the machine."""
    async with serving(tmp_path) as served, served.peer() as other:
        ended = anyio.Event()
        served_meanwhile = 0

        async def live() -> None:
            nonlocal served_meanwhile
            while not ended.is_set() and served_meanwhile < BURST // 2:
                assert (await other.call("daemon.hello"))["result"]
                served_meanwhile += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live)
            command = [sys.executable, "-c", FLOOD, str(served.path), str(BURST + 1000)]
            flooded = json.loads((await anyio.run_process(command)).stdout)
            ended.set()
        assert (await other.call("daemon.hello"))["result"]
    carried_out, (error, refused) = flooded["told"].pop("null"), flooded["told"].popitem()
    assert (carried_out, refused, flooded["told"]) == (BURST, 1000, {})
    assert json.loads(error)["code"] == -32004
    assert json.loads(error)["data"]["retry_after"] == 1
    assert json.loads(error)["data"]["class"] == "RateLimitError"
    assert flooded["tokens"] == 100
    assert served_meanwhile > 0
    assert served.server.pace.refused == 1000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.fault(
    "socket-another-user",
    "a process of another uid, outside the private directory and let into it",
    "it cannot connect; let in, it reads -32010 and no token",
)
def test_another_user_gets_nothing(sandbox: object) -> None:
    """The directory keeps it out; where somebody opened the directory and the socket, the kernel's word does."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o711)
        with DaemonProcess(home, config="") as daemon:
            key = {"access_token": "key-of-the-owner-0123456789"}
            daemon.call("profile.add", profile="acme:me", kind="api_key", credential=key)
            command = [sys.executable, "-c", ASK, str(daemon.socket_file), "12345"]
            kept_out = subprocess.run(command, check=False, capture_output=True, text=True)
            assert "PermissionError" in kept_out.stderr
            for opened in (daemon.socket_file.parent.parent, daemon.socket_file.parent):
                opened.chmod(0o711)
            daemon.socket_file.chmod(0o666)
            let_in = subprocess.run(command, check=True, capture_output=True, text=True)
            assert json.loads(let_in.stdout)["error"]["code"] == -32010
            assert "key-of" not in let_in.stdout
            assert "turned away user 12345" in daemon.log


@pytest.mark.fault(
    "socket-overlap",
    f"{protocol.MAX_OVERLAPPING} requests of one connection under way at once, slow ones, wrong ones and batches",
    "each is answered once, by its own id; those that need no waiting in their order, before those that wait",
)
def test_overlapping_requests_keep_their_ids(own_home: Path, sandbox: Sandbox) -> None:
    """What is asked in one breath is answered completely; who waits for a refresh holds nobody up but itself."""
    config = f'[providers.acme]\ntoken_endpoint = "{sandbox.token_endpoint}"\nclient_id = "{sandbox.client_id}"\n'
    login = sandbox.issue(ttl_seconds=1.0)
    credential = {"access_token": login.access_token, "refresh_token": login.refresh_token, "expires_in": -1}
    sandbox.faults.next("token", HOLD_BEFORE)
    with DaemonProcess(own_home, config=config) as daemon, contextlib.closing(daemon.connect()) as connection:
        daemon.call("profile.add", profile="acme:slow", credential=credential)
        key = {"access_token": "key-0123456789"}
        daemon.call("profile.add", profile="acme:me", kind="api_key", credential=key)
        assert sandbox.faults.wait_held()
        kinds = _ask_all(connection)
        slow = {number for number, kind in kinds.items() if kind == "slow"}
        quick = [connection.receive(30) for _ in range(len(kinds) - len(slow))]
        numbers = sorted(number for answer in quick for number in _numbers(answer))
        assert numbers == sorted(_members(kinds.keys() - slow, kinds))
        on_the_lane = [
            answer["id"] for answer in quick if isinstance(answer, dict) and kinds[answer["id"]] == "lane"
        ]
        assert on_the_lane == sorted(on_the_lane)
        for answer in quick:
            _is_right(answer, kinds)
        sandbox.faults.release()
        waited = [connection.receive(30) for _ in slow]
        assert {answer["id"] for answer in waited} == slow
        assert {sandbox.liveness(answer["result"]["token"]) for answer in waited} == {"live"}
    assert sandbox.statistics().token_requests == 1


BATCH_OF = 1000
"""A batch's members have numbers beyond those of its line."""


def _ask_all(connection: Connection) -> dict[int, str]:
    """Send more lines in one breath than may be under way at once; returns what each of them is, by number."""
    of_kind: dict[str, tuple[str, dict[str, object]]] = {
        "lane": ("token.get", {"profile": "acme:me"}),
        "slow": ("token.get", {"profile": "acme:slow", "min_valid": 60}),
        "general": ("profile.list", {}),
        "wrong": ("token.get", {"x": 1}),
    }
    kinds, lines = {}, []
    for number, kind in zip(range(60), cycle(["lane", "general", "slow", "wrong", "batch"]), strict=False):
        kinds[number] = kind
        members = [number] if kind != "batch" else _members([number], kinds)
        asked = []
        for each, member in zip(["general", "wrong"] if kind == "batch" else [kind], members, strict=True):
            method, params = of_kind[each]
            asked.append({"jsonrpc": "2.0", "id": member, "method": method, "params": params})
        lines.append(json.dumps(asked if kind == "batch" else asked[0]).encode() + b"\n")
    connection._socket.sendall(b"".join(lines))
    return kinds


def _members(numbers: Iterable[int], kinds: Mapping[int, str]) -> list[int]:
    """The ids of the answers to these lines: a batch of two has two of its own."""
    return [
        member
        for number in numbers
        for member in ([number] if kinds[number] != "batch" else [BATCH_OF + number, 2 * BATCH_OF + number])
    ]


def _numbers(answer: Any) -> list[int]:
    return [each["id"] for each in answer] if isinstance(answer, list) else [answer["id"]]


def _is_right(answer: Any, kinds: Mapping[int, str]) -> None:
    """A result where it was asked for rightly, and the reason where it was not."""
    if isinstance(answer, list):
        by_id = {each["id"] // BATCH_OF: each for each in answer}
        assert "profiles" in by_id[1]["result"]
        assert by_id[2]["error"]["code"] == -32602
    elif kinds[answer["id"]] == "wrong":
        assert answer["error"]["code"] == -32602
    else:
        assert ("token" if kinds[answer["id"]] == "lane" else "profiles") in answer["result"]
