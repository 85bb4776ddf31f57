"""What a token that lies ready is handed out by: who is kept, and whom a request gets.

The problem: nearly every daemon is asked for tokens alone, for days, and what answers everything else (``ward``,
the methods, their models, the dispatcher) is a third of what it would import. So that stands apart, made when it
is first asked for, and this is what the daemon has before it is ready.

Rule: what is imported here is imported by every start. ``tests/daemon/test_start.py`` says what must not be.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from tokenward.daemon import answers
from tokenward.daemon.broker import Broker
from tokenward.daemon.household import Household, Kept
from tokenward.daemon.keepers import Keepers
from tokenward.daemon.sessions import SessionPins
from tokenward.daemon.standing_answer import HandedOut

if TYPE_CHECKING:
    from tokenward.daemon.plain_request import PlainRequest, TokenRequest


class TokenDesk:
    """All keepers, and the broker among them.

    Args:
        household: what it needs from its composer.
    """

    def __init__(self, household: Household) -> None:
        self.household = household
        self.kept = Keepers(household)
        self.keepers = self.kept.by_key
        self.line = self.kept.line
        self.sessions = SessionPins(household)
        self.broker = Broker(household, self.keepers, self.line, self.sessions)

    async def keep(self, wanted: Sequence[Kept]) -> None:
        """Keep exactly these profiles; a keeper that is as it should be goes on undisturbed.

        Args:
            wanted: every profile of the configuration, the store and the sources.
        """
        await self.kept.keep(wanted)
        self.sessions.drop_vanished({keeper.profile.id for keeper in self.keepers.values()})

    def token_nowait(self, params: TokenRequest) -> HandedOut | None:
        """The lane's answer; see ``Service``."""
        if params.model is not None or params.betas:
            return None
        if params.session is not None and self.sessions.is_chosen(params.session):
            return None
        return self.broker.token_nowait(params)

    def token_later(self, params: PlainRequest) -> Awaitable[HandedOut] | None:
        """A token that does not lie ready; None if the ward must say for which model it is."""
        if params.session is not None and self.sessions.is_chosen(params.session):
            return None
        return self._token(params)

    async def _token(self, params: PlainRequest) -> HandedOut:
        members = await self.broker.token(params)
        chosen = self.broker.choice
        return HandedOut(
            answers.encode(members),
            members["profile"],
            members["generation"],
            chosen.key,
            chosen.why,
            degraded=members["degraded"],
        )
