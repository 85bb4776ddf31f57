"""Metrics over HTTP on a Unix socket: one page, for our own user, whatever a peer sends."""

from __future__ import annotations

import logging
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest

from daemon.keeping import until
from tokenward.daemon import exposition, metrics_socket
from tokenward.daemon.exposition import OPENMETRICS, Page
from tokenward.daemon.listener import bind_socket
from tokenward.daemon.metrics_socket import MetricsSocket, serve_metrics
from tokenward.errors import ConfigurationFault


@pytest.fixture
def place() -> Iterator[Path]:
    """A path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="m-") as folder:
        yield Path(folder) / "private" / "metrics.sock"


@asynccontextmanager
async def serving(place: Path, asked: list[str]) -> AsyncIterator[None]:
    """A server whose page is what was accepted."""

    async def render(accept: str) -> Page:
        asked.append(accept)
        if accept == "trouble":
            raise ValueError("sk-secret")
        return Page("text/plain; version=0.0.4", "tokenward_up 1.0\n")

    async with anyio.create_task_group() as group:
        group.start_soon(serve_metrics, bind_socket(str(place)), render)
        yield
        group.cancel_scope.cancel()


def modes(place: Path) -> tuple[int, int] | None:
    """Who may use the socket, and its directory; None if it is not there."""
    if not place.exists():
        return None
    return stat.S_IMODE(place.stat().st_mode), stat.S_IMODE(place.parent.stat().st_mode)


async def said(place: Path, sent: bytes) -> bytes:
    """Everything that comes back until the end, or until what was not read is thrown away."""
    received = b""
    with anyio.fail_after(20), suppress(anyio.BrokenResourceError):
        async with await anyio.connect_unix(place) as stream:
            await stream.send(sent)
            async for piece in stream:
                received += piece
    return received


def request(target: str = "/metrics", *, method: str = "GET", accept: str = "") -> bytes:
    """An HTTP request."""
    accepting = f"Accept: {accept}\r\n" if accept else ""
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{accepting}\r\n".encode()


async def test_a_page_for_each_request(place: Path) -> None:
    """200 with the page's type and length, and the end of the connection; the reader's wish arrives."""
    asked: list[str] = []
    async with serving(place, asked):
        assert modes(place) == (0o600, 0o700)
        answer = await said(place, request(accept=OPENMETRICS))
        await said(place, request("/metrics?x=1"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"Content-Type: text/plain; version=0.0.4" in head
    assert b"Content-Length: 17" in head
    assert body == b"tokenward_up 1.0\n"
    assert asked == [OPENMETRICS, ""]
    assert modes(place) is None


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("/"), b"404"),
        (request("/metrics/token"), b"404"),
        (request(method="POST"), b"405"),
        (b"\x16\x03\x01 hello\r\n\r\n", b"400"),
    ],
)
async def test_nothing_else_is_answered(place: Path, sent: bytes, status: bytes) -> None:
    """No other page, no other method, no other protocol; and the next request is answered."""
    async with serving(place, []):
        assert (await said(place, sent)).startswith(b"HTTP/1.1 " + status)
        assert (await said(place, request())).startswith(b"HTTP/1.1 200")


async def test_a_request_without_end_is_not_read_to_its_end(place: Path) -> None:
    """Whoever sends headers for ever is cut off, and nobody makes a page for it."""
    asked: list[str] = []
    async with serving(place, asked):
        answer = await said(place, b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 8_000_000)
        assert answer[:13] in {b"", b"HTTP/1.1 400 "}
        assert asked == []
        assert (await said(place, request())).startswith(b"HTTP/1.1 200")


async def test_another_user_gets_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection ends without a word."""
    asked: list[str] = []
    monkeypatch.setattr(metrics_socket, "admitted_uids", lambda **_: frozenset({-1}))
    async with serving(place, asked):
        assert await said(place, request()) == b""
    assert asked == []


async def test_who_says_nothing_holds_nobody_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many silent connections as are served at once, and the next is answered when their time is over."""
    monkeypatch.setattr(metrics_socket, "PATIENCE_SECONDS", 0.05)
    async with serving(place, []):
        silent = [await anyio.connect_unix(place) for _ in range(metrics_socket.MAX_AT_ONCE)]
        with anyio.fail_after(20):
            for stream in silent:
                with pytest.raises(anyio.EndOfStream):
                    await stream.receive()
                await stream.aclose()
        monkeypatch.setattr(metrics_socket, "PATIENCE_SECONDS", 20.0)
        assert (await said(place, request())).startswith(b"HTTP/1.1 200")


async def test_a_fault_of_ours_is_logged_and_ends_nothing(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By its type; the next request is answered."""
    caplog.set_level(logging.ERROR)
    async with serving(place, []):
        assert await said(place, request(accept="trouble")) == b""
        assert (await said(place, request())).startswith(b"HTTP/1.1 200")
    assert "ValueError" in caplog.text
    assert "sk-secret" not in caplog.text


async def test_who_hangs_up_is_nobodys_trouble(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In the middle of a request, or before the answer."""
    async with serving(place, []):
        for sent in (b"GET /metr", request()):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(place))
                peer.sendall(sent)
        assert (await said(place, request())).startswith(b"HTTP/1.1 200")
    assert caplog.records == []


async def _page(accept: str) -> Page:
    return Page("text/plain; version=0.0.4", accept)


async def gone(place: Path) -> None:
    """Wait until nothing is there."""
    await until(lambda: modes(place) is None)


async def test_it_is_opened_moved_and_closed(place: Path) -> None:
    """As each configuration wants it; what is as before goes on undisturbed."""
    other = place.with_name("other.sock")
    async with anyio.create_task_group() as group:
        collectors = MetricsSocket(group, _page)
        await collectors.serve(None)
        assert modes(place) is None
        await collectors.serve(place)
        await collectors.serve(place)
        assert (await said(place, request())).startswith(b"HTTP/1.1 200")
        await collectors.serve(other)
        await gone(place)
        assert (await said(other, request())).startswith(b"HTTP/1.1 200")
        await collectors.serve(None)
        await gone(other)


async def test_a_place_that_cannot_be_had_changes_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said with the key that names it, and the place before is served on."""
    taken = place.with_name("taken")
    async with anyio.create_task_group() as group:
        collectors = MetricsSocket(group, _page)
        await collectors.serve(place)
        taken.write_text("mine")
        with pytest.raises(ConfigurationFault, match=r"taken exists and is not a socket") as refused:
            await collectors.serve(taken)
        assert "[metrics]" in (refused.value.hint or "")
        assert (await said(place, request())).startswith(b"HTTP/1.1 200")
        with pytest.raises(ConfigurationFault, match=r"collectors cannot be served: .*Not a directory"):
            await collectors.serve(taken / "below" / "metrics.sock")
        monkeypatch.setattr(exposition, "find_spec", lambda _: None)
        with pytest.raises(ConfigurationFault, match="prometheus-client"):
            await collectors.serve(taken.with_name("third"))
        assert (await said(place, request())).startswith(b"HTTP/1.1 200")
        group.cancel_scope.cancel()
