"""The asyncio client: the same calls, overlapping, and what a cancelled or lost one costs."""

import asyncio
import doctest
import inspect
import json
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from client import fake_daemon
from client.fake_daemon import GENERATION, TOKEN, FakeDaemon, Hang, HangUp, Json, Refusal, event
from tokenward import errors
from tokenward.client import Client, aio
from tokenward.client._async_connection import AsyncConnection, rounds_until_closed
from tokenward.client.aio import AsyncClient


def test_the_example_in_the_docstring_works(daemon: FakeDaemon) -> None:
    """What the module's docstring shows is what happens."""
    outcome = doctest.testmod(aio)
    assert (outcome.attempted, outcome.failed) == (4, 0)
    assert daemon.params("token.get")["min_valid"] == 120


def test_the_twins_have_the_same_calls() -> None:
    """Every public method of the one is a method of the other, with the same parameters and defaults."""
    renamed = {"close": "aclose"}
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_"):
            twin = getattr(AsyncClient, renamed.get(name, name))
            assert list(inspect.signature(twin).parameters.values()) == list(
                inspect.signature(method).parameters.values()
            ), name


async def test_every_method_asks_for_what_its_name_says(daemon: FakeDaemon) -> None:
    """Each typed method is one request of the protocol, over one connection."""
    answer = fake_daemon.profile()
    for method in ("profile.get", "profile.add", "profile.forget", "profile.refresh"):
        daemon.answers[method] = lambda _: answer
    daemon.answers["profile.list"] = lambda _: {"profiles": [answer]}
    daemon.answers["token.report"] = lambda _: {"failure": "auth", "action": "retry", "retry_after": None}
    daemon.answers["daemon.status"] = lambda _: fake_daemon.status(answer)
    daemon.answers["daemon.reload"] = lambda _: {"reloaded": True, "error": None}
    daemon.answers["daemon.stop"] = lambda _: {"stopping": True}
    async with AsyncClient() as client:
        assert client.socket_path == str(daemon.path)
        assert (await client.hello("test/1"))["pid"] == 4711
        assert (await client.token(kinds=("api_key",))).token == TOKEN["token"]
        assert (await client.report("anthropic:work", GENERATION, status=401))["action"] == "retry"
        assert (await client.profiles(provider="anthropic"))[0]["profile"] == "anthropic:work"
        assert (await client.profile("anthropic:work"))["kind"] == "api_key"
        await client.add("acme:me", access_token="at", refresh_token="rt", expires_in=60)
        await client.forget("acme:me")
        await client.refresh("acme:me")
        assert (await client.status())["profiles"] == [answer]
        assert (await client.reload())["reloaded"]
        await client.stop()
    assert daemon.methods() == [
        "daemon.hello", "token.get", "token.report", "profile.list", "profile.get", "profile.add",
        "profile.forget", "profile.refresh", "daemon.status", "daemon.reload", "daemon.stop",
    ]  # fmt: skip
    assert daemon.params("token.get") == {"kinds": ["api_key"], "timeout": 30.0}
    assert daemon.params("token.report") == {
        "profile": "anthropic:work",
        "generation": GENERATION,
        "status": 401,
    }
    assert daemon.params("profile.add")["credential"] == {
        "access_token": "at",
        "refresh_token": "rt",
        "expires_in": 60,
    }
    assert daemon.accepted == 1


async def test_an_error_is_raised_as_the_leaf_that_the_daemon_raised(daemon: FakeDaemon) -> None:
    """Type, hint and details arrive."""

    def refuse(_: Json) -> Json:
        raise Refusal("RefreshFailed", "no luck", retry_after=3)

    daemon.answers["token.get"] = refuse
    async with AsyncClient() as client:
        with pytest.raises(errors.RefreshFailed, match="no luck") as caught:
            await client.token()
    assert (caught.value.hint, caught.value.details) == ("do this", {"retry_after": 3})


