"""The wall clock of a daemon that runs, set while it runs, and of no other process.

The problem: the machine's clock is not a test's to set, and a clock that is shifted from the start is not one that
is set. So a library that is compiled here and preloaded adds what a file says to the wall clock alone.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shifted_clock.c")
_LONG = "l"


class ClockShift:
    """The shift of one daemon's wall clock.

    Args:
        directory: for the library and the file.
    """

    def __init__(self, directory: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None or not sys.platform.startswith("linux"):
            pytest.skip("no C compiler: NO CLOCK STEP IS TESTED IN A REAL DAEMON")
        library, self._file = directory / "shifted_clock.so", directory / "shift"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
        self._file.write_bytes(bytes(mmap.PAGESIZE))
        self.environment = {"LD_PRELOAD": str(library), "SHIFT_FILE": str(self._file)}

    def set(self, seconds: int) -> None:
        """Set the clock so many seconds off the true time."""
        with self._file.open("r+b") as file:
            file.write(struct.pack(_LONG, seconds))
