"""Tells a person what waits for them: by a notice on the desktop, or by a command of their own.

The problem: the program that shows a notice can hang, be missing or fail, may be started by a daemon that has no
desktop, and must neither hold up a refresh nor see a token.

Rules:
- What is told and when, ``core.notices`` decides; it is looked at with each beat, and at once with an event of
  ``AT_ONCE``: everything else must have lasted anyway, and a look at everybody with each rotation costs more than
  the rotations. What was told is kept in the routing state.
- One program at a time, in a clean environment, for ``PATIENCE_SECONDS`` at most. What it is told is in variables:
  ``TOKENWARD_EVENT``, ``_PROFILE``, ``_SUMMARY``, ``_DETAIL`` and ``_HINT``.
- Every notice is in the log too. A program that fails is logged at first and ever more seldom.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from tokenward.core.notices import Kind, Matter, Standing, matters, review
from tokenward.core.notices_document import from_documents, to_documents
from tokenward.core.redact import printable
from tokenward.core.repeats import Said, heard
from tokenward.daemon.event_hub import Happening
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.logs import fields
from tokenward.daemon.refusals import login_command
from tokenward.daemon.routing_state import RoutingState, Section
from tokenward.ports import Clock

NOTIFY = "notify"
"""In place of a command: a notice on the desktop."""
PATIENCE_SECONDS = 10.0
PASSED_ON = ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "TOKENWARD_SOCKET")
"""What a program on a desktop needs besides what every command gets (``XDG_RUNTIME_DIR`` is among that)."""
AT_ONCE = frozenset({"login_required"})
"""Events of which a person is told without delay (``core.notices.TABLE``)."""
LEVELS: Mapping[Kind, int] = {Kind.LOGIN_ENDING: logging.WARNING}
"""Of the line in the log; the others are events or faults, and have a line that says so already."""

_SCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)

log = logging.getLogger(__name__)

Run = Callable[[Sequence[str], Mapping[str, str]], Awaitable[str | None]]
"""Runs a program with these variables besides its environment; returns in words why it failed, if it did."""


async def _not_yet(_argv: Sequence[str], _told: Mapping[str, str]) -> str | None:
    return "no configuration is in force yet"


class Notices:
    """Looks, remembers and tells.

    Args:
        keepers: everybody, by key; the ward's own table.
        routing: keeps what was told.
        clock: the machine's clocks.
        locked: why the store's key cannot be used; None if it can.
        spawn: starts a task.
        platform: ``sys.platform``.
    """

    def __init__(
        self,
        keepers: Mapping[str, Keeper],
        routing: RoutingState,
        *,
        clock: Clock,
        locked: Callable[[], str | None],
        spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], object],
        platform: str,
    ) -> None:
        self.on_event: Sequence[str] = ()
        """The command, or the one word ``notify``; empty = only the log is told. A reload replaces it."""
        self.run: Run = _not_yet
        """Runs it; replaced with it."""
        self.told: Counter[Kind] = Counter()
        self.failed = 0
        self._keepers = keepers
        self._routing = routing
        self._clock = clock
        self._locked = locked
        self._spawn = spawn
        self._platform = platform
        self._waiting: deque[Matter] = deque()
        self._at_work = False
        self._failure: Said | None = None

    def happened(self, event: Happening, _trouble: object = None) -> None:
        """Hear of an event; never blocks."""
        if event.type in AT_ONCE:
            self.look()

    def look(self) -> None:
        """Find out what is to be told now, and begin to tell it; never blocks."""
        wall = self._clock.wall()
        now = wall.replace(microsecond=wall.microsecond // 1000 * 1000)  # as it is written down
        documents = self._routing.section(Section.NOTICES)
        standing = matters(self._standings(), locked=self._locked(), now=now)
        result = review(standing, from_documents(documents), now=now)
        self._remember(documents, to_documents(result.known))
        for matter in result.due:
            self.told[matter.kind] += 1
            log.log(
                LEVELS.get(matter.kind, logging.INFO),
                "%s",
                f"{matter.summary}; {matter.hint}",
                extra=fields(event="notice", notice=matter.kind.value, profile=matter.profile or None),
            )
        if not self.on_event:
            return
        self._waiting.extend(result.due)
        if self._waiting and not self._at_work:
            self._at_work = True
            self._spawn(self._tell_all)

    def _standings(self) -> Iterable[Standing]:
        for key, keeper in self._keepers.items():
            if keeper.resting is not None:
                continue
            credential, failure = keeper.credential, keeper.attempts.failure
            yield Standing(
                key,
                keeper.phase,
                generation="" if credential is None else credential.generation,
                failures=0 if failure is None else failure.count,
                reason="" if failure is None else printable(failure.reason),
                login_ends_at=None if credential is None else credential.login_ends_at,
                command=login_command(keeper),
            )

    def _remember(self, documents: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        before = dict(documents)
        for key in before.keys() - after.keys():
            self._routing.drop(Section.NOTICES, key)
        for key, document in after.items():
            if before.get(key) != document:
                self._routing.put(Section.NOTICES, key, document)

    async def _tell_all(self) -> None:
        try:
            while self._waiting:
                await self._tell(self._waiting.popleft())
        finally:
            self._at_work = False

    async def _tell(self, matter: Matter) -> None:
        argv = argv_for(self.on_event, matter, platform=self._platform)
        if not argv:
            return  # a reload took it away
        why = await self.run(argv, variables(matter))
        if why is None:
            self._failure = None
            return
        self.failed += 1
        say, self._failure = heard(self._failure, why, now=self._clock.boottime())
        if say:
            log.warning(
                "a notice could not be shown: %s: %s; try it by hand, or set another on_event", argv[0], why
            )


def variables(matter: Matter) -> dict[str, str]:
    """What a command is told, each on one line."""
    told = {
        "EVENT": matter.kind.value,
        "PROFILE": matter.profile,
        "SUMMARY": matter.summary,
        "DETAIL": matter.detail,
        "HINT": matter.hint,
    }
    return {f"TOKENWARD_{name}": value for name, value in told.items()}


def argv_for(on_event: Sequence[str], matter: Matter, *, platform: str) -> list[str]:
    """The program that tells a matter.

    Args:
        on_event: the command, or the one word ``notify``.
        matter: what is told.
        platform: ``sys.platform``.
    """
    import html  # only a notice needs it

    if list(on_event) != [NOTIFY]:
        return list(on_event)
    body = "\n".join(filter(None, (matter.detail, matter.hint)))
    if platform == "darwin":
        script = [word for line in _SCRIPT for word in ("-e", line)]
        return ["/usr/bin/osascript", *script, matter.summary, body]
    options = ["--app-name=tokenward", "--icon=dialog-password", "--urgency=normal"]
    # The body is markup (Desktop Notifications Specification), and what a server said may look like some.
    return ["notify-send", *options, "--", matter.summary, html.escape(body, quote=False)]
