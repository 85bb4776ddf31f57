"""A user whose files are examined, and what the checks may look at of them."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fakes.machine import FakeClock
from tokenward.checks import CheckContext, Ran


class Commands:
    """Answers for commands; notes what was run."""

    def __init__(self) -> None:
        self.answer: Ran | None = None
        self.ran: list[list[str]] = []

    def __call__(self, argv: Sequence[str]) -> Ran | None:
        """Run nothing."""
        self.ran.append(list(argv))
        return self.answer


class Patient:
    """A user whose installation is examined.

    Args:
        home: the home directory.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.commands = Commands()
        self.clock = FakeClock()
        self.claude = home / ".claude"
        self._context = CheckContext(
            uid=os.getuid(),
            environ={"PATH": str(home / "bin")},
            clock=self.clock,
            run=self.commands,
            socket=home / "run" / "tokenward.sock",
            state=home / "state",
            store_key=home / "state" / "store.key",
            config=home / "config.toml",
            config_holds_key=False,
            claude_config=self.claude,
            claude_credentials=self.claude / ".credentials.json",
            claude_command="claude",
        )

    def context(self, **changed: Any) -> CheckContext:
        """What the checks get, with some of it changed."""
        return replace(self._context, **changed)

    def write(self, path: Path, text: str = "", *, mode: int = 0o600) -> Path:
        """A file with an exact mode, touched just now by the patient's clock."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return self.touched(path, 0)

    def directory(self, path: Path, *, mode: int = 0o700) -> Path:
        """A directory with an exact mode, touched just now."""
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        return self.touched(path, 0)

    def touched(self, path: Path, seconds_ago: float) -> Path:
        """Date a path by the patient's clock."""
        moment = self.clock.now.timestamp() - seconds_ago
        os.utime(path, (moment, moment))
        return path
