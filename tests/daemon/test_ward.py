"""The ward: which profile is asked, what comes of all of them, and who may add or forget one."""

from __future__ import annotations

import asyncio
import collections
import errno
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PosixPath
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from daemon.keeping import Keeping, settled, turns, until
from daemon.on_lane import OnLane
from daemon.refreshing import LIFE, HookedPlace, records
from daemon.warding import household_over
from tokenward.core.credential import Credential, Kind, Profile, Secret
from tokenward.core.grants import Condemned, Unavailable
from tokenward.core.lifecycle import Phase
from tokenward.core.provider import ProviderRegistration
from tokenward.daemon import broker
from tokenward.daemon.daemon_models import DaemonStatusResult, ReloadResult
from tokenward.daemon.household import Kept
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.profile_models import ProfileAddParams, ProfileListParams, ProfileResult, StoredCredential
from tokenward.daemon.token_desk import TokenDesk
from tokenward.daemon.token_models import CredentialInput, ReportParams, TokenParams, TokenResult
from tokenward.daemon.ward import Ward
from tokenward.disk import family_file
from tokenward.disk.durability import write_at
from tokenward.errors import (
    AllUnavailable,
    CallTimeout,
    InvalidParams,
    LoginRequired,
    NoCredentials,
    ProfileUnavailable,
    RefreshFailed,
    StoreUnavailable,
)
from tokenward.ports import Place
from tokenward.provider_files import Provider
from tokenward.sources.fixed import FixedCredential
from tokenward.stores.memory import MemoryCredentialStore, MemoryPlace


class Warded(Keeping):
    """A household with a ward over it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.store = MemoryCredentialStore()
        self.watched: list[str] = []
        self.stopped = 0
        self.ward = Ward(
            TokenDesk(
                household_over(
                    self,
                    self.store,
                    self.stored_profile,
                    status=self._status,
                    reload=self._reload,
                    stop=self._stop,
                    watch=self.watched.append,
                    unwatch=self._unwatch,
                    looked_at=lambda: ["the store: not found", "$KEY: not found"],
                )
            )
        )
        self.lane = OnLane(self.ward)

    def _unwatch(self, place: str) -> None:
        self.watched[:] = [each for each in self.watched if each != place]

    def stored_profile(self, profile: str) -> Kept:
        """A profile of our store, refreshed by us."""
        place = self.store.place(profile)
        return Kept(Profile(profile, profile.partition(":")[0], "store"), place, self.direct(place))

    def foreign(self, profile: str, place: Place, source: str = "claude-code") -> Kept:
        """A profile in another program's place, only watched."""
        return Kept(Profile(profile, profile.partition(":")[0], source), place, None)

    async def keep(self, *wanted: Kept) -> None:
        """Keep these and what is in the store."""
        await self.ward.keep([*wanted, *(self.stored_profile(name) for name in self.store.profiles())])

    def _status(self, profiles: list[ProfileResult]) -> DaemonStatusResult:
        return DaemonStatusResult(
            version="1",
            pid=1,
            started_at_ms=0,
            uptime=0,
            socket="",
            state_directory="",
            config=None,
            config_error=None,
            store_trouble=None,
            store_key="",
            connections=0,
            subscribers=0,
            profiles=profiles,
        )

    async def _reload(self) -> ReloadResult:
        return ReloadResult(reloaded=True, error=None)

    def _stop(self) -> None:
        self.stopped += 1


@asynccontextmanager
async def warded(directory: Path) -> AsyncIterator[Warded]:
    """A household with a task group, which is cancelled at the end."""
    async with anyio.create_task_group() as group:
        household = Warded(directory, group)
        yield household
        group.cancel_scope.cancel()
        household.endpoint.release()  # a flight is shielded: after a failed test it would wait for ever


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Warded]:
    """A household."""
    async with warded(tmp_path) as household:
        yield household


def key(text: str = "sk-ant-api03-x") -> Credential:
    """An API key."""
    return Credential(Kind.API_KEY, Secret(text))


def fixed(name: str, credential: Credential, source: str = "environment") -> Kept:
    """A key that stands in the environment or the configuration."""
    place = FixedCredential(credential, name=source, description=f"${name}")
    return Kept(Profile(name, name.partition(":")[0], source), place, None)


# Which profile


async def test_what_was_added_comes_before_the_environment_and_the_configuration(home: Warded) -> None:
    """And of those, what refreshes before what does not; ties by id."""
    home.store.add("anthropic:b", home.credential(1))
    home.store.add("anthropic:a", home.credential(2))
    home.store.add("anthropic:key", key())
    await home.keep(fixed("anthropic:config", key("sk-config"), "config"), fixed("anthropic:env", key("sk-env")))
    served = []
    for _ in range(5):
        result = await home.ward.token(TokenParams())
        served.append(result.profile)
        await home.ward._kept.dismiss(result.profile)
    assert served == ["anthropic:a", "anthropic:b", "anthropic:key", "anthropic:env", "anthropic:config"]