async def test_calls_of_many_tasks_overlap_on_one_connection() -> None:
    """A call that waits for a refresh holds up no other, and each gets its own answer, in whatever order."""
    with short_path() as path, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        backwards = threading.Thread(target=answer_backwards, args=(listener, 3))
        backwards.start()
        async with AsyncClient(path) as client:
            got = await asyncio.gather(*(client.hello(f"t{number}") for number in range(3)))
        backwards.join()
    assert [each["name"] for each in got] == ["t0", "t1", "t2"]


async def test_a_cancelled_call_disturbs_no_other(daemon: FakeDaemon) -> None:
    """Its late answer is dropped, and the connection stays."""
    release = threading.Event()

    def late(_: Json) -> Json:
        release.wait(20)
        return TOKEN

    daemon.answers["token.get"] = late
    async with AsyncClient() as client:
        await client.hello()
        waiting = asyncio.create_task(client.token())
        await asyncio.to_thread(daemon.wait_for, lambda: len(daemon.requests) == 2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        release.set()
        assert (await client.hello())["pid"] == 4711
    assert daemon.accepted == 1


async def test_a_daemon_that_does_not_answer_is_a_timeout(daemon: FakeDaemon) -> None:
    """The call ends at its timeout, and the next one gets its own answer."""

    def hang(_: Json) -> Json:
        raise Hang

    daemon.answers["daemon.status"] = hang
    async with AsyncClient() as client:
        with pytest.raises(errors.CallTimeout, match=r"within 0\.05 s"):
            await client.call("daemon.status", timeout=0.05)
        assert (await client.token()).profile == "anthropic:work"


async def test_a_connection_that_was_closed_idle_is_replaced_in_silence(daemon: FakeDaemon) -> None:
    """After the daemon hung up, a call that changes something just works, once, noticed or not by the loop."""
    daemon.answers["profile.refresh"] = lambda _: fake_daemon.profile()
    async with AsyncClient() as client:
        await client.token()
        daemon.hang_up()
        await client.refresh("anthropic:work")
    assert daemon.methods() == ["token.get", "profile.refresh"]
    assert daemon.accepted == 2


async def test_a_lost_answer_is_asked_for_again_only_where_that_changes_nothing(daemon: FakeDaemon) -> None:
    """`token.get` is asked once more; a refresh whose answer was lost is reported and not repeated."""
    answers = iter([TOKEN, HangUp(), TOKEN])

    def answer(_: Json) -> Json:
        match next(answers):
            case Exception() as failure:
                raise failure
            case token:
                assert isinstance(token, dict)
                return token

    def hang_up(_: Json) -> Json:
        raise HangUp

    daemon.answers |= {"token.get": answer, "profile.refresh": hang_up}
    async with AsyncClient() as client:
        await client.token()
        assert (await client.token()).token == "sk-ant-api03-fake"
        with pytest.raises(errors.DaemonUnreachable, match="before it answered"):
            await client.refresh("anthropic:work")
    assert daemon.methods() == ["token.get"] * 3 + ["profile.refresh"]


async def test_without_a_daemon_the_hint_says_how_to_start_one(tmp_path: Path) -> None:
    """A path where nothing listens, and one too long for a socket, are `DaemonUnreachable` with a hint."""
    for path in (tmp_path / "none", tmp_path / ("x" * 200)):
        async with AsyncClient(path) as client:
            with pytest.raises(errors.DaemonUnreachable) as caught:
                await client.token()
        assert str(path) in caught.value.cause
        assert "tokenward service install" in caught.value.hint


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 400 Bad Request\r\n\n",
        b"[]\n",
        b'{"id":1,"jsonrpc":"2.0"}\n',
        b'{"id":null,"error":{}}\n',
        b"x" * 2_000_000,
    ],
)
async def test_an_answer_that_is_none_is_a_plain_error(daemon: FakeDaemon, raw: bytes) -> None:
    """Something else that listens there is told from a daemon, and does not fill our memory."""
    daemon.raw_answer = raw
    async with AsyncClient(timeout=20) as client:
        with pytest.raises(errors.TokenwardError) as caught:
            await client.token()
    assert not isinstance(caught.value, errors.CallTimeout)


