"""A minted credential is kept like any other: due, flown once, backed off, refused and recovered."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from daemon.keeping import Keeping, keeping, settled, turns
from fakes.scripted_minting import ScriptedIdentity, ScriptedMint
from tokenward.core.credential import Kind, Profile
from tokenward.core.grants import Ambiguous, Condemned, NotSent, Unavailable
from tokenward.core.lifecycle import Phase
from tokenward.core.reading import Found
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.minting import REFUSED_FOR_SECONDS, MintedPlace, MintRefresher
from tokenward.errors import LoginRequired, RefreshFailed

PROFILE = Profile("acme:federated", "acme", "federation")
LIFE = 3600.0


@dataclass
class Minting:
    """A keeper of a minted credential, and what it is minted by."""

    household: Keeping
    identity: ScriptedIdentity = field(default_factory=ScriptedIdentity)
    endpoint: ScriptedMint = field(default_factory=ScriptedMint)

    def __post_init__(self) -> None:
        clock = self.household.clock
        self.place = MintedPlace(PROFILE.id, self.identity, clock)
        refresher = MintRefresher(self.place, self.identity, self.endpoint, gate=self.household.gate, clock=clock)
        self.keeper: Keeper = self.household.keeper(refresher, place=self.place, profile=PROFILE)

    async def begin(self) -> None:
        """What a start of the daemon does: look, and let the alarm ring that rings at once."""
        await self.keeper.reconcile()
        await self.household.pass_time(0.0, self.keeper)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass; alarms ring at their moments."""
        await self.household.pass_time(seconds, self.keeper)

    def access(self) -> str:
        """The access token held."""
        assert self.keeper.credential is not None
        return self.keeper.credential.access.reveal()

    async def served(self, newer_than: str | None = None) -> tuple[str, str | None]:
        """What a caller gets: the token, and why it is degraded."""
        held, degraded = await self.keeper.obtain(60.0, newer_than=newer_than, patience=20.0)
        await settled(self.keeper)
        return held.credential.access.reveal(), degraded


@pytest.fixture
async def minting(tmp_path: Path) -> AsyncIterator[Minting]:
    """One minted credential, not looked at yet."""
    async with keeping(tmp_path) as household:
        yield Minting(household)


async def test_it_is_minted_at_the_start(minting: Minting) -> None:
    """Nobody has to ask: a start mints, and what was minted is of the kind federated and has its life."""
    await minting.begin()
    credential = minting.keeper.credential
    assert credential is not None
    assert (credential.kind, credential.granted_life) == (Kind.FEDERATED, LIFE)
    assert minting.endpoint.presented == ["identity-1"]
    assert minting.household.phase(minting.keeper) is Phase.READY
    assert minting.place.read() == Found(credential)


async def test_the_first_caller_waits_for_the_mint(minting: Minting) -> None:
    """A caller that comes before the alarm starts the one flight, and gets what comes of it."""
    results: list[tuple[str, str | None]] = []

    async def ask() -> None:
        results.append(await minting.served())

    async with anyio.create_task_group() as callers:
        for _ in range(5):
            callers.start_soon(ask)
    assert results == [("minted-1", None)] * 5
    assert len(minting.endpoint.presented) == 1


async def test_it_is_minted_again_90_seconds_before_its_end(minting: Minting) -> None:
    """The rule is that of every refresh, and the identity token is fetched anew for it."""
    await minting.begin()
    minting.identity.put("identity-2")
    await minting.pass_time(LIFE - 90.001)
    assert minting.endpoint.presented == ["identity-1"]
    await minting.pass_time(0.001)
    assert minting.access() == "minted-2"
    assert minting.endpoint.presented == ["identity-1", "identity-2"]


async def test_a_rotated_identity_alone_changes_nothing(minting: Minting) -> None:
    """A new identity token is no reason to mint: the value held, its generation and its schedule stay."""
    await minting.begin()
    generation = minting.keeper.credential.generation if minting.keeper.credential else None
    due = minting.keeper.next_attempt
    minting.identity.put("identity-2")
    await minting.keeper.reconcile()
    await settled(minting.keeper)
    assert minting.keeper.credential is not None
    assert minting.keeper.credential.generation == generation
    assert minting.keeper.next_attempt == due
    assert len(minting.endpoint.presented) == 1


async def test_a_401_mints_again(minting: Minting) -> None:
    """A caller that was refused with the token held gets another one."""
    await minting.begin()
    assert minting.keeper.credential is not None
    token, degraded = await minting.served(newer_than=minting.keeper.credential.generation)
    assert (token, degraded) == ("minted-2", None)


async def test_an_identity_that_is_missing_is_waited_for(minting: Minting) -> None:
    """Nothing is sent, callers hear where it should be, and its arrival is acted upon at once."""
    minting.identity.put(None)
    await minting.begin()
    assert minting.household.phase(minting.keeper) is Phase.BACKOFF
    with pytest.raises(RefreshFailed) as refused:
        await minting.served()
    assert "not there" in refused.value.cause
    assert "/run/identity" in refused.value.hint
    assert refused.value.error_class == "AuthenticationError"
    assert minting.endpoint.presented == []
    minting.identity.put("identity-2")
    await minting.keeper.reconcile()
    await minting.pass_time(0.0)
    assert minting.endpoint.presented == ["identity-2"]
    assert (minting.access(), minting.keeper.attempts.failure) == ("minted-1", None)


