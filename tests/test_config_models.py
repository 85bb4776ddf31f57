"""What the configuration may say of models, tiers and beta features."""

import os
from pathlib import Path

import pytest

from tokenward.config import load
from tokenward.errors import ConfigurationFault
from tokenward.provider_files import provider_named
from tokenward.settings import Settings


def settings(directory: Path, text: str) -> Settings:
    """A configuration of this text."""
    path = directory / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return load(path, {"HOME": str(directory)}, uid=os.getuid(), platform="linux").settings


def refused(directory: Path, text: str) -> ConfigurationFault:
    """Why it is refused."""
    with pytest.raises(ConfigurationFault) as caught:
        settings(directory, text)
    return caught.value


@pytest.mark.covers("P4")
@pytest.mark.parametrize(
    ("text", "model"),
    [
        ('model = "opus-4.5"', "anthropic/claude-opus-4-5"),
        ('model = " Anthropic:Opus-4.5 "', "anthropic/claude-opus-4-5"),
        ('provider = "claude-code"\nmodel = "sonnet-4"', "anthropic/claude-sonnet-4-20250514"),
        ('model = "claude-opus-9"', "anthropic/claude-opus-9"),
        ('provider = "acme"\nmodel = "big"', "acme/big"),
        ('provider = "acme"\nmodel = "claude-cli/opus-4.5"', "anthropic/claude-opus-4-5"),
        ('model = "acme:big"', "acme/big"),
    ],
)
def test_the_default_model_is_put_right(tmp_path: Path, text: str, model: str) -> None:
    """As everywhere else; an id alone is the default provider's."""
    assert settings(tmp_path, f"[default]\n{text}\n").default.model == model


def test_a_model_of_nobody_is_refused_with_its_line(tmp_path: Path) -> None:
    """And with what may be meant."""
    fault = refused(tmp_path, '[default]\nmodel = "claud-opus-5"\n')
    assert f"{tmp_path / 'config.toml'}:2: default.model: is not a model that is known" in fault.cause
    assert "did you mean claude-opus-5" in fault.hint


@pytest.mark.parametrize("model", ['"anthropic/a b"', '"acme/é"', "7"])
def test_what_cannot_be_a_model_is_refused(tmp_path: Path, model: str) -> None:
    """A text that could not be sent, or none."""
    assert ":2: default.model: " in refused(tmp_path, f"[default]\nmodel = {model}\n").cause


def test_a_tier_is_one_of_six(tmp_path: Path) -> None:
    """It is the provider's, and a misspelt one is said."""
    given = settings(tmp_path, '[providers.anthropic]\ntier = "max_5"\n').providers["anthropic"]
    assert provider_named("anthropic", given).tier == "max_5"
    assert "providers.anthropic.tier: must be" in refused(tmp_path, '[providers.anthropic]\ntier = "gold"\n').cause


def test_beta_features_are_for_a_provider_that_has_some(tmp_path: Path) -> None:
    """A switch that switches nothing would be a promise broken."""
    assert settings(tmp_path, "[providers.anthropic]\nbeta_features = true\n").providers["anthropic"].beta_features
    assert settings(tmp_path, "[providers.acme]\nbeta_features = false\n").providers["acme"].beta_features is False
    fault = refused(tmp_path, "[providers.acme]\nbeta_features = true\n")
    assert ":2: providers.acme.beta_features: acme has none that are known" in fault.cause
