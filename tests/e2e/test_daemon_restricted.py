"""Restricted sockets of a real daemon: opened with it, changed by a reload, tried again, gone at the end."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from e2e.daemon_process import Connection, DaemonProcess, RpcError

BOT = "acme:bot"
OTHER = "acme:owner"


def entry(path: Path, profile: str = BOT, *, uids: str = "[]") -> str:
    """One restricted socket."""
    return f'[[sockets]]\npath = "{path}"\nprofiles = ["{profile}"]\nuids = {uids}\n'


def ask(path: Path, **params: Any) -> Any:
    """A `token.get` on one of them."""
    with contextlib.closing(Connection(path)) as connection:
        return connection.call("token.get", params)


def add_keys(daemon: DaemonProcess) -> None:
    """An API key for each of two profiles."""
    for profile in (BOT, OTHER):
        key = {"access_token": f"key-of-{profile.partition(':')[2]}-0123456789"}
        daemon.call("profile.add", profile=profile, kind="api_key", credential=key)


def test_a_container_gets_its_tokens_and_no_others(own_home: Path) -> None:
    """The second socket serves its list, its directory and its mode are as they should be, its end is clean."""
    shared = own_home / "shared"
    shared.mkdir(mode=0o755)
    path, named = shared / "a.sock", shared / "b.sock"
    with DaemonProcess(own_home, config=entry(path) + entry(named, uids="[4711]")) as daemon:
        add_keys(daemon)
        assert ask(path)["token"] == "key-of-bot-0123456789"
        assert daemon.call("token.get", profile=OTHER)["profile"] == OTHER
        with pytest.raises(RpcError, match="No credentials found for profile") as refused:
            ask(path, profile=OTHER)
        assert refused.value.code == -32003
        modes = [stat.S_IMODE(each.stat().st_mode) for each in (shared, path, named)]
        assert modes == [0o755, 0o600, 0o666]
        shown = daemon.call("daemon.status")["restricted_sockets"]
        assert [(each["path"], each["trouble"]) for each in shown] == [(str(path), None), (str(named), None)]
        assert daemon.terminate() == 0
    assert list(shared.iterdir()) == []
    audit = [json.loads(line) for line in (daemon.state / "audit.jsonl").read_text().splitlines()]
    served = [
        (line["profile"], line["why"]) for line in audit if line["method"] == "token.get" and not line["code"]
    ]
    assert served == [(BOT, "listed"), (OTHER, "named")]


def test_a_reload_opens_closes_and_narrows(own_home: Path) -> None:
    """Who is connected by an old list is hung up on; what did not change goes on undisturbed."""
    first, second = own_home / "first.sock", own_home / "second.sock"
    with DaemonProcess(own_home, config=entry(first)) as daemon:
        add_keys(daemon)
        with contextlib.closing(Connection(first)) as connected:
            daemon.configure(entry(first) + entry(second, OTHER))
            assert daemon.call("daemon.reload")["reloaded"]
            assert connected.call("token.get", {})["profile"] == BOT
            assert ask(second)["profile"] == OTHER
            daemon.configure(entry(first, OTHER))
            assert daemon.call("daemon.reload")["reloaded"]
            with pytest.raises((EOFError, ConnectionError, BrokenPipeError)):
                connected.call("token.get", {})
        assert ask(first)["profile"] == OTHER
        assert not second.exists()


def test_one_that_cannot_be_opened_stops_nobody(own_home: Path) -> None:
    """The daemon serves its user, says what is wrong, and opens it as soon as it can."""
    path = own_home / "later" / "a.sock"
    with DaemonProcess(own_home, config=entry(path), env={"WATCHDOG_USEC": "200000"}) as daemon:
        add_keys(daemon)
        (shown,) = daemon.call("daemon.status")["restricted_sockets"]
        assert shown["trouble"] == os.strerror(2)
        assert f"nobody is served on {path}" in daemon.log
        path.parent.mkdir()
        daemon.wait_for("daemon.status", lambda status: status["restricted_sockets"][0]["trouble"] is None)
        assert ask(path)["profile"] == BOT
        assert daemon.log.count("nobody is served") == 1
