"""Claude Code's login on macOS: an item of the Keychain, or the file where there is no such item.

The problem: on macOS Claude Code keeps its login in the Keychain, which has no file to watch and no path to stat,
can be locked at any moment, and may put a dialog on the screen when it is asked for a secret.

Rules (reference/claude_code.md 2.1):
- The item's service is ``Claude Code-credentials``, with the first 8 hex digits of the SHA-256 of
  ``CLAUDE_CONFIG_DIR`` behind it where that is set; its account is the user's name.
- It is read by ``/usr/bin/security``, which Claude Code itself uses, so that no program gets an access that it
  did not have. It is never written: who refreshes it is Claude Code.
- Once a beat its modification date is asked for, which no lock hides and no dialog guards. The secret is read only
  where that date is new. The date counts whole seconds: a secret read in the second of its writing, or in
  the next, is read again.
- Only "there is no such item" is ``Absent``. Locked, refused, hung and strange are ``Unreadable`` (design I5). A
  secret that was refused is asked for again after 20 s, doubling to 5 min: each time may be a dialog.
- As in Claude Code, the item goes before the file. A file beside an item that cannot be read counts only as long
  as no login was seen in the item: it may be left over from before.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pwd
import re
import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tokenward.core.reading import Absent, Found, Reading, Unreadable
from tokenward.ports import Clock, HeldLocks, LocksBusy, PlaceWriter
from tokenward.sources.claude_code import ClaudeCodeFile, ClaudeCodeLayout
from tokenward.sources.command import Command, CommandFailed, output_of
from tokenward.sources.fixed import ReadOnlyPlace

SECURITY = "/usr/bin/security"
SERVICE = "Claude Code-credentials"
ANONYMOUS = "claude-code-user"
"""Claude Code's account where the user's name has characters that it does not take."""
BEAT_SECONDS = 20.0
"""Between two looks: a process of some 20 ms each, and as often as the daemon looks at every other place."""
PATIENCE_SECONDS = 10.0
"""A dialog that nobody answers must not hold a reader's thread for long."""
SETTLED_SECONDS = 2.0
"""Seconds after which a date that counts whole seconds can only belong to the secret that was read."""
FIRST_RETRY_SECONDS = 20.0
LONGEST_RETRY_SECONDS = 300.0

_NOT_FOUND = 44
_LOCKED = 36
_REFUSED = frozenset({51, 128})
"""Exit statuses of ``security``: the last byte of errSecItemNotFound, errSecInteractionNotAllowed,
errSecAuthFailed, and of a dialog that was cancelled."""
_ACCOUNT = re.compile(r"[A-Za-z0-9._-]+")
_MODIFIED = re.compile(r'"mdat"<timedate>=(?:0x[0-9A-Fa-f]+ +)?"(\d{14})Z')
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")


@dataclass(frozen=True, slots=True)
class KeychainItem:
    """What names an item of the Keychain.

    Args:
        service: for what it is.
        account: whose it is.
    """

    service: str
    account: str


def claude_code_item(environ: Mapping[str, str]) -> KeychainItem:
    """The item in which Claude Code keeps its login.

    Args:
        environ: the environment in which Claude Code runs; without ``USER`` the system's own table has the name.
    """
    directory = environ.get("CLAUDE_CONFIG_DIR", "")
    suffix = f"-{hashlib.sha256(directory.encode()).hexdigest()[:8]}" if directory else ""
    user = environ.get("USER") or _login_name()
    return KeychainItem(SERVICE + suffix, user if _ACCOUNT.fullmatch(user) else ANONYMOUS)


def question(item: KeychainItem, security: str = SECURITY) -> tuple[str, ...]:
    """The command that shows an item without its secret; it ends with 0 where there is one."""
    return (security, "find-generic-password", "-a", item.account, "-s", item.service)


def _login_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


