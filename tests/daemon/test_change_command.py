"""Whether a command that is run for a changed file is bounded in everything."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from tokenward.daemon.change_command import run_change_command

pytestmark = pytest.mark.anyio
PATIENCE = 20.0


async def ended(pid: int) -> None:
    """Wait until a process is gone, or dead and not waited for by whoever took it over."""
    with anyio.fail_after(PATIENCE):
        while _state(pid) not in {"", "Z"}:  # noqa: ASYNC110 - nobody announces the end of a stranger
            await anyio.sleep(0.02)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""


async def test_success_and_failure_are_told(tmp_path: Path) -> None:
    """It has the environment that it is given and no other, and its status is said."""
    script = f'printf "%s %s" "$TOKENWARD_EVENT" "$HOME" > {tmp_path}/seen'
    assert await run_change_command(["/bin/sh", "-c", script], {"TOKENWARD_EVENT": "published"}) is None
    assert (tmp_path / "seen").read_text() == "published "
    assert await run_change_command(["/bin/sh", "-c", "exit 3"], {}) == "it ended with status 3"
    assert await run_change_command([str(tmp_path / "none")], {}) == "it cannot be run: No such file or directory"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc to see processes in")
async def test_one_that_hangs_is_killed_with_what_it_left_running(tmp_path: Path) -> None:
    """After its time, and not only itself."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"(echo $$ > {tmp_path}/pid; exec /bin/cat {fifo}) & echo $! > {tmp_path}/child; exec /bin/cat {fifo}"
    failure = await run_change_command(["/bin/sh", "-c", script], {"PATH": "/bin"}, patience=0.5)
    assert failure == "it had not ended after 0.5 s"
    await ended(int((tmp_path / "child").read_text()))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc to see processes in")
async def test_a_stop_of_the_daemon_kills_it(tmp_path: Path) -> None:
    """A stop is not held up by somebody's script."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"echo $$ > {tmp_path}/pid.tmp; /bin/mv {tmp_path}/pid.tmp {tmp_path}/pid; exec /bin/cat {fifo}"
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(run_change_command, ["/bin/sh", "-c", script], {})
            while not (tmp_path / "pid").exists():  # noqa: ASYNC110 - the script announces itself by a file
                await anyio.sleep(0.02)
            group.cancel_scope.cancel()
    await ended(int((tmp_path / "pid").read_text()))
