"""What every `ports.TokenEndpoint` promises: subclass `TokenEndpointContract` and give it a rig."""

from typing import Protocol

import pytest

from tokenward.core.credential import Secret
from tokenward.core.grants import Ambiguous, Condemned, Granted, NotSent, RefreshOutcome, Unavailable
from tokenward.ports import TokenEndpoint


class TokenEndpointRig(Protocol):
    """A token endpoint, and the authorization server behind it."""

    @property
    def endpoint(self) -> TokenEndpoint:
        """The endpoint."""

    def login(self) -> Secret:
        """The refresh token of a new login."""

    def overload(self, retry_after: float) -> None:
        """Let the next request be put off."""

    def lose_the_next_answer(self) -> None:
        """Let the next request be performed and its answer be lost."""

    def go_away(self) -> None:
        """Let nothing be reachable from now on."""

    @property
    def reuse_detected(self) -> int:
        """How often a spent refresh token came again."""


class TokenEndpointContract:
    @pytest.fixture
    def rig(self) -> TokenEndpointRig:
        """Overridden by every adapter's tests."""
        raise NotImplementedError

    async def test_a_refresh_is_granted(self, rig: TokenEndpointRig) -> None:
        """A live refresh token gets a new access token, a successor and a life."""
        refresh = rig.login()
        granted = await rig.endpoint.refresh(refresh)
        assert isinstance(granted, Granted)
        assert granted.access
        assert granted.refresh not in {None, refresh}
        assert granted.expires_in is not None
        assert granted.expires_in > 0

    async def test_the_successor_can_be_spent(self, rig: TokenEndpointRig) -> None:
        """Rotation goes on from what was granted."""
        first = granted_in(await rig.endpoint.refresh(rig.login()))
        assert first.refresh is not None
        second = granted_in(await rig.endpoint.refresh(first.refresh))
        assert second.access != first.access
        assert rig.reuse_detected == 0

    async def test_a_spent_token_is_condemned(self, rig: TokenEndpointRig) -> None:
        """What was spent is dead, and the server's word for it is passed on."""
        refresh = rig.login()
        granted_in(await rig.endpoint.refresh(refresh))
        outcome = await rig.endpoint.refresh(refresh)
        assert isinstance(outcome, Condemned)
        assert outcome.error == "invalid_grant"
        assert rig.reuse_detected == 1

    async def test_an_overload_condemns_nothing(self, rig: TokenEndpointRig) -> None:
        """A server that puts us off says for how long, and the token is still good."""
        refresh = rig.login()
        rig.overload(retry_after=17)
        outcome = await rig.endpoint.refresh(refresh)
        assert isinstance(outcome, Unavailable)
        assert outcome.retry_after == 17
        granted_in(await rig.endpoint.refresh(refresh))

    async def test_a_lost_answer_is_ambiguous(self, rig: TokenEndpointRig) -> None:
        """What was sent and not answered may have been spent, and is called so, not unsent and not dead."""
        rig.lose_the_next_answer()
        outcome = await rig.endpoint.refresh(rig.login())
        assert isinstance(outcome, Ambiguous)
        assert outcome.reason

    async def test_an_unreachable_server_has_spent_nothing(self, rig: TokenEndpointRig) -> None:
        """Where nothing could be sent, the outcome says that the token is unspent."""
        refresh = rig.login()
        rig.go_away()
        outcome = await rig.endpoint.refresh(refresh)
        assert isinstance(outcome, NotSent)
        assert outcome.reason
        assert refresh.reveal() not in outcome.reason

    async def test_its_address_is_known_and_stays(self, rig: TokenEndpointRig) -> None:
        """The address is there before the first request and is the same after it: families are named by it."""
        before = rig.endpoint.url
        assert before.startswith("http")
        await rig.endpoint.refresh(rig.login())
        assert rig.endpoint.url == before


def granted_in(outcome: RefreshOutcome) -> Granted:
    """The grant of an outcome that must be one."""
    assert isinstance(outcome, Granted), outcome
    return outcome
