"""``tokenward demo --once``: whether it works on this machine, for those who have no eyes.

Rules: one line a check. The first check that fails is the last one made, and is named in the error.
"""

from __future__ import annotations

import contextlib
import stat
import time

from tokenward.cli import output
from tokenward.cli.demo_play import status_of_request
from tokenward.cli.demo_stage import PROFILE, Stage, set_up
from tokenward.cli.demo_story import ARRIVALS, counted
from tokenward.client import EventStream, Token
from tokenward.core.redact import recognisable
from tokenward.errors import TokenwardError

_ROTATION_GRACE = 5.0
"""Seconds past a token's end in which its rotation is still waited for: a busy machine is no broken one."""
_LAST_EVENTS = 2.0
"""Seconds in which the event of a refresh that the server has granted arrives."""
_FAILURES = frozenset({"refresh_failed", "login_required", "unsaved"})


class _FailedError(Exception):
    """A check found what it should not have; the message says what."""


def check(ttl: float) -> int:
    """Start everything, watch one rotation, and stop everything.

    Args:
        ttl: life of a token, in seconds.

    Returns:
        The exit status: 0 if every check passed.
    """
    with contextlib.ExitStack() as stack:
        examination = _Examination(ttl, stack)
        checks = (
            ("the daemon starts", examination.start),
            ("the socket hands out a token", examination.first_token),
            ("the Messages API accepts it", examination.use),
            ("the daemon rotates it before its end", examination.rotation),
            ("the socket hands out the new token", examination.second_token),
            ("the Messages API accepts the new one", examination.use),
            ("the server granted what the daemon holds", examination.books),
            ("the stored record is private", examination.record),
            ("SIGTERM stops the daemon cleanly", examination.stop),
        )
        start = time.monotonic()
        for name, look in checks:
            try:
                found = look()
            except (_FailedError, TokenwardError, OSError) as failure:
                output.say(f"failed  {name}: {failure}")
                examination.say_last_words()
                output.complain(
                    f"the demo failed where {name}", "see the daemon's last lines above; tokenward doctor"
                )
                return output.ERROR
            print(output.clean(f"ok  {name}: {found}"), flush=True)
        output.say(f"all {len(checks)} checks passed in {time.monotonic() - start:.1f} s")
    return output.OK


class _Examination:
    """The checks, in the order in which one leaves off where the next begins.

    Args:
        ttl: life of a token, in seconds.
        stack: takes everything away in the end.
    """

    def __init__(self, ttl: float, stack: contextlib.ExitStack) -> None:
        self._ttl = ttl
        self._stack = stack
        self._rotations = 0
        self._known = ""
        self._opened: tuple[Stage, EventStream] | None = None
        self._held: Token | None = None

    @property
    def _stage(self) -> Stage:
        assert self._opened is not None  # noqa: S101 - the first check has passed
        return self._opened[0]

    @property
    def _events(self) -> EventStream:
        assert self._opened is not None  # noqa: S101 - the first check has passed
        return self._opened[1]

    @property
    def _token(self) -> Token:
        assert self._held is not None  # noqa: S101 - the second check has passed
        return self._held

    def start(self) -> str:
        stage = self._stack.enter_context(set_up(self._ttl))
        events = self._stack.enter_context(stage.client.events([PROFILE]))
        self._opened = stage, events
        return f"process {stage.daemon.pid}"

    def first_token(self) -> str:
        self._stage.log_in()
        self._held = self._stage.client.token(profile=PROFILE, min_valid=0)
        self._known = self._held.generation
        return self._words()

    def use(self) -> str:
        status = status_of_request(self._token)
        if status != 200:
            raise _FailedError("it did not answer" if status is None else f"it answered {status}")
        return "200"

    def rotation(self) -> str:
        """The server keeps the books in wall-clock time, but how long we wait is no matter of the wall clock."""
        deadline = time.monotonic() + self._ttl + _ROTATION_GRACE
        while (left := deadline - time.monotonic()) > 0:
            before = self._rotations
            self._hear(left)
            if self._rotations > before:
                spare = (self._token.expires_at_ms or 0) / 1000 - time.time()
                if spare <= 0:
                    raise _FailedError(f"it was {-spare:.1f} s late")
                return f"{spare:.1f} s before"
        raise _FailedError(f"no rotation in {self._ttl + _ROTATION_GRACE:g} s")

    def second_token(self) -> str:
        first, self._held = self._token, self._stage.client.token(profile=PROFILE, min_valid=0)
        if self._token.token == first.token or self._token.generation == first.generation:
            raise _FailedError("it is the old one")
        return self._words()

    def books(self) -> str:
        """A refresh that was granted this moment is heard of in the next."""
        deadline = time.monotonic() + _LAST_EVENTS
        while (counts := self._stage.sandbox.statistics()).refreshes_granted != self._rotations:
            if (left := deadline - time.monotonic()) <= 0:
                raise _FailedError(
                    f"{counted(counts.refreshes_granted, 'refresh')} granted, "
                    f"{counted(self._rotations, 'rotation')} in the daemon"
                )
            self._hear(left)
        if counts.reuse_detected:
            raise _FailedError(f"reuse detected: {counts.reuse_detected}")
        return (
            f"{counted(counts.refreshes_granted, 'refresh')}, {counted(self._rotations, 'rotation')}, "
            f"reuse detected: 0"
        )

    def record(self) -> str:
        modes = [stat.S_IMODE(record.stat().st_mode) for record in self._stage.daemon.records()]
        if modes != [0o600]:
            raise _FailedError(
                "its modes are " + (", ".join(f"{mode:04o}" for mode in modes) or "none: there is no record")
            )
        return "0600"

    def stop(self) -> str:
        status = self._stage.daemon.stop()
        if status != 0:
            raise _FailedError(f"exit status {status}")
        return "exit status 0"

    def say_last_words(self) -> None:
        if self._opened is not None:
            self._stage.daemon.say_last_words()

    def _hear(self, timeout: float) -> None:
        event = self._events.wait(timeout)
        if event is None:
            if self._events.ended:
                raise _FailedError("the daemon ended")
        elif event.type in _FAILURES:
            raise _FailedError(f"{event.type.replace('_', ' ')}: {event.detail}")
        elif event.type in ARRIVALS and event.generation is not None and event.generation != self._known:
            self._rotations += 1
            self._known = event.generation

    def _words(self) -> str:
        token = self._token
        return f"{recognisable(token.token)} generation {token.generation}, good for {token.valid_for or 0:.1f} s"
