"""What somebody may have meant who typed a name that there is not.

The problem: a mistyped name is a correct name of nothing, and a hint that only tells how to make the thing sends
people the wrong way.

Rule: a profile's id is never taken for a mistyped provider, nor the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable

LIKENESS = 0.75
"""How like a name must be to be worth a question; ids share much of their letters without being meant."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A question to stand before a hint, with a blank at its end; empty if no other name is near.

    Args:
        given: the name that was typed.
        known: the names that there are.
    """
    from difflib import get_close_matches  # nobody mistypes a name at a start

    alike = [name for name in known if name != given and (":" in name) == (":" in given)]
    near = get_close_matches(given, alike, n=1, cutoff=LIKENESS)
    return f"did you mean {near[0]}? " if near else ""
