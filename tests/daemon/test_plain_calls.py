"""What waits and is plain is answered as the dispatcher answers it, and without it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon.served import SECRET, ScriptedService, serving, until
from daemon.warding import Warding
from tokenward.daemon.peer import Peer
from tokenward.daemon.plain_request import read_plain
from tokenward.daemon.standing_answer import HandedOut
from tokenward.daemon.token_models import TokenParams, TokenResult
from tokenward.errors import TokenwardError


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Warding]:
    """A ward over a store."""
    async with anyio.create_task_group() as group:
        yield Warding(tmp_path, group)
        group.cancel_scope.cancel()


def _get(members: str) -> str:
    return '{"jsonrpc":"2.0","method":"token.get",' + members + "}"


PLAIN = [
    _get('"id":1,"params":{"profile":"acme:other","tier":"max","min_valid":3,"agent":"coder"}'),
    _get('"id":"a\\u00e9","params":{"profile":"acme:other"}'),
    _get('"id":1,"params":{"profile":"acme:locked"}'),
    _get('"id":"x","params":{"profile":"acme:broken"}'),
    _get('"id":-1,"params":{"profile":"acme:large"}'),
    _get('"id":2,"params":{"profile":"acme:huge"}'),
    _get('"id":3,"params":{"profile":"acme:short"}'),
]
NOTIFICATION = '{"jsonrpc":"2.0","method":"token.get","params":{"profile":"acme:other"}}'
RELOAD = '{"jsonrpc":"2.0","id":1,"method":"daemon.reload"}'
OTHERS = [
    _get('"id":1,"params":{"profile":"acme:other","session":"s"}'),
    _get('"id":1,"params":{"profile":"acme:other","model":"opus"}'),
    _get('"id":1,"params":{"profile":"acme:other","betas":["a"]}'),
    _get('"id":1,"params":{"credential":{"access_token":"x"}}'),
    _get('"id":1,"params":{"profile":"not a profile"}'),
    _get('"id":1,"params":[]'),
    '{"jsonrpc":"2.0","id":1,"method":"token.gets","params":{"profile":"acme:other"}}',
    "[" + PLAIN[0] + "]",
    "[" + PLAIN[0] + "," + PLAIN[2] + "]",
    f"{NOTIFICATION}\n{RELOAD}",
]


class Audit:
    """Notes what it is told.

    Args:
        failing: what it raises, of what is handed out and of what is not.
    """

    def __init__(self, *, failing: bool = False) -> None:
        self.failing = failing
        self.told: list[tuple[str, int, str, str]] = []

    def __call__(self, peer: Peer, method: str, code: int, result: Any) -> None:
        """Take note."""
        if self.failing:
            raise OSError(SECRET)
        shown = ("", "") if result is None else (result.profile, result.generation)
        self.told.append((method, code, *shown))


async def _answers(directory: Path, requests: list[str], *, plain: bool, failing: bool = False) -> list[Any]:
    """Answers, what was counted, what the audit was told, and how many needed no dispatcher."""
    service, audit = ScriptedService(has_lane=plain), Audit(failing=failing)
    answers: list[Any] = []
    async with serving(directory, service, audit=audit) as served, served.peer() as peer:
        for request in requests:
            await peer.send(request.encode() + b"\n")
            answers.append(await peer.line())
        return [answers, served.server.calls, audit.told, service.plain_asked]


@pytest.mark.parametrize("failing", [False, True])
async def test_answers_counts_and_audit_are_the_dispatchers(tmp_path: Path, *, failing: bool) -> None:
    """Handed out, refused, failed, too long: all three alike, also where the audit cannot take note."""
    plain = await _answers(tmp_path / "a", PLAIN, plain=True, failing=failing)
    dispatched = await _answers(tmp_path / "b", PLAIN, plain=False, failing=failing)
    assert plain[:3] == dispatched[:3]
    assert (plain[3], dispatched[3]) == (len(PLAIN), 0)
    assert SECRET not in repr(plain)


async def test_what_is_not_plain_is_the_dispatchers(tmp_path: Path) -> None:
    """Members that need more, batches, notifications, other methods: none is begun without it."""
    service = ScriptedService(has_lane=True)
    async with serving(tmp_path, service) as served, served.peer() as peer:
        for request in OTHERS:
            await peer.send(request.encode() + b"\n")
            assert await peer.line()
        assert service.plain_asked == 0
        assert await peer.ask(json.loads(PLAIN[0]))
        assert service.plain_asked == 1


async def test_a_failure_says_where_and_not_what(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log of a defect shows no secret."""
    caplog.set_level(logging.DEBUG)
    async with serving(tmp_path, ScriptedService(has_lane=True)) as served, served.peer() as peer:
        assert (await peer.call("token.get", {"profile": "acme:broken"}))["error"]["code"] == -32603
    assert "token.get failed: RuntimeError" in caplog.text
    assert SECRET not in caplog.text


async def test_others_are_answered_while_one_waits(tmp_path: Path) -> None:
    """On the same connection, in the order in which they are ready."""
    service = ScriptedService(has_lane=True)
    async with serving(tmp_path, service) as served, served.peer() as peer:
        await peer.send(_get('"id":"late","params":{"profile":"acme:slow"}').encode() + b"\n")
        await until(lambda: service.waiting)
        assert (await peer.call("token.get", {"profile": "acme:other"}, "soon"))["id"] == "soon"
        service.release.set()
        assert (await peer.line())["id"] == "late"


async def _later(home: Warding, **wish: Any) -> HandedOut | None:
    params = read_plain(wish)
    assert params is not None
    token = home.ward._desk.token_later(params)
    return None if token is None else await token


async def _either(get: Any) -> Any:
    try:
        return await get()
    except TokenwardError as error:
        return type(error), error.cause, error.data()


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"provider": "acme"},
        {"provider": "acme", "kinds": ["api_key"]},
        {"profile": "acme:a", "min_valid": 600},
        {"profile": "acme:a", "min_valid": 100_000, "timeout": 0},
        {"profile": "acme:none"},
        {"provider": "nobody"},
        {"agent": "other"},
        {"provider": "acme", "session": "s", "compactions": 1},
        {"provider": "acme", "tier": "max"},
    ],
)
async def test_it_is_what_the_service_hands_out(home: Warding, wish: dict[str, Any]) -> None:
    """The same token, members and reasons, for every wish."""
    home.log_in("acme:a")
    await home.fill()
    await home.add_key("acme:key")

    async def plain() -> Any:
        handed_out = await _later(home, **wish)
        assert handed_out is not None
        result = json.loads(handed_out.result)
        assert list(result) == list(TokenResult.model_fields)
        assert (handed_out.profile, handed_out.generation) == (result["profile"], result["generation"])
        assert handed_out.degraded == result["degraded"]
        choice = home.ward.broker.choice
        assert (handed_out.key, handed_out.why) == (choice.key, choice.why)
        return result

    async def dispatched() -> Any:
        return (await home.ward.token(TokenParams(**wish))).model_dump(mode="json")

    assert await _either(plain) == await _either(dispatched)


async def test_a_session_with_a_model_is_the_services(home: Warding) -> None:
    """Its answer names the model that a person chose, which only the ward knows."""
    home.log_in("acme:a")
    await home.fill()
    assert await _later(home, provider="acme", session="s") is not None
    home.ward.sessions.is_chosen = lambda session: session == "s"  # type: ignore[method-assign]
    assert await _later(home, provider="acme", session="s") is None
    assert await _later(home, provider="acme") is not None
