"""Models as callers ask for them: beside a token, by name, and by tier."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from daemon.warding import Warding, warding, written_down
from tokenward.core.credential import Kind
from tokenward.daemon.model_shapes import (
    ModelAccessParams,
    ModelForTierParams,
    ModelInfoParams,
    ModelListParams,
    ModelResolveParams,
)
from tokenward.daemon.token_models import TokenParams
from tokenward.errors import InvalidParams, ModelAccessDenied, NoCredentials, UnknownModel
from tokenward.provider_files import provider_named

SONNET_4, OPUS_4 = "claude-sonnet-4-20250514", "claude-opus-4-20250514"
LOGIN = "anthropic:me"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Warding]:
    """A login of Anthropic's, and a key of acme's, which is known by its configuration."""
    async with warding(tmp_path) as household:
        household.log_in(LOGIN)
        household.written = [written_down("config", provider="acme")]
        household.ward.household.providers = {
            "anthropic": provider_named("anthropic").but(default_model="claude-x", default_model_note="so"),
            "acme": provider_named("acme"),
        }
        await household.fill()
        yield household


# Beside a token


async def test_without_a_model_the_providers_default_goes_out(home: Warding) -> None:
    """With its note, and the same on the lane; a provider without one has none."""
    answer = await home.served()
    assert (answer.model, answer.model_note) == ("claude-x", "so")
    on_lane = home.lane.ask()
    assert on_lane is not None
    assert on_lane["model"] == "claude-x"
    assert (await home.served(provider="acme")).model is None


@pytest.mark.parametrize(
    ("model", "profile", "meant"),
    [
        ("opus-4.5", LOGIN, "claude-opus-4-5"),
        ("claude-cli/opus-4.5", LOGIN, "claude-opus-4-5"),
        ("claude-opus-9", LOGIN, "claude-opus-9"),
        ("acme/big", "acme:config", "big"),
        ("acme:claude-big", "acme:config", "claude-big"),
    ],
)
async def test_a_model_chooses_its_provider(home: Warding, model: str, profile: str, meant: str) -> None:
    """Where none is named, and the answer says what the name means."""
    answer = await home.served(model=model)
    assert (answer.profile, answer.model) == (profile, meant)


async def test_a_model_alone_belongs_to_the_provider_that_is_named(home: Warding) -> None:
    """A gateway's ``claude-…`` is asked of the gateway; so is a profile's."""
    for params in ({"provider": "acme"}, {"profile": "acme:config"}):
        answer = await home.served(model="claude-opus-5", **params)
        assert (answer.profile, answer.model) == ("acme:config", "claude-opus-5")


@pytest.mark.parametrize("params", [{"provider": "acme"}, {"profile": "acme:config"}])
async def test_two_providers_in_one_request_are_refused(home: Warding, params: dict[str, str]) -> None:
    """Which is meant cannot be known, and a token must not go to the wrong one."""
    with pytest.raises(InvalidParams, match="a model of anthropic, and the request is for acme"):
        await home.served(model="anthropic/claude-opus-5", **params)


async def test_an_alias_of_the_provider_still_chooses_the_kinds(home: Warding) -> None:
    """``anthropic-subscription/…`` is served by a subscription or not at all."""
    home.written.append(written_down("environment"))
    await home.fill()
    assert (await home.served(model="anthropic-subscription/opus")).kind == "oauth"
    await home.ward.forget(LOGIN)
    assert (await home.served(model="anthropic/opus")).kind == "api_key"
    with pytest.raises(NoCredentials):
        await home.served(model="anthropic-subscription/opus")


async def test_a_model_that_is_nobodys_is_unknown(home: Warding) -> None:
    """And nothing is served for it."""
    with pytest.raises(UnknownModel, match="gpt-5"):
        await home.served(model="gpt-5")


async def test_a_model_that_the_tier_may_not_use_is_answered_with_the_tiers_own(home: Warding) -> None:
    """With a warning; a new id is not, whatever the tier."""
    held = home.ward.keepers[LOGIN].credential
    assert held is not None
    home.store.place(LOGIN).overwrite(replace(held, tier="pro"))
    await home.ward.look_everywhere()
    answer = await home.served(model=OPUS_4)
    assert answer.model == SONNET_4
    assert 'not available for tier "pro"' in (answer.model_note or "")
    new = await home.served(model="claude-opus-9")
    assert (new.model, new.model_note) == ("claude-opus-9", None)


async def test_a_retired_model_is_said_and_not_replaced(home: Warding) -> None:
    """What is current is in the words."""
    answer = await home.served(model=OPUS_4)
    assert answer.model == OPUS_4
    assert "retired" in (answer.model_note or "")
    assert (await home.served(model=f"acme/{OPUS_4}")).model_note is None


@pytest.mark.covers("N49")
async def test_the_callers_betas_are_in_the_headers_once(home: Warding) -> None:
    """After the one that the login needs; the next answer without them has none."""
    answer = await home.served(betas=["x-1,oauth-2025-04-20", "claude-code-20250219", "x-1"])
    assert answer.headers["anthropic-beta"] == "oauth-2025-04-20,x-1,claude-code-20250219"
    assert (await home.served()).headers["anthropic-beta"] == "oauth-2025-04-20"


async def test_an_inline_credential_is_dressed_too(home: Warding) -> None:
    """It is a token like any other."""
    inline = {"access_token": "mine", "kind": "api_key"}
    answer = await home.served(credential=inline, model="sonnet-4.5", betas=["x-1"])
    assert (answer.model, answer.headers["anthropic-beta"]) == (
        "claude-sonnet-4-5",
        "extended-cache-ttl-2025-04-11,x-1",
    )


@pytest.mark.parametrize("params", [{"model": "opus"}, {"betas": ["x-1"]}])
async def test_the_lane_leaves_what_it_would_answer_otherwise(home: Warding, params: dict[str, object]) -> None:
    """An answer made for everybody has neither a caller's model nor its betas."""
    assert home.ward.token_nowait(TokenParams()) is not None
    assert home.ward.token_nowait(TokenParams.model_validate(params)) is None


