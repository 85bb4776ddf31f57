"""By what means a profile is refreshed: by us through the gate, or by its owner under our family lock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from daemon.keeping import Keeping, keeping, settled, turns, until
from daemon.refreshing import ENDPOINT, LIFE, family_name, nothing, records, transaction
from tokenward.core.credential import Credential, Kind, Profile, Secret
from tokenward.core.freshness import RefreshTiming
from tokenward.core.grants import Ambiguous, Condemned, NotSent, RefreshOutcome, Unavailable
from tokenward.core.lifecycle import Phase
from tokenward.daemon import timetable
from tokenward.daemon.endpoint_gate import IN_FLIGHT
from tokenward.daemon.equipment import flight_limiter
from tokenward.daemon.flight_results import Adopted, Cause, Failed, Refreshed, Rejected, SaveFailed
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.refresher import DELEGATE_BELOW_SECONDS, DelegateRefresher, DirectRefresher
from tokenward.disk.family_file import try_family
from tokenward.errors import ProfileUnavailable
from tokenward.stores.memory import MemoryPlace


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Keeping]:
    """A household."""
    async with keeping(tmp_path) as household:
        yield household


# By us


async def test_a_direct_refresh_is_a_transaction_over_the_endpoint(home: Keeping) -> None:
    """The endpoint is asked in the event loop, the rest is a worker thread's; the place has the new value."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    result = await home.direct().refresh(held, 50)
    assert result == Refreshed(home.stored())
    assert home.endpoint.sent == [held.refresh]


async def test_a_direct_refresh_may_always_start_and_says_its_family(home: Keeping) -> None:
    """A refresh token can be spent at any time; a static value has no family."""
    direct, held = home.direct(), home.credential()
    assert direct.mode == "direct"
    assert direct.may_start(8 * LIFE)
    family = direct.family(held)
    assert family is not None
    assert family.name == family_name(held)
    assert direct.family(home.static(held)) is None


async def test_a_closed_gate_sends_nothing(home: Keeping) -> None:
    """While the endpoint keeps everybody back, a flight ends at once and says for how long."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    home.gate.failed(40)
    direct = home.direct()
    assert direct.closed_for() == 40
    assert await direct.refresh(held, 50) == Failed(
        Cause.UNAVAILABLE, "its token endpoint is in trouble", retry_after=40
    )
    assert home.endpoint.sent == []
    assert records(home.directory, held) == []
    home.clock.advance(40)
    assert isinstance(await direct.refresh(held, 10), Refreshed)


@pytest.mark.parametrize(
    ("outcome", "closed_for"),
    [
        (NotSent("no route"), 2.5),
        (Ambiguous("cut off"), 2.5),
        (Unavailable("HTTP 503"), 2.5),
        (Unavailable("HTTP 429", 77.0), 77.0),
        (Unavailable("HTTP 401 invalid_client", 77.0, configuration=True), 0),
        (Condemned("invalid_grant", ""), 0),
    ],
)
async def test_the_gate_hears_of_trouble_with_the_endpoint_only(
    outcome: RefreshOutcome, closed_for: float, home: Keeping
) -> None:
    """A verdict on one token, and a fault of our registration, are no trouble of the endpoint's."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    home.endpoint.next(outcome)
    await home.direct().refresh(held, 50)
    assert home.gate.closed_for() == closed_for


@pytest.mark.parametrize("happens", ["vanish", "make_busy"])
async def test_trouble_with_the_place_does_not_close_the_gate(happens: str, home: Keeping) -> None:
    """What never came to the endpoint says nothing of it."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    getattr(home.place, happens)()
    assert isinstance(await home.direct().refresh(held, 50), Failed)
    assert home.gate.closed_for() == 0


@pytest.mark.parametrize("outcome", [None, Condemned("invalid_grant", "")])
async def test_an_answer_ends_the_endpoints_trouble(outcome: RefreshOutcome | None, home: Keeping) -> None:
    """Whoever grants or condemns is there: the next failure begins anew."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    for _ in range(5):
        home.gate.failed(None)
    home.clock.advance(3600)
    if outcome is not None:
        home.endpoint.next(outcome)
    assert isinstance(await home.direct().refresh(held, 50), Refreshed | Rejected)
    home.gate.failed(None)
    assert home.gate.closed_for() == 2.5


