"""Whether a profile of which only the health is known would serve: the daemon's own way from one to the other."""

from datetime import datetime
from typing import NamedTuple

from tokenward.core.classify import FailureClass
from tokenward.core.credential import Kind, Profile
from tokenward.core.health import NEVER, Health, for_selection, rebased
from tokenward.core.selection import Candidate

PROFILE = Profile("acme:p", "acme", "store")


class Rest(NamedTuple):
    """Why a profile does not serve, and until when; None = not until somebody acts."""

    reason: FailureClass
    until: datetime | None


def resting(health: Health, now: datetime, *, model: str | None = None) -> Rest | None:
    """Why and until when the profile does not serve; None = it does.

    Args:
        health: what is known of it.
        now: the wall clock, which may have been set back.
        model: the model that is asked for; None = any.
    """
    windows = for_selection(rebased(health, now=now))
    why = Candidate(PROFILE, Kind.API_KEY, windows=windows).unusable(now, model)
    return None if why is None else Rest(FailureClass(why.reason), None if why.until == NEVER else why.until)
