"""Who got what, when and why: a line for each first time, and a count for what repeats.

The problem: on the day somebody asks which program used a token, the answer must be on disk; and a program that
asks a thousand times a second must not fill the disk with it. So the first time a process gets one generation of
a profile is a line, and its repeats are counted and written once a minute (design section 5).

Rules:
- A line names the peer, the method, the profile, the generation and how the profile was chosen; never a token, and
  nothing that a peer wrote. How it was chosen is what the broker noted in the same step: it is not guessed anew.
- Taking note never blocks and touches no disk; what was noted is written with the daemon's beat and at its end,
  and made a line only then: ten thousand first times are a program that goes round ten thousand profiles.
- The file is rotated at a megabyte, and one old one is kept: it is a memory of days, not an archive.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tokenward.core.credential import to_unix_milliseconds
from tokenward.daemon.broker import Choice
from tokenward.daemon.peer import Peer
from tokenward.daemon.standing_answer import HandedOut
from tokenward.ports import Clock

if TYPE_CHECKING:
    from tokenward.daemon.rpc_types import Result

LARGEST_FILE_BYTES = 1024 * 1024
"""About eight thousand lines: a month of a busy user."""
REPEATS_SECONDS = 60.0
"""How often repeats are written."""
LARGEST_MEMORY = 16_384
"""Different (peer, profile, generation) remembered, so that a program that goes round ten thousand profiles is not
new at each answer; some 4 MB at most. Past it those who came first are seen for the first time again."""
FORGOTTEN_AT_ONCE = 1024
"""So many are then forgotten, in a few milliseconds; one by one from the front of a dictionary costs more."""
FILE_NAME = "audit.jsonl"

_encode = json.JSONEncoder(separators=(",", ":")).encode
_WORTH_A_LINE = frozenset({"token.get", "profile.add", "profile.forget", "profile.refresh", "daemon.stop"})


class Seen(NamedTuple):
    """One who asked for one thing.

    Args:
        peer: who.
        method: what for.
        code: 0, or the error's code.
        profile: whose token was handed out, by key; empty if none was.
        generation: of the token, or empty.
        why: how the profile was chosen; empty where nothing was handed out.
    """

    peer: Peer
    method: str
    code: int
    profile: str
    generation: str
    why: str = ""


_Members = tuple[Peer, str, int, str, str, str]
"""Those of a ``Seen``, which is dear to make, and equal to them."""


class AuditLog:
    """Takes note of calls, and writes what it noted; the server's ``Audit``.

    Args:
        path: the file; its directory is there and private.
        clock: dates the lines.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._noted: list[tuple[datetime, Seen, int]] = []
        self._repeats: dict[_Members, int] = {}
        self._repeats_since = clock.monotonic()
        self.told: Callable[[Seen, int], None] = lambda *_: None
        """Told of each line, and how often it happened."""
        self.choice = Choice()
        """How the profile was chosen whose token is handed out now; the broker's own."""

    def __call__(self, peer: Peer, method: str, code: int, result: Result | HandedOut | None) -> None:
        """Take note of one call; see ``methods.method.Audit``."""
        self._note(peer, method, code, result)

    def of_restricted(self, peer: Peer, method: str, code: int, result: Result | HandedOut | None) -> None:
        """Take note of one call on a restricted socket, whose list of profiles is what chose."""
        self._note(peer, method, code, result, rule="listed")

    def _note(
        self, peer: Peer, method: str, code: int, result: Result | HandedOut | None, *, rule: str | None = None
    ) -> None:
        if method not in _WORTH_A_LINE:
            return
        if isinstance(result, HandedOut):  # nearly always
            profile, generation, why = result.key, result.generation, rule or result.why
        else:
            profile, generation = _what(result)
            why, choice = "", self.choice
            if generation and choice.generation == generation and choice.profile == profile:
                profile, why = choice.key, rule or choice.why
        members = (peer, method, code, profile, generation, why)
        times = self._repeats.get(members)
        if times is not None:
            self._repeats[members] = times + 1
            return
        seen = Seen(*members)
        if len(self._repeats) >= LARGEST_MEMORY:
            first = list(islice(self._repeats, FORGOTTEN_AT_ONCE))
            self._note_repeats(first)
            for each in first:
                del self._repeats[each]
        self._repeats[seen] = 0
        self._noted.append((self._clock.wall(), seen, 0))
        self.told(seen, 1)

    def _note_repeats(self, some: Iterable[_Members]) -> None:
        now = self._clock.wall()
        for members in some:
            times = self._repeats[members]
            if times:
                seen = Seen(*members)
                self._noted.append((now, seen, times))
                self.told(seen, times)
                self._repeats[members] = 0

    def take(self, *, everything: bool = False) -> bytes:
        """What is to be written now; it is forgotten here.

        Args:
            everything: whether repeats are due whatever the time, as they are at the end.
        """
        if everything or self._clock.monotonic() - self._repeats_since >= REPEATS_SECONDS:
            self._note_repeats(self._repeats)
            self._repeats_since = self._clock.monotonic()
        noted, self._noted = self._noted, []
        return "".join(_line(*each) for each in noted).encode()

    def write(self, taken: bytes) -> None:
        """Append what was taken; blocks on the disk.

        Raises:
            OSError: if it cannot be written.
        """
        if not taken:
            return
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, taken)
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        if size > LARGEST_FILE_BYTES:
            self._path.replace(self._path.with_suffix(".jsonl.1"))


def _line(at: datetime, seen: Seen, repeated: int) -> str:
    line: dict[str, object] = {
        "at_ms": to_unix_milliseconds(at),
        "pid": seen.peer.pid,
        "uid": seen.peer.uid,
        "method": seen.method,
        "code": seen.code,
        "profile": seen.profile,
        "generation": seen.generation,
        "why": seen.why,
    }
    if repeated:
        line["repeated"] = repeated
    return _encode(line) + "\n"


def _what(result: Result | None) -> tuple[str, str]:
    """The profile and generation that were handed out or changed; empty where there are none."""
    if result is None:
        return "", ""
    from tokenward.daemon.profile_models import ProfileResult  # whoever asks for tokens alone needs neither
    from tokenward.daemon.token_models import TokenResult

    match result:
        case TokenResult(profile=profile, generation=generation):
            return profile, generation
        case ProfileResult(profile=profile, generation=generation):
            return profile, generation or ""
        case _:
            return "", ""
