"""Which model goes out with a token where the caller names none."""

from __future__ import annotations

import pytest

from tokenward.daemon.default_model import DefaultModel, default_models
from tokenward.provider_files import Provider, provider_named
from tokenward.provider_settings import ProviderSettings
from tokenward.settings import DefaultSettings, Settings


def defaults(
    model: str | None = None, environ: str | None = None, tier: str | None = None
) -> dict[str, DefaultModel]:
    """What a configuration, an environment and a tier come to."""

    def provider(name: str) -> Provider:
        return provider_named(name).but(tier=tier)

    settings = Settings(default=DefaultSettings(model=model), providers={"acme": ProviderSettings()})
    return default_models(settings, {} if environ is None else {"ANTHROPIC_MODEL": environ}, provider)


def default(model: str | None = None, environ: str | None = None, tier: str | None = None) -> str:
    """Anthropic's."""
    return defaults(model, environ, tier)["anthropic"].model


@pytest.mark.covers("P11")
def test_where_nobody_says_anything_it_is_the_founding_documents() -> None:
    """With the word that it is retired, and what to do."""
    given = defaults()["anthropic"]
    assert given.model == "claude-sonnet-4-20250514"
    assert given.note is not None
    assert "was retired on 2026-06-15" in given.note
    assert "[default]" in given.note


@pytest.mark.covers("P4")
def test_the_configuration_is_put_right_like_any_other_reference() -> None:
    """And says nothing more."""
    assert defaults("anthropic/opus-4.5")["anthropic"] == DefaultModel("claude-opus-4-5")


@pytest.mark.covers("N9")
def test_the_environment_wins() -> None:
    """Over the configuration, the tier and the tables; in every form that a model may have."""
    assert default("opus-4.5", " claude-sonnet-5 ", "max") == "claude-sonnet-5"
    assert default(environ="Sonnet-4.5") == "claude-sonnet-4-5"
    assert default(environ="glm-5") == "glm-5"
    assert default(environ="anthropic/opus-4.5") == "claude-opus-4-5"
    assert defaults(environ="vendor/glm-5") == {"anthropic": DefaultModel("vendor/glm-5")}
    assert default(environ="  ") == "claude-sonnet-4-20250514"


@pytest.mark.parametrize("said", ["claude\nopus", "claude opus", "\x1b[2J", "x" * 200])
def test_a_variable_that_names_no_model_is_ignored_and_said(said: str, caplog: pytest.LogCaptureFixture) -> None:
    """It would be in every answer; the text is not in the log."""
    assert default(environ=said) == "claude-sonnet-4-20250514"
    assert "ANTHROPIC_MODEL is not the name of a model" in caplog.text
    assert said not in caplog.text


@pytest.mark.covers("N14")
def test_a_configured_tier_has_its_own_unless_a_model_is_configured() -> None:
    """The tiers' defaults hold only for a configured tier."""
    assert default(tier="max") == "claude-opus-4-20250514"
    assert default("sonnet-4.5", tier="max") == "claude-sonnet-4-5"


def test_another_providers_model_is_its_own_default() -> None:
    """And leaves Anthropic's as it is; what looks retired there is not ours to say."""
    given = defaults("acme/claude-opus-4-20250514")
    assert given["acme"] == DefaultModel("claude-opus-4-20250514")
    assert given["anthropic"].model == "claude-sonnet-4-20250514"
