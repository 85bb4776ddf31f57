"""Which of many alarms is the next: one request a key, in the order of their moments.

The problem: ten thousand profiles ask for an alarm each, ask anew with every refresh and give up in between, while
only the nearest moment matters to whoever waits. To search all of them at each change would cost more than what
they ring for.

Rules:
- A key has one request; another for the same key takes its place.
- What was replaced or dropped stays in the heap until it comes to the front, or is more than a fifth of the heap:
  to take it out at once would mean to search for it.
- Of two requests for one moment the one that was made first comes first.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Generic, TypeVar

T = TypeVar("T")


class AlarmQueue(Generic[T]):
    """Requests by key and by moment. An entry is a tuple, for there are many and a class would double them."""

    __slots__ = ("_heap", "_made", "_wanted")

    def __init__(self) -> None:
        self._wanted: dict[str, tuple[datetime, int, str, T]] = {}
        self._heap: list[tuple[datetime, int, str, T]] = []
        self._made = 0

    def put(self, key: str, when: datetime, what: T) -> None:
        """Request something for a moment, in place of the key's earlier request.

        Args:
            key: names the request.
            when: aware.
            what: is given out when it is due.
        """
        self._made += 1
        entry = (when, self._made, key, what)
        self._wanted[key] = entry
        heapq.heappush(self._heap, entry)
        self._tidy()

    def drop(self, key: str) -> None:
        """Forget the key's request, if there is one."""
        if self._wanted.pop(key, None) is not None:
            self._tidy()

    def next(self) -> datetime | None:
        """The nearest moment that something was requested for; None = nothing is."""
        heap = self._heap
        while heap and not self._is_wanted(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: datetime, most: int) -> Iterator[T]:
        """Give out what is due, the earliest first, and forget it.

        What is dropped or replaced while those before it are given out is left out. What is requested meanwhile
        waits for another call, so that whoever requests the past again and again holds nobody up.

        Args:
            now: aware; what was requested for it or for an earlier moment is due.
            most: how many to look at, so that whoever serves many can do other things in between.
        """
        ready: deque[tuple[datetime, int, str, T]] = deque()
        while len(ready) < most and (moment := self.next()) is not None and moment <= now:
            ready.append(heapq.heappop(self._heap))
        try:
            while ready:
                entry = ready.popleft()
                if self._is_wanted(entry):
                    del self._wanted[entry[2]]
                    yield entry[3]
        finally:  # whoever stops in the middle has lost nothing
            for entry in ready:
                heapq.heappush(self._heap, entry)

    def _is_wanted(self, entry: tuple[datetime, int, str, T]) -> bool:
        return self._wanted.get(entry[2]) is entry

    def _tidy(self) -> None:
        if len(self._heap) > 1.25 * len(self._wanted):
            self._heap = list(filter(self._is_wanted, self._heap))
            heapq.heapify(self._heap)
