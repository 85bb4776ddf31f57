"""A daemon without a socket, with a clock that obeys, whose one login lives at a real server on loopback.

The problem: what a fault of a server costs shows after minutes and hours of back-off, and what the server did is
known only to one that really rotates. So the ward, the keeper, the transaction, the journal and the HTTP adapter
are the daemon's, the server is the sandbox, and time is the test's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from daemon.keeping import settled
from daemon.refreshing import transaction
from daemon.warding import Warding
from fakes.machine import FakeClock
from tokenward.core.credential import Credential, Secret
from tokenward.core.grants import RefreshOutcome
from tokenward.core.reading import Found
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.profile_models import ProfileResult
from tokenward.daemon.refresher import DirectRefresher
from tokenward.daemon.token_models import TokenResult
from tokenward.errors import TokenwardError
from tokenward.http import HttpClient
from tokenward.oauth.token_endpoint import HttpTokenEndpoint
from tokenward.ports import Place, TokenEndpoint
from tokenward.sandbox import Sandbox

PROFILE = "acme:me"
DUE = 50.0
"""Seconds of life that are less than the margin: a refresh is due."""


TICK = 0.001
"""Time goes on while an alarm rings, or one that is early by the rounding of a clock would ring for ever."""


@dataclass
class Forwarding:
    """A `ports.TokenEndpoint` that can be moved, as a server that comes back.

    Args:
        to: where requests go.
    """

    to: TokenEndpoint

    @property
    def url(self) -> str:
        """The address now."""
        return self.to.url

    async def refresh(self, refresh: Secret) -> RefreshOutcome:
        """Hand it on."""
        return await self.to.refresh(refresh)


class WardAtServer(Warding):
    """A household of one login.

    Args:
        directory: for the families.
        group: where flights run.
        server: the token endpoint.
        reuse_grace: seconds, as the provider's registration says.
    """

    def __init__(
        self, directory: Path, group: TaskGroup, server: TokenEndpoint, *, reuse_grace: float = 0.0
    ) -> None:
        self.server = Forwarding(server)
        self._reuse_grace = reuse_grace
        super().__init__(directory, group)
        self.refresh_stored = True

    def direct(self, place: Place | None = None, *, reuse_grace: float | None = None) -> DirectRefresher:
        """We refresh it ourselves, at the server."""
        grace = self._reuse_grace if reuse_grace is None else reuse_grace
        made = transaction(self.directory, place or self.place, self.clock, _unset, reuse_grace=grace)
        return DirectRefresher(made, self.server, self.gate, self.limiter)

    async def begin(self, access: str, refresh: str | None, *, left: float = DUE) -> None:
        """Keep a login, as after a start."""
        self.store.place(PROFILE).overwrite(
            replace(
                self.credential(left=left), access=Secret(access), refresh=Secret(refresh) if refresh else None
            )
        )
        await self.fill()

    @property
    def its_keeper(self) -> Keeper:
        """The keeper of the login."""
        return self.ward.keepers[PROFILE]

    @property
    def shown(self) -> ProfileResult:
        """The profile as `status` has it."""
        return self.ward.profile(PROFILE)

    @property
    def failure(self) -> str | None:
        """The class of the last failure."""
        return self.shown.last_failure.failure if self.shown.last_failure is not None else None

    @property
    def kept(self) -> Credential:
        """What is in the store."""
        reading = self.store.place(PROFILE).read()
        assert isinstance(reading, Found)
        return reading.credential

    def retry_in(self) -> float:
        """Seconds until the next attempt; 0 if none is planned."""
        when = self.alarm.when(PROFILE)
        return (when - self.clock.now).total_seconds() if when is not None else 0.0

    async def ask(self, min_valid: float = 60.0) -> TokenResult | str:
        """What a caller gets: an answer, or the name of an error."""
        try:
            return await self.served(profile=PROFILE, min_valid=min_valid)
        except TokenwardError as error:
            return type(error).__name__

    async def wait(self, seconds: float) -> None:
        """Let time pass; what rings happens at its moment."""
        end = self.clock.now + timedelta(seconds=seconds)
        while (due := self.alarm.when(PROFILE)) is not None and due <= end:
            self.clock.advance(max(TICK, (due - self.clock.now).total_seconds()))
            self.alarm.ring_due()
            await settled(self.its_keeper)
        self.clock.advance(max(0.0, (end - self.clock.now).total_seconds()))
        self.alarm.ring_due()
        await settled(self.its_keeper)


def _unset(_: Secret) -> RefreshOutcome:
    raise AssertionError("set by the refresher")


@asynccontextmanager
async def ward_at(
    directory: Path, server: TokenEndpoint, *, reuse_grace: float = 0.0
) -> AsyncIterator[WardAtServer]:
    """A ward with a task group, which is cancelled at the end."""
    async with anyio.create_task_group() as group:
        yield WardAtServer(directory, group, server, reuse_grace=reuse_grace)
        group.cancel_scope.cancel()


@asynccontextmanager
async def ward_at_sandbox(
    directory: Path, sandbox: Sandbox, *, url: str | None = None, patience: float = 10.0, reuse_grace: float = 0.0
) -> AsyncIterator[WardAtServer]:
    """A ward that has begun with a login of the sandbox, over the daemon's own HTTP.

    Args:
        directory: for the families.
        sandbox: where the login is from.
        url: where it is taken to; None for the sandbox.
        patience: seconds of the machine's time for one answer.
        reuse_grace: seconds, as the provider's registration says.
    """
    client = HttpClient(user_agent="tokenward/0 (test)")
    login = sandbox.issue()
    endpoint = HttpTokenEndpoint(
        url=url or sandbox.token_endpoint,
        client_id=sandbox.client_id,
        clock=FakeClock(),
        http_client=client,
        timeout=patience,
    )
    try:
        async with ward_at(directory, endpoint, reuse_grace=reuse_grace) as ward:
            await ward.begin(login.access_token, login.refresh_token)
            yield ward
    finally:
        await client.aclose()


@asynccontextmanager
async def back_at(ward: WardAtServer, sandbox: Sandbox) -> AsyncIterator[None]:
    """The way to the server is free again."""
    client = HttpClient(user_agent="tokenward/0 (test)")
    ward.server.to = HttpTokenEndpoint(
        url=sandbox.token_endpoint, client_id=sandbox.client_id, clock=ward.clock, http_client=client
    )
    try:
        yield
    finally:
        await client.aclose()
