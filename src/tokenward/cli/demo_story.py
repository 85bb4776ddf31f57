"""What has happened in the demo so far, as values: for the screen, for a pipe, and for the summary.

Rules: it reads no clock and asks nobody; whoever plays tells it what happened and when. It never keeps a token.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tokenward.cli import output
from tokenward.client import Event, Token
from tokenward.core.redact import recognisable
from tokenward.sandbox import Statistics

_REMEMBERED = 100
"""Lines and calls that are kept: more than the tallest terminal shows."""
ARRIVALS = frozenset({"appeared", "rotated"})
"""Events that name the generation held from now on. It is a rotation only if another one was held before."""
_TROUBLE = frozenset({"refresh_failed", "login_required", "unsaved", "logged_out", "forgotten"})

Mood = Literal["plain", "rotation", "trouble"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of what happened.

    Args:
        at: seconds since the start.
        text: for people.
        mood: what kind of news it is.
    """

    at: float
    text: str
    mood: Mood = "plain"

    def __str__(self) -> str:
        return f"{clock(self.at)}  {self.text}"


@dataclass(frozen=True, slots=True)
class Shown:
    """The token that the socket handed out last, without the token.

    Args:
        number: 1 for the first, one more for each that differed.
        generation: its public name.
        looks: what may be shown of the token itself.
        expires_at: Unix seconds.
        due_at: when the daemon plans to refresh it, in Unix seconds; None = not planned now.
    """

    number: int
    generation: str
    looks: str
    expires_at: float
    due_at: float | None


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the Messages API.

    Args:
        token: the number of the token it was made with.
        accepted: whether the API took it.
    """

    token: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that one picture shows.

    Args:
        elapsed: seconds since the start.
        ttl: life of a token, in seconds.
        now: Unix seconds.
        token: the token handed out last; None = none yet.
        rotated_at: when the last rotation was heard of, in seconds since the start; None = never.
        rotations: rotations that the daemon told of.
        granted: refreshes that the server granted.
        reuse_detected: spent refresh tokens that the server met again.
        accepted: requests that the API took.
        rejected: requests that it did not take, or that had no token.
        outcome: what became of the last request.
        calls: the last requests, oldest first.
        lines: what happened, oldest first.
        commands: how to ask from elsewhere, each in the parts between which it may be broken.
    """

    elapsed: float
    ttl: float
    now: float
    token: Shown | None
    rotated_at: float | None
    rotations: int
    granted: int
    reuse_detected: int
    accepted: int
    rejected: int
    outcome: str
    calls: tuple[Call, ...]
    lines: tuple[Line, ...]
    commands: tuple[tuple[str, ...], ...]


