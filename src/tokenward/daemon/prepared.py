"""What one keeper has prepared for its next caller: its answers, encoded, and one of them ready to be handed out.

The problem: where ten thousand profiles take turns, each answer finds what belongs to its profile cold, and
fetching it from memory costs more than computing with it. So all that an answer is compared with and made of hangs
on one object for each profile (``ReadyAnswer``), made when it is first handed out.

Rule: all of it goes when the value does; what is made of a secret must not outlive it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from tokenward.core.serving import Wish
from tokenward.core.terms import Terms, terms
from tokenward.daemon import timetable
from tokenward.daemon.standing_answer import HandedOut
from tokenward.daemon.surroundings import Surroundings

if TYPE_CHECKING:
    from tokenward.daemon.answers import EncodedAnswer
    from tokenward.daemon.keeper import Keeper


class ReadyAnswer:
    """What a keeper hands out at once and without reservation, for as long as it may.

    The same as ``Keeper.needs_attention`` and ``Keeper.decide`` say, without asking them each time.

    Args:
        keeper: whose value it is.
        encoded: that value as it is answered.
        terms: on what it is served.
        in_force: stands for the settings that were decided by.
        min_valid: seconds of life that the caller wants.
        boottime: the boot clock.
    """

    __slots__ = (
        "_boottime", "_encoded", "_generation", "_in_force", "_keeper", "_key", "_lookout", "_min_valid",
        "_profile", "_terms",
    )  # fmt: skip

    def __init__(
        self,
        keeper: Keeper,
        encoded: EncodedAnswer,
        terms: Terms,
        *,
        in_force: object,
        min_valid: float,
        boottime: Callable[[], float],
    ) -> None:
        self._keeper = keeper
        self._lookout = keeper.lookout
        self._terms = terms
        self._encoded = encoded
        self._in_force = in_force
        self._min_valid = min_valid
        self._boottime = boottime
        self._profile = keeper.profile.id
        self._key = keeper.profile.key
        self._generation = encoded.credential.generation

    def take(self, in_force: object, min_valid: float, now: datetime, why: str) -> HandedOut | None:
        """The answer as it is now; None if it must be decided anew.

        Args:
            in_force: stands for the settings in force now.
            min_valid: seconds of life that this caller wants.
            now: the wall clock, aware UTC.
            why: how the profile was chosen.
        """
        if in_force is not self._in_force or min_valid != self._min_valid or self._lookout.changed():
            return None
        keeper = self._keeper
        left = self._terms.left(keeper.held, keeper.phase, now=now, boot_now=self._boottime())
        if left is None:
            return None
        return HandedOut(self._encoded.with_life(left), self._profile, self._generation, self._key, why)


class Prepared:
    """Made when first asked for.

    Args:
        keeper: whose value it is made of.
        around: what all keepers share.
    """

    __slots__ = ("_around", "_keeper", "encoded", "ready")

    def __init__(self, keeper: Keeper, around: Surroundings) -> None:
        self._keeper = keeper
        self._around = around
        self.ready: ReadyAnswer | None = None
        """What was handed out last without reservation; it says itself whether it still may be."""
        self.encoded: dict[str | None, EncodedAnswer] = {}
        """Answers made of the value held, by why they are degraded."""

    def make_ready(
        self, min_valid: float, in_force: object, encoded: Callable[[Keeper], EncodedAnswer]
    ) -> ReadyAnswer | None:
        """Decide whether the value can be handed out at once and without reservation, and how.

        Args:
            min_valid: seconds of life that the caller wants.
            in_force: stands for the settings in force now.
            encoded: the keeper's answer without reservation.

        Returns:
            None if that takes more than a look at the place, or is served with less than was wished for.
        """
        keeper, self.ready = self._keeper, None
        if keeper.held is None:
            return None
        made = terms(Wish(min_valid), keeper.standing(), keeper.held, lead=timetable.lead(keeper, keeper.held))
        if made is not None:
            self.ready = ReadyAnswer(
                keeper,
                encoded(keeper),
                made,
                in_force=in_force,
                min_valid=min_valid,
                boottime=self._around.clock.boottime,
            )
        return self.ready
