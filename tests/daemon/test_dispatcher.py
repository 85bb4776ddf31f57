"""JSON-RPC 2.0 as the dispatcher speaks it: the specification's examples, and what may never be said."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from conformance.json_rpc import SPECIFICATION, codes
from daemon.served import FINDING, PROBED, PROFILE, SECRET, SINK, TOKEN, USAGE, ScriptedService, serving
from tokenward import errors
from tokenward.daemon.methods.registry import METHODS
from tokenward.daemon.peer import Peer
from tokenward.daemon.rpc_types import Result
from tokenward.daemon.standing_answer import HandedOut


@pytest.mark.parametrize("case", SPECIFICATION)
async def test_a_line_is_answered_as_the_specification_says(tmp_path: Path, case: str) -> None:
    """The examples of JSON-RPC 2.0 section 7, and the edges of our own rules, get their ids and codes."""
    line, expected = SPECIFICATION[case]
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send(line.encode() + b"\n")
        assert expected == codes(await peer.line())


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc": "2.0", "method": "daemon.hello"}',
        b'{"jsonrpc": "2.0", "method": "foobar"}',
        b'{"jsonrpc": "2.0", "method": "daemon.hello", "params": [1]}',
        b'{"jsonrpc": "2.0", "method": "token.get", "params": {"profile": "acme:broken"}}',
        b'[{"jsonrpc": "2.0", "method": "daemon.hello"}, {"jsonrpc": "2.0", "method": "foobar"}]',
    ],
)
async def test_a_notification_gets_no_answer(tmp_path: Path, line: bytes) -> None:
    """Neither a result nor an error is said to a notification; the next request is answered."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send(line + b"\n")
        assert (await peer.call("profile.list", request_id="next"))["id"] == "next"


async def test_a_report_works_as_a_notification(tmp_path: Path) -> None:
    """``token.report`` without an id reaches the service."""
    params = {"profile": "acme:me", "generation": "0123456789ab", "status": 401}
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send(
            json.dumps({"jsonrpc": "2.0", "method": "token.report", "params": params}).encode() + b"\n"
        )
        await served.service.reported.wait()
        assert [report.status for report in served.service.reports] == [401]


async def test_bytes_that_are_not_utf8_are_a_parse_error(tmp_path: Path) -> None:
    """Broken UTF-8, and JSON in another encoding, are -32700."""
    text = '{"jsonrpc": "2.0", "method": "daemon.hello", "id": 1}'
    lines = [b'{"id": "\xff"}', b"\xed\xa0\x80", text.encode("utf-16-be"), b"\xef\xbb\xbf" + text.encode()]
    async with serving(tmp_path) as served, served.peer() as peer:
        for line in lines:
            await peer.send(line + b"\n")
            assert codes(await peer.line()) == (None, -32700)


_PROVIDER = {
    "provider": "acme",
    "env_var": None,
    "api_type": None,
    "model_prefix": None,
    "base_url": None,
    "base_url_overridden": False,
    "serves": None,
}


