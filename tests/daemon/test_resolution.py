"""Which of several credentials is served, under each document's order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.warding import Warding, warding, written_down
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.reading import Found
from tokenward.core.selection import Resolution
from tokenward.daemon.profile_models import ProfileListParams
from tokenward.daemon.resting import let_rest
from tokenward.errors import ProfileUnavailable

LOGIN = "anthropic:me"
Remove = Callable[[Warding], None]


def _remove_written(source: str) -> Remove:
    def remove(home: Warding) -> None:
        home.written = [kept for kept in home.written if kept.profile.source != source]

    return remove


def _remove_stored(key: str) -> Remove:
    def remove(home: Warding) -> None:
        home.store.remove(key)

    return remove


async def _order(home: Warding, resolution: Resolution, *removals: Remove) -> list[str]:
    """The source served with everything present, and after each removal."""
    await home.fill(resolution=resolution)
    served = [(await home.served()).source]
    for remove in removals:
        remove(home)
        await home.fill()
        served.append((await home.served()).source)
    return served


@pytest.mark.covers("L35")
async def test_config_first_goes_from_config_to_environment_to_the_stored_login(tmp_path: Path) -> None:
    """Three sources present: the configuration; without it the environment; without that the login."""
    async with warding(tmp_path) as home:
        home.log_in(LOGIN)
        home.written = [written_down("environment"), written_down("config")]
        removals = (_remove_written("config"), _remove_written("environment"))
        assert await _order(home, Resolution.CONFIG_FIRST, *removals) == ["config", "environment", "store"]


async def test_profiles_first_goes_from_the_stored_to_the_environment_to_the_config(tmp_path: Path) -> None:
    """The default is Equabot's order, and a login goes before a key that was added."""
    async with warding(tmp_path) as home:
        home.log_in(LOGIN)
        await home.add_key("anthropic:a-key")
        home.written = [written_down("environment"), written_down("config")]
        await home.fill()
        assert (await home.served()).profile == LOGIN
        removals = (_remove_stored(LOGIN), _remove_stored("anthropic:a-key"), _remove_written("environment"))
        order = await _order(home, Resolution.PROFILES_FIRST, *removals)
        assert order == ["store", "store", "environment", "config"]


@pytest.mark.covers("N37", "N59")
async def test_oauth_first_goes_from_a_configured_token_to_the_login_to_the_environment(tmp_path: Path) -> None:
    """An explicit token, the stored login, the variable with a token; the variable only without a login."""
    async with warding(tmp_path) as home:
        home.log_in(LOGIN)
        home.written = [
            written_down("environment", Kind.OAUTH),
            written_down("config", Kind.SETUP_TOKEN),
            written_down("config"),
        ]
        await home.fill(resolution=Resolution.OAUTH_FIRST)
        assert (await home.served()).profile == "anthropic:config-oauth"
        home.written = home.written[:1] + home.written[2:]
        await home.fill()
        assert (await home.served()).profile == LOGIN
        _remove_stored(LOGIN)(home)
        await home.fill()
        assert (await home.served()).profile == "anthropic:env-oauth"
        _remove_written("environment")(home)
        await home.fill()
        assert (await home.served()).profile == "anthropic:config"


@pytest.mark.covers("N60")
async def test_oauth_first_prefers_a_login_unless_a_key_is_asked_for(tmp_path: Path) -> None:
    """Auto-detected: OAuth where there is one; ``auth_method`` forces the key."""
    async with warding(tmp_path) as home:
        home.log_in(LOGIN)
        home.written = [written_down("config")]
        await home.fill(resolution=Resolution.OAUTH_FIRST)
        assert (await home.served()).kind == "oauth"
        assert (await home.served(auth_method="api_key")).profile == "anthropic:config"


@pytest.mark.covers("L36")
async def test_a_configured_key_sets_the_login_aside(tmp_path: Path) -> None:
    """It is neither served, by provider, kind or name, nor refreshed when its end is near."""
    async with warding(tmp_path) as home:
        home.refresh_stored = True
        home.log_in(LOGIN, left=120.0)
        home.written = [written_down("config")]
        await home.fill(resolution=Resolution.CONFIG_FIRST)
        assert (await home.served()).profile == "anthropic:config"
        for params in ({"profile": LOGIN}, {"auth_method": "oauth"}):
            with pytest.raises(ProfileUnavailable, match="set aside for an API key"):
                await home.served(**params)
        home.alarm.advance(100)
        await home.ward.look_everywhere()
        await home.ward.keepers[LOGIN].settle()
        assert home.endpoint.sent == []
        (shown,) = [each for each in home.ward.profiles(ProfileListParams()) if each.profile == LOGIN]
        assert (shown.enabled, shown.next_refresh_at_ms) == (False, None)
        assert "config-first" in (shown.unusable or "")