@pytest.mark.parametrize(
    ("wish", "profile"),
    [
        (TokenParams(), "anthropic:oauth"),
        (TokenParams(kinds=["api_key", "auth_token"]), "anthropic:key"),
        (TokenParams(kinds=["setup_token"]), "anthropic:year"),
        (TokenParams(auth_method="api_key"), "anthropic:key"),
        (TokenParams(auth_method="oauth"), "anthropic:oauth"),
        (TokenParams(provider="anthropic-subscription"), "anthropic:oauth"),
        (TokenParams(provider="anthropic-subscription", kinds=["setup_token", "api_key"]), "anthropic:year"),
        (TokenParams(provider=" Claude-CLI "), "anthropic:oauth"),
        (TokenParams(profile="anthropic:year"), "anthropic:year"),
        (TokenParams(profile="acme:me"), "acme:me"),
        (TokenParams(provider="acme"), "acme:me"),
        (TokenParams(tier="max_5"), "anthropic:tiered"),
    ],
)
async def test_a_wish_is_served_by_what_fits_it(wish: TokenParams, profile: str, home: Warded) -> None:
    """Kinds, method, provider, profile and tier each narrow the choice; lane and call agree."""
    home.store.add("anthropic:oauth", home.credential(1))
    home.store.add("anthropic:key", key())
    home.store.add("anthropic:year", Credential(Kind.SETUP_TOKEN, Secret("sk-ant-oat01-year")))
    home.store.add("anthropic:tiered", replace(home.credential(2), kind=Kind.FEDERATED, tier="max_5x"))
    home.store.add("acme:me", home.credential(3))
    await home.keep()
    result = await home.ward.token(wish)
    assert result.profile == profile
    lane = home.lane.ask(wish)
    assert lane is not None
    assert lane == result.model_dump(mode="json")


@pytest.mark.parametrize(
    "wish",
    [
        TokenParams(kinds=["federated"]),
        TokenParams(kinds=[]),
        TokenParams(auth_method="oauth", kinds=["api_key"]),
        TokenParams(tier="max"),
    ],
)
async def test_what_fits_nothing_says_where_was_looked(wish: TokenParams, home: Warded) -> None:
    """An error with the places, found or not."""
    home.store.add("anthropic:me", home.credential())
    await home.keep()
    with pytest.raises(NoCredentials) as refused:
        await home.ward.token(wish)
    assert refused.value.details["looked_at"] == ["the store: not found", "$KEY: not found"]
    assert "credentials not set" in refused.value.cause
    assert home.lane.ask(wish) is None


async def test_a_mistyped_name_is_answered_with_the_one_that_was_meant(home: Warded) -> None:
    """A provider's and a profile's, as often as it is mistyped; what is near to nothing, as before."""
    home.store.add("acme:me", home.credential())
    await home.keep()
    for _ in range(2):
        with pytest.raises(NoCredentials) as refused:
            await home.ward.token(TokenParams(provider="acne"))
        assert refused.value.hint.startswith("did you mean acme? run: tokenward onboard, or: ")
        with pytest.raises(NoCredentials, match="Antropic credentials not set") as refused:
            await home.ward.token(TokenParams(provider="antropic"))
        assert refused.value.hint.startswith("did you mean anthropic? ")
    with pytest.raises(ProfileUnavailable) as unknown:
        await home.ward.token(TokenParams(profile="acme:mee"))
    assert unknown.value.hint == "did you mean acme:me? see which there are: tokenward profiles list"
    with pytest.raises(ProfileUnavailable) as unknown:
        await home.ward.refresh("acme:nobody", "main")
    assert unknown.value.hint == "see which there are: tokenward profiles list"


async def test_an_unknown_provider_is_looked_for_in_the_configuration(home: Warded) -> None:
    """The places of other providers are no news of this one."""
    with pytest.raises(NoCredentials) as refused:
        await home.ward.token(TokenParams(provider="nobody"))
    assert refused.value.details["looked_at"][0] == "[providers.nobody] in the configuration: not found"


async def test_a_profile_that_is_not_there_is_named(home: Warded) -> None:
    """Asked for, reported, shown, refreshed or forgotten."""
    with pytest.raises(ProfileUnavailable, match='"acme:none"'):
        await home.ward.token(TokenParams(profile="acme:none"))
    with pytest.raises(ProfileUnavailable, match='"acme:none"'):
        home.ward.profile("acme:none")
    with pytest.raises(ProfileUnavailable, match='"acme:none"'):
        await home.ward.refresh("acme:none")
    with pytest.raises(ProfileUnavailable, match='"acme:none"'):
        await home.ward.forget("acme:none")
    with pytest.raises(ProfileUnavailable, match='"acme:none"'):
        await home.ward.report(ReportParams(profile="acme:none", generation="0" * 12, status=401))


@pytest.mark.covers("L23")
async def test_an_expired_profile_without_a_refresh_token_is_passed_over(home: Warded) -> None:
    """The next credential is served, and the one passed over is shown as expired."""
    home.store.add("anthropic:a", home.static(home.credential(left=-1)))
    home.store.add("anthropic:b", key())
    await home.keep()
    assert (await home.ward.token(TokenParams())).profile == "anthropic:b"
    assert home.ward.profile("anthropic:a").unusable == "expired"


@pytest.mark.covers("N41")
async def test_expired_without_a_refresh_token_and_alone_is_an_authentication_error(home: Warded) -> None:
    """A person must log in again."""
    home.store.add("anthropic:a", home.static(home.credential(left=-1)))
    await home.keep()
    with pytest.raises(LoginRequired, match="OAuth token expired and no refresh token available") as refused:
        await home.ward.token(TokenParams())
    assert refused.value.data()["class"] == "AuthenticationError"


@pytest.mark.covers("E18")
async def test_a_failed_refresh_says_so_with_the_exact_command(home: Warded) -> None:
    """Cause and remedy, each one line, and no text of a token."""
    home.store.add("anthropic:me", home.credential(left=-1))
    await home.keep()
    home.endpoint.next(Unavailable("HTTP 503"))
    with pytest.raises(RefreshFailed) as refused:
        await home.ward.token(TokenParams())
    expected = "OAuth token refresh failed for anthropic: HTTP 503. Please try again or re-authenticate."
    assert refused.value.cause == expected
    assert "tokenward login anthropic --profile anthropic:me" in refused.value.hint
    home.endpoint.next(Condemned("invalid_grant", "gone"))
    await settled(home.ward.keepers["anthropic:me"])
    home.clock.advance(10)
    with pytest.raises(LoginRequired) as dead:
        await home.ward.token(TokenParams())
    assert dead.value.cause.startswith("OAuth token refresh failed for anthropic: invalid_grant: gone.")
    for error in (refused.value, dead.value):
        assert "sk-ant" not in error.cause + error.hint
        assert "\n" not in error.cause + error.hint