async def test_every_method_answers(tmp_path: Path) -> None:
    """Each method of the table can be called, and its result is that of the service."""
    profile = PROFILE.model_dump(mode="json")
    one = {"profile": "acme:me"}
    store = {
        "key": "file",
        "key_id": "0" * 16,
        "location": "store.key",
        "locked": None,
        "moving_to": None,
        "note": None,
        "records": 0,
    }
    started = {
        "login": "0" * 32,
        "provider": "anthropic",
        "title": "anthropic",
        "url": "https://paste.test/",
        "user_code": None,
        "expires_at_ms": 1_700_000_000_000,
    }
    order = {"provider": "acme", "agent": "main", "profiles": [], "missing": []}
    session = {"session": "s", "provider": None, "model": None, "profile": None, "hard": False}
    calls: dict[str, tuple[Any, Any]] = {
        "token.get": ({}, TOKEN.model_dump(mode="json") | {"valid_for": 60.0, "source": "main"}),
        "token.report": (
            {"profile": "acme:me", "generation": "0123456789ab"},
            {"failure": None, "action": "none", "retry_after": None, "billing_url": None},
        ),
        "profile.list": ({}, {"profiles": [profile]}),
        "profile.get": (one, profile),
        "profile.enable": (one, profile),
        "profile.disable": (one, profile),
        "provider.get": ({"provider": "acme"}, _PROVIDER),
        "provider.list": ({}, {"providers": [_PROVIDER]}),
        "model.resolve": (
            {"model": "anthropic/opus-4.5"},
            {
                "provider": "anthropic",
                "model": "claude-opus-4-5",
                "known": True,
                "suggestion": None,
                "note": None,
            },
        ),
        "model.for_tier": (
            {"model": "claude-opus-9", "tier": "free"},
            {"provider": "anthropic", "model": "claude-opus-9", "tier": "free", "warning": None, "note": None},
        ),
        "model.validate_access": (
            {"model": "claude-opus-4", "tier": "pro"},
            {
                "allowed": False,
                "provider": "anthropic",
                "model": "claude-opus-4-20250514",
                "tier": "pro",
                "required_tier": "max",
            },
        ),
        "profile.add": ({**one, "credential": {"access_token": "a"}}, profile),
        "profile.forget": (one, profile),
        "metrics.get": ({"format": "prometheus"}, {"content_type": "text/plain", "text": "prometheus\n"}),
        "profile.refresh": (one, profile),
        "profile.share": (one, profile),
        "profile.unshare": (one, profile),
        "profile.revoke": (one, profile),
        "login.start": ({"provider": "Claude-Code", "method": "paste"}, started),
        "login.complete": ({"login": "0" * 32, "code": "code#state"}, profile),
        "login.check_key": (
            {"provider": "Claude-Code", "key": "k"},
            {"verdict": "refused", "reason": "anthropic api_key"},
        ),
        "login.cancel": ({"login": "0" * 32}, {"cancelled": True}),
        "source.list": ({}, {"sources": [], "layouts": [], "adopted": []}),
        "source.import": (
            {"source": "polpo"},
            {"source": "polpo", "files": [], "imported": [], "unchanged": [], "skipped": [], "dry_run": False},
        ),
        "source.adopt": ({**one, "path": "/f", "layout": "codex"}, profile),
        "sink.list": ({}, {"sinks": [SINK.model_dump(mode="json")]}),
        "store.status": ({}, store),
        "store.rekey": ({"to": "keyring"}, store),
        "store.export": (
            {"file": "/x.age", "recipients": ["age1x"]},
            {"file": "/x.age", "profiles": [], "left_out": []},
        ),
        "store.restore": ({"file": "/x.age", "identity_file": "/key"}, {"profiles": []}),
        "usage.get": ({}, {"profiles": [USAGE.model_dump(mode="json")]}),
        "usage.report": ({**one, "headers": {"retry-after": "3"}}, USAGE.model_dump(mode="json")),
        "doctor.run": ({}, {"findings": [FINDING.model_dump(mode="json")]}),
        "doctor.probe": (one, PROBED.model_dump(mode="json")),
        "profile.clear": (one, profile),
        "order.get": ({"provider": "acme"}, order),
        "order.set": ({"provider": "acme", "profiles": ["acme:me"]}, order | {"profiles": ["acme:me"]}),
        "order.clear": ({"provider": "acme"}, order),
        "session.pin": (
            {"session": "s", "model": "acme/m@acme:me@work.com"},
            session | {"provider": "acme", "model": "acme/m@acme:me@work.com"},
        ),
        "session.get": ({"session": "s"}, session),
        "session.reset": ({"session": "s"}, session),
        "fallback.next": (
            {"failed": [{"model": "acme/m"}]},
            {"model": None, "chain": [], "cause": "1", "stopped": False},
        ),
        "daemon.reload": ({}, {"reloaded": True, "error": None}),
        "daemon.stop": ({}, {"stopping": True}),
        "events.history": ({}, {"moments": [], "earlier": False}),
        "events.subscribe": ({}, {"subscribed": True}),
    }
    async with serving(tmp_path) as served, served.peer() as peer:
        for method, (params, result) in calls.items():
            assert (await peer.call(method, params))["result"] == result
        assert served.service.is_stopping
        assert (await peer.call("daemon.hello"))["result"]["protocol"] == 1
        assert (await peer.call("daemon.status"))["error"]["code"] == errors.StoreUnavailable.code
        assert (await peer.call("rpc.discover"))["result"]["openrpc"].startswith("1.3")
        newest = (await peer.call("model.info", {"model": "opus"}))["result"]["model"]
        listed = (await peer.call("model.list", {"family": "opus", "latest": True}))["result"]["models"]
        assert newest in [each["model"] for each in listed]
    shown_above = {"daemon.hello", "daemon.status", "rpc.discover", "model.info", "model.list"}
    assert set(METHODS) == {*calls, *shown_above}


