"""What every `ports.MintEndpoint` promises: subclass `MintEndpointContract` and give it a rig."""

from typing import Protocol

import pytest

from tokenward.core.credential import Secret
from tokenward.core.grants import Ambiguous, Condemned, Granted, NotSent, Unavailable
from tokenward.ports import MintEndpoint

TRUSTED = Secret("header.trusted.signature")


class MintEndpointRig(Protocol):
    """A token endpoint, and the authorization server behind it, which trusts `TRUSTED`."""

    @property
    def endpoint(self) -> MintEndpoint:
        """The endpoint."""

    def distrust(self) -> None:
        """Let the next identity token be refused."""

    def overload(self, retry_after: float) -> None:
        """Let the next request be put off."""

    def lose_the_next_answer(self) -> None:
        """Let the next request be performed and its answer be lost."""

    def go_away(self) -> None:
        """Let nothing be reachable from now on."""


class MintEndpointContract:
    @pytest.fixture
    def rig(self) -> MintEndpointRig:
        """Overridden by every adapter's tests."""
        raise NotImplementedError

    async def test_a_trusted_identity_gets_a_token(self, rig: MintEndpointRig) -> None:
        """An access token with a life, and another one each time."""
        first, second = await rig.endpoint.mint(TRUSTED), await rig.endpoint.mint(TRUSTED)
        assert isinstance(first, Granted)
        assert isinstance(second, Granted)
        assert first.access != second.access
        assert first.expires_in is not None
        assert first.expires_in > 0

    async def test_another_identity_is_refused(self, rig: MintEndpointRig) -> None:
        """The server's word is passed on, and shows nothing of what was presented."""
        rig.distrust()
        outcome = await rig.endpoint.mint(Secret("header.stranger.signature"))
        assert isinstance(outcome, Condemned)
        assert outcome.error == "invalid_grant"
        assert "stranger" not in outcome.description

    async def test_an_overload_refuses_nobody(self, rig: MintEndpointRig) -> None:
        """A server that puts us off says for how long."""
        rig.overload(retry_after=17)
        assert await rig.endpoint.mint(TRUSTED) == Unavailable("HTTP 429 rate_limited", 17.0)
        assert isinstance(await rig.endpoint.mint(TRUSTED), Granted)

    async def test_a_lost_answer_is_ambiguous(self, rig: MintEndpointRig) -> None:
        """What was sent and not answered is called so."""
        rig.lose_the_next_answer()
        assert isinstance(await rig.endpoint.mint(TRUSTED), Ambiguous)

    async def test_an_unreachable_server_was_sent_nothing(self, rig: MintEndpointRig) -> None:
        """The reason shows nothing of the identity token."""
        rig.go_away()
        outcome = await rig.endpoint.mint(TRUSTED)
        assert isinstance(outcome, NotSent)
        assert TRUSTED.reveal() not in outcome.reason