async def test_claude_codes_own_login_has_its_own_command(home: Warded) -> None:
    """Dead or expired, the way in is Claude Code's."""
    place = HookedPlace(home.credential(left=-1))
    profile = Profile("anthropic:claude-cli", "anthropic", "claude-code")
    await home.keep(Kept(profile, place, home.direct(place)))
    home.endpoint.next(Condemned("invalid_grant", ""))
    with pytest.raises(LoginRequired) as dead:
        await home.ward.token(TokenParams())
    assert dead.value.details["command"] == "claude auth login"


async def test_several_that_fail_are_told_in_one_error(home: Warded) -> None:
    """Each with its cause, and the earliest moment at which one may work again."""
    home.store.add("anthropic:a", home.credential(1, left=-1))
    home.store.add("anthropic:b", home.static(home.credential(2, left=-1)))
    await home.keep()
    home.endpoint.next(Unavailable("HTTP 503", 40.0))
    with pytest.raises(AllUnavailable, match="No available auth profile for anthropic") as refused:
        await home.ward.token(TokenParams())
    assert refused.value.details["retry_after"] == 40
    assert "HTTP 503" in refused.value.hint
    assert "no refresh token" in refused.value.hint
    assert [each["profile"] for each in refused.value.details["profiles"]] == ["anthropic:a", "anthropic:b"]


async def test_a_refused_static_key_is_excluded_for_the_caller_that_names_it(home: Warded) -> None:
    """``newer_than`` a key's generation: the next profile, and its own again for everybody else."""
    home.store.add("anthropic:a", key("sk-a"))
    home.store.add("anthropic:b", key("sk-b"))
    await home.keep()
    result = await home.ward.token(TokenParams(newer_than=key("sk-a").generation))
    assert result.token == "sk-b"
    assert (await home.ward.token(TokenParams())).token == "sk-a"


async def test_a_place_that_came_to_hold_another_kind_is_not_served_for_it(home: Warded) -> None:
    """A key was asked for, and the empty place turns out to hold a login: it is not given to that caller."""
    place = HookedPlace()
    await home.keep(home.foreign("anthropic:claude-cli", place))
    place.overwrite(home.credential())
    with pytest.raises(NoCredentials):
        await home.ward.token(TokenParams(kinds=["api_key", "auth_token"]))
    assert (await home.ward.token(TokenParams())).kind == "oauth"


async def test_a_file_that_appears_is_served_at_the_next_call(home: Warded) -> None:
    """Nothing at the start, a login later: no restart, and no reload."""
    place = HookedPlace()
    await home.keep(home.foreign("anthropic:claude-cli", place))
    assert home.ward.profiles(ProfileListParams()) == []
    with pytest.raises(NoCredentials):
        await home.ward.token(TokenParams())
    place.overwrite(home.credential())
    assert (await home.ward.token(TokenParams())).token == "sk-ant-oat01-access-0"
    [line] = home.ward.profiles(ProfileListParams())
    assert line.profile == "anthropic:claude-cli"


async def test_an_inline_credential_is_shaped_and_nothing_else_is_asked(home: Warded) -> None:
    """No profile is consulted, nothing is stored, and the lane steps aside."""
    home.store.add("anthropic:me", home.credential(left=-1))
    await home.keep()
    for kind, header in (("api_key", "x-api-key"), ("oauth", "authorization")):
        inline = CredentialInput.model_validate({"access_token": "sk-mine", "kind": kind})
        wish = TokenParams(credential=inline)
        result = await home.ward.token(wish)
        assert result.token == "sk-mine"
        assert result.source == "request"
        assert "sk-mine" in result.headers[header]
        assert home.ward.token_nowait(wish) is None
    assert home.endpoint.sent == []
    assert list(home.store.profiles()) == ["anthropic:me"]


async def test_a_profile_forgotten_while_another_is_asked_is_passed_over(home: Warded) -> None:
    """The second choice is gone when its turn comes: the third is served."""
    home.store.add("anthropic:a", home.credential(1, left=-1))
    home.store.add("anthropic:b", home.credential(2))
    home.store.add("anthropic:c", key())
    await home.keep()
    home.endpoint.hold()
    home.endpoint.next(Unavailable("HTTP 503"))
    served: list[TokenResult] = []

    async def call() -> None:
        served.append(await home.ward.token(TokenParams()))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await home.endpoint.arrived.wait()
        await home.ward.forget("anthropic:b")
        home.endpoint.release()
    assert [result.profile for result in served] == ["anthropic:c"]


