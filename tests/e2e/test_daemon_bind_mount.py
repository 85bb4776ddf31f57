"""What docs/containers.md says of mounts: a directory leads to a later daemon's socket too, a socket does not.

The kernel's bind mounts are what every container runtime makes of `-v`; so they are made here without one.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from docs.test_code_blocks import ROOT, blocks
from e2e.daemon_process import DaemonProcess

BOT = "anthropic:bot"
KEY = "sk-ant-api03-" + "k" * 95
_INSIDE = """
mount --bind "$1" "$2" && mount --bind "$1/tokenward.sock" "$3" || exit 1
echo mounted
while read -r socket; do
    TOKENWARD_SOCKET=$socket "$4" -m tokenward token; echo "status $?"
done
"""


class Container:
    """A mount namespace in which programs ask; a context manager.

    Args:
        agents: the directory outside.
        folder: where it is mounted, as `agents` and, its socket alone, as `alone`.
    """

    def __init__(self, agents: Path, folder: Path) -> None:
        self.directory, self.alone = folder / "agents", folder / "alone"
        self.directory.mkdir()
        self.alone.touch()
        places = [str(each) for each in (agents, self.directory, self.alone)]
        words = ["unshare", "--mount", "sh", "-c", _INSIDE, "inside", *places, sys.executable]
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT / "src")}
        self._process = subprocess.Popen(
            words, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if said != "mounted\n":
            self.__exit__()
            pytest.skip(f"this root may not mount: NO MOUNTED SOCKET IS TESTED: {said.strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)

    def ask(self, socket: Path) -> tuple[int, str]:
        """The exit status of `tokenward token`, and what it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{socket}\n")
        self._process.stdin.flush()
        lines: list[str] = []
        while not (line := self._process.stdout.readline()).startswith("status "):
            assert line, lines
            lines.append(line)
        return int(line.split()[1]), "".join(lines)


@pytest.fixture
def mounted() -> Iterator[Path]:
    """Where it is mounted; short, as a socket's path must be."""
    with tempfile.TemporaryDirectory(prefix="tw") as made:
        yield Path(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root: NO MOUNTED SOCKET IS TESTED")
def test_a_mounted_directory_outlives_a_restart(own_home: Path, mounted: Path) -> None:
    """With the page's settings: the daemon ends and starts, and who has the directory is served by the new one."""
    made, _ = next(blocks(ROOT / "docs" / "containers.md", "sh")).split("\n", 1)
    assert shlex.split(made) == ["mkdir", "-m", "700", "-p", "~/agents"]
    agents = own_home / "agents"
    agents.mkdir(mode=0o700)
    config = next(blocks(ROOT / "docs" / "containers.md", "toml"))
    with DaemonProcess(own_home, config=config) as daemon:
        daemon.call("profile.add", profile=BOT, kind="api_key", credential={"access_token": KEY})
        with Container(agents, mounted) as container:
            by_directory = container.directory / "tokenward.sock"
            assert container.ask(by_directory) == container.ask(container.alone) == (0, f"{KEY}\n")
            daemon.terminate()
            assert container.ask(by_directory)[0] == 4
            daemon.start()
            assert container.ask(by_directory) == (0, f"{KEY}\n")
            assert container.ask(container.alone)[0] == 4, "the page's warning is out of date"
