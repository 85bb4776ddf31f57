"""What a source offers to be kept: the one form in which the composition gets it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from tokenward.core.credential import Profile
from tokenward.ports import Place


class Offered(NamedTuple):
    """One profile of a source.

    Args:
        profile: whose it is.
        place: where it lives.
        note: one line that a person should know if its token cannot be refreshed.
        made_of: equal for two that need not be told apart.
    """

    profile: Profile
    place: Place
    note: str | None = None
    made_of: tuple[Hashable, ...] = ()