async def test_an_unknown_method_is_said_to_be_unknown_and_not_quoted(tmp_path: Path) -> None:
    """The name may be a secret in the wrong place."""
    async with serving(tmp_path) as served, served.peer() as peer:
        answer = await peer.call(SECRET)
    assert answer["error"]["data"]["type"] == "MethodNotFound"
    assert SECRET not in json.dumps(answer)


async def test_an_error_of_ours_goes_out_whole(tmp_path: Path) -> None:
    """Code, cause, type, class, hint and details arrive."""
    async with serving(tmp_path) as served, served.peer() as peer:
        assert (await peer.call("token.get", {"profile": "acme:locked"}))["error"] == {
            "code": -32005,
            "message": "the login ended",
            "data": {
                "type": "LoginRequired",
                "class": "AuthenticationError",
                "hint": "log in again",
                "command": "tokenward login acme",
            },
        }


async def test_calls_are_counted_by_their_result(tmp_path: Path) -> None:
    """By method and by ``ok``, the type of our error or ``internal``; what no method took is not counted."""
    async with serving(tmp_path) as served, served.peer() as peer:
        for _ in range(2):
            await peer.call("profile.get", {"profile": "acme:me"})
        await peer.call("token.get", {"profile": "acme:locked"})
        await peer.call("token.get", {"profile": "acme:broken", "credential": {"access_token": SECRET}})
        await peer.call("token.get", {SECRET: 1})
        await peer.call("no.such")
        assert dict(served.server.calls) == {
            ("profile.get", "ok"): 2,
            ("token.get", "LoginRequired"): 1,
            ("token.get", "internal"): 1,
        }
        assert served.server.lane_answers == 0
        await peer.call("token.get")
        assert served.server.lane_answers == 1


async def test_an_unexpected_error_says_nothing_of_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The peer reads "internal error"; the log has type and place; neither has the text."""
    caplog.set_level(logging.DEBUG)
    async with serving(tmp_path) as served, served.peer() as peer:
        answer = await peer.call("token.get", {"profile": "acme:broken", "credential": {"access_token": SECRET}})
        subscribing = await peer.call("events.subscribe", {"profiles": ["acme:broken"]})
        assert (await peer.call("daemon.hello"))["result"]
    assert (answer["error"]["code"], answer["error"]["message"]) == (-32603, "internal error")
    assert subscribing["error"]["code"] == -32603
    assert "RuntimeError at served.py:" in caplog.text
    assert SECRET not in caplog.text + json.dumps([answer, subscribing])


@pytest.mark.parametrize(
    ("method", "params", "field"),
    [
        ("token.get", {"kinds": [SECRET]}, "kinds.0"),
        ("token.get", {"min_valid": SECRET}, "min_valid"),
        ("token.get", {"auth_method": SECRET}, "auth_method"),
        ("token.get", {"profile": SECRET}, "profile"),
        ("token.get", {"credential": SECRET}, "credential"),
        ("token.get", {"credential": {"access_token": [SECRET]}}, "credential.access_token"),
        ("token.get", {SECRET * 2: 1}, "…"),
        ("token.get", {"tokem": SECRET}, "tokem"),
        ("token.get", {"tier": "\ud800" + SECRET}, "tier"),
        ("profile.add", {"profile": "a:b", "credential": {"access_token": [SECRET]}}, "credential.access_token"),
        ("profile.add", {"profile": "acme:me", "credential": {"access_token": "x", "expires_in": SECRET}},
         "credential.expires_in"),
        ("token.report", {"profile": "acme:me", "generation": SECRET}, "generation"),
        ("daemon.hello", [SECRET], None),
    ],
)  # fmt: skip
async def test_wrong_params_are_named_but_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, method: str, params: Any, field: str | None
) -> None:
    """-32602 names the field and the reason; the value appears neither in the answer nor in the log."""
    caplog.set_level(logging.DEBUG)
    async with serving(tmp_path) as served, served.peer() as peer:
        answer = await peer.call(method, params)
    assert answer["error"]["code"] == -32602
    assert answer["error"]["data"]["type"] == "InvalidParams"
    assert [reason["field"] for reason in answer["error"]["data"]["errors"]][:1] == ([field] if field else [])
    assert SECRET not in json.dumps(answer) + caplog.text


async def test_a_thousand_wrong_params_get_a_short_answer(tmp_path: Path) -> None:
    """Eight wrong fields are named, however many there are."""
    async with serving(tmp_path) as served, served.peer() as peer:
        answer = await peer.call("token.get", {f"x{number}": 1 for number in range(1000)})
    assert len(answer["error"]["data"]["errors"]) == 8


async def test_credentials_never_reach_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not the credential that is added, not the token that is answered, at no log level and by no logger."""
    caplog.set_level(logging.DEBUG)
    async with serving(tmp_path, ScriptedService(has_lane=False)) as served, served.peer() as peer:
        await peer.call("profile.add", {"profile": "acme:me", "credential": {"access_token": SECRET}})
        await peer.call("token.get")
        await peer.call("token.get", {"profile": "acme:locked", "credential": {"access_token": SECRET}})
        assert served.service.added[0].credential.access_token.get_secret_value() == SECRET
    assert SECRET not in caplog.text
    assert "at-1" not in caplog.text


