"""A restricted socket: tokens of the profiles on its list, and no way from there to anything else."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon.served import RawPeer, StillClock, answered_by
from daemon.test_peer import ASK
from daemon.warding import Warding, warding
from fakes.machine import FakeClock
from tokenward import errors
from tokenward.core import protocol
from tokenward.daemon import peer as peer_module
from tokenward.daemon.audit import AuditLog
from tokenward.daemon.listener import bind_second_socket
from tokenward.daemon.methods.registry import METHODS
from tokenward.daemon.pace import Pace
from tokenward.daemon.plain_request import TokenRequest
from tokenward.daemon.restricted import RestrictedTokens, Restriction
from tokenward.daemon.rpc_server import RpcServer
from tokenward.daemon.standing_answer import HandedOut
from tokenward.daemon.token_models import ReportParams, TokenParams, TokenResult
from tokenward.daemon.usage_models import UsageParams

BOT = "anthropic:bot"
SPARE = "anthropic:spare"
OTHER = "anthropic:owner-private"
FOREIGN = "acme:owner-private"
PERMISSION_DENIED = -32010
PROFILE_UNAVAILABLE = -32003
OFFERED = {"daemon.hello", "token.get", "token.report"}


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody may pass through, outside of pytest's own, which are private."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory


class Narrow:
    """A ward with four profiles behind a socket that is open to two of them."""

    def __init__(self, warding: Warding, peer: RawPeer, path: Path, tokens: RestrictedTokens) -> None:
        self.warding = warding
        self.peer = peer
        self.path = path
        self.tokens = tokens

    async def get(self, **params: Any) -> Any:
        """Ask for a token: the result, or the error."""
        answer = await self.peer.call("token.get", params)
        return answer.get("result") or answer["error"]

    async def report(self, status: int, generation: str, profile: str = BOT, **more: Any) -> Any:
        """Report what became of a token: the result, or the error."""
        params = {"profile": profile, "generation": generation, "status": status, **more}
        answer = await self.peer.call("token.report", params)
        return answer.get("result") or answer["error"]


@asynccontextmanager
async def restricted(
    directory: Path, profiles: tuple[str, ...] = (BOT, SPARE), *, uids: frozenset[int] = frozenset()
) -> AsyncIterator[Narrow]:
    """Such a socket, and a peer of it."""
    await anyio.Path(directory).mkdir(exist_ok=True)
    async with warding(directory) as around:
        around.refresh_stored = True
        for key in (BOT, SPARE, OTHER, FOREIGN, "crew/anthropic:bot"):
            around.log_in(key)
        await around.fill()
        tokens = RestrictedTokens(around.ward, profiles, around.clock)
        audit = AuditLog(directory / "audit.jsonl", around.clock)
        server = RpcServer(
            tokens.token_nowait,
            answered_by(around.ward)[1],
            clock=StillClock(),
            pace=Pace(StillClock()),
            audit=audit,
            restriction=Restriction(tokens, uids),
        )
        path = directory / "second.sock"
        await around.group.start(server.serve, [bind_second_socket(str(path), mode=0o666 if uids else 0o600)])
        async with await anyio.connect_unix(path) as stream:
            yield Narrow(around, RawPeer(stream), path, tokens)


async def test_it_hands_out_tokens_of_its_list(tmp_path: Path) -> None:
    """Of the first that fits, or of the one that is named; with everything that a request needs."""
    async with restricted(tmp_path) as narrow:
        assert (await narrow.get())["profile"] == BOT
        named = await narrow.get(profile=SPARE)
        assert (named["profile"], named["headers"]["authorization"]) == (SPARE, f"Bearer {named['token']}")
        assert (await narrow.get(provider="anthropic", kinds=["oauth"]))["profile"] == BOT
        assert (await narrow.peer.call("daemon.hello"))["result"]["protocol"] == protocol.PROTOCOL_VERSION


@pytest.mark.parametrize("method", [*sorted(METHODS.keys() - OFFERED), "no.such", ""])
async def test_every_other_method_is_refused(tmp_path: Path, method: str) -> None:
    """Known or not, with or without params: -32010, and not a word more."""
    async with restricted(tmp_path) as narrow:
        for params in ({}, {"profile": OTHER}):
            error = (await narrow.peer.call(method, params))["error"]
            assert (error["code"], error["data"]["type"]) == (PERMISSION_DENIED, "PermissionDenied")


async def test_each_request_of_a_batch_is_judged_by_itself(tmp_path: Path) -> None:
    """One that is allowed opens no door to its neighbours, nor do they close it."""
    calls = [("token.get", {"profile": BOT}), ("profile.list", {}), ("token.get", {"profile": OTHER})]
    batch = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate([*calls, ("daemon.stop", {})])
    ]
    async with restricted(tmp_path) as narrow:
        answers = {each["id"]: each for each in await narrow.peer.ask(batch)}
    assert answers[0]["result"]["profile"] == BOT
    assert [answers[number]["error"]["code"] for number in (1, 2, 3)] == [-32010, -32003, -32010]


@pytest.mark.parametrize(
    "params",
    [
        {"profile": OTHER},
        {"profile": FOREIGN},
        {"profile": BOT, "agent": "crew"},
        {"profile": OTHER, "newer_than": "0" * 12},
        {"profile": OTHER, "min_valid": 31_000_000},
    ],
)
async def test_a_profile_that_is_not_listed_does_not_exist(tmp_path: Path, params: dict[str, Any]) -> None:
    """The answer is, but for the name, the one for a profile that nobody ever had; reports are answered alike."""
    missing = params["profile"].replace("owner-private", "nobody-has-it").replace("bot", "bat")
    async with restricted(tmp_path) as narrow:
        there, absent = await narrow.get(**params), await narrow.get(**{**params, "profile": missing})
        assert json.dumps(there).replace(params["profile"], missing) == json.dumps(absent)
        for status in (401, 429, 500):
            there = await narrow.report(status, "0" * 12, OTHER)
            absent = await narrow.report(status, "0" * 12, "anthropic:nobody-has-it")
            assert there["code"] == PROFILE_UNAVAILABLE
            assert json.dumps(there).replace(OTHER, "anthropic:nobody-has-it") == json.dumps(absent)
        assert narrow.warding.endpoint.sent == []


@pytest.mark.parametrize("params", [{}, {"provider": "acme"}, {"agent": "crew"}, {"auth_method": "api_key"}])
async def test_no_error_names_what_is_not_listed(
    tmp_path: Path, params: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """With every profile disabled, no answer holds another profile, a place or a command."""
    async with restricted(tmp_path) as narrow:
        for profile in (BOT, SPARE, OTHER):
            await narrow.warding.ward.disable(profile)
        for more in ({}, {"profile": BOT}, {"newer_than": "0" * 12}):
            text = json.dumps(await narrow.get(**params, **more))
            assert '"code"' in text
            for inside in ("owner-private", "store", "here:", "tokenward add", "--agent", "/"):
                assert inside not in text.replace("tokenward profiles list", "")


class Failing:
    """A daemon that has only errors."""

    def __init__(self, error: errors.TokenwardError) -> None:
        self.error = error

    def token_nowait(self, params: TokenRequest) -> HandedOut | None:
        """Nothing lies ready."""
        return None

    async def token(self, params: TokenParams) -> TokenResult:
        """The error."""
        raise self.error


@pytest.mark.parametrize("leaf", errors.by_name().values())
@pytest.mark.parametrize("profiles", [(BOT,), (BOT, SPARE)])
async def test_an_error_keeps_its_type_and_loses_its_words(
    leaf: type[errors.TokenwardError], profiles: tuple[str, ...]
) -> None:
    """Whatever goes wrong inside, the caller learns what to do about it and nothing of where it happened."""
    inside = leaf("INSIDE cause", hint="INSIDE hint", retry_after=7, looked_at=["INSIDE"], command="INSIDE")
    tokens = RestrictedTokens(Failing(inside), profiles, FakeClock())
    with pytest.raises(errors.TokenwardError) as raised:
        await tokens.token(TokenParams())
    told = raised.value
    assert isinstance(told, leaf if len(profiles) == 1 else errors.AllUnavailable)
    assert told.details["retry_after"] == 7
    assert told.cause
    assert told.hint
    assert "INSIDE" not in json.dumps([told.cause, told.hint, told.data()])


async def test_profiles_of_agents_are_listed_with_their_agent(tmp_path: Path) -> None:
    """A profile serves the agent that it is listed for, and no other."""
    async with restricted(tmp_path, ("crew/anthropic:bot", "main/anthropic:spare")) as narrow:
        crew = await narrow.warding.served(profile=BOT, agent="crew")
        assert (await narrow.get(agent="crew"))["generation"] == crew.generation
        assert (await narrow.get(profile=SPARE))["profile"] == SPARE
        assert (await narrow.get(profile=BOT))["code"] == PROFILE_UNAVAILABLE
        assert (await narrow.get(agent="main", provider="acme"))["code"] == -32001
    async with restricted(tmp_path / "again", (BOT,)) as narrow:
        assert (await narrow.get(agent="crew"))["code"] == -32001


async def test_a_caller_brings_no_credential(tmp_path: Path) -> None:
    """To shape a token of somebody else's is not what this socket is for."""
    async with restricted(tmp_path) as narrow:
        error = await narrow.get(credential={"access_token": "sk-x", "kind": "api_key"})
        assert error["code"] == PERMISSION_DENIED