async def test_at_most_four_requests_are_under_way_at_one_endpoint(home: Keeping) -> None:
    """Twelve profiles fall due at once: four at a time, and each is refreshed once."""
    home.endpoint.hold()
    most = 0
    order: list[float] = []

    async def refresh(left: float) -> None:
        held = replace(
            home.credential(left=left), access=Secret(f"access {left}"), refresh=Secret(f"refresh {left}")
        )
        assert isinstance(await home.direct(MemoryPlace(held)).refresh(held, left), Refreshed)
        order.append(left)

    async with anyio.create_task_group() as group:
        for left in (30.0, 20.0, 10.0, 40.0):
            group.start_soon(refresh, left)
        await until(lambda: len(home.endpoint.sent) == IN_FLIGHT)
        for left in (8.0, 6.0, 7.0, 5.0, 4.0, 3.0, 2.0, 1.0):
            group.start_soon(refresh, left)
        await turns()
        most = len(home.endpoint.sent)
        home.endpoint.release()
    assert most == IN_FLIGHT
    assert len(order) == 12
    assert len({sent.reveal() for sent in home.endpoint.sent}) == 12 == len(home.endpoint.sent)


async def test_flights_have_threads_of_their_own() -> None:
    """More than the gates of a few endpoints let in, and not anyio's default ones."""
    limiter = flight_limiter()
    assert limiter.total_tokens >= 4 * IN_FLIGHT
    assert limiter is not anyio.to_thread.current_default_thread_limiter()


async def test_while_a_family_is_waited_for_it_says_so(home: Keeping) -> None:
    """As soon as it waits, and no longer than it waits."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    seen: list[str | None] = []

    def wait(seconds: float) -> None:
        seen.append(direct.waits_for())
        home.clock.advance(seconds)

    made = transaction(home.directory, home.place, home.clock, lambda _: NotSent("set by the refresher"))
    direct = DirectRefresher(replace(made, wait=wait), home.endpoint, home.gate, home.limiter)
    assert direct.waits_for() is None
    with try_family(home.directory / "families", family_name(held)):
        assert isinstance(await direct.refresh(held, 50), Failed)
    assert len(seen) > 1
    assert all(words and "is refreshing this login" in words for words in seen)
    assert direct.waits_for() is None


async def test_a_lock_that_the_place_waits_for_is_said(home: Keeping) -> None:
    """The place knows which; a place without locks waits for none."""

    class Waiting(MemoryPlace):
        waits_for = "Claude Code's lock is held by process 7"

    assert home.direct(Waiting()).waits_for() == Waiting.waits_for
    assert home.direct().waits_for() is None


# By the owner


class ScriptedDelegate:
    """The owner's program: it does what the test says.

    Args:
        says: why it could not; None = it ran.
    """

    def __init__(self, says: str | None = None) -> None:
        self.says = says
        self.asked = 0
        self.does: Callable[[], object] = nothing
        self.gate: anyio.Event | None = None
        self.under_way = anyio.Event()

    async def refresh(self) -> str | None:
        """Run."""
        self.asked += 1
        self.under_way.set()
        if self.gate is not None:
            await self.gate.wait()
        self.does()
        return self.says


def delegating(home: Keeping, delegate: ScriptedDelegate) -> DelegateRefresher:
    """A refresher that asks the owner."""
    return DelegateRefresher(
        delegate,
        home.place,
        token_endpoint=ENDPOINT,
        families=home.directory / "families",
        clock=home.clock,
        limiter=home.limiter,
    )


async def test_a_new_generation_in_the_place_is_the_owners_success(home: Keeping) -> None:
    """Whatever the program says of itself: the value it left is adopted, with the life it was granted."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    delegate = ScriptedDelegate(says="exit status 1")
    newer = home.credential(1, left=8 * LIFE)
    delegate.does = lambda: home.place.overwrite(newer)
    result = await delegating(home, delegate).refresh(held, 50)
    assert result == Adopted(newer.aged(granted_life=8 * LIFE))
    assert isinstance(result, Adopted)
    assert result.credential.granted_life == 8 * LIFE
    assert delegate.asked == 1


