"""The real clocks, randomness and processes."""

from __future__ import annotations

import os
import time
from datetime import UTC
from pathlib import Path

import anyio
import pytest

from daemon.keeping import until
from tokenward.daemon.machine import SystemClock, SystemEntropy, SystemProcesses

PATIENCE = 30.0


def test_the_clocks_are_those_of_the_machine() -> None:
    """Aware UTC; seconds that run on; boot time is never behind the monotonic one."""
    clock = SystemClock()
    assert clock.wall().tzinfo is UTC
    assert abs(clock.wall().timestamp() - time.time()) < 5
    before = clock.monotonic(), clock.boottime()
    assert clock.monotonic() >= before[0]
    assert clock.boottime() >= before[1]
    assert clock.boottime() >= clock.monotonic() - 1


def test_the_boot_clock_is_the_monotonic_one_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS there is none by that name."""
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert abs(SystemClock().boottime() - time.monotonic()) < 5


def test_randomness_has_the_range_and_size_asked_for() -> None:
    """Fractions below one; tokens of any size, never the same."""
    entropy = SystemEntropy()
    assert all(0 <= entropy.fraction() < 1 for _ in range(1000))
    assert len({entropy.fraction() for _ in range(100)}) == 100
    assert len(entropy.token(32)) == 32
    assert entropy.token(32) != entropy.token(32)


class Exits:
    """Counts ends."""

    def __init__(self) -> None:
        self.count = 0

    def note(self) -> None:
        """One more."""
        self.count += 1


async def test_a_program_runs_in_the_environment_given_and_nothing_else(tmp_path: Path) -> None:
    """Its environment is what was said, its input is empty, its directory the root, its session its own."""
    script = tmp_path / "program"
    script.write_text(
        "#!/bin/sh\n"
        f'{{ echo "$SAID"; env | cut -d= -f1 | sort | tr "\\n" " "; echo; cat; pwd; }} > {tmp_path}/out\n'
        f"echo loud; echo loud >&2; cut -d' ' -f6 /proc/self/stat > {tmp_path}/session\n"
        "exit 3\n"
    )
    script.chmod(0o700)
    exits = Exits()
    async with anyio.create_task_group() as group:
        status = await SystemProcesses(group).run(
            [str(script)], environ={"SAID": "so", "PATH": "/usr/bin:/bin"}, patience=PATIENCE, on_exit=exits.note
        )
    assert status == 3
    assert exits.count == 1
    said, names, where = (tmp_path / "out").read_text().splitlines()
    assert said == "so"
    assert set(names.split()) <= {"SAID", "PATH", "PWD", "OLDPWD", "SHLVL", "_"}
    assert where == "/"
    assert int((tmp_path / "session").read_text()) != os.getsid(0)


async def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Nothing was started, so nothing ends."""
    exits = Exits()
    async with anyio.create_task_group() as group:
        with pytest.raises(FileNotFoundError):
            await SystemProcesses(group).run(
                [str(tmp_path / "none")], environ={}, patience=PATIENCE, on_exit=exits.note
            )
    assert exits.count == 0


@pytest.fixture
def waiting_program(tmp_path: Path) -> list[str]:
    """A program that ends when something is written into its pipe."""
    os.mkfifo(tmp_path / "pipe")
    return ["/bin/sh", "-c", f"read word < {tmp_path}/pipe; echo done > {tmp_path}/done"]


async def test_patience_ends_the_waiting_and_never_the_program(tmp_path: Path, waiting_program: list[str]) -> None:
    """No status, the program runs on; its end is told when it comes."""
    exits = Exits()
    async with anyio.create_task_group() as group:
        status = await SystemProcesses(group).run(
            waiting_program, environ={"PATH": "/usr/bin:/bin"}, patience=0.01, on_exit=exits.note
        )
        assert status is None
        assert exits.count == 0
        (tmp_path / "pipe").write_text("go\n")
        await until(lambda: exits.count == 1)
    assert (tmp_path / "done").read_text() == "done\n"


async def test_a_stop_waits_for_the_program(tmp_path: Path, waiting_program: list[str]) -> None:
    """The daemon is cancelled while the owner's program works: it goes on to its end, and only then we do."""
    exits = Exits()
    async with anyio.create_task_group() as group:
        await SystemProcesses(group).run(
            waiting_program, environ={"PATH": "/usr/bin:/bin"}, patience=0.01, on_exit=exits.note
        )
        group.cancel_scope.cancel()
        pipe = os.open(tmp_path / "pipe", os.O_RDWR)
        os.write(pipe, b"go\n")
    os.close(pipe)
    assert exits.count == 1
    assert (tmp_path / "done").read_text() == "done\n"