@pytest.mark.parametrize("text", ["", " ", "a b", "x\ny", "\x1b[2J", "é", "x" * 161, "/x"])
def test_what_cannot_be_a_model_is_refused_at_the_door(text: str) -> None:
    """Before anything looks at it; the text is not quoted."""
    with pytest.raises(ValidationError) as refused:
        TokenParams(model=text)
    assert "input_value" not in str(refused.value)


@pytest.mark.parametrize("beta", ["", "x\r\nauthorization: y", "é", "x" * 513])
def test_what_cannot_be_a_beta_is_refused_at_the_door(beta: str) -> None:
    """A line break in a header is another header."""
    with pytest.raises(ValidationError):
        TokenParams(betas=[beta])


# By name


@pytest.mark.covers("E6", "E25")
async def test_a_name_is_resolved(home: Warding) -> None:
    """Whose it is and what, the nearest for a new one; strictly an unknown one is an error."""
    result = home.ward.models.resolve(ModelResolveParams(model="anthropic/claude-opus-4-5"))
    assert (result.provider, result.model, result.known) == ("anthropic", "claude-opus-4-5", True)
    new = home.ward.models.resolve(ModelResolveParams(model="claude-sonnet-5-6"))
    assert (new.model, new.known, new.suggestion) == ("claude-sonnet-5-6", False, "claude-sonnet-5-5")
    with pytest.raises(UnknownModel, match="Unknown model: anthropic/nope"):
        home.ward.models.resolve(ModelResolveParams(model="anthropic/nope", strict=True))


@pytest.mark.covers("N8")
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-3-haiku-20240307", ("haiku", 200_000, 4_096, True, False, True, True, "free")),
        ("claude-3-5-haiku-20241022", ("haiku", 200_000, 8_192, False, False, True, False, "free")),
        ("claude-3-5-sonnet-20241022", ("sonnet", 200_000, 8_192, True, False, True, False, "pro")),
        ("claude-3-5-sonnet-v2-20241022", ("sonnet", 200_000, 8_192, True, False, True, False, "pro")),
        (SONNET_4, ("sonnet", 200_000, 64_000, True, True, True, False, "pro")),
        ("claude-3-opus-20240229", ("opus", 200_000, 4_096, True, False, True, True, "max")),
        (OPUS_4, ("opus", 200_000, 64_000, True, True, True, False, "max")),
    ],
)
async def test_the_seven_detailed_models(home: Warding, model: str, expected: tuple[object, ...]) -> None:
    """Every field of the document's metadata."""
    shown = home.ward.models.info(ModelInfoParams(model=model))
    assert (
        shown.family,
        shown.context_window,
        shown.max_output,
        shown.vision,
        shown.extended_thinking,
        shown.tool_use,
        shown.deprecated,
        shown.minimum_tier,
    ) == expected


async def test_nothing_is_told_of_what_is_not_known(home: Warding) -> None:
    """A new id has no figures, and none are made up."""
    with pytest.raises(UnknownModel):
        home.ward.models.info(ModelInfoParams(model="claude-opus-9"))