async def test_an_end_that_nobody_knows_gives_no_life(home: Keeping) -> None:
    """A value without an expiry, or with one that has passed, is adopted as it is."""
    held = home.credential(left=50)
    for newer in (replace(home.credential(1), expires_at=None), home.credential(2, left=-5)):
        home.place.overwrite(held)
        delegate = ScriptedDelegate()

        def write(value: Credential = newer) -> None:
            home.place.overwrite(value)

        delegate.does = write
        result = await delegating(home, delegate).refresh(held, 50)
        assert isinstance(result, Adopted)
        assert result.credential == newer
        assert result.credential.granted_life is None


async def test_no_new_generation_means_that_it_does_not_delegate(home: Keeping) -> None:
    """It ran and left its file as it was, or could not run: each with its words."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    result = await delegating(home, ScriptedDelegate()).refresh(held, 50)
    assert isinstance(result, Failed)
    assert result.cause is Cause.NOT_DELEGATED
    assert "left its login as it was" in result.reason
    result = await delegating(home, ScriptedDelegate(says="claude cannot be run: No such file")).refresh(held, 50)
    assert result == Failed(Cause.NOT_DELEGATED, "claude cannot be run: No such file")


@pytest.mark.parametrize("happens", ["blank", "tear", "vanish"])
async def test_what_the_owner_broke_is_not_adopted(happens: str, home: Keeping) -> None:
    """A stub, half a file or none is no new generation."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    delegate = ScriptedDelegate()
    delegate.does = getattr(home.place, happens)
    result = await delegating(home, delegate).refresh(held, 50)
    assert isinstance(result, Failed)
    assert result.cause is Cause.NOT_DELEGATED


async def test_a_static_token_is_not_adopted_for_a_login(home: Keeping) -> None:
    """``refreshToken: null`` never replaces a value that can be refreshed."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    delegate = ScriptedDelegate()
    delegate.does = lambda: home.place.overwrite(home.static(home.credential(1)))
    result = await delegating(home, delegate).refresh(held, 50)
    assert isinstance(result, Failed)


async def test_a_newer_value_is_adopted_without_asking(home: Keeping) -> None:
    """The owner was faster: its program is not started."""
    held, newer = home.credential(left=50), home.credential(1)
    home.place.overwrite(newer)
    delegate = ScriptedDelegate()
    assert isinstance(await delegating(home, delegate).refresh(held, 50), Adopted)
    assert delegate.asked == 0


async def test_our_family_lock_is_held_and_never_the_owners(home: Keeping) -> None:
    """While the owner works, another of ours is kept out, and the owner's own locks are free for it."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    delegate = ScriptedDelegate()
    seen: list[bool] = []

    def look() -> None:
        with try_family(home.directory / "families", family_name(held)) as family:
            seen.append(family is None)

    delegate.does = look
    await delegating(home, delegate).refresh(held, 50)
    assert seen == [True]
    assert home.place.locks_taken == 0
    with try_family(home.directory / "families", family_name(held)) as family:
        assert family is not None
        assert family.state.mark is None


async def test_a_held_family_means_that_the_owner_is_not_asked(home: Keeping) -> None:
    """Another of ours is at it."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    delegate = ScriptedDelegate()
    with try_family(home.directory / "families", family_name(held)):
        result = await delegating(home, delegate).refresh(held, 50)
    assert isinstance(result, Failed)
    assert result.cause is Cause.LOCKED
    assert result.reason.startswith("another process")
    assert delegate.asked == 0


async def test_families_that_cannot_be_had_mean_that_the_owner_is_not_asked(home: Keeping) -> None:
    """Without the lock, no delegation."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    (home.directory / "families").write_text("in the way")
    delegate = ScriptedDelegate()
    result = await delegating(home, delegate).refresh(held, 50)
    assert isinstance(result, Failed)
    assert result.cause is Cause.UNWRITABLE
    assert delegate.asked == 0


async def test_the_owner_is_asked_near_the_end_only(home: Keeping) -> None:
    """Before, it would see no reason to refresh; it has its own back-off, and no families of static values."""
    refresher = delegating(home, ScriptedDelegate())
    assert refresher.mode == "delegate"
    assert refresher.may_start(DELEGATE_BELOW_SECONDS)
    assert not refresher.may_start(DELEGATE_BELOW_SECONDS + 0.001)
    assert refresher.closed_for() == 0
    static = home.static(home.credential())
    assert refresher.family(static) is None
    assert isinstance(await refresher.refresh(static, 50), Failed)
    with pytest.raises(AssertionError):
        await refresher.save(SaveFailed(static, "", "", sealed=False, reason=""))


