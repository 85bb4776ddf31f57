"""How every profile is doing: kept over restarts, told to subscribers, and forgotten with the credential it is of.

The problem: what callers report of one value must not be held against the next, must survive a restart, and must
never cost a request a write to the disk. And whoever watches wants to hear when a profile comes back by itself,
which nobody reports.

Rules:
- What a failure costs is decided by ``core.health``; here it is kept, by profile, together with the generation
  that it speaks of.
- New material makes a profile as new: a person's act, and a value that was found in its place. Our own refresh
  does not: it ends only what was said of the old token (``health.after_refresh``), since the account behind it is
  the same, with its limits and without its money.
- A value found at the start that is another than the one known counts as found in its place.
- ``cooling`` is announced when a window opens that was not open, ``recovered`` when none is open any more.
- It keeps what a clock that was set back made of the windows (``rebased``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from anyio import to_thread

from tokenward.core import health as rules
from tokenward.core import selection
from tokenward.core.classify import FailureClass
from tokenward.core.health import Health, Window
from tokenward.core.health_document import from_document, to_document
from tokenward.daemon.routing_state import Section

if TYPE_CHECKING:
    from tokenward.daemon.event_hub import EventType
    from tokenward.daemon.household import Household

COOLING: EventType = "cooling"
RECOVERED: EventType = "recovered"
LONGEST_REQUEST_SECONDS = 600.0
"""A success that is told while a window is open may be that of a request made before it; one that old is not."""
_GENERATION = "generation"
_WELL = Health()
"""Of whoever never failed: nothing is kept for any of ten thousand."""


class Shown(NamedTuple):
    """A window that is open.

    Args:
        window: the window.
        model: the only model that it concerns; None = all.
        failures: how many counted, in a row.
    """

    window: Window
    model: str | None
    failures: int


class HealthBook:
    """The health of every profile that is kept.

    Args:
        household: keeps the state, the ladders in force and the clock, and tells subscribers.
        changed: told the key of a profile whose windows changed; must not block.
    """

    def __init__(self, household: Household, changed: Callable[[str], None]) -> None:
        self._household = household
        self._changed = changed
        self._healths: dict[str, Health] = {}
        self._generations: dict[str, str | None] = {}

    def of(self, key: str) -> Health:
        """What is known of one profile.

        Args:
            key: the profile's key.
        """
        known = self._healths.get(key)
        if known is not None:
            return known
        document = self._household.routing.section(Section.HEALTH).get(key)
        return _WELL if document is None else self._load(key, document)

    def windows(self, key: str) -> tuple[selection.Window, ...]:
        """The windows of one profile, as selection sees them; some may be over."""
        health = self.of(key)
        return () if health is _WELL else rules.for_selection(health)

    def shown(self, key: str) -> list[Shown]:
        """The windows of one profile that are open now, the widest first."""
        now = self._now()
        return [
            Shown(window, model, streak.failures)
            for model, streak in rules.streaks(self.of(key))
            if (window := streak.open_window(now)) is not None
        ]

    # What happens to a profile

    def failed(
        self, key: str, failure: FailureClass, *, model: str | None = None, reset_at: datetime | None = None
    ) -> None:
        """A request with the value held was refused; see ``health.after_failure``.

        Args:
            key: the profile's key.
            failure: the class.
            model: the model that the limit may belong to.
            reset_at: the moment that the server named.
        """
        ladders = self._household.ladders
        before = self.of(key)
        after = rules.after_failure(
            before, failure, now=self._now(), ladders=ladders, model=model, reset_at=reset_at
        )
        self._keep(key, after)

    def succeeded(self, key: str, *, model: str | None = None) -> None:
        """A request with the value held was answered.

        Args:
            key: the profile's key.
            model: the model that answered, if known.
        """
        health, now = self.of(key), self._now()
        young = (
            window.is_open(now) and (now - window.began).total_seconds() < LONGEST_REQUEST_SECONDS
            for _, window in rules.windows(health)
        )
        if not any(young):
            self._keep(key, rules.after_success(health, model=model))

    def holds(self, key: str, generation: str, *, by_refresh: bool) -> None:
        """A profile holds this value now.

        Args:
            key: the profile's key.
            generation: the value's name.
            by_refresh: whether our own refresh brought it.
        """
        health = self.of(key)
        if self._generations.get(key) == generation:
            return
        self._generations[key] = generation
        if health != _WELL:
            self._keep(key, rules.after_refresh(health) if by_refresh else rules.cleared(), anew=True)

    def forgive(self, key: str) -> None:
        """A person says that the profile is well, or gave it new material."""
        self._keep(key, rules.cleared())

    async def clear(self, key: str) -> None:
        """As ``forgive``, and durable when it returns.

        Raises:
            OSError: if it could not be written; nothing is changed then.
        """
        household = self._household
        await to_thread.run_sync(household.routing.decide, Section.HEALTH, key, None, limiter=household.writing)
        self.forgive(key)

    # What time does

    def rebase(self) -> None:
        """The clock was set back: no window is longer than it was."""
        for key, health in list(self._healths.items()):
            self._keep(key, rules.rebased(health, now=self._now()))

    def release(self, key: str) -> None:
        """The profile is kept no longer; what is known of it stays in the state."""
        self._household.around.alarm.cancel(_alarm(key))
        self._healths.pop(key, None)
        self._generations.pop(key, None)

    # What they are made of

    def _load(self, key: str, document: object) -> Health:
        generation = document.get(_GENERATION) if isinstance(document, dict) else None
        health = rules.rebased(from_document(document), now=self._now())
        self._healths[key] = health
        self._generations[key] = generation if isinstance(generation, str) else None
        self._set_alarm(key, health)
        return health

    def _keep(self, key: str, health: Health, *, anew: bool = False) -> None:
        """Take a new value, tell what it means, and have it written; ``anew`` where only its generation is new."""
        before = self.of(key)
        if health == before and not anew:
            return
        if health == _WELL:
            self._healths.pop(key, None)
            self._household.routing.drop(Section.HEALTH, key)
        else:
            self._healths[key] = health
            document = {**to_document(health), _GENERATION: self._generations.get(key)}
            self._household.routing.put(Section.HEALTH, key, document)
        self._announce(key, before, health)
        self._set_alarm(key, health)
        self._changed(key)

    def _announce(self, key: str, before: Health, after: Health) -> None:
        now = self._now()
        was = {(model, window.reason) for model, window in rules.open_windows(before, now=now)}
        opened = [each for each in rules.open_windows(after, now=now) if (each[0], each[1].reason) not in was]
        for model, window in opened:
            self._tell(COOLING, key, words(window, model))
        if was and not rules.open_windows(after, now=now):
            self._tell(RECOVERED, key, "")

    def _tell(self, type_: EventType, key: str, detail: str) -> None:
        generation = self._generations.get(key)
        self._household.hub.announce(type_, profile=key, generation=generation, detail=detail)

    def _set_alarm(self, key: str, health: Health) -> None:
        alarm = self._household.around.alarm
        ends = [
            window.ends for _, window in rules.open_windows(health, now=self._now()) if window.ends is not None
        ]
        if ends:
            alarm.at(_alarm(key), min(ends), lambda: self._window_over(key))
        else:
            alarm.cancel(_alarm(key))

    def _window_over(self, key: str) -> None:
        health = self.of(key)
        if rules.open_windows(health, now=self._now()):
            self._set_alarm(key, health)  # another is open, or the clock was set
        else:
            self._tell(RECOVERED, key, "")

    def _now(self) -> datetime:
        return self._household.around.clock.wall()


def words(window: Window, model: str | None) -> str:
    """A window in one line for people."""
    whose = "" if model is None else f" of {model}"
    until = (
        "until there is a new credential" if window.ends is None else f"until {window.ends:%Y-%m-%d %H:%M:%S} UTC"
    )
    return f"{window.reason.value}{whose}, {until}"


def _alarm(key: str) -> str:
    return f"health:{key}"
