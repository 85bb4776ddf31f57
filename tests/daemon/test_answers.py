"""Answers: what a caller gets and what ``status`` shows, and that no more than that is in them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.keeping import Keeping, keeping
from daemon.refreshing import LIFE, transaction
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.grants import Condemned, NotSent, Unavailable
from tokenward.daemon import answers
from tokenward.daemon.answers import EncodedAnswer
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.profile_models import ProfileResult
from tokenward.daemon.refresher import DirectRefresher
from tokenward.daemon.token_models import TokenResult
from tokenward.provider_files import provider_named

ANTHROPIC = provider_named("anthropic")


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Keeping]:
    """A household."""
    async with keeping(tmp_path) as household:
        yield household


def shown(keeper: Keeper) -> ProfileResult:
    """The line in ``status``; it never holds a secret."""
    result = answers.profile_result(keeper, ANTHROPIC)
    text = result.model_dump_json()
    assert "oat01-" not in text
    assert "ort01-" not in text
    assert "granted-" not in text
    return result


# What a caller gets


def token_result(keeper: Keeper, degraded: str | None) -> TokenResult:
    """What the model makes of the members."""
    return TokenResult.model_validate(answers.token_members(keeper, ANTHROPIC, degraded))


@pytest.mark.covers("P26")
async def test_an_oauth_token_comes_with_its_headers(home: Keeping) -> None:
    """Token, life, and what a request needs; never the refresh token."""
    value = replace(home.credential(left=1234.5), tier="max_5x")
    keeper = await home.directly(value)
    result = token_result(keeper, "short")
    assert result.token == "sk-ant-oat01-access-0"
    assert result.kind == "oauth"
    assert result.token_type == "Bearer"
    assert (result.profile, result.provider, result.source) == ("acme:me", "acme", "store")
    assert result.generation == value.generation
    assert value.expires_at is not None
    assert result.expires_at_ms == int(value.expires_at.timestamp() * 1000)
    assert result.valid_for == 1234.5
    assert result.headers["authorization"] == "Bearer sk-ant-oat01-access-0"
    assert result.headers["anthropic-beta"] == "oauth-2025-04-20"
    assert "x-api-key" not in result.headers
    assert result.base_url == "https://api.anthropic.com"
    assert result.billing == "subscription"
    assert result.tier == "max_5"
    assert result.degraded == "short"
    assert "ort01" not in result.model_dump_json()
    assert "oat01-access" not in repr(result)


@pytest.mark.covers("P25")
async def test_an_api_key_comes_in_its_own_header(home: Keeping) -> None:
    """And has no end."""
    keeper = await home.directly(Credential(Kind.API_KEY, Secret("sk-ant-api03-x")))
    result = token_result(keeper, None)
    assert result.headers["x-api-key"] == "sk-ant-api03-x"
    assert "authorization" not in result.headers
    assert result.expires_at_ms is None
    assert result.valid_for is None
    assert result.billing == "api"


def test_an_inline_credential_is_shaped_and_belongs_to_nobody() -> None:
    """Its profile says so."""
    result = TokenResult.model_validate(
        answers.inline_members(Credential(Kind.API_KEY, Secret("k")), "anthropic", ANTHROPIC)
    )
    assert (result.profile, result.source, result.token) == ("anthropic:inline", "request", "k")
    assert result.headers["x-api-key"] == "k"


# Encoded once


TOKENS = ["plain", 'quote " backslash \\ "valid_for":0.987654321', "ünï ☃ 😀", "half a pair \ud83d"]


@pytest.mark.parametrize("left", [0.0004, 0.5, 59.9996, 60.0, 1234.5678, 31_622_400.25])
@pytest.mark.parametrize(
    "token", ["plain", 'quote " backslash \\ "valid_for":0.987654321', "ünï ☃ 😀", "half a pair \ud83d"]
)
async def test_an_encoded_answer_is_the_answer(left: float, token: str, home: Keeping) -> None:
    """For every life that is left, and whatever is in the token."""
    value = replace(home.credential(left=left), access=Secret(token))
    keeper = await home.directly(value)
    result = token_result(keeper, None)
    seconds = keeper.left()
    assert seconds is not None
    encoded = EncodedAnswer(answers.token_members(keeper, ANTHROPIC, None), value)
    assert list(json.loads(encoded.with_life(seconds))) == list(TokenResult.model_fields)
    assert json.loads(encoded.with_life(seconds)) == result.model_dump(mode="json")
    assert b"\n" not in encoded.with_life(seconds)
    assert json.loads(encoded.with_life(seconds / 2))["valid_for"] == pytest.approx(seconds / 2, abs=0.001)


async def test_an_encoded_answer_without_an_end_has_no_gap(home: Keeping) -> None:
    """Unknown stays unknown."""
    value = Credential(Kind.API_KEY, Secret("k"))
    keeper = await home.directly(value)
    result = token_result(keeper, None)
    assert json.loads(
        EncodedAnswer(answers.token_members(keeper, ANTHROPIC, None), value).with_life(5.0)
    ) == result.model_dump(mode="json")


async def test_what_a_profile_says_of_its_api_goes_before_what_its_provider_says(home: Keeping) -> None:
    """Its root, and headers of its own, for the lane as for the call."""
    value = Credential(Kind.API_KEY, Secret("k"))
    keeper = await home.directly(value)
    keeper.profile = replace(keeper.profile, base_url="https://other.example", headers=(("x-more", "1"),))
    members = answers.token_members(keeper, ANTHROPIC, None)
    assert members["base_url"] == "https://other.example"
    assert members["headers"]["x-more"] == "1"
    assert members["headers"]["x-api-key"] == "k"
    assert members == token_result(keeper, None).model_dump(mode="json")


# What status shows


async def test_a_healthy_profile_is_shown_with_its_times(home: Keeping) -> None:
    """Where it lives, how it is refreshed, when next, and nothing against it."""
    keeper = await home.directly(home.credential(left=LIFE))
    line = shown(keeper)
    assert line.profile == "acme:me"
    assert line.kind == "oauth"
    assert line.location == "/home/me/login.json"
    assert line.phase == "ready"
    assert line.refresh == "direct"
    assert line.valid_for == LIFE
    assert line.next_refresh_at_ms == int((home.clock.now.timestamp() + LIFE - 90) * 1000)
    assert line.last_refresh_at_ms is None
    assert line.last_failure is None
    assert line.unusable is None
    assert line.degraded is None
    await home.pass_time(LIFE - 90, keeper)
    assert shown(keeper).last_refresh_at_ms == int(home.clock.now.timestamp() * 1000)


async def test_a_failing_profile_is_shown_with_its_failure(home: Keeping) -> None:
    """Still usable while the token lives, then not; with class, reason, count and the next attempt."""
    home.endpoint.next(Unavailable("HTTP 503"), times=50)
    keeper = await home.directly(home.credential(left=80))
    await home.pass_time(3, keeper)
    line = shown(keeper)
    assert line.phase == "backoff"
    assert line.degraded == "refresh_failing"
    assert line.unusable is None
    assert line.last_failure is not None
    assert line.last_failure.failure == "unavailable"
    assert line.last_failure.reason == "HTTP 503"
    assert line.last_failure.failures == 2
    assert line.next_refresh_at_ms is not None
    await home.pass_time(100, keeper)
    assert shown(keeper).unusable == "expired, refresh failing"


@pytest.mark.covers("L23")
async def test_an_expired_static_profile_is_shown_as_expired(home: Keeping) -> None:
    """It cannot be renewed, and says why it is passed over."""
    keeper = await home.directly(home.static(home.credential(left=10)))
    assert shown(keeper).unusable is None
    home.clock.advance(10)
    assert shown(keeper).unusable == "expired"


async def test_a_dead_login_is_shown_so(home: Keeping) -> None:
    """Usable to the end of the token, marked from the verdict on."""
    home.endpoint.next(Condemned("invalid_grant", ""))
    keeper = await home.directly(home.credential(left=80))
    await home.pass_time(0, keeper)
    assert shown(keeper).degraded == "refresh_failing"
    assert shown(keeper).unusable is None
    home.clock.advance(80)
    assert shown(keeper).phase == "login_required"
    assert shown(keeper).unusable == "login required"


async def test_an_unsaved_profile_is_shown_so(home: Keeping) -> None:
    """With what keeps it from being saved."""
    keeper = await home.directly(home.credential(left=80))
    home.place.fail_commits(1, OSError(28, "No space left on device"))
    await home.pass_time(0, keeper)
    line = shown(keeper)
    assert line.degraded == "unsaved"
    assert line.last_failure is not None
    assert line.last_failure.failure == "unsaved"
    assert "No space left on device" in line.last_failure.reason


async def test_an_empty_profile_is_shown_without_a_value(home: Keeping) -> None:
    """Nothing held, and what the place's trouble is."""
    home.place.tear("not whole JSON")
    keeper = home.keeper(home.direct())
    await keeper.reconcile()
    line = shown(keeper)
    assert line.unusable == "no credentials"
    assert line.note == "not whole JSON"
    assert (line.kind, line.generation, line.expires_at_ms, line.valid_for) == (None, None, None, None)