async def test_an_answer_too_long_for_a_line_is_an_error(tmp_path: Path) -> None:
    """What no client would read is not sent; the caller learns that it failed."""
    async with serving(tmp_path) as served, served.peer() as peer:
        assert codes(await peer.call("token.get", {"profile": "acme:huge"}, 8)) == (8, -32603)


async def test_the_requests_of_a_batch_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """All slow requests of a batch are under way at once; one answer holds them all."""
    batch = [
        {"jsonrpc": "2.0", "id": number, "method": "token.get", "params": {"profile": f"acme:slow{number}"}}
        for number in range(3)
    ]
    async with serving(tmp_path) as served, served.peer() as peer, peer.stream:
        await peer.send(json.dumps([*batch, {"jsonrpc": "2.0", "method": "x", "id": "x"}]).encode() + b"\n")
        while served.service.waiting < 3:
            assert (await peer.call("daemon.hello"))["result"]
        served.service.release.set()
        assert codes(await peer.line()) == sorted([(0, "ok"), (1, "ok"), (2, "ok"), ("x", -32601)], key=repr)


async def test_every_call_is_audited_by_itself(tmp_path: Path) -> None:
    """The lane, the dispatcher and each request of a batch are told to the audit, failures with their code."""
    seen: list[tuple[str, int, bool]] = []

    def audit(peer: Peer, method: str, code: int, result: Result | HandedOut | None) -> None:
        assert peer.uid >= 0
        seen.append((method, code, result is None))

    locked = {"jsonrpc": "2.0", "id": 2, "method": "token.get", "params": {"profile": "acme:locked"}}
    hello = {"jsonrpc": "2.0", "id": 3, "method": "daemon.hello"}
    async with serving(tmp_path, audit=audit) as served, served.peer() as peer:
        await peer.call("token.get")
        await peer.ask([locked, hello])
    assert seen[0] == ("token.get", 0, False)
    assert sorted(seen[1:]) == [("daemon.hello", 0, False), ("token.get", -32005, True)]


async def test_what_cannot_be_audited_is_not_handed_out(tmp_path: Path) -> None:
    """A failing audit fails the call, on the lane too; a call that failed anyway keeps its own reason."""

    def audit(peer: Peer, method: str, code: int, result: Result | HandedOut | None) -> None:
        raise OSError("disk full")

    async with serving(tmp_path, audit=audit) as served, served.peer() as peer:
        assert codes(await peer.call("token.get")) == (1, -32603)
        assert codes(await peer.call("token.get", {"profile": "acme:locked"})) == (1, -32005)