async def test_a_refused_identity_rests_until_it_changes(minting: Minting) -> None:
    """The server's word is final for this identity token: a person is called, and another one is tried at once."""
    minting.endpoint.next(Condemned("invalid_grant", "no rule matches"))
    await minting.begin()
    assert minting.household.phase(minting.keeper) is Phase.LOGIN_REQUIRED
    await minting.pass_time(REFUSED_FOR_SECONDS - 1)
    with pytest.raises(LoginRequired) as refused:
        await minting.served()
    assert "invalid_grant: no rule matches" in refused.value.cause
    assert "/run/identity" in refused.value.hint
    assert minting.endpoint.presented == ["identity-1"]
    minting.identity.put("identity-2")
    await minting.keeper.reconcile()
    await minting.pass_time(0.0)
    assert minting.endpoint.presented == ["identity-1", "identity-2"]
    assert await minting.served() == ("minted-2", None)


async def test_a_refused_identity_is_tried_again_in_ten_minutes(minting: Minting) -> None:
    """Where the server is put right, nobody has to touch a file; a rest after a second refusal is as long."""
    refusal = Condemned("invalid_grant", "")
    minting.endpoint.next(refusal, times=2)
    await minting.begin()
    for attempts in (2, 3):
        await minting.pass_time(REFUSED_FOR_SECONDS - 1)
        await minting.keeper.reconcile()
        await minting.pass_time(0.0)
        assert len(minting.endpoint.presented) == attempts - 1
        await minting.pass_time(1.0)
        await minting.keeper.reconcile()
        await minting.pass_time(0.0)
        assert len(minting.endpoint.presented) == attempts
    assert await minting.served() == ("minted-3", None)


async def test_a_refusal_does_not_take_the_token_that_lives(minting: Minting) -> None:
    """While the last token lives it is served, marked; what follows a new identity token keeps it, too."""
    await minting.begin()
    minting.endpoint.next(Condemned("invalid_grant", ""), times=2)
    await minting.pass_time(LIFE - 80.0)
    assert minting.household.phase(minting.keeper) is Phase.LOGIN_REQUIRED
    assert await minting.served() == ("minted-1", "refresh_failing")
    minting.identity.put("identity-2")
    assert (await minting.served())[0] == "minted-1"
    assert minting.endpoint.presented == ["identity-1", "identity-1", "identity-2"]
    minting.identity.put("identity-3")
    assert (await minting.served())[0] == "minted-1"
    assert minting.access() == "minted-4"


async def test_a_refusal_of_what_was_presented_before_says_so(minting: Minting) -> None:
    """Where each identity token is good for one mint, the reason names what a person cannot see."""
    await minting.begin()
    minting.endpoint.next(Condemned("authentication_error", ""))
    await minting.pass_time(LIFE)
    with pytest.raises(LoginRequired, match="presented before"):
        await minting.served()
    minting.identity.put("identity-2")
    minting.endpoint.next(Condemned("authentication_error", ""))
    with pytest.raises(LoginRequired) as refused:
        await minting.served()
    assert "before" not in refused.value.cause


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (NotSent("auth.invalid was not reached"), "not_sent"),
        (Ambiguous("no answer"), "ambiguous"),
        (Unavailable("HTTP 503", None), "unavailable"),
        (Unavailable("HTTP 429", None, limited=True), "rate_limited"),
        (Unavailable("HTTP 401 invalid_client", None, configuration=True), "misconfigured"),
    ],
)
async def test_a_server_in_trouble_is_backed_off_from(
    minting: Minting, outcome: NotSent | Ambiguous | Unavailable, cause: str
) -> None:
    """No such failure condemns the identity token; the mint is tried again by the back-off."""
    minting.endpoint.next(outcome)
    await minting.begin()
    assert minting.household.phase(minting.keeper) is Phase.BACKOFF
    assert minting.keeper.attempts.failure is not None
    assert minting.keeper.attempts.failure.cause == cause
    await minting.pass_time(400.0)
    assert minting.access() == "minted-2"
    assert minting.endpoint.presented == ["identity-1", "identity-1"]


async def test_a_closed_gate_fetches_nothing(minting: Minting) -> None:
    """While the endpoint keeps everybody back, no identity token is fetched, and so no command is run."""
    minting.household.gate.failed(100.0)
    await minting.begin()
    assert minting.identity.fetched == 0
    assert minting.keeper.retry_in() is not None
    await minting.pass_time(120.0)
    assert minting.access() == "minted-1"


async def test_what_was_never_minted_is_never_served(minting: Minting) -> None:
    """Whatever the wall clock does, the value that stands for nothing does not come alive."""
    minting.identity.put(None)
    await minting.begin()
    minting.household.clock.step(-5 * 365 * 86400.0)
    minting.identity.put(None)
    await minting.keeper.reconcile()
    await turns()
    left = minting.keeper.left()
    assert left is not None
    assert left < 0


async def test_its_place_is_not_written_by_others(minting: Minting) -> None:
    """Nothing but the mint fills it."""
    with pytest.raises(OSError, match="memory only"):
        minting.place.prepare_write()