class KeychainLogin(ReadOnlyPlace):
    """Claude Code's login in the Keychain (``ports.Place``).

    Its signature follows the owner once a beat, or at the next ``read``, which always asks.

    Args:
        item: which item.
        environ: the whole environment of ``security``.
        clock: the machine's clocks.
        security: the program, an absolute path.
    """

    def __init__(
        self, item: KeychainItem, *, environ: Mapping[str, str], clock: Clock, security: str = SECURITY
    ) -> None:
        super().__init__(name="claude-code", description=f"Keychain item {item.service} of {item.account}")
        self._item = item
        self._environ = environ
        self._clock = clock
        self._security = security
        self._lock = threading.Lock()
        self._last: Reading = Absent()
        self._modified: datetime | None = None
        self._failures = 0
        self._ask_at = 0.0
        self._seen: tuple[int, int] | None = None
        self._changes = 0

    @property
    def is_there(self) -> bool:
        """Whether the item was there at the last look, readable or not."""
        return not isinstance(self._last, Absent)

    def signature(self) -> Hashable | None:
        """How often it changed, and the beat; no process is run."""
        beat = self._beat()
        if self._seen is not None and self._seen[1] == beat and not self.is_there:
            return None
        return self._changes, beat

    def read(self) -> Reading:
        """Ask for the date, and for the secret if the date is new; blocks as long as ``security`` runs."""
        with self._lock:
            beat = self._beat()
            reading = self._look()
            if reading != self._last:
                self._changes += 1
            self._last = reading
            self._seen = self._changes, beat
            return reading

    def _beat(self) -> int:
        return int(self._clock.boottime() // BEAT_SECONDS)

    def _look(self) -> Reading:
        try:
            modified = _modified_in(self._asked())
        except CommandFailed as failure:
            return self._failed(failure)
        if modified is not None and modified == self._modified:
            return self._last
        if self._failures and self._clock.boottime() < self._ask_at:
            return self._last
        now = self._clock.wall()
        try:
            secret = self._asked("-w")
        except CommandFailed as failure:
            self._wait()
            return self._failed(failure)
        self._failures = 0
        settled = modified is not None and now - modified >= timedelta(seconds=SETTLED_SECONDS)
        self._modified = modified if settled else None
        return _login_in(secret)

    def _asked(self, *more: str) -> str:
        """What ``security`` prints.

        Raises:
            CommandFailed: if it fails.
        """
        words = (*question(self._item, self._security), *more)
        return output_of(Command(words, self._environ, PATIENCE_SECONDS))

    def _failed(self, failure: CommandFailed) -> Reading:
        self._modified = None
        if failure.status == _NOT_FOUND:
            self._failures = 0
            return Absent()
        if failure.status == _LOCKED:
            why = "it is locked, or may not be opened from this session: run security unlock-keychain"
        elif failure.status in _REFUSED:
            why = "it was not opened: its password was not given, or was wrong"
        else:
            why = f"{self._security}: {failure}"
        return Unreadable(f"the Keychain: {why}")

    def _wait(self) -> None:
        delay = min(FIRST_RETRY_SECONDS * 2.0 ** min(self._failures, 16), LONGEST_RETRY_SECONDS)
        self._failures += 1
        self._ask_at = self._clock.boottime() + delay


def _modified_in(shown: str) -> datetime | None:
    """When the item was last written; None if it does not say so."""
    found = _MODIFIED.search(shown)
    if found is None:
        return None
    try:
        return datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _login_in(printed: str) -> Reading:
    """What a secret means; ``security`` prints one with characters beyond ASCII as hexadecimal digits."""
    text = printed.removesuffix("\n")
    try:
        document = json.loads(bytes.fromhex(text) if _HEX.fullmatch(text) else text)
    except (ValueError, RecursionError):
        return Unreadable("the Keychain item is not whole JSON")
    if not isinstance(document, dict):
        return Unreadable("the Keychain item holds no JSON object")
    return ClaudeCodeLayout().read(document)


class KeychainOrFile:
    """Claude Code's login wherever macOS has it (``ports.Place``).

    Args:
        keychain: the item.
        file: where Claude Code keeps its login if the Keychain cannot be used.
    """

    def __init__(self, keychain: KeychainLogin, file: ClaudeCodeFile) -> None:
        self.name = file.name
        self.description = f"{keychain.description}, else {file.description}"
        self._keychain = keychain
        self._file = file
        self._was_in_keychain = False

    def tidy(self) -> None:
        """Remove temporary files that a process of ours left when it died."""
        self._file.tidy()

    def signature(self) -> Hashable | None:
        """Both signatures; None where neither has anything."""
        both = self._keychain.signature(), self._file.signature()
        return None if both == (None, None) else both

    def read(self) -> Reading:
        """The item; the file where there is none, or where it cannot be read and never held a login."""
        reading = self._keychain.read()
        if isinstance(reading, Absent):
            return self._file.read()
        self._was_in_keychain = self._was_in_keychain or isinstance(reading, Found)
        if isinstance(reading, Unreadable) and not self._was_in_keychain:
            beside = self._file.read()
            return beside if isinstance(beside, Found) else reading
        return reading

    @property
    def waits_for(self) -> str | None:
        """Claude Code's lock that is waited for now; see ``ClaudeCodeFile``."""
        return self._file.waits_for

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:
        """Claude Code's refresh locks, which are the same for both; see ``ClaudeCodeFile``."""
        return self._file.acquire_locks(deadline)

    def prepare_write(self) -> PlaceWriter:
        """Prove that the file can be replaced.

        Raises:
            OSError: if it cannot, or if the login is in the Keychain.
        """
        if not isinstance(self._keychain.read(), Absent):
            raise OSError(errno.EROFS, 'the Keychain is never written by tokenward: set refresh = "delegate"')
        return self._file.prepare_write()