def test_another_event_loop_gets_a_connection_of_its_own(daemon: FakeDaemon) -> None:
    """One client serves one loop after another, closed in between or not."""
    client = AsyncClient()
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(client.token())
        assert second.run(client.token()).profile == "anthropic:work"
        first.run(rounds_until_closed())
        second.run(client.aclose())
        first.run(client.token())
        first.run(client.aclose())
    assert daemon.accepted == 3


async def test_a_child_process_opens_its_own_connection(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a fork the parent's connection is not written on."""
    abandoned: list[object] = []

    def note_abandoned(connection: AsyncConnection) -> None:
        abandoned.append(connection)

    monkeypatch.setattr(AsyncConnection, "abandon", note_abandoned)
    async with AsyncClient() as client:
        await client.token()
        theirs = client._connection
        monkeypatch.setattr(os, "getpid", lambda: -1)
        await client.token()
        assert abandoned == [theirs]
        assert daemon.accepted == 2
    assert theirs is not None
    theirs.close()
    await rounds_until_closed()


async def test_a_crowded_listener_is_waited_for() -> None:
    """With the listener's queue full a client waits for room instead of failing, or believing itself connected."""
    with short_path() as path, socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        async with AsyncClient(path) as client:
            asking = asyncio.create_task(client.hello("me"))
            done, _ = await asyncio.wait({asking}, timeout=0.1)
            assert not done
            listener.accept()[0].close()
            answering = threading.Thread(target=answer_backwards, args=(listener, 1))
            answering.start()
            assert (await asking)["name"] == "me"
            answering.join()


async def test_events_arrive_and_end_after_the_daemons_last_word(daemon: FakeDaemon) -> None:
    """A subscriber sees each event once, in order; after `stopping` the iteration ends without an error."""
    async with AsyncClient() as client, await client.events(["anthropic:work"]) as events:
        await asyncio.to_thread(daemon.wait_for, daemon.subscribed)
        daemon.publish(event("rotated"))
        daemon.publish(event("stopping"))
        assert (await anext(events)).type == "rotated"
        assert (await client.token()).profile == "anthropic:work"
        daemon.hang_up()
        assert [each.type async for each in events] == ["stopping"]
        assert [each async for each in events] == []
    assert daemon.params("events.subscribe") == {"profiles": ["anthropic:work"]}


async def test_a_daemon_that_ends_without_a_word_is_an_error(daemon: FakeDaemon) -> None:
    """A subscriber that waits learns that nothing more will come."""
    async with AsyncClient() as client, await client.events() as events:
        await asyncio.to_thread(daemon.wait_for, daemon.subscribed)
        daemon.hang_up()
        with pytest.raises(errors.DaemonUnreachable, match="ended while events were awaited"):
            await anext(events)


async def test_a_subscription_that_fails_says_why(daemon: FakeDaemon) -> None:
    """Refused, hung up on or unanswered: an error of ours each, and no connection left open."""

    def refuse(_: Json) -> Json:
        raise Refusal("PermissionDenied")

    def hang_up(_: Json) -> Json:
        raise HangUp

    def hang(_: Json) -> Json:
        raise Hang

    for answer, expected in (
        (refuse, errors.PermissionDenied),
        (hang_up, errors.DaemonUnreachable),
        (hang, errors.CallTimeout),
    ):
        daemon.answers["events.subscribe"] = answer
        async with AsyncClient(timeout=20 if answer is not hang else 0.05) as client:
            with pytest.raises(expected):
                await client.events()


@contextmanager
def short_path() -> Iterator[Path]:
    """A path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="tw") as directory:
        yield Path(directory) / "s"


def answer_backwards(listener: socket.socket, count: int) -> None:
    """Read so many requests of one connection, then answer the last one first, each with its own name."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as lines:
        asked = [json.loads(lines.readline()) for _ in range(count)]
        for each in reversed(asked):
            answer = {"jsonrpc": "2.0", "id": each["id"], "result": {"name": each["params"]["client"]}}
            connection.sendall(json.dumps(answer).encode() + b"\n")
