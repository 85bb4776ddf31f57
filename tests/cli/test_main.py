"""The front door: every command is found, explained, and ends in an exit status instead of a traceback."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tokenward
from client.fake_daemon import FakeDaemon, Refusal
from tokenward.cli import main as front_door
from tokenward.cli import token
from tokenward.cli.main import main

OURS = (
    "token",
    "status",
    "profiles",
    "refresh",
    "add",
    "logout",
    "events",
    "doctor",
    "daemon",
    "exec",
    "env",
    "git-credential",
)


@pytest.mark.parametrize("command", [*((each,) for each in OURS), ("profiles", "list")])
def test_every_command_explains_itself(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` exits 0 and ends with one example that begins like a command line."""
    assert main([*command, "--help"]) == 0
    said = capsys.readouterr().out
    example = said[said.index("example:\n") :].splitlines()[1:]
    assert len(example) == 1
    assert f"tokenward {' '.join(command)}" in example[0]


def test_the_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` of all names every command."""
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert set(OURS) - {line.split()[0] for line in said.splitlines() if line.startswith("    ")} == set()


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` names the program."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tokenward ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["token", "--unknown"],
        ["token", "--format", "xml"],
        ["add", "a:b"],
        ["refresh"],
        ["profiles"],
    ],
)
def test_wrong_usage_is_two_lines_and_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong, and where the help is; nothing on standard output."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    cause, hint = said.err.splitlines()
    assert cause.startswith("tokenward: ")
    assert hint.startswith("  hint: see: tokenward")


def test_a_secret_in_a_wrong_place_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """Argparse would repeat the argument that it does not know."""
    assert main(["add", "acme:me", "--api-key", "sk-ant-api03-this-is-a-secret-in-the-wrong-place"]) == 2
    assert "secret" not in capsys.readouterr().err


def test_an_argument_that_a_command_does_not_know_points_to_that_command_s_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The front door's help does not name what the command takes."""
    assert main(["token", "--jsn"]) == 2
    assert capsys.readouterr().err == (
        "tokenward: unrecognized arguments: --jsn\n  hint: see: tokenward token --help\n"
    )


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["tokn"], "there is no command tokenward tokn\n  hint: did you mean token? see: tokenward --help\n"),
        (["profiles", "lst"], "there is no command tokenward profiles lst\n  hint: did you mean list? see: "),
        (["frobnicate"], "there is no command tokenward frobnicate\n  hint: see: tokenward --help\n"),
        (["auth", "stauts"], "there is no command tokenward auth stauts\n  hint: did you mean status? see: "),
    ],
)
def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(
    typed: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line without a list of all there are; what is near is asked about."""
    assert main(typed) == 2
    assert capsys.readouterr().err.startswith(f"tokenward: {said}")


def test_a_mistyped_choice_is_answered_with_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    """The choices are named, since they are few."""
    assert main(["token", "--format", "heder"]) == 2
    said = capsys.readouterr().err
    assert "argument --format: invalid choice: 'heder' (choose from" in said
    assert "hint: did you mean header? see: tokenward token --help" in said


@pytest.mark.parametrize(
    ("error", "status"), [("LoginRequired", 3), ("RefreshFailed", 1), ("StoreUnavailable", 5)]
)
def test_an_error_of_the_daemon_is_said_in_two_lines(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], error: str, status: int
) -> None:
    """Its cause, its hint, its exit status."""

    def refuse(_: Any) -> Any:
        raise Refusal(error, "no luck")

    daemon.answers["token.get"] = refuse
    assert main(["token"]) == status
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "tokenward: no luck\n  hint: do this\n")


@pytest.mark.parametrize(
    "arguments", [["token"], ["status"], ["refresh", "a:b"], ["refresh", "--all"], ["usage"], ["events"]]
)
def test_without_a_daemon_it_says_how_to_start_one(
    no_daemon: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Commands that need a daemon exit 4, name the socket, and name both ways to a daemon."""
    assert main(arguments) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert str(no_daemon) in said.err
    assert "tokenward daemon" in said.err
    assert "tokenward service install" in said.err


def test_a_bug_shows_its_place_and_not_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unexpected exception may hold a secret: its type and line are enough to report it."""

    def fail(_: object) -> int:
        raise ValueError("sk-secret")

    monkeypatch.setattr(token, "run", fail)
    assert main(["token"]) == 1
    said = capsys.readouterr()
    assert "ValueError at test_main.py:" in said.err
    assert "secret" not in said.err
    assert "Traceback" not in said.err


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends with the status that a shell expects."""

    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(token, "run", interrupt)
    assert main(["token"]) == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_enough_is_no_traceback(daemon: FakeDaemon) -> None:
    """A closed pipe ends the command in silence."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "tokenward", "token"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=_environment(daemon),
        )
    finally:
        os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, "")


@pytest.mark.parametrize("arguments", [["token"], ["token", "--format", "json"]])
def test_a_token_loads_no_library(daemon: FakeDaemon, arguments: list[str]) -> None:
    """On the way to a token nothing of rich, pydantic, anyio or the daemon is loaded."""
    code = (
        "import sys; from tokenward.cli.main import main; status = main(sys.argv[1:]);"
        "sys.stderr.write(' '.join(sys.modules)); sys.exit(status)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=_environment(daemon),
    )
    loaded = {name.partition(".")[0] for name in ran.stderr.split()}
    assert loaded & {"rich", "pydantic", "anyio", "httpx", "platformdirs", "asyncio"} == set()
    assert {name for name in ran.stderr.split() if name.startswith("tokenward.cli.")} == {
        "tokenward.cli.main", "tokenward.cli.output", "tokenward.cli.arguments", "tokenward.cli.token",
    }  # fmt: skip


def test_every_command_of_the_table_has_a_module() -> None:
    """The table of modules names only files that exist."""
    directory = Path(front_door.__file__).parent
    assert [name for name in front_door._MODULES.values() if not (directory / f"{name}.py").exists()] == []


def _environment(daemon: FakeDaemon) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(tokenward.__file__).parents[1]),
        "TOKENWARD_SOCKET": str(daemon.path),
    }
