"""What a shell completes, in the real shells: bash, zsh where it is, fish."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tokenward.cli.command_tree import command_tree
from tokenward.cli.main import main, whole_parser

BASH_ASKS = """
IFS='|' read -ra COMP_WORDS <<< "$TYPED"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
[[ ${COMP_WORDS[COMP_CWORD]} == '""' ]] && COMP_WORDS[COMP_CWORD]=
_tokenward
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""The function, called as readline calls it: the words of the line in COMP_WORDS."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with a file, and a `tokenward` that lists two profiles and nothing else."""
    program = tmp_path / "bin" / "tokenward"
    program.parent.mkdir()
    rows = "PROFILE AGENT\\nacme:me@work.com main\\nanthropic:work main\\n"
    program.write_text(f"#!/bin/sh\n[ \"$*\" = 'profiles list' ] && printf '{rows}'\n")
    program.chmod(0o700)
    (tmp_path / "login.json").touch()
    return tmp_path


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command prints."""
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def run(home: Path, shell: str, text: str, *options: str, **more: str) -> list[str]:
    """The lines that a shell prints; it must complain of nothing."""
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"NOT TESTED: there is no {shell} on PATH")
    environ = {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", "HOME": str(home), "LC_ALL": "C.UTF-8", **more}
    done = subprocess.run(
        [program, *options, "-c", text], capture_output=True, text=True, env=environ, cwd=home, check=False
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


WANTED = [
    # typed so far, apart by |; what must be offered; what must not
    ("tok", {"token"}, {"status", "--version"}),
    ("auth|", {"status", "refresh", "logout"}, {"token", "install"}),
    ("token|--format|", {"raw", "netrc", "exec-credential"}, {"--format"}),
    ("token|--f", {"--format"}, {"--kind"}),
    ("refresh|", {"acme:me@work.com", "anthropic:work"}, {"PROFILE"}),
    ("exec|--profile|an", {"anthropic:work"}, {"acme:me@work.com"}),
    ("daemon|--config|lo", {"login.json"}, {"--config"}),
    ("daemon|--config|x.toml|--log-level|d", {"debug"}, {"info"}),
    ("token|--min-valid|", set(), {"--format", "token"}),
    ("add|acme:me|--api-key|-", {"-", "--json"}, {"--format"}),
]


@pytest.mark.parametrize(("typed", "offered", "kept_back"), WANTED)
def test_bash_completes(
    home: Path, capsys: pytest.CaptureFixture[str], typed: str, offered: set[str], kept_back: set[str]
) -> None:
    """Commands, verbs, flags, choices, files, and the names of profiles."""
    words = f"tokenward|{typed}" + ('""' if typed.endswith("|") else "")
    found = set(run(home, "bash", script("bash", capsys) + BASH_ASKS, "--norc", TYPED=words))
    assert offered <= found
    assert not kept_back & found


@pytest.mark.parametrize(("typed", "left"), [("anthropic|:|w", "work"), ("acme|:", "me@work.com")])
def test_bash_completes_past_a_colon(
    home: Path, capsys: pytest.CaptureFixture[str], typed: str, left: str
) -> None:
    """Where bash has split the name of a profile, what is left of it is offered, and nothing twice."""
    asked = script("bash", capsys) + BASH_ASKS
    assert run(home, "bash", asked, "--norc", TYPED=f"tokenward|refresh|{typed}") == [left]


@pytest.mark.parametrize(("typed", "offered", "kept_back"), WANTED)
def test_fish_completes(
    home: Path, capsys: pytest.CaptureFixture[str], typed: str, offered: set[str], kept_back: set[str]
) -> None:
    """The same in fish."""
    line = f"tokenward {typed.replace('|', ' ')}"
    asked = script("fish", capsys) + f"complete --do-complete '{line}'\n"
    found = {each.partition("\t")[0] for each in run(home, "fish", asked, "--no-config")}
    assert offered <= found
    assert not kept_back & found


@pytest.mark.parametrize(("typed", "offered", "kept_back"), WANTED)
def test_zsh_completes(
    home: Path, capsys: pytest.CaptureFixture[str], typed: str, offered: set[str], kept_back: set[str]
) -> None:
    """The same in zsh, whose `compadd` and `_files` are made to print what they were given."""
    fakes = "compdef() { : }\n_files() { print -l -- * }\n"
    fakes += "compadd() { shift; print -l -- ${(M)@:#${words[CURRENT]}*} }\n"
    words = " ".join(f"'{each}'" for each in ("tokenward", *typed.split("|")))
    asked = f"{fakes}{script('zsh', capsys)}words=({words}); CURRENT=$#words\n_tokenward\n"
    found = set(run(home, "zsh", asked, "-f"))
    assert offered <= found
    assert not kept_back & found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_flag_is_in_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the parsers take is what the script knows."""
    text = script(shell, capsys)
    for command in command_tree(whole_parser()).everything():
        assert " ".join(command.words) in text
        for argument in command.arguments:
            for flag in argument.flags:
                in_fish = " -a -" if flag == "-" else f" -l {flag.removeprefix('--')}"
                assert (in_fish if shell == "fish" else flag) in text
    assert sys.prefix not in text
