"""Agents have profiles of their own; what rests; and the words where nothing serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.warding import warding, written_down
from tokenward.core.lifecycle import Phase
from tokenward.daemon.profile_models import ProfileListParams
from tokenward.daemon.routing_state import STATE_NAME
from tokenward.daemon.token_models import ReportParams
from tokenward.errors import AllUnavailable, LoginRequired, NoCredentials, ProfileUnavailable, RefreshFailed

KEY = "anthropic:default"


@pytest.mark.covers("E28")
async def test_an_agent_does_not_inherit(tmp_path: Path) -> None:
    """While main has keys, an agent without any gets the error that names the provider and the store."""
    async with warding(tmp_path) as home:
        await home.add_key(KEY)
        home.written = [written_down("environment")]
        await home.fill()
        with pytest.raises(NoCredentials, match='No API key found for provider "anthropic"') as refusal:
            await home.served(agent="b")
        assert "/state/credentials" in refusal.value.cause
        assert "--agent b" in refusal.value.hint
        with pytest.raises(ProfileUnavailable):
            await home.served(agent="b", profile=KEY)


async def test_an_agent_inherits_where_that_is_switched_on(tmp_path: Path) -> None:
    """Its own profiles first, then main's; nothing is copied, and main gets nothing of it."""
    async with warding(tmp_path) as home:
        home.ward.household.inherit_agents = True
        home.log_in("anthropic:login")
        await home.fill()
        assert (await home.served(agent="b")).profile == "anthropic:login"
        await home.add_key(KEY, agent="b", key="sk-ant-api03-of-b")
        assert (await home.served(agent="b")).token == "sk-ant-api03-of-b"
        assert (await home.served()).profile == "anthropic:login"
        assert home.store.profiles() == ["anthropic:login", "b/anthropic:default"]


@pytest.mark.covers("L25")
async def test_agents_may_use_one_id_for_different_credentials(tmp_path: Path) -> None:
    """Added, served, shown, reported and forgotten apart; also after a restart."""
    async with warding(tmp_path) as home:
        await home.add_key(KEY, key="sk-ant-api03-of-main")
        await home.add_key(KEY, agent="b", key="sk-ant-api03-of-b")
        await home.add_key("anthropic:second", key="sk-ant-api03-another-account")
        home.ward = home.another()
        await home.fill()
        assert (await home.served(profile=KEY)).token == "sk-ant-api03-of-main"
        assert (await home.served(agent="b", profile=KEY)).token == "sk-ant-api03-of-b"
        shown = home.ward.profiles(ProfileListParams(agent="b"))
        assert [(each.profile, each.agent) for each in shown] == [(KEY, "b")]
        generation = (await home.served(agent="b")).generation
        report = ReportParams(profile=KEY, agent="b", generation=generation, status=401)
        assert (await home.ward.report(report)).action == "login"
        assert (await home.served(profile=KEY)).token == "sk-ant-api03-of-main"
        await home.ward.forget(KEY, "b")
        assert home.store.profiles() == [KEY, "anthropic:second"]


async def test_a_disabled_profile_rests_also_after_a_restart(tmp_path: Path) -> None:
    """Neither served nor refreshed, and said so; enabled, it does both again."""
    async with warding(tmp_path) as home:
        home.refresh_stored = True
        home.log_in("acme:me", left=120.0)
        await home.fill()
        shown = await home.ward.disable("acme:me")
        assert (shown.enabled, shown.unusable, shown.next_refresh_at_ms) == (False, "disabled", None)
        home.ward = home.another()
        await home.fill()
        home.alarm.advance(60)
        await home.ward.look_everywhere()
        with pytest.raises(ProfileUnavailable, match="disabled") as refusal:
            await home.served(profile="acme:me")
        assert "tokenward profiles enable acme:me" in refusal.value.hint
        with pytest.raises(ProfileUnavailable, match="disabled"):
            await home.ward.refresh("acme:me")
        assert home.endpoint.sent == []
        shown = await home.ward.enable("acme:me")
        await home.ward.keepers["acme:me"].settle()
        assert (shown.enabled, len(home.endpoint.sent)) == (True, 1)


async def test_a_failing_profile_that_rests_is_not_retried_until_it_wakes(tmp_path: Path) -> None:
    """Its retries end with the decision, and the one that became due meanwhile is made at its end."""
    async with warding(tmp_path) as home:
        home.refresh_stored = True
        home.log_in("acme:me", left=60.0)
        home.endpoint.unreachable = True
        await home.fill()
        keeper = home.ward.keepers["acme:me"]
        await home.ward.look_everywhere()
        await keeper.settle()
        assert keeper.phase is Phase.BACKOFF
        await home.ward.disable("acme:me")
        home.endpoint.unreachable = False
        await home.pass_time(3600, keeper)
        await home.ward.look_everywhere()
        assert (home.endpoint.sent, keeper.next_attempt) == ([], None)
        await home.ward.enable("acme:me")
        await keeper.settle()
        assert len(home.endpoint.sent) == 1
        assert (await home.served(provider="acme")).degraded is None


async def test_a_namesake_of_a_forgotten_profile_serves(tmp_path: Path) -> None:
    """That one was disabled is forgotten with it."""
    async with warding(tmp_path) as home:
        await home.add_key(KEY)
        await home.ward.disable(KEY)
        await home.ward.forget(KEY)
        await home.add_key(KEY, key="sk-ant-api03-2")
        assert (await home.served()).token == "sk-ant-api03-2"


