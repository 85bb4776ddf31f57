"""Unique tokens go in everywhere, and are looked for everywhere afterwards.

A secret counts as found if sixteen characters out of its middle are there: plain, in hexadecimal or in base64 at
any offset. So a masked beginning or end is no leak, and a shortened one is.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from e2e.claude_code import CLIENT_ID
from e2e.command import Command, finished
from e2e.daemon_process import CLAUDE_PROFILE, PATIENCE, DaemonProcess, RpcError
from e2e.stored_login import StoredLogin
from tokenward.cli.arguments import Parser
from tokenward.cli.main import _MODULES
from tokenward.sandbox import Fault, Sandbox

KEY = "sk-ant-api03-CanaryKey7Qm2Zx9Wv4Tr8Bn3Lp6Yd1Hs5Gf0Jk"
PRINTED = "sk-ant-api03-CanaryPrinted2Rd7Vx5Kq9Mw1Zb8Nt4Hy6Lc3"
SHORT = "Canary9Zq4Wx7Rt2Vb"
"""Where what is shown is cut short, only a short one is seen to be shown."""
PUBLISHED = "published"
"""A file that a sink writes for whoever reads it, and withdraws when its key was refused."""
STATIC = {"key": KEY, "printed": PRINTED}
DUE = 50.0
TRIED: dict[str, list[str]] = {
    "status": ["status"],
    "usage": ["usage"],
    "profiles list": ["profiles", "list"],
    "profiles enable": ["profiles", "enable", "acme:me"],
    "profiles disable": ["profiles", "disable", "acme:spare"],
    "auth status": ["auth", "status"],
    "models list": ["models", "list"],
    "models resolve": ["models", "resolve", "sonnet"],
    "models info": ["models", "info", "sonnet"],
    "models for-tier": ["models", "for-tier", "--tier", "max", "sonnet"],
    "models status": ["models", "status"],
    "models check": ["models", "check", "--tier", "max", "sonnet"],
    "profiles clear": ["profiles", "clear", "acme:me"],
    "order set": ["order", "set", "acme", "acme:spare", "acme:me"],
    "order get": ["order", "get", "acme"],
    "order clear": ["order", "clear", "acme"],
    "pin": ["pin", "canary", "sonnet"],
    "sinks": ["sinks"],
    "store status": ["store", "status"],
    "store rekey": ["store", "rekey", "--to", "file"],
    "store export": ["store", "export", "--to", "EXPORTED", "--recipient", "RECIPIENT"],
    "store restore": ["store", "restore", "EXPORTED", "--identity", "IDENTITY"],
    "fleet init": ["fleet", "init"],
    "fleet join": ["fleet", "join"],
    "fleet status": ["fleet", "status"],
    "fleet rotate-key": ["fleet", "rotate-key"],
    "fleet share": ["fleet", "share", "acme:me"],
    "fleet unshare": ["fleet", "unshare", "acme:me"],
    "import": ["import", "--from", "codex"],
    "adopt": ["adopt", "FOREIGN", "--as", "anthropic:nl", "--layout", "neurolink"],
    "refresh": ["refresh", "acme:me"],
    "add": ["add", "acme:added", "--api-key"],
    "login": ["login", "acme", "--method", "api-key", "--profile", "acme:pasted"],
    "logout": ["logout", "acme:added"],
    "events": ["events"],
    "doctor": ["doctor"],
    "service status": ["service", "status"],
}
"""A way to run every command that has --json; a command that is missing here fails the test."""
MAY_FAIL = {"refresh", "import", "doctor", "service status"} | {
    name for name in TRIED if name.startswith("fleet ")
}
"""Those that have something to complain of here."""


def leaves(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that is none of commands."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield " ".join(words), parser
    for action in inner:
        for word, below in action.choices.items():
            yield from leaves(below, (*words, word))


def commands_with_json() -> set[str]:
    """Every command that has --json."""
    parser = Parser(prog="tokenward")
    subparsers = parser.add_subparsers()
    for name in dict.fromkeys(_MODULES.values()):
        import_module(f"tokenward.cli.{name}").add_parser(subparsers)
    found = {name for name, leaf in leaves(parser) if "--json" in leaf._option_string_actions}
    return found - {"token"}  # which is to print one


def traces(secret: str) -> Iterator[bytes]:
    """What gives a secret away."""
    middle = secret[len(secret) // 2 - 8 :][:16].encode()
    yield middle
    yield middle.hex().encode()
    for offset in range(3):
        yield base64.b64encode(b"\0" * offset + middle)[4:-4]


def found_in(text: bytes, secrets: Iterable[str]) -> set[str]:
    """Which of them a text gives away, by their beginnings."""
    return {secret[:18] for secret in secrets if any(trace in text for trace in traces(secret))}


def refresh_tokens(sandbox: Sandbox) -> set[str]:
    """All that the server ever issued."""
    return set(sandbox._families._refresh)


def access_tokens(sandbox: Sandbox) -> set[str]:
    """All that the server ever issued."""
    return set(sandbox._families._access)


def spy(directory: Path) -> Path:
    """A program that prints a key, and leaves its own argv and environment behind."""
    script = directory / "spy"
    script.write_text(
        f"#!/bin/sh\ncd /proc\n/bin/cat $$/cmdline $$/environ $PPID/cmdline $PPID/environ >>{directory}/spied\n"
        f"echo {PRINTED}\n"
    )
    script.chmod(0o700)
    return script


def configuration(sandbox: Sandbox, spying: Path) -> str:
    """Logins of Claude Code and of a provider that rotate here, and children of every kind that a daemon has."""
    return f"""