class Story:
    """What has happened so far.

    Args:
        ttl: life of a token, in seconds.
        commands: how to ask from elsewhere, each in the parts between which it may be broken.
        tell: called with each line when it is written.
    """

    def __init__(self, ttl: float, commands: tuple[tuple[str, ...], ...], tell: Callable[[Line], None]) -> None:
        self._ttl = ttl
        self.commands = commands
        self._tell = tell
        self._lines: deque[Line] = deque(maxlen=_REMEMBERED)
        self._calls: deque[Call] = deque(maxlen=_REMEMBERED)
        self._token: Shown | None = None
        self.announced = ""
        self._announced_end = 0.0
        self._praised = 0
        self._rotated_at: float | None = None
        self._outcome = ""
        self.rotations = 0
        self.accepted = 0
        self.rejected = 0

    def write(self, at: float, text: str, mood: Mood = "plain") -> None:
        """Add a line.

        Args:
            at: seconds since the start.
            text: for people.
            mood: what kind of news it is.
        """
        line = Line(at, output.clean(text), mood)
        self._lines.append(line)
        self._tell(line)

    def served(self, token: Token, due_at: float | None) -> Shown:
        """The socket handed out a token.

        Args:
            token: the one.
            due_at: when its refresh is planned, in Unix seconds.

        Returns:
            What is kept of it.
        """
        number = 0 if self._token is None else self._token.number
        if self._token is None or self._token.generation != token.generation:
            number += 1
        expires_at = (token.expires_at_ms or 0) / 1000
        self._token = Shown(number, token.generation, recognisable(token.token), expires_at, due_at)
        if token.generation == self.announced:
            self._announced_end = expires_at
        return self._token

    def not_served(self, at: float, cause: str) -> None:
        """The socket handed out none."""
        self._fail(at, f"no token: {cause}")

    def used(self, at: float, token: Shown, status: int | None) -> None:
        """The Messages API was asked.

        Args:
            at: seconds since the start.
            token: the token it was asked with.
            status: what it answered; None = nothing.
        """
        if status != 200:
            self._fail(at, "no answer" if status is None else f"{status} rejected")
            return
        self._outcome = "200 accepted"
        self.accepted += 1
        self._calls.append(Call(token.number, accepted=True))
        if token.number > self._praised:
            self._praised = token.number
            self.write(at, f"the Messages API accepts token no. {token.number}, {token.generation}")

    def heard(self, at: float, event: Event, statistics: Statistics) -> None:
        """The daemon told of an event.

        Args:
            at: seconds since the start.
            event: what it told.
            statistics: the server's counts at this moment.
        """
        if event.type in ARRIVALS and event.generation is not None:
            self._arrived(at, event.generation, event.at_ms / 1000, statistics)
            return
        words = event.type.replace("_", " ") + (f": {event.detail}" if event.detail else "")
        self.write(at, words, "trouble" if event.type in _TROUBLE else "plain")

    def scene(self, at: float, now: float, statistics: Statistics) -> Scene:
        """Everything at one moment.

        Args:
            at: seconds since the start.
            now: Unix seconds.
            statistics: the server's counts.
        """
        return Scene(
            elapsed=at,
            ttl=self._ttl,
            now=now,
            token=self._token,
            rotated_at=self._rotated_at,
            rotations=self.rotations,
            granted=statistics.refreshes_granted,
            reuse_detected=statistics.reuse_detected,
            accepted=self.accepted,
            rejected=self.rejected,
            outcome=self._outcome,
            calls=tuple(self._calls),
            lines=tuple(self._lines),
            commands=self.commands,
        )

    def _arrived(self, at: float, generation: str, now: float, statistics: Statistics) -> None:
        before, end = self.announced, self._announced_end
        if generation == before:
            return
        self.announced, self._announced_end = generation, 0.0
        if self._token is not None and self._token.generation == generation:
            self._announced_end = self._token.expires_at
        if not before:
            self.write(at, f"the daemon keeps a login: generation {generation}")
            return
        self.rotations += 1
        self._rotated_at = at
        spare = f" with {end - now:.1f} s left" if end > now else ""
        granted = statistics.refreshes_granted
        self.write(at, f"rotated {before} -> {generation}{spare}; server granted {granted}", "rotation")

    def _fail(self, at: float, outcome: str) -> None:
        self._outcome = outcome
        self.rejected += 1
        self._calls.append(Call(self._token.number if self._token is not None else 0, accepted=False))
        self.write(at, f"the Messages API: {outcome}", "trouble")


def summary(scene: Scene) -> tuple[str, str, str]:
    """The demo in three lines."""
    requests = counted(scene.accepted + scene.rejected, "request")
    counts = (
        f"{counted(scene.rotations, 'rotation')}, {counted(scene.granted, 'refresh')} granted by the server, "
        f"reuse detected: {scene.reuse_detected}"
    )
    return (
        f"In {output.duration(scene.elapsed)}: {counts}.",
        f"The Messages API was sent {requests}: {scene.accepted} accepted, {scene.rejected} rejected.",
        "Everything it made is removed. Next, with your own login: tokenward daemon",
    )


def clock(seconds: float) -> str:
    """Seconds since the start, as ``1:05``."""
    minutes, left = divmod(int(seconds), 60)
    return f"{minutes}:{left:02}"


def counted(number: int, noun: str) -> str:
    """``1 refresh``, ``2 refreshes``."""
    plural = "es" if noun.endswith("sh") else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"
