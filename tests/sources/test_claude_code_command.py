"""Claude Code asked to refresh its own login: how it is run, and that it is run once at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import pytest

from tokenward.daemon.machine import SystemProcesses
from tokenward.sources.claude_code_command import PATIENCE_SECONDS, ClaudeCodeCommand, clean_environment


class ScriptedProcesses:
    """Programs that end as the test says."""

    def __init__(self) -> None:
        self.runs: list[tuple[Sequence[str], dict[str, str], float]] = []
        self.error: OSError | None = None
        self.status: int | None = 0
        self.exits: list[Callable[[], None]] = []

    async def run(
        self, argv: Sequence[str], *, environ: dict[str, str], patience: float, on_exit: Callable[[], None]
    ) -> int | None:
        """Note it."""
        self.runs.append((argv, environ, patience))
        if self.error is not None:
            raise self.error
        if self.status is None:
            self.exits.append(on_exit)
        else:
            on_exit()
        return self.status


def command(processes: ScriptedProcesses) -> ClaudeCodeCommand:
    """The command under test."""
    return ClaudeCodeCommand("/opt/claude", environ={"HOME": "/home/me"}, processes=processes)


async def test_it_is_asked_for_its_status_and_nothing_else() -> None:
    """The unmodified program, absolute, with the environment given and our patience."""
    processes = ScriptedProcesses()
    assert await command(processes).refresh() is None
    assert processes.runs == [
        (["/opt/claude", "auth", "status", "--json"], {"HOME": "/home/me"}, PATIENCE_SECONDS)
    ]


@pytest.mark.parametrize("status", [0, 1, -9])
async def test_how_it_ended_is_not_our_affair(status: int) -> None:
    """What it did is seen in its file."""
    processes = ScriptedProcesses()
    processes.status = status
    assert await command(processes).refresh() is None


async def test_one_that_cannot_be_run_says_why_and_can_be_asked_again() -> None:
    """Removed by an update, and there again."""
    processes = ScriptedProcesses()
    processes.error = FileNotFoundError(2, "No such file or directory")
    claude = command(processes)
    assert await claude.refresh() == "/opt/claude cannot be run: No such file or directory"
    processes.error = None
    assert await claude.refresh() is None
    assert len(processes.runs) == 2


async def test_a_second_one_is_not_started_while_the_first_runs_on() -> None:
    """Our patience ended, the program did not: it is waited for before it is started again."""
    processes = ScriptedProcesses()
    processes.status = None
    claude = command(processes)
    assert await claude.refresh() == f"Claude Code has not ended after {PATIENCE_SECONDS:.0f} s"
    for _ in range(3):
        assert await claude.refresh() == "Claude Code was asked before and has not ended yet"
    assert len(processes.runs) == 1
    [ended] = processes.exits
    ended()
    processes.status = 0
    assert await claude.refresh() is None
    assert len(processes.runs) == 2


def test_its_environment_has_what_it_needs_and_no_credential() -> None:
    """Paths, language, proxies and certificates in any case, and what the configuration names."""
    ours = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "LANG": "C.UTF-8",
        "USER": "me",
        "XDG_CONFIG_HOME": "/x",
        "CLAUDE_CONFIG_DIR": "/c",
        "CLAUDE_SECURESTORAGE_CONFIG_DIR": "/s",
        "https_proxy": "http://proxy:1",
        "NO_PROXY": "localhost",
        "NODE_EXTRA_CA_CERTS": "/ca.pem",
        "SSL_CERT_FILE": "/ca.pem",
        "NAMED": "yes",
    }
    kept_out = {
        "ANTHROPIC_API_KEY": "sk-ant-api03-x",
        "ANTHROPIC_AUTH_TOKEN": "sk-x",
        "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x",
        "TOKENWARD_SOCKET": "/run/x",
        "LD_PRELOAD": "/evil.so",
        "NODE_OPTIONS": "--require evil",
        "NOTIFY_SOCKET": "/run/notify",
        "LISTEN_FDS": "1",
    }
    assert clean_environment(ours | kept_out, ["NAMED", "ABSENT"]) == ours


async def test_a_real_program_is_run(tmp_path: Path) -> None:
    """A script in its place: run with its arguments, without our environment, to its end."""
    script = tmp_path / "claude"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" "[$ANTHROPIC_API_KEY]" > {tmp_path}/asked\nexit 1\n')
    script.chmod(0o700)
    environ = clean_environment({"PATH": os.defpath, "ANTHROPIC_API_KEY": "sk-ant-api03-x"})
    async with anyio.create_task_group() as group:
        claude = ClaudeCodeCommand(str(script), environ=environ, processes=SystemProcesses(group))
        assert await claude.refresh() is None
    assert (tmp_path / "asked").read_text().split() == ["auth", "status", "--json", "[]"]