@pytest.mark.covers("L14")
async def test_a_login_of_a_free_account_is_flagged(home: Keeping) -> None:
    """With the way out; a place's trouble is said first; a paid plan is shown by its tier, and a key has none."""
    home.place.overwrite(replace(home.credential(), subscription="free"))
    keeper = home.keeper(None)
    await keeper.reconcile()
    line = shown(keeper)
    assert (line.tier, line.insufficient_access) == ("free", "the account's plan is free")
    assert line.note == (
        "insufficient API access: the account's plan is free; log in with a Pro or Max account, or use an API "
        "key: tokenward login anthropic --method api-key"
    )
    home.place.tear("not whole JSON")
    await keeper.reconcile()
    assert shown(keeper).note == "not whole JSON"
    home.place.overwrite(replace(home.credential(1), subscription="max", tier="default_claude_max_5x"))
    await keeper.reconcile()
    line = shown(keeper)
    assert (line.tier, line.insufficient_access, line.note) == ("max_5", None, None)
    elsewhere = answers.profile_result(keeper, provider_named("acme"))
    assert elsewhere.insufficient_access is None


async def test_a_watched_login_and_a_key_are_told_apart(home: Keeping) -> None:
    """One would refresh if it might, the other never."""
    home.place.overwrite(home.credential())
    watched = home.keeper(None)
    await watched.reconcile()
    assert shown(watched).refresh == "watch"
    home.place.overwrite(Credential(Kind.API_KEY, Secret("k")))
    await watched.reconcile()
    home.place.vanish()
    key = home.keeper(None)
    assert answers.profile_result(key, provider_named("acme")).refresh == "none"


async def test_the_life_it_began_with_is_shown(home: Keeping) -> None:
    """Beside what is left of it; null where nobody knows."""
    keeper = await home.directly(home.credential(left=600, granted_life=8 * LIFE))
    assert (shown(keeper).valid_for, shown(keeper).granted_life) == (600, 8 * LIFE)
    assert shown(await home.directly(home.credential(1, left=600))).granted_life is None


async def test_a_lock_is_shown_while_it_is_waited_for(home: Keeping) -> None:
    """Before it is given up, and not afterwards."""
    keeper = await home.directly(home.credential(left=600))
    assert shown(keeper).waits_for is None

    class Waiting(DirectRefresher):
        def waits_for(self) -> str | None:
            """One of Claude Code's."""
            return "lock x is held by process 7"

    made = transaction(home.directory, home.place, home.clock, lambda _: NotSent("never called"))
    keeper.refresher = Waiting(made, home.endpoint, home.gate, home.limiter)
    assert shown(keeper).waits_for == "lock x is held by process 7"
