"""What the pages show is typed, in order, beside a real daemon: every line works, and prints what stands there.

The household is the one that the pages speak of: a login at acme and one more by its address, keys at Anthropic.
Hosts are replaced by servers of the test, and `claude` by a program that says what it was given.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from client.fake_api import FakeApi, Reply, Seen
from docs.test_code_blocks import KEY, ROOT, blocks, steps
from e2e.daemon_process import DaemonProcess
from tokenward.sandbox import Issued, Sandbox

TOLD_ELSEWHERE = {
    "python3 -m venv": "installing is what .ci/run does",
    "pip install": "as above",
    "tokenward service": "tests/e2e/test_daemon_under_systemd.py installs it under a real user manager",
    "tokenward daemon": "it runs already",
    "tokenward login": "tests/e2e/test_login.py has the person, the browser and the servers",
    "tokenward import": "tests/e2e/test_daemon_foreign.py has the other programs' files",
    "tokenward claude-code install --via": "tests/e2e/test_claude_code_install.py has Claude Code itself",
}
"""Lines that are typed by other tests, by how they begin."""
NOT_ZERO = {"tokenward models check claude-opus-4 --tier pro": 1}
"""The exit status of lines that tell by it."""
LENGTH = re.compile(r"\b\d+d\d+h|\b\d+h\d+m|\b\d+m\d+s|\b\d+s\b")
WORK = "acme:me@work.com"


def here(api: FakeApi, sandbox: Sandbox) -> str:
    """The configuration of the household."""
    acme = (
        f'client_id = "{sandbox.client_id}"\ntoken_endpoint = "{sandbox.token_endpoint}"\napi_url = "{api.url}"\n'
    )
    return f"[providers.acme]\n{acme}[sources.claude-code]\nenabled = false\n"


def answer(seen: Seen) -> Reply:
    """What acme's API says to whoever has a token."""
    allowed = seen.headers.get("authorization", "").startswith("Bearer ")
    return Reply.of({"things": []}, 200 if allowed else 401)


@contextmanager
def household(home: Path, config: str = "") -> Iterator[tuple[DaemonProcess, FakeApi]]:
    """A daemon with the profiles that the pages name, and acme's API."""
    with (
        Sandbox(ttl_seconds=8 * 3600.0) as sandbox,
        FakeApi(answer) as api,
        DaemonProcess(home, config=here(api, sandbox) + config) as daemon,
    ):
        for profile in ("acme:me", WORK):
            daemon.call("profile.add", profile=profile, kind="oauth", credential=login(sandbox.issue()))
        for name in ("work", "home", "private"):
            key = {"access_token": KEY[:-8] + name.rjust(8, "k")}
            daemon.call("profile.add", profile=f"anthropic:{name}", kind="api_key", credential=key)
        furnish(daemon)
        yield daemon, api


def login(issued: Issued) -> dict[str, object]:
    """A login as `profile.add` takes it."""
    return {
        "access_token": issued.access_token,
        "refresh_token": issued.refresh_token,
        "expires_in": issued.expires_in,
    }


def furnish(daemon: DaemonProcess) -> None:
    """Put `tokenward` and `claude` where a shell finds them."""
    programs = {
        "tokenward": f'exec {shlex.quote(sys.executable)} -m tokenward "$@"',
        "claude": 'echo "claude with ${ANTHROPIC_API_KEY%%-*}"',
    }
    for name, line in programs.items():
        path = daemon.bin / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o700)


def typed(daemon: DaemonProcess, api: FakeApi, line: str) -> subprocess.CompletedProcess[str]:
    """Type one line; whoever asks for a secret gets one."""
    environ = {**daemon.environment(), "PATH": f"{daemon.bin}:/usr/bin:/bin", "KEY": KEY}
    for shown, is_here in (("https://api.acme.dev", api.url), ("anthropic:claude-cli", "acme:me")):
        line = line.replace(shown, is_here)
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    return subprocess.run(
        command, capture_output=True, text=True, env=environ, cwd=daemon.home, input=KEY + "\n", check=False
    )


