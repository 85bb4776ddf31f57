"""Who is neither served nor refreshed, by a person's decision or by the order in force.

The problem: a profile that rests must look the same to the caller, to the scheduler and in the status, and it
must wake by itself when its cause is gone: a key is removed, a person changes her mind, the order is another.
So who rests is worked out anew from everything that is kept, whenever any of it may have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from tokenward.core import selection
from tokenward.core.selection import Candidate, Resolution, Selector
from tokenward.core.serving import Resting
from tokenward.daemon import nothing_served
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.nothing_served import Refused


def let_rest(keepers: Mapping[str, Keeper], disabled: Collection[str], resolution: Resolution) -> None:
    """Let those rest that people disabled and those that the order sets aside, and wake all others.

    Args:
        keepers: everybody, by key.
        disabled: the keys that people disabled.
        resolution: the order in force.
    """
    able = (  # mostly nobody asks for them
        Candidate(keeper.profile, None if keeper.credential is None else keeper.credential.kind)
        for key, keeper in keepers.items()
        if key not in disabled
    )
    aside = selection.set_aside(able, resolution)
    for key, keeper in keepers.items():
        if key in disabled:
            keeper.rest(Resting.DISABLED)
        else:
            keeper.rest(Resting.SET_ASIDE if key in aside else None)


def refused_at_rest(
    keepers: Mapping[str, Keeper], selector: Selector, candidate: Callable[[Keeper], Candidate]
) -> list[Refused]:
    """Who would have been asked, did it not rest."""
    refused = []
    for keeper in keepers.values():
        if keeper.resting is None or keeper.credential is None:
            continue
        awake = replace(keeper.profile, enabled=True)
        if selector.admits(replace(candidate(keeper), profile=awake)):
            refused.append(nothing_served.resting(keeper.profile, keeper.resting))
    return refused
