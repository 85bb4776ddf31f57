"""Whoever asks a port of loopback, only the answer that was waited for counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import anyio
import pytest

from tokenward.core.login import Code, Expectation, Refused
from tokenward.oauth.loopback import LoopbackRedirect, listen

LONG = 20.0  # seconds; longer than anything here takes
EXPECTED = Expectation("our-state", "https://auth.example.test")


@pytest.fixture
async def redirect() -> AsyncIterator[LoopbackRedirect]:
    """A redirect_uri that listens."""
    opened = await listen(None, EXPECTED)
    yield opened
    await opened.aclose()


async def fetch(redirect: LoopbackRedirect, request: bytes) -> bytes:
    """Send a request as it is, and read the answer to its end."""
    port = urlsplit(redirect.uri).port
    assert port is not None
    received = b""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(request)
        with anyio.fail_after(LONG):
            async for chunk in stream:
                received += chunk
    return received


def get(target: str) -> bytes:
    """A browser's request."""
    return f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


async def brought(redirect: LoopbackRedirect, *requests: bytes) -> tuple[Code | Refused | None, list[bytes]]:
    """What is received in the end, and the answers to the requests, sent one after the other."""
    answers: list[bytes] = []
    received: list[Code | Refused | None] = []

    async def wait() -> None:
        received.append(await redirect.receive(LONG))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        answers += [await fetch(redirect, request) for request in requests]
    return received[0], answers


async def test_only_the_answer_that_matches_ends_the_waiting(redirect: LoopbackRedirect) -> None:
    """An icon, another method, another state and noise get a refusal; nothing of a request is repeated."""
    answer, replies = await brought(
        redirect,
        get("/favicon.ico"),
        get("/callback"),
        get("/callback?code=stolen&state=guessed"),
        get("/callback?code=stolen&state=our-state&iss=https%3A%2F%2Fevil.test"),
        b"POST /callback?code=stolen&state=our-state HTTP/1.1\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
        get("/callback?code=ours&state=our-state"),
    )
    assert isinstance(answer, Code)
    assert answer.code.reveal() == "ours"
    assert [reply.split()[1] for reply in replies] == [b"404", b"400", b"400", b"400", b"404", b"404", b"200"]
    assert not any(b"stolen" in reply or b"our-state" in reply or b"ours" in reply for reply in replies)
    assert all(b"Cache-Control: no-store" in reply for reply in replies)


async def test_a_refusal_is_an_answer(redirect: LoopbackRedirect) -> None:
    """RFC 6749 section 4.1.2.1: with our state it ends the waiting."""
    answer, _ = await brought(redirect, get("/callback?error=access_denied&state=our-state"))
    assert answer == Refused("access_denied")


async def test_a_head_without_end_is_let_go(redirect: LoopbackRedirect) -> None:
    """One that is too long gets no answer, and the next is heard."""
    port = urlsplit(redirect.uri).port
    assert port is not None
    async with await anyio.connect_tcp("127.0.0.1", port) as silent:
        await silent.send(b"GET /")
        answer, replies = await brought(redirect, b"x" * 40_000, get("/callback?code=ours&state=our-state"))
    assert isinstance(answer, Code)
    assert replies[0] == b""


async def test_patience_ends_and_nothing_is_lost(redirect: LoopbackRedirect) -> None:
    """What comes while nobody waits is heard by the next who does."""
    assert await redirect.receive(0) is None
    answer, _ = await brought(redirect, get("/callback?code=ours&state=our-state"))
    assert isinstance(answer, Code)


async def test_a_login_that_is_given_up_ends_the_waiting() -> None:
    """Whoever waits hears that nothing came."""
    redirect = await listen(None, EXPECTED)
    received: list[Code | Refused | None] = []

    async def wait() -> None:
        received.append(await redirect.receive(LONG))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await redirect.aclose()
    assert received == [None]


async def test_a_registered_address_keeps_its_words() -> None:
    """Host and path are those registered, the port only where one is missing; it is let go at the end."""
    first = await listen("http://localhost/cb", EXPECTED)
    port = urlsplit(first.uri).port
    assert first.uri == f"http://localhost:{port}/cb"
    with pytest.raises(OSError, match="in use"):
        await listen(f"http://127.0.0.1:{port}/cb", EXPECTED)
    await first.aclose()
    second = await listen(f"http://127.0.0.1:{port}/cb", EXPECTED)
    assert second.uri == f"http://127.0.0.1:{port}/cb"
    await second.aclose()