async def test_rejected_tokens_force_one_refresh_a_minute(tmp_path: Path) -> None:
    """The bucket holds one for each profile, and draws nothing more from the one that all share."""
    async with restricted(tmp_path) as narrow:
        first = await narrow.get(profile=BOT)
        second = await narrow.get(profile=BOT, newer_than=first["generation"])
        assert second["generation"] != first["generation"]
        assert (await narrow.get(profile=BOT, newer_than=first["generation"]))["generation"] == second[
            "generation"
        ]
        for _ in range(5):
            refused = await narrow.get(profile=BOT, newer_than=second["generation"])
            assert (refused["code"], refused["data"]["retry_after"]) == (-32004, 60.0)
            report = await narrow.report(401, second["generation"])
            assert (report["failure"], report["action"]) == ("auth", "wait")
        assert len(narrow.warding.endpoint.sent) == 1
        for _ in range(2):  # the owner's own bucket has lost one of its three
            await narrow.warding.ward.refresh(BOT)
        narrow.warding.clock.advance(60)
        assert (await narrow.report(401, (await narrow.get(profile=BOT))["generation"]))["action"] == "retry"


async def test_a_report_of_a_refusal_condemns_nothing(tmp_path: Path) -> None:
    """A key that a stranger says was refused serves everybody else on, and him too."""
    async with restricted(tmp_path, ("anthropic:key",)) as narrow:
        await narrow.warding.add_key("anthropic:key")
        held = await narrow.get()
        assert (await narrow.report(401, held["generation"], "anthropic:key"))["action"] == "login"
        assert (await narrow.get())["generation"] == held["generation"]
        assert (await narrow.warding.served(profile="anthropic:key")).generation == held["generation"]
        assert narrow.warding.ward.profile("anthropic:key").unusable is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, 60.0), ({"retry-after": "7"}, 7.0), ({"Retry-After": "9999999"}, 60.0), ({"retry-after": "-1"}, 60.0)],
)
async def test_a_limit_that_is_reported_cools_here_for_a_minute_at_most(
    tmp_path: Path, headers: dict[str, str], seconds: float
) -> None:
    """The other profile goes first meanwhile; nobody else notices, and nothing is written down."""
    async with restricted(tmp_path) as narrow:
        generation = (await narrow.get())["generation"]
        told = await narrow.report(429, generation, headers=headers)
        assert told == {"failure": "rate_limit", "action": "rotate", "retry_after": seconds, "billing_url": None}
        assert (await narrow.get())["profile"] == SPARE
        assert (await narrow.get(profile=BOT))["profile"] == BOT
        assert (await narrow.report(429, generation, SPARE))["action"] == "wait"
        assert (await narrow.get())["profile"] == BOT, "if all cool, the first of the list serves"
        assert (await narrow.warding.served(profile=BOT)).degraded is None
        narrow.warding.clock.advance(seconds)
        assert (await narrow.get())["profile"] == BOT
        assert not (tmp_path / "state.json").exists()


