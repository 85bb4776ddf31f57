"""What the pages show can be typed: commands parse, configurations load, and the first steps are really walked."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.fake_daemon import TOKEN, FakeDaemon
from e2e.daemon_process import DaemonProcess
from tokenward import config
from tokenward.cli.main import whole_parser
from tokenward.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("docs/**/*.md"))]
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_CALL = re.compile(r"(?:^|[|&;(!'\"] *|\bdo |\buntil )tokenward ")
KEY = "sk-ant-api03-" + "k" * 95


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The blocks of a page in one of these languages."""
    for indent, language, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield textwrap.dedent(indent + text) if indent else text


def calls(page: Path) -> Iterator[str]:
    """Every command line of tokenward that a page tells its reader to type."""
    for block in blocks(page, "sh", "console"):
        is_session = re.search(r"^\$ ", block, re.MULTILINE) is not None
        for line in block.replace("\\\n", " ").splitlines():
            typed = line.removeprefix("$ ") if line.startswith("$ ") or not is_session else ""
            for found in _CALL.finditer(typed):
                yield "tokenward " + typed[found.end() :]


def words(line: str) -> list[str]:
    """The words of the first command of a line."""
    line = line.partition("  #")[0]
    for quote in "'\"":  # one that was opened before the command, as of eval "$(...)"
        if line.count(quote) % 2:
            line = "".join(line.rsplit(quote, 1))
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    found: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;<>()"):
            break
        found.append(word)
    typed = [word for word in found[1:] if not re.fullmatch(r"[12]", word)]
    return [*typed, "get"] if typed[:1] == ["git-credential"] else typed  # git adds the verb


TYPED = sorted({(page.relative_to(ROOT).as_posix(), call) for page in PAGES for call in calls(page)})


@pytest.mark.parametrize(("page", "call"), TYPED)
def test_a_command_that_a_page_shows_can_be_typed(page: str, call: str) -> None:
    """The real parser takes it: the command exists, with these flags, and nothing that it needs is missing."""
    said, status = io.StringIO(), 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            whole_parser().parse_args(words(call))
        except SystemExit as ended:
            status = int(ended.code or 0)
    assert status == 0, f"{page}: {call}: {said.getvalue()}"


def test_the_commands_are_found() -> None:
    """No form in which a page shows a command is missed."""
    assert len(TYPED) > 100
    shown = {call for _, call in TYPED}
    assert any(call.startswith("tokenward token --format header | curl") for call in shown)
    assert any(call.startswith("tokenward status >/dev/null") for call in shown)
    assert any(call.startswith("tokenward add anthropic:work --api-key") for call in shown)
    assert any(call.startswith("tokenward git-credential --profile") for call in shown)


CONFIGURATIONS = [
    pytest.param(block, id=f"{page.relative_to(ROOT).as_posix()}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "toml"))
]


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_a_configuration_that_a_page_shows_is_taken(text: str, tmp_path: Path) -> None:
    """As it stands, it is a configuration without a fault."""
    path = tmp_path / "config.toml"
    path.write_text(text.replace("…", "x"), encoding="utf-8")
    path.chmod(0o600)
    environ = {"HOME": str(tmp_path), "GATEWAY_KEY": "g" * 40, "ANTHROPIC_API_KEY": KEY}
    loaded = config.load(path, environ, uid=path.stat().st_uid, platform=sys.platform)
    assert loaded.settings != Settings()


def test_the_python_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, beside a daemon that has a token."""
    [code] = blocks(ROOT / "README.md", "python")
    with tempfile.TemporaryDirectory(prefix="tw") as directory, FakeDaemon(Path(directory) / "s") as daemon:
        monkeypatch.setenv("TOKENWARD_SOCKET", f"{directory}/s")
        daemon.answers["token.get"] = lambda _: {**TOKEN, "headers": {"authorization": "Bearer t"}}
        found: dict[str, Any] = {}
        exec(compile(code, "README.md", "exec"), found)  # noqa: S102 - an example is code to be run
    assert found["headers"] == {"authorization": "Bearer t"}
    assert "token.get" in daemon.methods()


def steps(page: Path) -> Iterator[tuple[str, str]]:
    """What is typed in the sessions of a page, and what is shown below it; "…" stands for anything."""
    for block in blocks(page, "console"):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            typed, _, shown = step.partition("\n")
            yield typed, shown


def test_the_first_steps_are_as_they_are_shown(tmp_path: Path) -> None:
    """Every session of docs/getting-started.md, typed in order beside a real daemon, prints what stands there."""
    with DaemonProcess(tmp_path) as daemon:
        program = tmp_path / "typed" / "tokenward"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tokenward "$@"\n')
        program.chmod(0o700)
        environ = {**daemon.environment(), "PATH": f"{program.parent}:/usr/bin:/bin", "KEY": KEY}
        walked = 0
        for typed, shown in steps(ROOT / "docs" / "getting-started.md"):
            done = subprocess.run(
                ["bash", "-c", f"exec 2>&1; {typed}"], capture_output=True, text=True, env=environ, check=False
            )
            wanted = ".*".join(re.escape(part) for part in shown.split("…"))
            assert re.fullmatch(wanted, done.stdout, re.DOTALL), f"$ {typed}\n{done.stdout}"
            walked += 1
    assert walked == (ROOT / "docs" / "getting-started.md").read_text().count("\n$ ") > 8
