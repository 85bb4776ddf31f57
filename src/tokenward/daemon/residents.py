"""Who lives at which place: several profiles may share a file, and nearly none of ten thousand does.

Rule: whoever lives alone costs one entry; a list for each would be as large as all that is told of it.
"""

from __future__ import annotations


class Residents:
    """Profiles' keys, by place."""

    __slots__ = ("_first", "_others")

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._others: dict[str, tuple[str, ...]] = {}

    def at(self, place: str) -> tuple[str, ...]:
        """Who lives at a place, in the order in which they came."""
        first = self._first.get(place)
        return () if first is None else (first, *self._others.get(place, ()))

    def move_in(self, place: str, key: str) -> None:
        """One more lives at a place."""
        if self._first.setdefault(place, key) != key:
            self._others[place] = (*self._others.get(place, ()), key)

    def move_out(self, place: str, key: str) -> bool:
        """One lives at a place no longer.

        Returns:
            Whether anybody still does.
        """
        staying = [other for other in self.at(place) if other != key]
        self._first.pop(place, None)
        self._others.pop(place, None)
        for other in staying:
            self.move_in(place, other)
        return bool(staying)
