"""Which profile each session stays with, over restarts; and what people said of it.

The problem: a session that changes its credential at each request loses the provider's cache, and one that a
person pinned must have that one or none. The first is noted with each answer and may be lost; the second is a
decision, and is on the disk before the person is told.

Rules:
- What they mean is ``core.pins``; here they are kept. Both kinds have a section of their own, so that no number of
  sessions pushes out what a person said.
- A pin is written only when it changes, not at each use.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from anyio import to_thread

from tokenward.core.pins import ChosenModel, SessionPin, Sessions, to_document
from tokenward.core.selection import Selector
from tokenward.daemon.routing_state import MAX_ENTRIES, Section

if TYPE_CHECKING:
    from tokenward.daemon.household import Household


class SessionPins:
    """What each session uses.

    Args:
        household: keeps the state.
    """

    def __init__(self, household: Household) -> None:
        self._household = household
        read = [
            {**document, "session": session}
            for section in (Section.PINS, Section.CHOICES)
            for session, document in household.routing.section(section).items()
            if isinstance(document, dict)
        ]
        self._sessions = Sessions.from_document(read, limit=MAX_ENTRIES)

    def get(self, session: str) -> SessionPin | None:
        """What a session uses; None if nothing is settled."""
        return self._sessions.get(session)

    def is_chosen(self, session: str) -> bool:
        """Whether a person said anything of a session."""
        pin = self.get(session)
        return pin is not None and pin.by_person

    def selector(self, session: str, asked: Selector, compactions: int) -> Selector:
        """What a request of a session asks for; see ``Sessions.selector``."""
        return self._sessions.selector(session, asked, compactions)

    def served(self, session: str, asked: Selector, profile: str, compactions: int) -> None:
        """A profile was served to a session.

        Args:
            session: the session's name.
            asked: what the request asked for.
            profile: the id of the profile.
            compactions: how often the session has been compacted.
        """
        before = self.get(session)
        self._sessions.note(session, asked, profile, compactions)
        after = self.get(session)
        if after is not None and after != before:
            self._household.routing.put(_section(after), session, to_document(after))

    async def pin(self, session: str, chosen: ChosenModel) -> SessionPin:
        """Take a person's word, durably; see ``Sessions.pin``.

        Raises:
            InvalidParams: if it cannot be pinned.
            OSError: if it could not be written; everything is as before then.
        """
        pin = Sessions().pin(session, chosen)
        await self._decide(session, pin)
        self._household.routing.drop(Section.PINS, session)
        return self._sessions.pin(session, chosen)

    async def reset(self, session: str) -> None:
        """Forget the model and the profile of a session, durably.

        Raises:
            OSError: if it could not be written; everything is as before then.
        """
        await self._decide(session, None)
        self._household.routing.drop(Section.PINS, session)
        self._sessions.reset(session)

    def drop_vanished(self, profiles: Collection[str]) -> None:
        """Let no session stay with a profile that is gone; see ``Sessions.drop_vanished``."""
        before = {session: self.get(session) for session in self._sessions}
        self._sessions.drop_vanished(profiles)
        for session, pin in before.items():
            left = self.get(session)
            if left == pin:
                continue
            if left is None:
                self._household.routing.drop(Section.PINS, session)
            else:
                self._household.routing.put(_section(left), session, to_document(left))

    async def _decide(self, session: str, pin: SessionPin | None) -> None:
        household, document = self._household, None if pin is None else to_document(pin)

        def decide() -> None:
            household.routing.decide(Section.CHOICES, session, document)

        await to_thread.run_sync(decide, limiter=household.writing)


def _section(pin: SessionPin) -> Section:
    return Section.CHOICES if pin.by_person else Section.PINS
