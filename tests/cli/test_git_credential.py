"""``tokenward git-credential``: the hosts that it was told of get the token, and nobody else anything."""

import io
import sys
from typing import Any

import pytest

from client.fake_daemon import GENERATION, TOKEN, FakeDaemon
from tokenward.cli.main import main

HELPER = ["git-credential", "--profile", "gh:me", "--host", "github.com", "--host", "127.0.0.1:8080"]
SECRET = TOKEN["token"]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """What git does: an operation, and attributes on standard input; what is printed comes back."""

    def asked(operation: str, *lines: str, options: tuple[str, ...] = ()) -> str:
        given = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert main([*HELPER, *options, operation]) == 0
        return capsys.readouterr().out

    return asked


def test_get_answers_with_the_token(daemon: FakeDaemon, ask: Any) -> None:
    """As the password, with its end, and with life enough for a push."""
    daemon.answers["token.get"] = lambda _: {**TOKEN, "expires_at_ms": 1_700_000_000_900}
    said = ask("get", "capability[]=authtype", "protocol=https", "host=github.com", "")
    assert said == f"username=oauth2\npassword={SECRET}\npassword_expiry_utc=1700000000\n"
    assert daemon.params("token.get") == {"profile": "gh:me", "min_valid": 300.0, "timeout": 30.0}


def test_git_s_own_name_wins(daemon: FakeDaemon, ask: Any) -> None:
    """Over that of the command line, which wins over ours; an unknown end is left out."""
    address = ("protocol=https", "host=GitHub.com")
    options = ("--username", "x-token-auth")
    assert ask("get", *address, options=options) == f"username=x-token-auth\npassword={SECRET}\n"
    assert ask("get", *address, "username=me", options=options) == f"username=me\npassword={SECRET}\n"


@pytest.mark.parametrize(
    "lines",
    [
        ("protocol=https", "host=evil.example"),
        ("protocol=https", "host=github.com.evil.example"),
        ("protocol=https", "host=github.com:8443"),
        ("protocol=http", "host=github.com"),
        ("protocol=ftp", "host=github.com"),
        ("protocol=https", "", "host=github.com"),
        ("protocol=https",),
        ("host=github.com",),
        (),
    ],
)
@pytest.mark.parametrize("operation", ["get", "erase"])
def test_nobody_else_is_answered(daemon: FakeDaemon, ask: Any, operation: str, lines: tuple[str, ...]) -> None:
    """Another host, one that only looks like it, or the right one where others listen: silence, as git asks."""
    assert ask(operation, *lines, f"password={SECRET}" if lines else "") == ""
    assert daemon.requests == []


def test_loopback_needs_no_https(daemon: FakeDaemon, ask: Any) -> None:
    """Nobody listens there but ourselves."""
    assert SECRET in ask("get", "protocol=http", "host=127.0.0.1:8080")


def test_erase_reports_the_token_that_was_refused(daemon: FakeDaemon, ask: Any) -> None:
    """A 401 for its generation, so that it is not served again."""
    daemon.answers["token.report"] = lambda _: {"failure": "auth", "action": "retry", "retry_after": None}
    lines = ("protocol=https", "host=github.com", "username=oauth2", f"password={SECRET}")
    assert ask("erase", *lines) == ""
    assert daemon.params("token.report") == {"profile": "gh:me", "generation": GENERATION, "status": 401}


@pytest.mark.parametrize("password", ["password=another", "password=", "wwwauth[]=Basic", "password=\udcff"])
def test_erase_of_anything_else_reports_nothing(daemon: FakeDaemon, ask: Any, password: str) -> None:
    """Another password is one that has its successor, or was never ours."""
    assert ask("erase", "protocol=https", "host=github.com", password) == ""
    assert "token.report" not in daemon.methods()


@pytest.mark.parametrize("operation", ["store", "capability", "yet-unknown"])
def test_other_operations_are_ignored(daemon: FakeDaemon, ask: Any, operation: str) -> None:
    """Nothing that somebody else found is kept."""
    assert ask(operation, "protocol=https", "host=github.com", "username=a", "password=b") == ""
    assert daemon.requests == []


def test_a_line_break_in_a_token_is_no_attribute(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused whole."""
    daemon.answers["token.get"] = lambda _: {**TOKEN, "token": "a\nhost=evil"}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"protocol=https\nhost=github.com\n")))
    assert main([*HELPER, "get"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "evil" not in said.err


@pytest.mark.parametrize("words", [["--host", "a", "get"], ["--profile", "a:b", "get"], ["--profile", "a:b"]])
def test_profile_host_and_operation_must_be_named(words: list[str]) -> None:
    """A helper for every host would give the token to any."""
    assert main(["git-credential", *words]) == 2
