"""The demo is played: events are followed, a program asks for a token every second and uses it.

Rules: one thread. A picture is drawn or a line is told of what has happened; neither decides anything.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tokenward.cli import output
from tokenward.cli.demo_stage import CALL_SECONDS, PROFILE, Stage, set_up, ways_to_ask
from tokenward.cli.demo_story import ARRIVALS, Line, Scene, Story, summary
from tokenward.client import Event, EventStream, Token
from tokenward.errors import DaemonUnreachable, TokenwardError

if TYPE_CHECKING:
    from collections.abc import Callable

CALL_EVERY = 1.0
"""Seconds between two requests to the Messages API."""
PICTURE_EVERY = 0.1
"""Seconds between two pictures: enough for a bar that shrinks by a cell every third of a second."""
MIN_VALID = 1.0
"""Seconds of life our program wants: so few that it never causes a refresh, and one sees the daemon's own."""
_SHORTEST_WAIT = 0.01
_NEWS_SECONDS = 1.0
"""Seconds in which the daemon has told of a value that it hands out already."""
_REQUEST = {"model": "claude-haiku-4-5", "max_tokens": 16, "messages": [{"role": "user", "content": "ping"}]}


def play_plain(ttl: float, *, seconds: float) -> int:
    """Tell it line by line.

    Args:
        ttl: life of a token, in seconds.
        seconds: how long at most.

    Returns:
        The exit status.
    """

    def tell(line: Line) -> None:
        print(line, flush=True)

    with set_up(ttl) as stage:
        play = Play(stage, ttl, tell)
        with contextlib.suppress(KeyboardInterrupt):  # the way out that it has
            for parts in play.story.commands:
                print(f"to ask it from another terminal: {' '.join(parts)}", flush=True)
            for _ in play.acts(seconds, tick=math.inf):
                pass
        scene = play.scene()
    return _close(scene)


def play_on_screen(ttl: float, *, seconds: float) -> int:
    """Show it on a terminal, until a key ends it.

    Args:
        ttl: life of a token, in seconds.
        seconds: how long at most.

    Returns:
        The exit status.
    """
    from tokenward.cli.demo_screen import Screen

    with set_up(ttl) as stage:
        play = Play(stage, ttl, lambda _: None)
        with contextlib.suppress(KeyboardInterrupt), _keys() as pressed, Screen() as screen:  # as q does
            for _ in play.acts(seconds, tick=PICTURE_EVERY):
                screen.show(play.scene())
                if "q" in pressed().lower():
                    break
        scene = play.scene()
    return _close(scene)


class Play:
    """What is played on a stage.

    Args:
        stage: where.
        ttl: life of a token, in seconds.
        tell: called with each line of what happens.
    """

    def __init__(self, stage: Stage, ttl: float, tell: Callable[[Line], None]) -> None:
        self._stage = stage
        self._start = time.monotonic()
        self.story = Story(ttl, ways_to_ask(stage.daemon.socket), tell)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def scene(self) -> Scene:
        """How it looks now."""
        return self.story.scene(self.elapsed, time.time(), self._stage.sandbox.statistics())

    def acts(self, seconds: float, *, tick: float) -> Iterator[None]:
        """Play it, and stop for a look in between.

        Args:
            seconds: how long at most.
            tick: seconds between two looks at most.

        Raises:
            DaemonUnreachable: if the daemon ends without a word.
        """
        self.story.write(0.0, f"the daemon runs, process {self._stage.daemon.pid}")
        with self._stage.client.events([PROFILE]) as events:
            self._stage.log_in()
            next_call = 0.0
            while (now := self.elapsed) < seconds:
                if now >= next_call:
                    self._call(events)
                    next_call = now + CALL_EVERY
                yield
                event = self._hear(events, max(_SHORTEST_WAIT, min(tick, next_call - now, seconds - now)))
                if event is not None and event.type in ARRIVALS:
                    # What is new is used at once: that is what one wants to see.
                    next_call = 0.0
                if events.ended or (event is not None and event.type == "stopping"):
                    return

    def _hear(self, events: EventStream, timeout: float) -> Event | None:
        event = events.wait(timeout)
        if event is not None:
            self.story.heard(self.elapsed, event, self._stage.sandbox.statistics())
        return event

    def _call(self, events: EventStream) -> None:
        try:
            token = self._stage.client.token(profile=PROFILE, min_valid=MIN_VALID)
            due_at_ms = self._stage.client.profile(PROFILE)["next_refresh_at_ms"]
        except DaemonUnreachable:
            raise
        except TokenwardError as error:
            self.story.not_served(self.elapsed, error.cause)
            return
        shown = self.story.served(token, None if due_at_ms is None else due_at_ms / 1000)
        if token.generation != self.story.announced:
            # The answer was faster than the event; told in this order, nobody would understand it.
            self._hear(events, _NEWS_SECONDS)
        self.story.used(self.elapsed, shown, status_of_request(token))


def status_of_request(token: Token) -> int | None:
    """Send a request to the Messages API with what the daemon handed out, as any program would.

    Returns:
        The HTTP status; None if there was no answer.
    """
    address = urlsplit(token.base_url or "")
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=CALL_SECONDS)
    try:
        headers = {**token.headers, "content-type": "application/json"}
        connection.request("POST", "/v1/messages", json.dumps(_REQUEST), headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return None
    else:
        return answer.status
    finally:
        connection.close()


def _close(scene: Scene) -> int:
    print("\n".join(summary(scene)), flush=True)
    return output.ERROR if scene.rejected or scene.reuse_detected else output.OK


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """What is typed, without Enter and unseen; nothing where standard input is no terminal."""
    if not sys.stdin.isatty():
        yield lambda: ""
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    try:
        yield lambda: _typed(keyboard)
    finally:
        termios.tcsetattr(keyboard, termios.TCSAFLUSH, before)


def _typed(keyboard: int) -> str:
    ready, _, _ = select.select([keyboard], [], [], 0)
    return os.read(keyboard, 64).decode(errors="replace") if ready else ""
