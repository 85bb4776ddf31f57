"""To ask Claude Code to refresh its own login: the unmodified program, run as its user would run it.

The problem: Claude Code's owner says that a login is refreshed by Claude Code's own flow. ``claude auth status
--json`` does so under its own locks, without an inference call, when at most five minutes are left (measured
on 2.1.329; older versions look and do not refresh).

Rules:
- The command is absolute, and its environment holds nothing that it does not need.
- One at a time: a program that outlived our patience is waited for before another is started.
- Its output is not read: what it did is seen in its file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio

from tokenward.ports import Processes

PATIENCE_SECONDS = 45.0
"""Claude Code gives its own request 30 s and its locks 9 s."""
PASSED_ON = frozenset({"PATH", "HOME", "LANG", "USER", "CLAUDE_CONFIG_DIR", "CLAUDE_SECURESTORAGE_CONFIG_DIR"})
PASSED_ON_IN_ANY_CASE = frozenset(
    {"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"}
)
"""Without these, nothing behind a company's proxy would ever be refreshed."""


def clean_environment(environ: Mapping[str, str], more: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a child: what it needs, no credential, and what the configuration names besides.

    Args:
        environ: our own environment.
        more: further variables to pass on.
    """
    wanted = {*PASSED_ON, *more}
    return {
        name: value
        for name, value in environ.items()
        if name in wanted or name.upper() in PASSED_ON_IN_ANY_CASE or name.startswith("XDG_")
    }


class ClaudeCodeCommand:
    """Claude Code as the refresher of its own login (``ports.Delegate``).

    Args:
        command: the absolute path of ``claude``.
        environ: its whole environment.
        processes: runs it.
    """

    def __init__(self, command: str, *, environ: dict[str, str], processes: Processes) -> None:
        self._command = command
        self._environ = environ
        self._processes = processes
        self._ended: anyio.Event | None = None

    async def refresh(self) -> str | None:
        """Run it, and wait for its end or the end of our patience; see ``ports.Delegate``."""
        if self._ended is not None and not self._ended.is_set():
            return "Claude Code was asked before and has not ended yet"
        ended = self._ended = anyio.Event()
        try:
            status = await self._processes.run(
                [self._command, "auth", "status", "--json"],
                environ=self._environ,
                patience=PATIENCE_SECONDS,
                on_exit=ended.set,
            )
        except OSError as error:
            ended.set()
            return f"{self._command} cannot be run: {error.strerror or error}"
        if status is None:
            return f"Claude Code has not ended after {PATIENCE_SECONDS:.0f} s"
        return None