async def test_who_rests_by_the_owners_word_serves_last(tmp_path: Path) -> None:
    """A window of the daemon's own callers orders this list too; where all rest, the first still serves."""
    async with restricted(tmp_path) as narrow:
        for profile, then in ((BOT, SPARE), (SPARE, BOT)):
            held = await narrow.warding.served(profile=profile)
            limited = ReportParams(profile=profile, generation=held.generation, status=429)
            await narrow.warding.ward.report(limited)
            assert (await narrow.get())["profile"] == then
        named = await narrow.get(profile=SPARE)
        assert (named["profile"], named["degraded"]) == (SPARE, "cooling")


async def test_who_is_out_of_use_for_a_while_says_for_how_long(tmp_path: Path) -> None:
    """Credit that ran out is a refusal with a time, alone or among others, and with no word from inside."""
    async with restricted(tmp_path) as narrow:
        held = await narrow.warding.served(profile=BOT)
        unpaid = ReportParams(profile=BOT, generation=held.generation, status=402)
        await narrow.warding.ward.report(unpaid)
        assert (await narrow.get())["profile"] == SPARE
        refused = await narrow.get(profile=BOT)
        await narrow.warding.ward.disable(SPARE)
        nobody = await narrow.get()
    assert (refused["code"], refused["data"]["hint"]) == (PROFILE_UNAVAILABLE, "ask again later")
    assert nobody["code"] == -32002
    assert refused["data"]["retry_after"] == nobody["data"]["retry_after"] > 0
    assert "tokenward profiles" not in json.dumps([refused, nobody])
    assert "billing" not in json.dumps([refused, nobody])