[sources.claude-code]
refresh = "direct"
[sources.command.vault]
command = ["{spying}"]
[sinks.published]
format = "token"
profile = "anthropic:key"
path = "{spying.parent / PUBLISHED}"
on_change = ["{spying}"]
[events]
on_event = ["{spying}"]
[providers.anthropic]
token_endpoint = "{sandbox.token_endpoint}"
[providers.acme]
token_endpoint = "{sandbox.token_endpoint}"
client_id = "{CLIENT_ID}"
"""


class Canary:
    """A daemon that is told every kind of secret, and everything that was seen of it.

    Args:
        daemon: at level debug.
        sandbox: its authorization server.
    """

    def __init__(self, daemon: DaemonProcess, sandbox: Sandbox) -> None:
        self.daemon = daemon
        self.sandbox = sandbox
        self.errors: list[str] = []

    def call(self, method: str, **params: Any) -> Any:
        """A call; its error is kept, its result is the caller's."""
        try:
            return self.daemon.call(method, **params)
        except RpcError as error:
            self.errors.append(f"{error} {json.dumps(dict(error.data))}")
            return None

    def live(self) -> None:
        """Everything that goes well: tokens are served, refreshed, rejected, added."""
        for name in ("me", "spare"):
            login = self.sandbox.issue()
            credential = {
                "access_token": login.access_token,
                "refresh_token": login.refresh_token,
                "expires_in": 3600,
            }
            self.call("profile.add", profile=f"acme:{name}", credential=credential)
        self.call("profile.add", profile="anthropic:key", kind="api_key", credential={"access_token": KEY})
        for profile in (CLAUDE_PROFILE, "acme:me", "anthropic:key", "anthropic:vault"):
            served = self.call("token.get", profile=profile, min_valid=600)
            assert served is not None, self.errors
            self.call("token.report", profile=profile, generation=served["generation"], status=401)
            self.call("token.get", profile=profile, newer_than=served["generation"])
        self.call("profile.refresh", profile="acme:spare")

    def fail(self) -> None:
        """Everything that goes wrong: servers that quote what they were sent, secrets in every wrong place."""
        login = self.sandbox.issue()
        secrets = (login.refresh_token, login.access_token)
        credential = {"access_token": login.access_token, "refresh_token": login.refresh_token, "expires_in": 3600}
        self.call("profile.add", profile="acme:quoted", credential=credential)
        quoting = {"error": "invalid_request", "error_description": f"bad token {secrets[0]} {secrets[1]}"}
        for fault in (
            Fault(status=400, body=quoting),
            Fault(status=500, body=f"<html>{secrets[0]} {secrets[1]}</html>"),
            Fault(status=400, body={"error": "invalid_grant", "error_description": secrets[0]}),
        ):
            self.sandbox.faults.next("token", fault)
            self.call("profile.refresh", profile="acme:quoted")
            self.call("profile.get", profile="acme:quoted")
        for secret in (*secrets, KEY):
            self.call(secret)
            self.call("token.get", **{secret: 1})
            self.call("token.get", profile=secret, tier=secret, kinds=[secret], min_valid=secret)
            self.call("token.get", profile=f"acme:{secret}")
            self.call("profile.add", profile="acme:x", credential={"access_token": [secret], "refresh_token": 1})
            self.call(
                "token.report", profile="acme:me", generation="0" * 12, status=400, error={"message": secret}
            )
            self.call("store.export", file=f"/{secret}/x", recipients=[secret])
            with contextlib.closing(self.daemon.connect()) as connection:
                connection._socket.sendall(f'{{"{secret}":\n{secret}\n["{secret}"]\n'.encode())
                self.errors.extend(json.dumps(connection.receive(30)) for _ in range(3))

    def told(self) -> Command:
        """The command that waits for an event, while things happen until it has one."""
        with Command(self.daemon, "events", "--json") as command:
            deadline = time.monotonic() + PATIENCE
            while command._process.poll() is None and time.monotonic() < deadline:
                self.daemon.call("daemon.reload")
            command.status, command.said = command.end(), command.errors
        return command

    def commands(self) -> dict[str, bytes]:
        """What every command with --json printed and complained."""
        pyrage = pytest.importorskip("pyrage")
        key = pyrage.x25519.Identity.generate()
        identity, foreign = self.daemon.home / "identity", self.daemon.home / "neurolink.json"
        identity.write_text(str(key))
        adopted = self.sandbox.issue()
        foreign.touch(mode=0o600)
        login = {
            "accessToken": adopted.access_token,
            "refreshToken": adopted.refresh_token,
            "expiresAt": int(adopted.expires_at * 1000),
        }
        foreign.write_text(json.dumps({"type": "oauth", "oauth": login}))
        places = {
            "EXPORTED": str(self.daemon.home / "exported.age"),
            "RECIPIENT": str(key.to_public()),
            "IDENTITY": str(identity),
            "FOREIGN": str(foreign),
        }
        said = {}
        for name, words in TRIED.items():
            argv = [*(places.get(word, word) for word in words), "--json"]
            typed = KEY if name in {"add", "login"} else ""
            done = self.told() if name == "events" else finished(self.daemon, *argv, typed=typed)
            said[name] = f"{done.lines} {done.said}".encode()
            assert done.status == 0 or name in MAY_FAIL, (name, done.said)
        return said


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.fault(
    "leak-canary",
    "unique tokens of every kind in a daemon that logs at debug, its children, its commands and all its errors",
    "an access token is what `token.get` and `tokenward token` answer, and stands in its owner's file; a refresh "
    "token stands in its owner's file alone; our store and journals hold neither in the clear",
)
def test_no_secret_is_anywhere_but_where_it_belongs(
    own_home: Path, sandbox: Sandbox, record_property: Callable[[str, object], None]
) -> None:
    """Log, audit, state, argv and environment of the daemon and its children, errors, and the commands."""
    assert commands_with_json() == TRIED.keys(), "a command with --json is not tried here"
    stored = StoredLogin(own_home)
    stored.write(sandbox.issue(ttl_seconds=DUE))
    config = configuration(sandbox, spy(own_home))
    with DaemonProcess(own_home, config=config, arguments=["--log-level", "debug"]) as daemon:
        canary = Canary(daemon, sandbox)
        with daemon.subscribe() as events:
            canary.live()
            canary.fail()
            said = canary.commands()
            daemon.call("daemon.reload")
            with contextlib.suppress(TimeoutError):
                events.wait_for("reloaded")
        process = Path(f"/proc/{daemon.pid}")
        own = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        assert daemon.terminate() == 0
        logged = (daemon.log + daemon.stdout).encode()
    secrets = refresh_tokens(sandbox) | access_tokens(sandbox) | set(STATIC.values())
    assert len(secrets) > 12
    assert sandbox.statistics().refreshes_granted >= 3
    spied = (own_home / "spied").read_bytes()
    assert b"HOME=" in spied
    for child in (b"TOKENWARD_SINK=published", b"TOKENWARD_EVENT=login_required"):
        assert child in spied, "no child of that kind was started"
    assert found_in(spied + own, secrets) == set()
    assert b"INFO serving" in logged
    assert found_in(logged, secrets) == set()
    for each in canary.errors:
        assert found_in(each.encode(), secrets) == set(), each
    assert found_in(json.dumps(events.seen).encode(), secrets) == set()
    for name, text in said.items():
        assert found_in(text, secrets) == set(), name
    files = [path for path in own_home.rglob("*") if path.is_file()]
    holders = {path: holds for path in files if (holds := found_in(path.read_bytes(), secrets))}
    assert holders.keys() == {stored.path, own_home / "neurolink.json", own_home / "spy"}
    assert {path.parent.name for path in files} >= {"credentials", "families", "tokenward"}
    record_property("figure", f"{len(secrets)} secrets, {len(files)} files, {len(said)} commands")


