"""Homes in which a refresh is killed: one with Claude Code's own login, one with a login in our own store.

Both have the same server, a file with the number of the refresh token that is good now, which lies where no call
is watched; and the same program refreshes both, the daemon's transaction on the daemon's own place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

import tokenward
from contracts.place import found_in
from faults.refreshing_process import store_in
from tokenward.core.credential import Credential, Kind, Secret, family_of

SOURCES = Path(tokenward.__file__).parents[1]
PROGRAM = Path(__file__).with_name("refreshing_process.py")
PROFILE = "acme:me"
ENDED = timedelta(seconds=1)
"""How long ago the login ended that is to be refreshed."""


@dataclass(frozen=True, slots=True)
class Home(ABC):
    """A home directory with a login in it, and the server of that login.

    Args:
        directory: the home directory.
        server: the server's file.
    """

    kind: ClassVar[str]
    """What the program is told of the place."""
    directory: Path
    server: Path

    @property
    @abstractmethod
    def login(self) -> Path:
        """The file that holds the login."""

    @property
    @abstractmethod
    def locks(self) -> tuple[Path, ...]:
        """The locks that are held by being there."""

    @abstractmethod
    def _put_login(self) -> None:
        """Write a login with the first refresh token, that has ended."""

    @abstractmethod
    def _tokens(self) -> tuple[str, str | None]:
        """The access and the refresh token in the file, which is otherwise as it was."""

    @property
    def journal(self) -> Path:
        """The family file of the first refresh token."""
        family = family_of("https://auth.invalid/token", Secret("refresh-0"))
        return self.directory / "families" / f"{family}.journal"

    @property
    def watched(self) -> tuple[Path, ...]:
        """What a refresh touches, by name or by descriptor."""
        temporary = self.login.with_name(f".{self.login.name}.tokenward-{bytes(8).hex()}")
        families = self.directory / "families"
        return self.login.parent, self.login, temporary, families, self.journal, *self.locks

    @property
    def rotations(self) -> int:
        """How often the server has rotated."""
        return int(self.server.read_text())

    @property
    def reused(self) -> Path:
        """Where the server keeps a line for every spent refresh token that it was shown."""
        return self.server.with_name("reused")

    @property
    def reuses(self) -> int:
        """How often the server was shown a spent refresh token."""
        return len(self.reused.read_text().splitlines()) if self.reused.exists() else 0

    def furnish(self) -> None:
        """Make it anew, with a login that has ended."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(mode=0o700)
        self._put_login()
        self.server.write_text("0")
        self.reused.unlink(missing_ok=True)

    def refresh(self, *wrapper: str) -> subprocess.CompletedProcess[str]:
        """Run a process that refreshes the login, if it is due."""
        interpreter = [os.path.realpath(sys.executable), "-I", "-S", "-B"]
        arguments = [str(PROGRAM), str(SOURCES), str(self.directory), str(self.server), self.kind]
        command = [*wrapper, *interpreter, *arguments, *(["predictable"] if wrapper else [])]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    def refresh_and_die(self, call: str, occurrence: int) -> bool:
        """As `refresh`, killed on entering one system call; says whether it came to that."""
        watched = [word for path in self.watched for word in ("-P", str(path))]
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={occurrence}"]
        done = self._traced(Path(os.devnull), *watched, *inject)
        assert done.returncode in {0, -signal.SIGKILL, 128 + signal.SIGKILL}, done.stderr
        return done.returncode != 0

    def touched(self, trace: Path, calls: Iterable[str]) -> set[Path]:
        """What an undisturbed refresh touches in this home by these calls, whether it is watched or not.

        Args:
            trace: a file for it.
            calls: strace's names of them.
        """
        done = self._traced(trace, "-y", "-e", f"trace={','.join(calls)}")
        assert done.returncode == 0, done.stderr
        return {
            path
            for line in trace.read_text().splitlines()
            for named in re.findall(r'[<"](/[^>"]+)[>"]', line)
            if (path := Path(named)).is_relative_to(self.directory)
        }

    def _traced(self, trace: Path, *options: str) -> subprocess.CompletedProcess[str]:
        done = self.refresh("strace", "-f", "-qq", "-o", str(trace), *options)
        if "PTRACE" in done.stderr or "ptrace" in done.stderr:
            pytest.skip(f"tracing is not permitted: NO CRASH POINT IS TESTED: {done.stderr.strip()}")
        return done

    def holds(self) -> int:
        """The number of the login in the file, which must be whole, private and otherwise as it was."""
        for path in self.directory.rglob("*"):
            mode = stat.S_IMODE(path.lstat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), f"{path} is {mode:04o}"
        access, refresh = self._tokens()
        number = int(access.removeprefix("access-"))
        assert refresh == f"refresh-{number}"
        return number


class ClaudeCodeHome(Home):
    """A home with Claude Code's login, under Claude Code's locks."""

    __slots__ = ()
    kind = "claude-code"

    @property
    def login(self) -> Path:
        """Claude Code's file."""
        return self.directory / ".claude" / ".credentials.json"

    @property
    def locks(self) -> tuple[Path, ...]:
        """Claude Code's."""
        claude = self.directory / ".claude"
        return claude / ".oauth_refresh.lock", self.directory / ".claude.lock", claude / ".storage-write.lock"

    def _put_login(self) -> None:
        self.login.parent.mkdir(mode=0o700)
        document = {
            "claudeAiOauth": {
                "accessToken": "access-0",
                "refreshToken": "refresh-0",
                "expiresAt": int((time.time() - ENDED.total_seconds()) * 1000),
                "kept": 1,
            },
            "alsoKept": [2],
        }
        self.login.touch(mode=0o600)
        self.login.write_text(json.dumps(document))

    def _tokens(self) -> tuple[str, str | None]:
        document: dict[str, Any] = json.loads(self.login.read_text())
        login = document["claudeAiOauth"]
        assert (login["kept"], document["alsoKept"]) == (1, [2])
        return login["accessToken"], login["refreshToken"]


class StoreHome(Home):
    """A home with a login in our own store."""

    __slots__ = ()
    kind = "store"

    @property
    def login(self) -> Path:
        """The record."""
        return store_in(self.directory).path(PROFILE)

    @property
    def locks(self) -> tuple[Path, ...]:
        """None: the record's lock is the kernel's, and its file stays."""
        return ()

    @property
    def watched(self) -> tuple[Path, ...]:
        """With the file of the record's lock."""
        return *super().watched, self.login.with_suffix(".lock")

    def _put_login(self) -> None:
        ended = datetime.now(UTC) - ENDED
        login = Credential(Kind.OAUTH, Secret("access-0"), Secret("refresh-0"), expires_at=ended, scopes=("kept",))
        store_in(self.directory).add(PROFILE, login)

    def _tokens(self) -> tuple[str, str | None]:
        login = found_in(store_in(self.directory).place(PROFILE).read())
        assert login.scopes == ("kept",)
        return login.access.reveal(), login.refresh.reveal() if login.refresh is not None else None
