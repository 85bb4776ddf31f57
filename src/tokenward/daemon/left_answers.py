"""What a host that was killed had in its hand when another had replaced the value meanwhile.

The problem: the family file of a value that is not held any more is looked at by no refresh. Where hosts share a
login, its sealed answer may be the newest token of a login that still lives, and is nobody else's.

Rule: it is committed as late as that is; the engine keeps as an orphan what it cannot store, and a person is told.
"""

from __future__ import annotations

from tokenward.core.record import UnknownRecord, from_record
from tokenward.daemon.flight_results import Adopted, Refreshed, SaveFailed
from tokenward.daemon.transaction import Transaction
from tokenward.disk.family_file import FamilyFile, families_in, try_family
from tokenward.errors import StoreUnavailable


def bring(transaction: Transaction, held: str) -> int:
    """Commit what lies sealed of this profile and was sent for another value than the one held; blocks.

    Args:
        transaction: the profile's.
        held: the generation held.

    Returns:
        How many answers were brought.
    """
    brought = 0
    for name in families_in(transaction.families):
        with try_family(transaction.families, name) as family:
            pending = _left_in(family, transaction, held) if family is not None else None
        if pending is not None:
            brought += isinstance(transaction.save(pending), Refreshed | Adopted)
    return brought


def _left_in(family: FamilyFile, transaction: Transaction, held: str) -> SaveFailed | None:
    state = family.state
    if state.mark is None or state.finished or state.sealed is None or state.generation == held:
        return None
    is_ours = (state.mark.profile, state.mark.place) == (transaction.profile, transaction.place.description)
    if not is_ours or state.mark.sent == held:
        return None
    try:
        answer = from_record(transaction.sealer.unseal(state.sealed, family.name.encode()))
    except (StoreUnavailable, UnknownRecord):
        return None
    return SaveFailed(answer, state.mark.sent, family.name, sealed=True, reason="")