FAILING_TEST = """
import os, pytest
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.daemon.profile_models import ProfileAddParams
from tokenward.daemon.token_models import CredentialInput, TokenParams, TokenResult

def test_that_fails():
    def held():
        return os.environ["CANARY"]
    secret = Secret(held())
    credential = Credential(Kind.OAUTH, Secret(held()), refresh=Secret(held()))
    inline = TokenParams(credential=CredentialInput(access_token=held()))
    stored = {"access_token": held(), "refresh_token": held()}
    added = ProfileAddParams.model_validate({"profile": "a:b", "credential": stored})
    del stored
    served = TokenResult.model_construct(token=held(), headers={"authorization": held()}, profile="a:b")
    print(secret, credential, inline, added, served)
    assert [secret, credential, inline, added, served] == []

def test_that_is_refused():
    TokenParams.model_validate({"credential": {"access_token": [os.environ["CANARY"]]}})
"""


@pytest.mark.fault(
    "leak-reprs",
    "a test that fails with credentials in its variables, all shown",
    "neither the traceback, the values, what was printed nor an error's text has a secret",
)
def test_what_a_failed_test_shows_has_no_secret(tmp_path: Path) -> None:
    """The output of pytest, with every variable, is the least friendly reader there is."""
    (tmp_path / "test_it.py").write_text(FAILING_TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-vv", "--showlocals", "--tb=long", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(tmp_path / "test_it.py")],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "CANARY": SHORT},
    )
    assert b"2 failed" in done.stdout, done.stdout
    assert b"inline" in done.stdout
    assert found_in(done.stdout + done.stderr, [SHORT]) == set()
