"""What one keeper has prepared for its next caller: its answers, encoded, and the terms on which one is served.

Rule: all of it goes when the value does; what is made of a secret must not outlive it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from tokenward.core.serving import Wish
from tokenward.core.terms import Terms, terms
from tokenward.daemon import timetable
from tokenward.daemon.surroundings import Surroundings

if TYPE_CHECKING:
    from tokenward.daemon.answers import EncodedAnswer
    from tokenward.daemon.keeper import Keeper


class Prepared:
    """Made when first asked for.

    Args:
        keeper: whose value it is made of.
        around: what all keepers share.
    """

    __slots__ = ("_around", "_keeper", "_terms", "encoded")

    def __init__(self, keeper: Keeper, around: Surroundings) -> None:
        self._keeper = keeper
        self._around = around
        self._terms: tuple[object, float, Terms] | None = None
        self.encoded: dict[str | None, EncodedAnswer] = {}
        """Answers made of the value held, by why they are degraded."""

    def left(self, min_valid: float, in_force: object, now: datetime) -> float | None:
        """Seconds of life left of what is served at once and without reservation.

        The same as ``Keeper.needs_attention`` and ``Keeper.decide`` say, without asking them each time.

        Args:
            min_valid: seconds of life that the caller wants.
            in_force: stands for the settings that were decided by; for another object it is decided anew.
            now: the wall clock, aware UTC.

        Returns:
            None if that takes more than a look at the place, or is served with less than was wished for.
        """
        keeper = self._keeper
        if keeper.held is None or keeper.lookout.changed():
            return None
        boot_now = self._around.clock.boottime()
        if self._terms is not None:
            made_by, made_for, known = self._terms
            if made_by is in_force and made_for == min_valid:
                left = known.left(keeper.held, keeper.phase, now=now, boot_now=boot_now)
                if left is not None:
                    return left
        made = terms(Wish(min_valid), keeper.standing(), keeper.held, lead=timetable.lead(keeper, keeper.held))
        if made is None:
            return None
        self._terms = in_force, min_valid, made
        return made.left(keeper.held, keeper.phase, now=now, boot_now=boot_now)