async def test_the_callers_patience_is_one_for_all_profiles(home: Warded, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one of them took is not waited for at the next; when it is all gone, they give what they have."""
    for number in range(3):
        home.store.add(f"anthropic:{number}", home.credential(number, left=-1))
    await home.keep()
    given: list[float] = []

    async def slow(keeper: Keeper, min_valid: float, *, newer_than: str | None, patience: float) -> None:
        given.append(patience)
        home.clock.advance(20)
        raise CallTimeout("still being refreshed", hint="")

    monkeypatch.setattr(Keeper, "obtain", slow)
    with pytest.raises(AllUnavailable):
        await home.ward.token(TokenParams(timeout=30))
    assert given == [30, 10, 0]


async def test_a_slow_refresh_is_not_waited_for_long_where_another_serves(
    home: Warded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever would get another one does not; whoever means that login, or has no other, waits as he said."""
    home.store.add("anthropic:login", home.credential(1, left=-1))
    await home.keep()
    given: list[float] = []
    obtain = Keeper.obtain

    async def noting(keeper: Keeper, min_valid: float, *, newer_than: str | None, patience: float) -> Any:
        given.append(patience)
        return await obtain(keeper, min_valid, newer_than=newer_than, patience=0)

    monkeypatch.setattr(Keeper, "obtain", noting)
    home.endpoint.hold()
    with pytest.raises(CallTimeout):
        await home.ward.token(TokenParams(timeout=30))
    await home.ward.add(
        ProfileAddParams.model_validate(
            {"profile": "anthropic:key", "kind": "api_key", "credential": {"access_token": "sk-ant-api03-1"}}
        )
    )
    assert (await home.ward.token(TokenParams(timeout=30))).profile == "anthropic:key"
    with pytest.raises(CallTimeout):
        await home.ward.token(TokenParams(profile="anthropic:login", timeout=30))
    assert given == [30, broker.PATIENCE_BESIDE_OTHERS, 30, 30]
    home.endpoint.release()


async def test_a_caller_without_time_is_told_that_it_goes_on(home: Warded) -> None:
    """The only profile is being refreshed."""
    home.store.add("anthropic:a", home.credential(1, left=-1))
    await home.keep()
    home.endpoint.hold()
    with pytest.raises(CallTimeout):
        await home.ward.token(TokenParams(timeout=0))
    home.endpoint.release()


@pytest.mark.covers("P21")
async def test_fifty_calls_for_a_due_token_are_one_request(home: Warded) -> None:
    """All get the new value, through every layer."""
    home.store.add("anthropic:me", home.credential(left=-1))
    await home.keep()
    got: list[str] = []

    async def call() -> None:
        got.append((await home.ward.token(TokenParams())).token)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(call)
    assert got == ["access-granted-1"] * 50
    assert len(home.endpoint.sent) == 1


# The lane


async def lanes_agree(home: Warded, wish: TokenParams) -> None:
    """The lane answers, and as the call does."""
    result = await home.ward.token(wish)
    lane = home.lane.ask(wish)
    assert lane is not None
    assert lane == result.model_dump(mode="json") == json.loads(result.model_dump_json())


async def test_the_lane_answers_what_needs_no_waiting_as_the_call_does(home: Warded) -> None:
    """Long lives, short ones, unknown ends, and as time passes."""
    home.store.add("anthropic:me", home.credential(left=LIFE))
    home.store.add("acme:unknown", Credential(Kind.OAUTH, Secret("a"), Secret("r")))
    await home.keep()
    for _ in range(5):
        await lanes_agree(home, TokenParams())
        await lanes_agree(home, TokenParams(provider="acme"))
        home.clock.advance(123.4567)


async def test_the_lane_steps_aside_where_more_than_a_stat_is_needed(home: Warded) -> None:
    """Nothing held, changed, due, expired, refused, too short, or no such profile."""
    place = HookedPlace()
    home.store.add("acme:me", home.credential(left=100))
    await home.keep(home.foreign("anthropic:claude-cli", place))
    assert home.lane.ask() is None
    place.overwrite(home.credential(1))
    assert home.lane.ask() is None
    await home.ward.place_changed(place.description)
    assert home.lane.ask() is not None
    place.overwrite(home.credential(2))
    assert home.lane.ask() is None
    acme = TokenParams(provider="acme")
    assert home.lane.ask(acme) is not None
    assert home.lane.ask(TokenParams(provider="acme", min_valid=101)) is None
    held = home.ward.keepers["acme:me"].credential
    assert held is not None
    assert home.lane.ask(TokenParams(provider="acme", newer_than=held.generation)) is None
    home.clock.advance(10)
    assert home.lane.ask(acme) is None
    home.clock.advance(100)
    assert home.lane.ask(acme) is None
    assert home.lane.ask(TokenParams(provider="nobody")) is None
    assert home.endpoint.sent == []


async def test_the_lane_marks_what_is_degraded_as_the_call_does(home: Warded) -> None:
    """A failing refresh, an unsaved value: the same word on both ways."""
    home.store.add("anthropic:me", home.credential(left=80))
    await home.keep()
    home.store.place("anthropic:me").fail_commits(1, OSError(errno.ENOSPC, "full"))
    await home.pass_time(0, home.ward.keepers["anthropic:me"])
    await lanes_agree(home, TokenParams())
    lane = home.lane.ask()
    assert lane is not None
    assert lane["degraded"] == "unsaved"
    assert dict(home.ward.broker.degraded) == {"unsaved": 2}, "each answer is counted"


async def test_the_lane_follows_a_provider_that_was_configured_anew(home: Warded) -> None:
    """Another base URL after a reload: the answer made before it is not given again."""
    home.store.add("acme:me", home.credential())
    await home.keep()
    await lanes_agree(home, TokenParams(provider="acme"))
    registration = ProviderRegistration("acme", base_url="https://new.acme.dev")
    home.ward.household.providers = {"acme": Provider(registration=registration)}
    await home.ward.keep([Kept(keeper.profile, keeper.place, keeper.refresher) for keeper in _all(home)])
    await lanes_agree(home, TokenParams(provider="acme"))
    lane = home.lane.ask(TokenParams(provider="acme"))
    assert lane is not None
    assert lane["base_url"] == "https://new.acme.dev"


def _all(home: Warded) -> list[Kept]:
    return [
        Kept(keeper.profile, keeper.place, keeper.refresher, keeper.note) for keeper in home.ward.keepers.values()
    ]


async def test_no_answer_outlives_a_logout(home: Warded) -> None:
    """The encoded answers are forgotten with the value that was in them."""
    place = HookedPlace(home.credential())
    await home.keep(home.foreign("anthropic:claude-cli", place))
    assert home.lane.ask() is not None
    keeper = home.ward.keepers["anthropic:claude-cli"]
    assert keeper.prepared.encoded
    place.blank(login_ended=True)
    await home.ward.place_changed(place.description)
    assert keeper.held is None
    assert not keeper.prepared.encoded
    assert home.lane.ask() is None


# Adding and forgetting


def adding(profile: str = "acme:me", kind: str = "oauth", **members: object) -> ProfileAddParams:
    """A credential given by a person."""
    return ProfileAddParams.model_validate(
        {"profile": profile, "kind": kind, "credential": {"access_token": "given", **members}}
    )


async def test_an_added_profile_is_stored_before_it_is_answered(home: Warded) -> None:
    """Durable, kept, watched, refreshed by us, and shown without its secrets."""
    line = await home.ward.add(
        adding(refresh_token="given-refresh", expires_in=LIFE, scope="a b", token_type="bearer")
    )
    stored = home.store.place("acme:me").commits
    assert [credential.access.reveal() for credential in stored] == ["given"]
    assert stored[0].refresh == Secret("given-refresh")
    assert stored[0].scopes == ("a", "b")
    assert stored[0].granted_life == LIFE
    assert line.valid_for == LIFE
    assert line.refresh == "direct"
    assert "given-refresh" not in line.model_dump_json()
    assert home.watched == ["memory of acme:me"]
    assert (await home.ward.token(TokenParams(provider="acme"))).token == "given"
    await home.pass_time(LIFE - 90, home.ward.keepers["acme:me"])
    assert len(home.endpoint.sent) == 1


@pytest.mark.parametrize(
    ("members", "left"),
    [
        ({}, None),
        ({"expires_in": 60}, 60.0),
        ({"expires_at_ms": 1_795_262_460_000}, 60.0),
        ({"expires_in": 60, "expires_at_ms": 1}, 60.0),
        ({"expires_in": -60}, -60.0),
        ({"expires_at_ms": 1e300}, None),
    ],
)
async def test_the_end_that_was_given_is_on_our_clock(
    members: dict[str, object], left: float | None, home: Warded
) -> None:
    """Seconds from now, or a moment; neither = unknown."""
    assert home.clock.now.timestamp() == 1_795_262_400
    line = await home.ward.add(adding("acme:me", "oauth", **members))
    assert line.valid_for == left


@pytest.mark.parametrize("seconds", [1e300, float("inf"), float("nan")])
async def test_an_end_that_no_calendar_holds_is_refused(seconds: float, home: Warded) -> None:
    """An error of the call, and nothing is stored."""
    given = StoredCredential(access_token=SecretStr("given"), expires_in=seconds)
    with pytest.raises(InvalidParams):
        await home.ward.add(ProfileAddParams(profile="acme:me", credential=given))
    assert list(home.store.profiles()) == []


async def test_adding_what_exists_gives_it_new_material(home: Warded) -> None:
    """A dead login comes back to life, without a second profile."""
    home.store.add("acme:me", home.credential(left=-1))
    await home.keep()
    home.endpoint.next(Condemned("invalid_grant", ""))
    with pytest.raises(LoginRequired):
        await home.ward.token(TokenParams(provider="acme"))
    keeper = home.ward.keepers["acme:me"]
    await home.ward.add(adding(refresh_token="new-refresh", expires_in=LIFE))
    assert home.ward.keepers == {"acme:me": keeper}
    assert home.phase(keeper) is Phase.READY
    assert (await home.ward.token(TokenParams(provider="acme"))).token == "given"
    assert home.ward.profile("acme:me").last_failure is None


async def test_adding_a_key_over_a_login_replaces_it(home: Warded) -> None:
    """What a person gives counts, whatever it replaces."""
    home.store.add("acme:me", home.credential())
    await home.keep()
    line = await home.ward.add(adding(kind="api_key"))
    assert line.kind == "api_key"
    assert (await home.ward.token(TokenParams(provider="acme"))).token == "given"


async def test_adding_a_login_that_is_due_does_not_wait_for_its_refresh(home: Warded) -> None:
    """The answer to `add` is that it is kept; a token endpoint that is slow would hold it up for half a minute."""
    await home.keep()
    home.endpoint.hold()
    kept_by = home.ward._kept
    engaged = kept_by.engage

    async def engage_and_ring(kept: Kept) -> Keeper:
        keeper = await engaged(kept)
        keeper.on_alarm()  # as its alarm does, which is past
        await home.endpoint.arrived.wait()
        return keeper

    kept_by.engage = engage_and_ring  # type: ignore[method-assign]
    with anyio.fail_after(20):
        shown = await home.ward.add(adding(expires_in=-1, refresh_token="given-too"))
    assert (shown.phase, len(home.endpoint.sent)) == ("refreshing", 1)
    home.endpoint.release()
    await settled(home.ward.keepers["acme:me"])
    assert (await home.ward.token(TokenParams(profile="acme:me"))).token == "access-granted-1"


async def test_adding_waits_for_the_flight_under_way(home: Warded) -> None:
    """What was being refreshed ends first; the new material is what is kept."""
    home.store.add("acme:me", home.credential(left=80))
    await home.keep()
    home.endpoint.hold()
    home.ward.keepers["acme:me"].refresh_if_due()
    await home.endpoint.arrived.wait()
    async with anyio.create_task_group() as group:
        group.start_soon(home.ward.add, adding(refresh_token="new-refresh", expires_in=LIFE))
        await turns()
        home.endpoint.release()
    commits = [credential.access.reveal() for credential in home.store.place("acme:me").commits]
    assert commits == ["sk-ant-oat01-access-0", "access-granted-1", "given"]
    assert (await home.ward.token(TokenParams(provider="acme"))).token == "given"


async def test_a_profile_in_another_programs_place_is_neither_written_nor_deleted(home: Warded) -> None:
    """Adding and forgetting are refused, with the way out; the place is untouched."""
    place = HookedPlace(home.credential())
    await home.keep(home.foreign("anthropic:claude-cli", place), fixed("anthropic:env", key()))
    for profile in ("anthropic:claude-cli", "anthropic:env"):
        with pytest.raises(ProfileUnavailable, match="not tokenward's"):
            await home.ward.add(adding(profile))
        with pytest.raises(ProfileUnavailable, match="not tokenward's") as refused:
            await home.ward.forget(profile)
        assert refused.value.hint
    assert place.commits == []
    assert len(home.ward.keepers) == 2
    assert (await home.ward.token(TokenParams())).token == "sk-ant-oat01-access-0"


async def test_an_alias_in_an_added_profiles_name_means_its_provider(home: Warded) -> None:
    """``claude-code:work`` is a profile of anthropic's."""
    assert (await home.ward.add(adding("claude-code:work", "setup_token"))).profile == "anthropic:work"


async def test_a_store_that_cannot_be_written_changes_nothing(home: Warded) -> None:
    """Neither kept nor half-added; what was there stays."""
    home.store.place("acme:me").fail_commits(2, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(StoreUnavailable, match="No space left on device"):
        await home.ward.add(adding())
    assert home.ward.keepers == {}
    home.store.place("acme:old").overwrite(key("old"))
    await home.keep()
    home.store.place("acme:old").fail_commits(1, OSError(errno.EROFS, "Read-only file system"))
    with pytest.raises(StoreUnavailable):
        await home.ward.add(adding("acme:old", "api_key"))
    assert (await home.ward.token(TokenParams(provider="acme"))).token == "old"


async def test_a_forgotten_profile_is_deleted_and_never_served(home: Warded) -> None:
    """Gone from the store before the answer, from memory, and from the list; its alarms are gone too."""
    home.store.add("acme:me", home.credential())
    await home.keep()
    keeper = home.ward.keepers["acme:me"]
    async with home.ward.subscribe(None) as feed:
        line = await home.ward.forget("acme:me")
        home.hub.end()
        assert [event.type async for event in feed] == ["forgotten"]
    assert line.profile == "acme:me"
    assert list(home.store.profiles()) == []
    assert keeper.held is None
    assert home.alarm.when("acme:me") is None
    assert home.ward.profiles(ProfileListParams()) == []
    with pytest.raises(NoCredentials):
        await home.ward.token(TokenParams(provider="acme"))
    await home.pass_time(2 * LIFE, keeper)
    assert home.endpoint.sent == []


async def test_a_profile_that_nobody_asks_for_holds_only_what_it_is(home: Warded) -> None:
    """Ten thousand of them are kept: no lock, no event, no queue, no table, no set and no task for each."""
    kinds = (asyncio.Task, collections.deque, collections.Counter, set, PosixPath)
    dear = {type(anyio.Lock()), type(anyio.Event()), type(anyio.CapacityLimiter(1)), *kinds}

    def counted() -> collections.Counter[type]:
        gc.collect()
        return collections.Counter(type(each) for each in gc.get_objects() if type(each) in dear)

    kept = [home.foreign(f"acme:p{number}", MemoryPlace(home.credential(number))) for number in range(53)]
    await home.keep(*kept[:3])
    before = counted()
    await home.keep(*kept)
    assert len(home.ward.keepers) == 53
    assert {kind: number for kind, number in (counted() - before).items() if number >= 25} == {}


async def test_a_start_reads_each_place_once(home: Warded) -> None:
    """Many at once, in one go of a thread; and a hint without a change is worth no task."""
    reads: collections.Counter[str] = collections.Counter()
    places = [HookedPlace(home.credential(number)) for number in range(5)]
    for number, place in enumerate(places):
        place.before_read = partial(reads.update, [f"acme:p{number}"])
        place.description = f"/there/{number}"
    await home.keep(*(home.foreign(f"acme:p{number}", place) for number, place in enumerate(places)))
    assert dict(reads) == {f"acme:p{number}": 1 for number in range(5)}
    kept = home.ward._kept
    assert [kept.may_have_news(place.description) for place in places] == [False] * 5
    places[3].overwrite(home.credential(9))
    assert [kept.may_have_news(place.description) for place in places] == [False, False, False, True, False]
    assert not kept.may_have_news("/elsewhere")


async def test_the_place_of_who_is_gone_is_watched_no_more(home: Warded) -> None:
    """After a reload and after forgetting; while somebody lives there still, they hear of changes as before."""
    shared = MemoryPlace()
    both = home.foreign("anthropic:one", shared), home.foreign("anthropic:two", shared)
    home.store.add("acme:me", home.credential())
    await home.keep(*both)
    assert home.watched == [shared.description, shared.description, "memory of acme:me"]
    await home.keep(both[1])
    assert home.watched == [shared.description, shared.description, "memory of acme:me"]
    shared.overwrite(home.credential(7))
    await home.ward.place_changed(shared.description)
    assert home.ward.keepers["anthropic:two"].credential == home.credential(7)
    await home.keep()
    assert home.watched == ["memory of acme:me"], "its place is that of nobody now"
    await home.ward.forget("acme:me")
    assert home.watched == []
    await home.keep(both[0])
    assert home.watched == [shared.description]


async def test_forgetting_waits_for_the_flight_under_way(home: Warded) -> None:
    """The flight ends first; nothing brings the record back after it."""
    held = home.credential(left=80)
    home.store.add("acme:me", held)
    await home.keep()
    home.endpoint.hold()
    home.ward.keepers["acme:me"].refresh_if_due()
    await home.endpoint.arrived.wait()
    async with anyio.create_task_group() as group:
        group.start_soon(home.ward.forget, "acme:me")
        await turns()
        assert list(home.store.profiles()) == ["acme:me"]
        home.endpoint.release()
    assert list(home.store.profiles()) == []
    assert home.ward.keepers == {}
    assert records(home.directory, held)[-1] == "stored"


async def test_a_record_that_cannot_be_deleted_stays_a_profile(
    home: Warded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error, and the profile goes on being served."""
    home.store.add("acme:me", home.credential())
    await home.keep()

    def broken(_: str) -> bool:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(home.store, "remove", broken)
    with pytest.raises(StoreUnavailable, match="Read-only"):
        await home.ward.forget("acme:me")
    assert (await home.ward.token(TokenParams(provider="acme"))).token == "sk-ant-oat01-access-0"


async def test_refreshing_by_hand_shows_the_profile_after(home: Warded) -> None:
    """One request now, whatever is left; what cannot be refreshed says why."""
    home.store.add("acme:me", home.credential(left=1000))
    home.store.add("acme:key", key())
    await home.keep()
    before = home.ward.profile("acme:me")
    after = await home.ward.refresh("acme:me")
    assert after.generation != before.generation
    assert after.valid_for == LIFE
    with pytest.raises(ProfileUnavailable, match="static"):
        await home.ward.refresh("acme:key")
    home.endpoint.next(Unavailable("HTTP 503"))
    with pytest.raises(RefreshFailed, match="HTTP 503"):
        await home.ward.refresh("acme:me")


# Keeping


async def test_a_keeper_that_is_as_it_should_be_goes_on_undisturbed(home: Warded) -> None:
    """A reload replaces what changed, drops what is gone, and takes in what is new."""
    for name in ("acme:same", "acme:changed", "acme:gone"):
        home.store.add(name, home.credential())
    await home.keep()
    before = dict(home.ward.keepers)
    home.store.add("acme:new", home.credential())
    wanted = [home.stored_profile(name) for name in ("acme:same", "acme:changed", "acme:new")]
    wanted[1] = replace(wanted[1], made_of=("another endpoint",))
    await home.ward.keep(wanted)
    assert sorted(home.ward.keepers) == ["acme:changed", "acme:new", "acme:same"]
    assert home.ward.keepers["acme:same"] is before["acme:same"]
    assert home.ward.keepers["acme:changed"] is not before["acme:changed"]
    assert home.alarm.when("acme:gone") is None


async def test_a_profile_is_served_while_its_keeper_is_being_replaced(home: Warded) -> None:
    """The old keeper's flight is waited for; callers are served meanwhile, and no value is lost."""
    home.store.add("acme:me", home.credential(left=80))
    await home.keep()
    home.endpoint.hold()
    home.ward.keepers["acme:me"].refresh_if_due()
    await home.endpoint.arrived.wait()
    async with anyio.create_task_group() as group:
        wanted = replace(home.stored_profile("acme:me"), made_of=("changed",))
        group.start_soon(home.ward.keep, [wanted])
        await turns()
        assert (await home.ward.token(TokenParams(provider="acme"))).token == "sk-ant-oat01-access-0"
        home.endpoint.release()
    assert (await home.ward.token(TokenParams(provider="acme"))).token == "access-granted-1"
    assert len(home.endpoint.sent) == 1


async def test_work_that_a_predecessor_left_is_taken_up_at_the_start(home: Warded) -> None:
    """The answer that lies sealed is written without anybody asking."""
    home.store.add("acme:me", home.credential(left=80))
    await home.keep()
    home.store.place("acme:me").fail_commits(1, OSError(errno.ENOSPC, "full"))
    await home.pass_time(0, home.ward.keepers["acme:me"])
    await home.ward.keep([])
    await home.keep()
    await settled(home.ward.keepers["acme:me"])
    assert (await home.ward.token(TokenParams(provider="acme"))).degraded is None
    assert home.store.place("acme:me").commits[-1].access == Secret("access-granted-1")
    assert len(home.endpoint.sent) == 1


class BrokenDisk:
    """A disk on which neither the journal nor the place can be written, until it is mended.

    Args:
        patch: breaks and mends.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.journal, self.place = True, True
        put = MemoryPlace.put

        def write(fd: int, data: bytes, offset: int) -> None:
            if self.journal:
                raise OSError(errno.EIO, "Input/output error")
            write_at(fd, data, offset)

        def keep(place: MemoryPlace, credential: Credential) -> None:
            if self.place:
                raise OSError(errno.EIO, "Input/output error")
            put(place, credential)

        patch.setattr(family_file, "write_at", write)
        patch.setattr(MemoryPlace, "put", keep)


async def in_memory_alone(home: Warded, monkeypatch: pytest.MonkeyPatch) -> tuple[Keeper, BrokenDisk]:
    """A keeper whose new value could neither be sealed nor written."""
    home.store.add("acme:me", home.credential(left=80))
    await home.keep()
    keeper = home.ward.keepers["acme:me"]
    home.endpoint.hold()
    keeper.refresh_if_due()
    await home.endpoint.arrived.wait()
    disk = BrokenDisk(monkeypatch)
    home.endpoint.release()
    await settled(keeper)
    assert (keeper.phase, keeper.flights.has_only_copy) == (Phase.UNSAVED, True)
    return keeper, disk


def stored_at_last(home: Warded) -> bool:
    """Whether the answer of the one request is in the store."""
    commits = home.store.place("acme:me").commits
    return [each.access for each in commits[1:]] == [Secret("access-granted-1")] and len(home.endpoint.sent) == 1


@pytest.mark.parametrize("change", ["replaced", "gone"])
async def test_a_value_that_is_in_memory_alone_outlives_a_reload(
    change: str, home: Warded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither sealed nor written, it would go with its keeper: so that goes on until one of the two is done."""
    keeper, disk = await in_memory_alone(home, monkeypatch)
    changed = replace(home.stored_profile("acme:me"), made_of=("new",))
    await home.ward.keep([changed] if change == "replaced" else [])
    answer = await home.ward.token(TokenParams(profile="acme:me"))
    assert (answer.token, answer.degraded) == ("access-granted-1", "unsaved")
    assert (home.ward.keepers["acme:me"], home.ward.is_overdue) == (keeper, True)
    await home.ward.keep_overdue()
    assert (home.ward.keepers["acme:me"], home.ward.is_overdue) == (keeper, True)
    disk.journal = False
    await home.ward.keep_overdue()
    assert not home.ward.is_overdue, "what is sealed may go: whoever comes writes it"
    assert home.ward.keepers.get("acme:me") is not keeper
    disk.place = False
    if change == "gone":
        assert home.ward.keepers == {}
        await home.keep()
        await settled(home.ward.keepers["acme:me"])
    else:
        await home.pass_time(300, home.ward.keepers["acme:me"])
    assert stored_at_last(home)


async def test_a_reload_tries_to_write_before_it_replaces(home: Warded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that works again is not waited for."""
    keeper, disk = await in_memory_alone(home, monkeypatch)
    disk.journal = disk.place = False
    await home.ward.keep([replace(home.stored_profile("acme:me"), made_of=("new",))])
    assert home.ward.keepers["acme:me"] is not keeper
    assert (home.ward.is_overdue, stored_at_last(home)) == (False, True)


async def test_what_is_forgotten_is_overdue_no_more(home: Warded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A logout ends it, whatever was to follow."""
    _, _disk = await in_memory_alone(home, monkeypatch)
    await home.ward.keep([replace(home.stored_profile("acme:me"), made_of=("new",))])
    await home.ward.forget("acme:me")
    await home.ward.keep_overdue()
    assert home.ward.keepers == {}


async def test_the_end_tries_once_more_to_write(home: Warded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt is minutes away, and the disk may work again by now."""
    keeper, disk = await in_memory_alone(home, monkeypatch)
    await home.ward.save_unsaved()
    assert keeper.flights.has_only_copy
    disk.journal = disk.place = False
    await home.ward.save_unsaved()
    assert (keeper.phase, stored_at_last(home)) == (Phase.READY, True)


async def test_what_a_place_holds_is_known_by_its_generation(home: Warded) -> None:
    """Empty where its owner says that the login is over; unknown of any other place, and where nothing is."""
    place = HookedPlace(home.credential())
    await home.keep(home.foreign("acme:me", place))
    held = home.ward.generation_at("acme:me", place.description)
    assert held == home.credential().generation
    assert home.ward.generation_at("acme:me", "elsewhere") is None
    assert home.ward.generation_at("acme:other", place.description) is None
    place.blank(login_ended=True)
    await home.ward.look_everywhere()
    assert home.ward.generation_at("acme:me", place.description) == ""
    place.vanish()
    await home.ward.look_everywhere()
    assert home.ward.generation_at("acme:me", place.description) is None


async def test_the_watchers_hint_reaches_whoever_lives_there(home: Warded) -> None:
    """One path, its keeper; other paths, nobody."""
    place = HookedPlace(home.credential(1))
    await home.keep(home.foreign("anthropic:claude-cli", place))
    place.overwrite(home.credential(2))
    await home.ward.place_changed("/elsewhere")
    keeper = home.ward.keepers["anthropic:claude-cli"]
    assert keeper.credential == home.credential(1)
    await home.ward.place_changed(place.description)
    assert keeper.credential == home.credential(2)


async def test_a_look_everywhere_finds_what_nobody_told(home: Warded) -> None:
    """Rotations and due times of all profiles, as after a suspend."""
    place = HookedPlace(home.credential(1))
    home.store.add("acme:me", home.credential(2, left=LIFE))
    await home.keep(home.foreign("anthropic:claude-cli", place))
    place.overwrite(home.credential(3))
    home.clock.suspend(LIFE)
    await home.ward.look_everywhere()
    assert home.ward.keepers["anthropic:claude-cli"].credential != home.credential(1)
    await until(lambda: len(home.endpoint.sent) == 1)
    await settled(home.ward.keepers["acme:me"])


# The rest


async def test_profiles_are_listed_by_id_and_filtered(home: Warded) -> None:
    """Provider by any of its names, and agent."""
    home.store.add("acme:me", home.credential(1))
    home.store.add("anthropic:b", home.credential(2))
    home.store.add("anthropic:a", key())
    await home.keep()

    def listed(**params: str) -> list[str]:
        return [line.profile for line in home.ward.profiles(ProfileListParams.model_validate(params))]

    assert listed() == ["acme:me", "anthropic:a", "anthropic:b"]
    assert listed(provider="Claude-Code") == ["anthropic:a", "anthropic:b"]
    assert listed(agent="main") == listed()
    assert listed(agent="other") == []
    assert [line.profile for line in home.ward.status().profiles] == listed()


async def test_a_report_goes_to_its_profile(home: Warded) -> None:
    """And makes one refresh."""
    value = home.credential(left=1000)
    home.store.add("acme:me", value)
    await home.keep()
    told = await home.ward.report(ReportParams(profile="acme:me", generation=value.generation, status=401))
    assert told.action == "retry"
    assert len(home.endpoint.sent) == 1


async def test_reload_and_stop_are_the_daemons(home: Warded) -> None:
    """Handed on as they are."""
    assert (await home.ward.reload()).reloaded
    home.ward.stop()
    assert home.stopped == 1
