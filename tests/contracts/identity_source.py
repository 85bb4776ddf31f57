"""What every `ports.IdentitySource` promises: subclass `IdentitySourceContract` and give it a rig."""

from typing import Protocol

import pytest

from tokenward.core.credential import Secret
from tokenward.core.federation import NoIdentity
from tokenward.ports import IdentitySource

IDENTITY = "header.claims.signature"


class IdentitySourceRig(Protocol):
    """A source of identity tokens, and whoever fills it."""

    def holding(self, text: str) -> IdentitySource:
        """The source, when somebody has put this there."""


class IdentitySourceContract:
    @pytest.fixture
    def rig(self) -> IdentitySourceRig:
        """Overridden by every adapter's tests."""
        raise NotImplementedError

    async def test_what_is_there_is_fetched_as_often_as_it_is_asked_for(self, rig: IdentitySourceRig) -> None:
        """Fetching takes nothing away."""
        source = rig.holding(IDENTITY)
        assert await source.token() == Secret(IDENTITY)
        assert await source.token() == Secret(IDENTITY)

    async def test_what_cannot_be_one_is_a_reason(self, rig: IdentitySourceRig) -> None:
        """Nothing is raised, the text is not shown, and the place is named."""
        source = rig.holding("please log in first")
        found = await source.token()
        assert isinstance(found, NoIdentity)
        assert "log in" not in found.reason
        assert source.description in found.reason

    async def test_its_signature_stays_while_nothing_changes(self, rig: IdentitySourceRig) -> None:
        """One that changed by itself, or by being read, would have refused identity tokens presented for ever."""
        source = rig.holding(IDENTITY)
        before = source.signature()
        await source.token()
        assert source.signature() == before
        assert hash(before) == hash(source.signature())