@pytest.mark.parametrize("more", [{"status": 402}, {"status": 500}, {"outcome": "failed"}, {"outcome": "ok"}])
async def test_other_reports_have_no_effect(tmp_path: Path, more: dict[str, Any]) -> None:
    """Neither on health nor on usage, whatever headers come with them."""
    async with restricted(tmp_path) as narrow:
        held = await narrow.get()
        limits = {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-limit": "1"}
        params = {"profile": BOT, "generation": held["generation"], "headers": limits, **more}
        told = (await narrow.peer.call("token.report", params))["result"]
        assert told == {"failure": None, "action": "none", "retry_after": None, "billing_url": None}
        await narrow.report(429, held["generation"], headers=limits)
        assert narrow.warding.ward.profile(BOT).unusable is None
        assert narrow.warding.ward.usage(UsageParams(profile=BOT)).profiles[0].reported_at_ms is None


async def test_everybody_who_rejects_one_token_gets_the_same_new_one(tmp_path: Path) -> None:
    """Ten callers at once cause one refresh, and none of them is told that he asked too often."""
    async with restricted(tmp_path) as narrow:
        old = (await narrow.get())["generation"]
        batch = [
            {"jsonrpc": "2.0", "id": number, "method": "token.get", "params": {"profile": BOT, "newer_than": old}}
            for number in range(10)
        ]
        answers = await narrow.peer.ask(batch)
        assert len({each["result"]["generation"] for each in answers}) == 1
        assert len(narrow.warding.endpoint.sent) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("uid", "uids", "is_served"),
    [
        (12345, frozenset({12345}), True),
        (12346, frozenset({12345}), False),
        (peer_module.overflow_uid(), frozenset({12345, peer_module.overflow_uid()}), False),
    ],
)
async def test_only_users_that_are_named_may_call(
    open_directory: Path,
    uid: int,
    uids: frozenset[int],
    is_served: bool,  # noqa: FBT001 - a case
) -> None:
    """The kernel's word decides, not the socket's mode; the overflow uid is nobody in particular."""
    async with restricted(open_directory, uids=uids) as narrow:
        finished = await anyio.run_process([sys.executable, "-c", ASK, str(narrow.path), str(uid)])
    answer = json.loads(finished.stdout)
    assert ("result" in answer) == is_served
    if not is_served:
        assert answer["error"]["code"] == PERMISSION_DENIED