async def test_without_the_key_the_login_that_was_set_aside_is_refreshed_again(tmp_path: Path) -> None:
    """Setting aside ends with its cause, and what became due meanwhile is done."""
    async with warding(tmp_path) as home:
        home.refresh_stored = True
        home.log_in(LOGIN, left=120.0)
        home.written = [written_down("config")]
        await home.fill(resolution=Resolution.CONFIG_FIRST)
        home.clock.advance(100)
        home.written = []
        await home.fill()
        served = await home.served(min_valid=100)
        assert (served.profile, len(home.endpoint.sent)) == (LOGIN, 1)


async def test_a_disabled_key_sets_nothing_aside(tmp_path: Path) -> None:
    """A key that may not serve leaves the provider its login."""
    async with warding(tmp_path) as home:
        home.log_in(LOGIN)
        home.written = [written_down("config")]
        await home.fill(resolution=Resolution.CONFIG_FIRST)
        await home.ward.disable("anthropic:config")
        assert (await home.served()).profile == LOGIN


@pytest.mark.covers("N18", "N44")
@pytest.mark.parametrize("kind", ["api_key", "oauth"])
async def test_an_inline_credential_beats_everything_and_is_not_kept(tmp_path: Path, kind: str) -> None:
    """A request's own credential is shaped into headers; the login is not consulted, nothing is stored."""
    async with warding(tmp_path) as home:
        place = home.log_in(LOGIN)
        place.tear()
        await home.fill()
        served = await home.served(credential={"access_token": "mine", "kind": kind})
        assert (served.token, served.kind, served.source) == ("mine", kind, "request")
        assert "mine" in " ".join(served.headers.values())
        assert home.store.profiles() == [LOGIN]
        assert list(home.ward.keepers) == [LOGIN]


async def test_the_lane_obeys_the_order_too(tmp_path: Path) -> None:
    """What is answered without I/O is what the dispatcher would have answered."""
    async with warding(tmp_path) as home:
        home.log_in(LOGIN)
        home.written = [written_down("config")]
        await home.fill(resolution=Resolution.CONFIG_FIRST)
        answer = home.lane.ask()
        assert answer is not None
        assert answer["profile"] == "anthropic:config"


async def test_who_rests_is_worked_out_when_a_kind_changed_and_not_at_every_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher announces every path at each beat: with many profiles that must not look at all for each."""
    worked_out: list[None] = []

    def count(*arguments: Any) -> None:
        worked_out.append(None)
        let_rest(*arguments)

    async with warding(tmp_path) as home:
        place = home.log_in(LOGIN)
        place.overwrite(Credential(Kind.API_KEY, Secret("sk-1")))
        await home.fill(resolution=Resolution.CONFIG_FIRST)
        monkeypatch.setattr("tokenward.daemon.keepers.let_rest", count)
        await home.ward.place_changed(place.description)
        assert worked_out == []
        place.overwrite(home.credential(1))
        await home.ward.place_changed(place.description)
        assert len(worked_out) == 1


async def test_the_lane_passes_over_empty_places_until_there_is_something_in_one(tmp_path: Path) -> None:
    """A key in the environment is answered at once though a login would go first; a new login is waited for."""
    async with warding(tmp_path) as home:
        place = home.log_in(LOGIN)
        login = place.read()
        assert isinstance(login, Found)
        place.blank(login_ended=True)
        home.written = [written_down("environment")]
        await home.ward.keep([home.of_store(LOGIN), *home.written])
        assert home.ward.keepers[LOGIN].credential is None
        answer = home.lane.ask()
        assert answer is not None
        assert answer["profile"] == "anthropic:env"
        place.overwrite(login.credential)
        assert home.lane.ask() is None
        assert (await home.served()).profile == LOGIN
        answer = home.lane.ask()
        assert answer is not None
        assert answer["source"] == "store"
