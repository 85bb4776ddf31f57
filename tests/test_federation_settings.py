"""How the configuration, or the environment of Anthropic's own programs, says from what tokens are minted."""

import pytest
from pydantic import TypeAdapter

from tokenward.core.credential import Secret
from tokenward.core.federation import Federation
from tokenward.provider_files import federation_for, provider_named
from tokenward.provider_settings import ProviderSettings

VARIABLES = {
    "ANTHROPIC_FEDERATION_RULE_ID": "fdrl_1",
    "ANTHROPIC_ORGANIZATION_ID": "org",
    "ANTHROPIC_SERVICE_ACCOUNT_ID": "svac_1",
    "ANTHROPIC_WORKSPACE_ID": "wrkspc_1",
    "ANTHROPIC_IDENTITY_TOKEN_FILE": "/run/identity",
}
BETAS = "oauth-2025-04-20,oidc-federation-2026-04-01"
URL = "https://api.anthropic.com/v1/oauth/token"


def federation(
    environ: dict[str, str], name: str = "anthropic", said: ProviderSettings | None = None
) -> Federation | None:
    """What is in force."""
    return federation_for(provider_named(name, said), said, environ)


def table(text: dict[str, object]) -> ProviderSettings:
    """A provider's table with a federation in it."""
    checker = TypeAdapter(ProviderSettings)
    return checker.validate_python({"federation": text}, context={"environ": {"HOME": "/home/me"}})


def test_the_variables_of_anthropics_programs_are_enough() -> None:
    """Where the trio is set, tokens are minted at the API's own address, as JSON, with the betas it wants."""
    found = federation(VARIABLES)
    assert found == Federation(
        identity_token_file="/run/identity",
        token_endpoint=URL,
        body="json",
        headers={"anthropic-beta": BETAS},
        refused_errors=frozenset({"authentication_error"}),
        parameters={
            "federation_rule_id": "fdrl_1",
            "organization_id": "org",
            "service_account_id": "svac_1",
            "workspace_id": "wrkspc_1",
        },
    )


def test_a_token_in_the_environment_does_where_no_file_is_named() -> None:
    """ANTHROPIC_IDENTITY_TOKEN; the file wins, as it does in Anthropic's own programs."""
    found = federation({**VARIABLES, "ANTHROPIC_IDENTITY_TOKEN_FILE": "", "ANTHROPIC_IDENTITY_TOKEN": "a.b.c"})
    assert found is not None
    assert found.identity_token == Secret("a.b.c")
    assert "a.b.c" not in repr(found)
    both = federation({**VARIABLES, "ANTHROPIC_IDENTITY_TOKEN": "a.b.c"})
    assert both is not None
    assert (both.identity_token_file, both.identity_token) == ("/run/identity", None)


def test_what_is_empty_is_not_sent() -> None:
    """A variable that a build system sets to nothing is as if it were not set."""
    found = federation({**VARIABLES, "ANTHROPIC_WORKSPACE_ID": "", "ANTHROPIC_SERVICE_ACCOUNT_ID": " "})
    assert found is not None
    assert found.parameters.keys() == {"federation_rule_id", "organization_id"}


@pytest.mark.parametrize(
    "missing",
    ["ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_ORGANIZATION_ID", "ANTHROPIC_IDENTITY_TOKEN_FILE"],
)
def test_without_one_of_three_there_is_none(missing: str) -> None:
    """Nothing is minted by half a setting, and nothing of it is a fault: other programs use these variables."""
    assert federation({**VARIABLES, missing: ""}) is None


def test_other_providers_have_no_variables() -> None:
    """The variables are Anthropic's."""
    assert federation(VARIABLES, "acme") is None


def test_the_configuration_wins() -> None:
    """What somebody wrote down for tokenward is meant for it; only the provider's own data stay."""
    said = table(
        {"identity_command": ["print-identity", "--fast"], "parameters": {"federation_rule_id": "fdrl_2"}}
    )
    found = federation(VARIABLES, said=said)
    assert found == Federation(
        identity_command=("print-identity", "--fast"),
        token_endpoint=URL,
        body="json",
        headers={"anthropic-beta": BETAS},
        refused_errors=frozenset({"authentication_error"}),
        parameters={"federation_rule_id": "fdrl_2"},
    )


def test_a_home_is_expanded_in_the_path() -> None:
    """As in every path of the configuration."""
    found = federation({}, said=table({"identity_token_file": "~/identity"}))
    assert found is not None
    assert found.identity_token_file == "/home/me/identity"


def test_the_api_moves_the_endpoint_with_it() -> None:
    """As in Anthropic's own programs; an endpoint that is named stays where it is."""
    moved = ProviderSettings(api_url="https://gateway.dev")
    found = federation(VARIABLES, said=moved)
    assert found is not None
    assert found.token_endpoint == "https://gateway.dev/v1/oauth/token"
    named = table({"identity_token_file": "/t", "token_endpoint": "https://sts.dev/token"})
    found = federation({}, said=named)
    assert found is not None
    assert found.token_endpoint == "https://sts.dev/token"


def test_any_provider_can_mint() -> None:
    """Its own token endpoint is used, as a form, unless it says otherwise."""
    found = federation({}, "acme", table({"identity_token_file": "/t", "scope": "read"}))
    assert found == Federation(identity_token_file="/t", scope="read")
