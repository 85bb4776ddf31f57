"""Where everything runs: an installation of ours, processors to pin to, and a directory that goes away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Args:
        rounds: turns that each program takes, of those that are run once.
        trips: questions a turn, on a socket.
        seconds: length of one turn of a throughput, and of the look at an idle daemon.
        idle_seconds: as long an idle daemon is watched.
        crowd: the many profiles.
        refreshes: refreshes that fall due at once.
    """

    rounds: int
    trips: int
    seconds: float
    idle_seconds: float
    crowd: int
    refreshes: int


FULL = Effort(rounds=60, trips=400, seconds=1.0, idle_seconds=60.0, crowd=10_000, refreshes=800)
SMOKE = Effort(rounds=1, trips=2, seconds=0.05, idle_seconds=0.05, crowd=20, refreshes=16)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything runs.

    Args:
        prefix: the environment that tokenward is installed in.
        directory: for homes and sockets; short, for a socket's path is.
        effort: how much is measured.
        cpu: the processor of both ends, or of the server.
        other_cpu: the processor of the other end, where ends are apart; the same if there is only one.
    """

    prefix: Path
    directory: Path
    effort: Effort
    cpu: int
    other_cpu: int

    @property
    def python(self) -> str:
        """The interpreter that sees tokenward."""
        return str(self.prefix / "bin" / "python")

    @property
    def interpreter(self) -> str:
        """The one behind it: what the anchor is run with."""
        return str(Path(self.python).resolve())

    @property
    def package(self) -> Path:
        """Where our modules lie."""
        asked = [self.python, "-c", "import tokenward; print(tokenward.__path__[0])"]
        return Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())

    def home(self, name: str) -> Path:
        """A home directory of its own, empty."""
        home = self.directory / name
        shutil.rmtree(home, ignore_errors=True)
        (home / "run").mkdir(mode=0o700, parents=True)
        return home


@contextmanager
def stage(effort: Effort, *, prefix: Path | None = None) -> Iterator[Stage]:
    """Everything that is needed, and afterwards nothing of it.

    Args:
        effort: how much is measured.
        prefix: an environment to measure; None = a new one, with a wheel made of these sources.
    """
    processors = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="tw-") as temporary:
        directory = Path(temporary)
        yield Stage(
            prefix=prefix or _from_wheel(directory),
            directory=directory,
            effort=effort,
            cpu=processors[-1],
            other_cpu=processors[-2:][0],
        )


def _from_wheel(directory: Path) -> Path:
    built, prefix = directory / "dist", directory / "venv"
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", built, SOURCES],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    real = Path(sys.executable).resolve()
    subprocess.run([real, "-m", "venv", prefix], check=True)
    # An old pip writes a console script that imports re, which is dearer than all that ours does.
    for wanted in (["--upgrade", "pip"], [str(next(built.glob("*.whl")))]):
        subprocess.run([prefix / "bin" / "pip", "install", "--quiet", *wanted], check=True)
    return prefix


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Ourselves on one processor, for a while."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
