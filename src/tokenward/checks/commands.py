"""Running a command for a check: bounded, without a terminal, with nothing of ours in its environment."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence

from tokenward.checks.finding import Ran

PATIENCE_SECONDS = 10.0
"""Claude Code answers ``--version`` in 10 ms; a wrapper script that updates first may take seconds."""
_KEPT = ("PATH", "HOME", "LANG", "CLAUDE_CONFIG_DIR")


def runner(environ: Mapping[str, str]) -> Callable[[Sequence[str]], Ran | None]:
    """A way to run commands under a clean environment (design section 5).

    Args:
        environ: what the clean environment is taken from.
    """
    clean = {name: value for name, value in environ.items() if name in _KEPT or name.startswith("XDG_")}

    def run(argv: Sequence[str]) -> Ran | None:
        try:
            done = subprocess.run(
                list(argv),
                env=clean,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=PATIENCE_SECONDS,
                check=False,
                text=True,
                errors="replace",
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return Ran(done.returncode, done.stdout)

    return run
