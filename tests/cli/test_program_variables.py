"""Each kind of token stands in the variable that its programs read, and nothing beside it competes."""

from typing import Any

import pytest

from client.fake_daemon import TOKEN
from tokenward.cli.program_variables import variables_for
from tokenward.client import Token
from tokenward.errors import ConfigurationFault

BASE = "https://api.anthropic.com"
SECRET = TOKEN["token"]
BEARER = {"authorization": f"Bearer {SECRET}"}


def token(**members: Any) -> Token:
    """A token of the fake daemon's, with other members."""
    return Token.from_result({**TOKEN, **members})


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("api_key", ["ANTHROPIC_API_KEY"]),
        ("auth_token", ["ANTHROPIC_AUTH_TOKEN"]),
        ("setup_token", ["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_OAUTH_TOKEN"]),
        ("oauth", ["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_OAUTH_TOKEN"]),
        ("federated", ["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_OAUTH_TOKEN"]),
    ],
)
def test_the_kind_chooses_the_variable_and_the_others_must_go(kind: str, names: list[str]) -> None:
    """Whatever is set: exactly the right ones remain, with the address, and the rest of the environment."""
    every = (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_OAUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_OAUTH_TOKEN",
        "ANTHROPIC_PROFILE",
        "ANTHROPIC_FEDERATION_RULE_ID",
        "ANTHROPIC_IDENTITY_TOKEN",
        "ANTHROPIC_IDENTITY_TOKEN_FILE",
        "CLAUDE_CODE_USE_BEDROCK",
        "CLAUDE_CODE_USE_VERTEX",
        "CLAUDE_CODE_USE_FOUNDRY",
    )
    environ = {**dict.fromkeys(every, "another"), "PATH": "/bin", "ANTHROPIC_MODEL": "mine"}
    variables = variables_for(token(kind=kind), environ)
    kept = {"PATH": "/bin", "ANTHROPIC_MODEL": "mine"}
    wanted = {**dict.fromkeys(names, SECRET), "ANTHROPIC_BASE_URL": BASE}
    assert variables.laid_over(environ) == {**kept, **wanted}
    assert set(variables.removed_from(environ)) == set(every) - set(wanted)


def test_an_address_that_nobody_knows_is_not_left_to_another_s() -> None:
    """A gateway's address of before would get this token."""
    variables = variables_for(token(base_url=None), {"ANTHROPIC_BASE_URL": "https://elsewhere"})
    assert variables.removed_from({"ANTHROPIC_BASE_URL": "https://elsewhere"}) == ["ANTHROPIC_BASE_URL"]


def test_what_is_set_to_nothing_is_not_named() -> None:
    """It goes all the same."""
    variables = variables_for(token(), {})
    assert variables.removed_from({"ANTHROPIC_AUTH_TOKEN": " "}) == []
    assert "ANTHROPIC_AUTH_TOKEN" not in variables.laid_over({"ANTHROPIC_AUTH_TOKEN": " "})


@pytest.mark.parametrize(
    ("headers", "goes"),
    [
        ("X-Api-Key: other", True),
        ("X-Team: a\n authorization : Bearer x", True),
        ("X-Team: x-api-key", False),
        ("", False),
    ],
)
def test_custom_headers_go_if_they_carry_a_credential(headers: str, goes: bool) -> None:  # noqa: FBT001 - a table
    """Others are the user's own business."""
    environ = {"ANTHROPIC_CUSTOM_HEADERS": headers}
    assert ("ANTHROPIC_CUSTOM_HEADERS" not in variables_for(token(), environ).laid_over(environ)) is goes


class TestModel:
    def test_the_one_that_was_asked_for_in_the_spelling_of_the_daemon(self) -> None:
        """And its own where the daemon knows none."""
        environ = {"ANTHROPIC_MODEL": "mine"}
        known = variables_for(token(), environ, model="opus").laid_over(environ)
        unknown = variables_for(token(model=None), environ, model="opus").laid_over(environ)
        assert (known["ANTHROPIC_MODEL"], unknown["ANTHROPIC_MODEL"]) == ("claude-opus-5-5", "opus")

    def test_none_where_nobody_asked(self) -> None:
        """It would override the one that is chosen in the program."""
        assert "ANTHROPIC_MODEL" not in variables_for(token(), {}).settings


class TestOtherProviders:
    @pytest.mark.parametrize(
        ("members", "env_var", "name"),
        [
            ({"provider": "my-corp.ai"}, None, "MY_CORP_AI_API_KEY"),
            ({"provider": "acme"}, "ACME_KEY", "ACME_KEY"),
            ({"provider": "acme", "kind": "oauth"}, "ACME_KEY", "ACME_TOKEN"),
            ({"provider": "9acme", "kind": "auth_token"}, None, "_9ACME_TOKEN"),
        ],
    )
    def test_variables_are_named_after_the_provider(
        self, members: dict[str, Any], env_var: str | None, name: str
    ) -> None:
        """A key in the one that its programs read, if that is known; nothing of Anthropic's is touched."""
        variables = variables_for(token(**members, base_url=None), {"ANTHROPIC_API_KEY": "k"}, env_var=env_var)
        assert variables.laid_over({"ANTHROPIC_API_KEY": "k"}) == {"ANTHROPIC_API_KEY": "k", name: SECRET}

    def test_a_gateway_that_speaks_anthropic_s_api(self) -> None:
        """The header that it wants chooses the variable, whatever its kind is called."""
        members = {"provider": "aiohub", "base_url": "https://gw.example"}
        bearer = variables_for(token(**members, headers=BEARER), {}, like="anthropic")
        own = variables_for(token(**members, kind="auth_token"), {}, like="anthropic")
        address = {"ANTHROPIC_BASE_URL": "https://gw.example"}
        assert bearer.settings == {"ANTHROPIC_AUTH_TOKEN": SECRET, **address}
        assert own.settings == {"ANTHROPIC_API_KEY": SECRET, **address}
        assert "CLAUDE_CODE_OAUTH_TOKEN" in bearer.rivals

    def test_a_gateway_without_an_address_is_refused(self) -> None:
        """Its token would go to Anthropic."""
        with pytest.raises(ConfigurationFault, match="must not go to Anthropic"):
            variables_for(token(provider="aiohub", base_url=None), {}, like="anthropic")
