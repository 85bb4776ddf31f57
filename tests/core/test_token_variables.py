"""The names of variables: one truth for files, commands and environments."""

from __future__ import annotations

import re

import pytest

from tokenward.core.credential import Kind
from tokenward.core.token_variables import ANTHROPIC_VARIABLES, prefix, usual_variable


def test_every_kind_has_one_of_anthropics() -> None:
    """A login's token never stands where a key is read."""
    assert set(ANTHROPIC_VARIABLES) == set(Kind)
    keys = [kind for kind, name in ANTHROPIC_VARIABLES.items() if name == "ANTHROPIC_API_KEY"]
    assert keys == [Kind.API_KEY]


@pytest.mark.parametrize(
    ("provider", "name"), [("acme", "ACME_TOKEN"), ("acme-eu", "ACME_EU_TOKEN"), ("9router", "_9ROUTER_TOKEN")]
)
def test_a_providers_name_becomes_one_that_a_shell_can_set(provider: str, name: str) -> None:
    """POSIX: letters, digits and underscores, and no digit first."""
    assert usual_variable(provider, Kind.OAUTH) == name
    assert re.fullmatch(r"[A-Z_][A-Z0-9_]*", prefix(provider))