async def test_both_tables_are_listed_with_their_dates(home: Warding) -> None:
    """What is current first, and the default that goes out with a token."""
    listed = home.ward.models.list(ModelListParams())
    assert [table.table for table in listed.tables] == ["current", "documents"]
    assert all(table.dated and table.source for table in listed.tables)
    assert {model.table for model in listed.models} == {"current", "documents"}
    assert (listed.default, listed.default_note) == ("claude-x", "so")
    (sonnet,) = [each for each in listed.models if each.model == SONNET_4]
    assert (sonnet.retired, sonnet.minimum_tier) == ("2026-06-15", "pro")


@pytest.mark.covers("N69")
async def test_the_filters_give_the_documents_examples(home: Warding) -> None:
    """Thinking models and the newest of each family, of those that its tier table has."""

    def listed(**params: object) -> list[str]:
        asked = ModelListParams.model_validate({"table": "documents", "tier": "max", **params})
        return [model.model for model in home.ward.models.list(asked).models]

    assert listed(capability="extended_thinking") == [SONNET_4, OPUS_4]
    assert listed(latest=True) == ["claude-3-5-haiku-20241022", SONNET_4, OPUS_4]
    assert listed(family="opus") == ["claude-3-opus-20240229", OPUS_4]
    assert listed(family="opus", tier="pro") == []


# By tier


@pytest.mark.covers("N15")
async def test_a_tier_gets_its_own_model_with_a_warning(home: Warding) -> None:
    """The founding document's example; strictly it is an error."""
    result = home.ward.models.for_tier(ModelForTierParams(model=OPUS_4, tier="pro"))
    assert result.model == SONNET_4
    assert result.warning is not None
    allowed = home.ward.models.for_tier(ModelForTierParams(model=OPUS_4, tier="max"))
    assert (allowed.model, allowed.warning) == (OPUS_4, None)
    with pytest.raises(ModelAccessDenied, match='Required tier: "max"'):
        home.ward.models.for_tier(ModelForTierParams(model=OPUS_4, tier="pro", strict=True))


@pytest.mark.covers("N14")
async def test_without_a_model_the_default_is_that_of_the_tier_if_there_is_one(home: Warding) -> None:
    """Named by the caller, by the configuration, by the credential; or else the global one."""
    models = home.ward.models
    assert models.for_tier(ModelForTierParams(tier="free")).model == "claude-3-5-haiku-20241022"
    assert models.for_tier(ModelForTierParams()).model == "claude-3-5-sonnet-20241022"
    held = home.ward.keepers[LOGIN].credential
    assert held is not None
    home.store.place(LOGIN).overwrite(replace(held, subscription="pro"))
    await home.ward.look_everywhere()
    assert (models.for_tier(ModelForTierParams()).tier, models.for_tier(ModelForTierParams()).model) == (
        "pro",
        SONNET_4,
    )
    home.ward.household.providers = {"anthropic": provider_named("anthropic").but(tier="max_20")}
    assert models.for_tier(ModelForTierParams()).model == OPUS_4


@pytest.mark.covers("N66")
async def test_access_is_a_truth_value(home: Warding) -> None:
    """And an error only where the caller insists; other providers' models are open."""
    models = home.ward.models
    denied = models.validate_access(ModelAccessParams(model="claude-opus-4", tier="pro"))
    assert (denied.allowed, denied.required_tier, denied.model) == (False, "max", OPUS_4)
    assert models.validate_access(ModelAccessParams(model="claude-opus-4", tier="max")).allowed
    assert models.validate_access(ModelAccessParams(model="claude-opus-9", tier="free")).allowed
    with pytest.raises(ModelAccessDenied):
        models.validate_access(ModelAccessParams(model="claude-opus-4", tier="pro", strict=True))


async def test_another_providers_models_have_no_tiers_of_ours(home: Warding) -> None:
    """Even if they have the id of one that has."""
    models = home.ward.models
    assert models.validate_access(ModelAccessParams(model=f"acme/{OPUS_4}", tier="free", strict=True)).allowed
    advised = models.for_tier(ModelForTierParams(model=f"acme/{OPUS_4}", tier="free"))
    assert (advised.provider, advised.model, advised.warning) == ("acme", OPUS_4, None)


async def test_the_kind_of_a_key_is_the_api_tier(home: Warding) -> None:
    """What the token itself pays for may use everything."""
    home.written = [written_down("environment", Kind.API_KEY)]
    home.store.remove(LOGIN)
    await home.fill()
    assert home.ward.models.for_tier(ModelForTierParams(model=OPUS_4)).tier == "api"