def lines(page: Path) -> Iterator[str]:
    """What the shell blocks of a page tell its reader to type, without what other tests type."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#") and not any(map(line.startswith, TOLD_ELSEWHERE)):
                yield line


def missing(line: str) -> list[str]:
    """Programs of a line that this machine lacks."""
    needed = [name for name in ("curl", "nc") if re.search(rf"\| {name} ", line)]
    lacks = [name for name in needed if shutil.which(name) is None]
    if "nc" in needed and not lacks:
        told = subprocess.run(["nc", "-h"], capture_output=True, text=True, check=False)
        if not all(re.search(rf"-\w*{flag}", told.stdout + told.stderr) for flag in "NU"):
            lacks.append("an nc that knows -N and -U")
    return lacks


PAGES = ["README.md", "docs/accounts.md", "docs/models.md", "docs/status.md"]
PAGES += ["docs/claude-code.md", "docs/gateways.md", "docs/migrate/gateway-key.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_line_of_a_page_works(page: str, tmp_path: Path) -> None:
    """Typed in order; a line that tells something by its exit status has that one."""
    absent: set[str] = set()
    walked = 0
    with household(tmp_path) as (daemon, api):
        for line in lines(ROOT / page):
            if lacks := missing(line):
                absent.update(lacks)
                continue
            done = typed(daemon, api, line)
            wanted = next((status for start, status in NOT_ZERO.items() if line.startswith(start)), 0)
            assert done.returncode == wanted, f"$ {line}\n{done.stdout}{done.stderr}"
            walked += 1
    assert walked >= 2
    if absent:
        pytest.skip(f"NOT TESTED: {', '.join(sorted(absent))} not installed; the other {walked} lines work")


@pytest.mark.skipif(shutil.which("curl") is None, reason="NOT TESTED: there is no curl on PATH")
def test_the_session_of_the_readme_is_as_it_is_shown(tmp_path: Path) -> None:
    """A refresh, and a request with the token that it brought."""
    with household(tmp_path) as (daemon, api):
        walked = [as_shown(daemon, api, line, shown) for line, shown in steps(ROOT / "README.md")]
    assert len(walked) == 2


def test_the_session_for_a_gateway_is_as_it_is_shown(tmp_path: Path) -> None:
    """The settings that docs/claude-code.md prints, with the gateway's address and a model."""
    gateway = '[providers.anthropic]\napi_url = "https://gateway.example"\n'
    with household(tmp_path, gateway) as (daemon, api):
        token = {"access_token": "g" * 40}
        daemon.call("profile.add", profile="anthropic:gateway", kind="auth_token", credential=token)
        walked = [as_shown(daemon, api, line, shown) for line, shown in steps(ROOT / "docs" / "claude-code.md")]
    assert len(walked) == 1


def test_the_session_of_the_sinks_is_as_it_is_shown(tmp_path: Path) -> None:
    """The list that docs/sinks.md shows, of a sink that is configured as there."""
    sink = '[sinks.job]\nformat = "token"\nprofile = "acme:me"\n'
    with household(tmp_path, sink) as (daemon, api):
        daemon.wait_for("sink.list", lambda answer: answer["sinks"][0]["state"] == "published")
        for line, shown in steps(ROOT / "docs" / "sinks.md"):
            done = typed(daemon, api, line)
            headings, row = (each.split() for each in done.stdout.splitlines())
            wanted_headings, wanted = (each.split() for each in shown.splitlines())
            assert headings == wanted_headings
            assert row[:2] + row[3:4] == wanted[:2] + wanted[3:4]
            assert LENGTH.fullmatch(row[4])
            assert row[5].endswith("/tokenward/tokens/job")
            assert wanted[5].endswith("/tokenward/tokens/job")


def as_shown(daemon: DaemonProcess, api: FakeApi, line: str, shown: str) -> str:
    """Type a line of a session and compare; lengths of time and places in a home may be others."""
    done = typed(daemon, api, line)
    wanted = LENGTH.sub("LENGTH", re.sub(r"/home/me/\S*", "PLACE", shown))
    pattern = re.escape(wanted).replace("LENGTH", f"(?:{LENGTH.pattern})").replace("PLACE", r"/\S+")
    assert re.fullmatch(pattern.rstrip("\\\n"), done.stdout.rstrip("\n")), f"$ {line}\n{done.stdout}{done.stderr}"
    return line