async def test_what_cannot_be_read_of_the_routing_state_loses_no_credential(tmp_path: Path) -> None:
    """A torn file counts as empty: the profile serves again, and the next decision is written."""
    async with warding(tmp_path) as home:
        await home.add_key(KEY)
        await home.ward.disable(KEY)
        path = tmp_path / STATE_NAME
        assert path.stat().st_mode & 0o777 == 0o600
        path.write_text("{torn")
        home.ward = home.another()
        await home.fill()
        assert (await home.served()).profile == KEY
        await home.ward.disable(KEY)
        assert KEY in path.read_text()


async def test_members_of_the_routing_state_that_are_not_known_survive(tmp_path: Path) -> None:
    """A newer version's members are kept."""
    (tmp_path / STATE_NAME).write_text('{"pins": {"s": "x"}}')
    async with warding(tmp_path) as home:
        await home.add_key(KEY)
        await home.ward.disable(KEY)
        assert '"pins"' in (tmp_path / STATE_NAME).read_text()


@pytest.mark.covers("P31")
async def test_nothing_set_up_names_every_place(tmp_path: Path) -> None:
    """The phrase, and each place with what was found there."""
    async with warding(tmp_path) as home:
        with pytest.raises(NoCredentials) as refusal:
            await home.served()
        assert refusal.value.cause == (
            "Anthropic credentials not set; looked at here: not found; there: not found"
        )
        assert refusal.value.details["looked_at"] == ["here: not found", "there: not found"]


async def test_another_provider_was_looked_for_in_other_places(tmp_path: Path) -> None:
    """Claude Code's login is no place for it."""
    async with warding(tmp_path) as home:
        with pytest.raises(NoCredentials) as refusal:
            await home.served(provider="acme")
        assert refusal.value.cause == (
            "Acme credentials not set; looked at [providers.acme] in the configuration: not found; "
            "tokenward's own store: not found"
        )


@pytest.mark.covers("E30")
@pytest.mark.parametrize("case", ["missing", "expired", "disabled", "refused"])
async def test_a_profile_that_was_named_and_cannot_serve(tmp_path: Path, case: str) -> None:
    """Whatever the reason, it is said that this profile has no credentials, and why."""
    async with warding(tmp_path) as home:
        if case == "expired":
            home.log_in(KEY, left=-5.0)
            await home.fill()
        elif case != "missing":
            await home.add_key(KEY)
        if case == "disabled":
            await home.ward.disable(KEY)
        refused = (await home.served()).generation if case == "refused" else None
        with pytest.raises((ProfileUnavailable, LoginRequired)) as refusal:
            await home.served(profile=KEY, newer_than=refused)
        assert refusal.value.cause.startswith(f'No credentials found for profile "{KEY}"')
        assert refusal.value.hint


@pytest.mark.covers("E32")
async def test_all_unusable_says_so_and_when_the_first_recovers(tmp_path: Path) -> None:
    """The sentence, the profiles with their reasons, and the earliest recovery."""
    async with warding(tmp_path) as home:
        home.refresh_stored = True
        home.log_in("acme:a", left=-5.0)
        home.log_in("acme:b", left=-5.0)
        home.endpoint.unreachable = True
        await home.fill()
        for keeper in home.ward.keepers.values():
            await keeper.settle()
        with pytest.raises(AllUnavailable) as refusal:
            await home.served(provider="acme")
        assert refusal.value.cause == "No available auth profile for acme (all in cooldown or unavailable)."
        assert refusal.value.details["retry_after"] > 0
        assert "tried again in" in refusal.value.hint
        assert [each["profile"] for each in refusal.value.details["profiles"]] == ["acme:a", "acme:b"]


@pytest.mark.covers("N65")
async def test_an_expired_login_that_does_not_refresh_names_both_ways_out(tmp_path: Path) -> None:
    """The command that refreshes, and the one that logs in again."""
    async with warding(tmp_path) as home:
        home.refresh_stored = True
        home.log_in("acme:me", left=-5.0)
        home.endpoint.unreachable = True
        await home.fill()
        await home.ward.keepers["acme:me"].settle()
        with pytest.raises(RefreshFailed) as refusal:
            await home.served(provider="acme")
        assert "tokenward refresh acme:me" in refusal.value.hint
        assert "log in again with: tokenward login acme --profile acme:me" in refusal.value.hint


@pytest.mark.covers("L13")
async def test_what_is_known_of_a_provider(tmp_path: Path) -> None:
    """The five facts, by its name or an alias."""
    async with warding(tmp_path) as home:
        for name in ("anthropic", "Claude-Code"):
            shown = home.ward.provider_shown(name)
            assert (shown.provider, shown.env_var, shown.api_type, shown.model_prefix) == (
                "anthropic",
                "ANTHROPIC_API_KEY",
                "Anthropic Messages API",
                "claude-",
            )
            assert (shown.base_url, shown.base_url_overridden) == ("https://api.anthropic.com", False)


async def test_a_provider_tells_which_profile_would_serve(tmp_path: Path) -> None:
    """The first in the order that can; none where none can."""
    async with warding(tmp_path) as home:
        home.log_in("anthropic:expired", left=-5.0)
        await home.add_key(KEY)
        await home.fill()
        assert home.ward.provider_shown("anthropic").serves == KEY
        assert home.ward.provider_shown("anthropic", "b").serves is None
        assert [each.provider for each in home.ward.providers_shown()] == ["anthropic"]