async def test_a_defect_of_the_delegate_frees_the_family(home: Keeping) -> None:
    """Whatever it raises is the keeper's to report; nobody is kept out by it."""
    held = home.credential(left=50)
    home.place.overwrite(held)
    delegate = ScriptedDelegate()

    def broken() -> None:
        raise RuntimeError("a defect")

    delegate.does = broken
    with pytest.raises(RuntimeError):
        await delegating(home, delegate).refresh(held, 50)
    with try_family(home.directory / "families", family_name(held)) as family:
        assert family is not None


CLAUDE = Profile("anthropic:claude-cli", "anthropic", "claude-code")


async def test_a_keeper_asks_the_owner_90_seconds_before_the_end(home: Keeping) -> None:
    """Due by the same rule as everything else; what the owner writes meanwhile is served at once."""
    home.place.overwrite(home.credential(left=500))
    delegate = ScriptedDelegate()
    delegate.gate = anyio.Event()
    keeper = home.keeper(delegating(home, delegate), profile=CLAUDE)
    await keeper.reconcile()
    await home.pass_time(409.999, keeper)
    assert delegate.asked == 0
    home.alarm.advance(0.001)
    with anyio.fail_after(20):
        await delegate.under_way.wait()
    newer = home.credential(1)
    home.place.overwrite(newer)
    held, _ = await keeper.obtain(60, newer_than=None, patience=20)
    assert held.credential.generation == newer.generation
    delegate.gate.set()
    await settled(keeper)
    assert home.phase(keeper) is Phase.READY
    assert keeper.attempts.failure is None
    assert delegate.asked == 1


async def test_a_margin_above_what_the_owner_acts_on_makes_no_circle(
    home: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Due at ten minutes, the owner acts at five: looked at now and then in between, and asked at five."""
    home.around.timing = RefreshTiming(600.0, 0.0)
    home.place.overwrite(home.credential(left=700))
    delegate = ScriptedDelegate()
    delegate.does = lambda: home.place.overwrite(home.credential(1))
    keeper = home.keeper(delegating(home, delegate), profile=CLAUDE)
    await keeper.reconcile()
    rings = 0
    on_alarm = Keeper.on_alarm

    def count(keeper: Keeper) -> None:
        nonlocal rings
        rings += 1
        assert rings < 100
        on_alarm(keeper)

    monkeypatch.setattr(Keeper, "on_alarm", count)
    timetable.reschedule(keeper)
    await home.pass_time(399, keeper)
    assert delegate.asked == 0
    await home.pass_time(11, keeper)
    assert delegate.asked == 1
    assert home.phase(keeper) is Phase.READY
    assert rings > 1


async def test_what_delegation_cannot_do_is_said_with_the_way_out(home: Keeping) -> None:
    """A refusal with life left: not the owner, but a hint; more life than there is: served as short."""
    held = home.credential(left=LIFE)
    home.place.overwrite(held)
    delegate = ScriptedDelegate()
    keeper = home.keeper(delegating(home, delegate), profile=CLAUDE)
    with pytest.raises(ProfileUnavailable) as refused:
        await keeper.obtain(60, newer_than=held.generation, patience=20)
    assert "run one prompt in Claude Code" in refused.value.hint
    with pytest.raises(ProfileUnavailable) as by_hand:
        await keeper.refresh_by_hand()
    assert "run one prompt in Claude Code" in by_hand.value.hint
    _, degraded = await keeper.obtain(2 * LIFE, newer_than=None, patience=20)
    assert degraded == "short"
    assert delegate.asked == 0


async def test_an_owner_that_does_not_refresh_is_asked_again_with_patience(home: Keeping) -> None:
    """Offline for an hour: the token is served to its end, and the program is started some twenty times."""
    home.place.overwrite(home.credential(left=100))
    delegate = ScriptedDelegate()
    keeper = home.keeper(delegating(home, delegate), profile=CLAUDE)
    await keeper.reconcile()
    await home.pass_time(99, keeper)
    held, _ = await keeper.obtain(0, newer_than=None, patience=20)
    assert held.credential.kind is Kind.OAUTH
    await home.pass_time(3501, keeper)
    assert 15 <= delegate.asked <= 30
    delegate.does = lambda: home.place.overwrite(home.credential(1))
    await home.pass_time(300, keeper)
    assert home.phase(keeper) is Phase.READY
