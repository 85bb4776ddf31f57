"""A token endpoint without a network, for tests of whoever refreshes.

By itself it behaves like a server that rotates: it grants every refresh token once and condemns it after that.
What shall go otherwise is scripted, one request at a time.
"""

from collections import deque
from dataclasses import dataclass, field

import anyio

from tokenward.core.credential import Secret
from tokenward.core.grants import Ambiguous, Condemned, Granted, NotSent, RefreshOutcome


@dataclass
class ScriptedTokenEndpoint:
    """A `ports.TokenEndpoint` in memory; for one event loop.

    Args:
        url: its address.
        expires_in: seconds of life it grants; None for a server that does not say.
        rotate: whether a refresh replaces the refresh token.
        unreachable: whether nothing arrives.
    """

    url: str = "https://auth.invalid/oauth/token"
    expires_in: float | None = 3600.0
    rotate: bool = True
    unreachable: bool = False
    sent: list[Secret] = field(default_factory=list, init=False)
    """The refresh tokens that arrived, in their order."""
    grants: list[Granted] = field(default_factory=list, init=False)
    """What was granted, lost answers included."""
    reuse_detected: int = field(default=0, init=False)
    arrived: anyio.Event = field(default_factory=anyio.Event, init=False)
    """Set when a request arrives; `hold` replaces it."""
    _script: deque[RefreshOutcome | None] = field(default_factory=deque, init=False)
    _spent: set[str] = field(default_factory=set, init=False)
    _gate: anyio.Event | None = field(default=None, init=False)

    def next(self, outcome: RefreshOutcome, *, times: int = 1) -> None:
        """Answer the next requests with this, without performing them."""
        self._script.extend([outcome] * times)

    def lose_the_next_answer(self) -> None:
        """Perform the next request, and answer `Ambiguous`."""
        self._script.append(None)

    def hold(self) -> None:
        """Let requests wait, after they arrived and before they are performed, until `release`."""
        self.arrived = anyio.Event()
        self._gate = anyio.Event()

    def release(self) -> None:
        """Let those that wait go on."""
        if self._gate is not None:
            self._gate.set()
            self._gate = None

    async def refresh(self, refresh: Secret) -> RefreshOutcome:
        """Answer as scripted, else as a server that rotates."""
        if self.unreachable:
            return NotSent("auth.invalid was not reached: no route")
        if self._script and isinstance(unsent := self._script[0], NotSent):
            self._script.popleft()
            return unsent
        self.sent.append(refresh)
        self.arrived.set()
        if self._gate is not None:
            await self._gate.wait()
        if not self._script:
            return self._performed(refresh)
        scripted = self._script.popleft()
        if scripted is None:
            self._performed(refresh)
            return Ambiguous("the answer was lost")
        return scripted

    def _performed(self, refresh: Secret) -> RefreshOutcome:
        if refresh.reveal() in self._spent:
            self.reuse_detected += 1
            return Condemned("invalid_grant", "the refresh token was spent before")
        number = len(self.grants) + 1
        if self.rotate:
            self._spent.add(refresh.reveal())
        granted = Granted(
            access=Secret(f"access-granted-{number}"),
            refresh=Secret(f"refresh-granted-{number}") if self.rotate else None,
            expires_in=self.expires_in,
            scopes=None,
            token_type="Bearer",
        )
        self.grants.append(granted)
        return granted
