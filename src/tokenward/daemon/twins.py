"""The same login met in two places.

The problem: a refresh token that lies in two places is spent once and is then dead in the other. The family
file makes one refresh of it, and each place gets the new value; but a person should know, since a place that
nobody keeps, such as the other program's own file, would be left with the dead one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from tokenward.core.credential import Secret
from tokenward.daemon.keeper import Keeper


def notes(keepers: Iterable[Keeper]) -> Mapping[str, str]:
    """For every profile whose refresh token others hold too, one line that says so."""
    holders: dict[Secret, list[str]] = defaultdict(list)
    for keeper in keepers:
        if keeper.credential is not None and keeper.credential.refresh:
            holders[keeper.credential.refresh].append(keeper.profile.id)
    return {
        name: f"the same login is kept as {', '.join(other for other in names if other != name)}; "
        "one refresh serves all of them"
        for names in holders.values()
        if len(names) > 1
        for name in names
    }


def holding(keepers: Iterable[Keeper], refresh: Secret | None) -> list[str]:
    """The profiles that hold a refresh token."""
    if not refresh:
        return []
    return [
        keeper.profile.id
        for keeper in keepers
        if keeper.credential is not None and keeper.credential.refresh == refresh
    ]
