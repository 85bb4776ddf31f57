"""``tokenward token`` without options that matter: the same as ever, and next to nothing is loaded for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tokenward
from client.fake_daemon import TOKEN, FakeDaemon, HangUp, Refusal
from tokenward.cli import plain_token

MAIN = "import sys; from tokenward.cli.entry import main; sys.exit(main())"
ONLY_NEW = {"_socket", "tokenward", "tokenward.cli", "tokenward.cli.entry", "tokenward.cli.plain_token"}


def run(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run `tokenward token` as its console script does."""
    return subprocess.run(
        [sys.executable, *options, "-c", MAIN, "token", *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(tokenward.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def imported(ran: subprocess.CompletedProcess[str]) -> set[str]:
    """What `-X importtime` tells of."""
    lines = (line for line in ran.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines}


def test_the_token_and_nothing_else_is_loaded(daemon: FakeDaemon) -> None:
    """The token and a newline; of Python's library only the socket is loaded beside what a start loads."""
    ran = run("anthropic:work", options=("-X", "importtime"))
    assert (ran.returncode, ran.stdout) == (0, "sk-ant-api03-fake\n")
    bare = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "pass"], capture_output=True, text=True, check=True
    )
    assert imported(ran) - imported(bare) <= {*ONLY_NEW, "tokenward.helper_ask"}
    assert daemon.params("token.get") == {"profile": "anthropic:work", "timeout": 30.0}


@pytest.mark.parametrize(
    ("arguments", "wish"),
    [
        ([], {}),
        (["acme:me"], {"profile": "acme:me"}),
        (["--provider", "acme", "--agent=bot"], {"provider": "acme", "agent": "bot"}),
    ],
)
def test_the_common_wishes_are_understood(arguments: list[str], wish: dict[str, Any]) -> None:
    """A profile, a provider and an agent, in each way of writing them."""
    assert plain_token.wish_of(arguments) == {**wish, "timeout": 30.0}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"], ["--format", "json"], ["--kind", "oauth"], ["--provider"], ["--provider="], ["a:b", "c:d"],
        ["--provider", "a", "--provider", "b"], ["--agent", "--provider"], ['a:"b'], ["a:b c"], [""], ["--"],
    ],
)  # fmt: skip
def test_all_else_is_for_the_general_way(arguments: list[str]) -> None:
    """What is not known here, is written wrong or would need an escape is not judged here."""
    assert plain_token.wish_of(arguments) is None


def test_the_general_way_serves_other_options(daemon: FakeDaemon) -> None:
    """Another option is served as ever, and asked once."""
    ran = run("--format", "header")
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (0, "x-api-key: sk-ant-api03-fake")
    assert daemon.methods() == ["token.get"]


@pytest.mark.parametrize(("kind", "status"), [("LoginRequired", 3), ("RefreshFailed", 1), ("StoreUnavailable", 5)])
def test_a_refusal_is_said_in_two_lines_and_not_asked_twice(daemon: FakeDaemon, kind: str, status: int) -> None:
    """Cause, hint and the exit status, from the one answer."""
    daemon.answers["token.get"] = _refusing(kind)
    ran = run()
    assert (ran.returncode, ran.stdout) == (status, "")
    assert ran.stderr == "tokenward: it failed\n  hint: do this\n"
    assert daemon.methods() == ["token.get"]


def _refusing(kind: str) -> Any:
    def answer(_: Any) -> Any:
        raise Refusal(kind)

    return answer


@pytest.mark.parametrize("token", ['a\\"b/c', "grün"])
def test_a_token_with_escapes_is_printed_as_it_is(daemon: FakeDaemon, token: str) -> None:
    """What JSON escapes is undone."""
    daemon.answers["token.get"] = lambda _: {**TOKEN, "token": token}
    assert run().stdout == f"{token}\n"


def test_a_degraded_token_is_printed(daemon: FakeDaemon) -> None:
    """In a pipe, without a remark."""
    daemon.answers["token.get"] = lambda _: {**TOKEN, "degraded": "short"}
    ran = run()
    assert (ran.stdout, ran.stderr) == ("sk-ant-api03-fake\n", "")


def test_a_control_character_is_not_printed(daemon: FakeDaemon) -> None:
    """A token that a terminal would obey is refused."""
    daemon.answers["token.get"] = lambda _: {**TOKEN, "token": "a\x1bb"}
    ran = run()
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "control character" in ran.stderr


def test_a_daemon_that_goes_away_is_named(daemon: FakeDaemon) -> None:
    """It took the request and hung up: exit status 4, and how to look."""

    def hang_up(_: Any) -> Any:
        raise HangUp

    daemon.answers["token.get"] = hang_up
    ran = run()
    assert (ran.returncode, ran.stdout) == (4, "")
    assert "went away" in ran.stderr


def test_no_daemon_is_said_as_ever(no_daemon: Path) -> None:
    """Exit status 4, and how to start one."""
    ran = run()
    assert ran.returncode == 4
    assert str(no_daemon) in ran.stderr


def test_a_full_disk_is_an_error(daemon: FakeDaemon) -> None:
    """What could not be written is no success."""
    if not Path("/dev/full").exists():
        pytest.skip("NOT TESTED: no /dev/full")
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-c", MAIN, "token"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert ran.returncode == 1
    assert b"unexpected OSError" in ran.stderr


def test_both_ways_wait_as_long() -> None:
    """The timeout that the plain way asks for is the general way's."""
    from tokenward.client._calls import GRACE
    from tokenward.core import protocol

    assert (plain_token.TIMEOUT, plain_token.GRACE) == (protocol.DEFAULT_TIMEOUT, GRACE)
