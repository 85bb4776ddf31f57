"""Under which variables a program reads what it needs, and which of those that are set would get in its way.

The problem: Anthropic's programs read a key, a gateway's token and a login's token from different variables, fill
two headers independently, and prefer some variables to others. A token in the wrong one travels in the wrong
header; a token in the right one, beside a forgotten key, is not used, or goes out together with it.

Rules:
- One variable carries the token, chosen by the kind; a login's token stands in the two names that it has.
- Every other variable that could carry a credential, choose another cloud or send it to another address is in the
  way, and is removed, by name, never silently. A variable that is set to nothing is nobody's wish.
- A profile of another provider sets the variables that are named after it. Where it is a gateway that speaks
  Anthropic's API, ``like`` says so; then its address must be known, or its token would go to Anthropic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tokenward.client import Token
from tokenward.core.token_variables import ANTHROPIC, ANTHROPIC_VARIABLES, prefix, usual_variable
from tokenward.errors import ConfigurationFault

MODEL = "ANTHROPIC_MODEL"
_LOGIN_NAMES = ("CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_OAUTH_TOKEN")
"""Claude Code's name for a login's token, and that of programs of others."""
_RIVALS = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_OAUTH_TOKEN",
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
"""What chooses a credential, an address or a cloud for Anthropic's programs."""
_CUSTOM_HEADERS = "ANTHROPIC_CUSTOM_HEADERS"
"""``Name: value`` lines; Claude Code lets them replace the header that carries the key."""
_CREDENTIAL_HEADERS = {"authorization", "x-api-key"}


@dataclass(frozen=True, slots=True)
class Variables:
    """What a program's environment needs.

    Args:
        settings: names and values to set; a value may be the secret.
        rivals: names that must not be set.
    """

    settings: Mapping[str, str]
    rivals: Sequence[str]

    def removed_from(self, environ: Mapping[str, str]) -> list[str]:
        """The names that are set there, to something, and must not be."""
        return [name for name in self.rivals if environ.get(name, "").strip()]

    def laid_over(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment with all of it carried out."""
        kept = {name: value for name, value in environ.items() if name not in self.rivals}
        return {**kept, **self.settings}


def variables_for(
    token: Token,
    environ: Mapping[str, str],
    *,
    like: str | None = None,
    env_var: str | None = None,
    model: str | None = None,
) -> Variables:
    """What a program needs to use this token.

    Args:
        token: the token.
        environ: the environment that it will be laid over.
        like: "anthropic" for a profile of another provider that speaks Anthropic's API.
        env_var: the variable that the provider's own programs read a key from, if known.
        model: the model that was asked for; None = leave the program its own choice.

    Raises:
        ConfigurationFault: if ``like`` is given and the gateway's address is not known.
    """
    if ANTHROPIC not in {token.provider, like}:
        return Variables(_named_after_provider(token, env_var), ())
    settings = dict.fromkeys(_anthropic_names(token), token.token)
    if token.base_url is not None:
        settings["ANTHROPIC_BASE_URL"] = token.base_url
    elif token.provider != ANTHROPIC:
        raise ConfigurationFault(
            f"the address of {token.provider} is not known, and its token must not go to Anthropic",
            hint=f"say it in the configuration: api_url under [providers.{token.provider}]",
        )
    if model is not None:
        settings[MODEL] = token.model or model
    rivals = [*_RIVALS, *([_CUSTOM_HEADERS] if _replaces_credential(environ.get(_CUSTOM_HEADERS, "")) else [])]
    return Variables(settings, [name for name in rivals if name not in settings])


def _anthropic_names(token: Token) -> Sequence[str]:
    if token.provider != ANTHROPIC:
        return ("ANTHROPIC_API_KEY" if "x-api-key" in token.headers else "ANTHROPIC_AUTH_TOKEN",)
    name = ANTHROPIC_VARIABLES[token.kind]
    return _LOGIN_NAMES if name in _LOGIN_NAMES else (name,)


def _named_after_provider(token: Token, env_var: str | None) -> dict[str, str]:
    own = env_var if token.kind == "api_key" else None
    settings = {own or usual_variable(token.provider, token.kind): token.token}
    if token.base_url is not None:
        settings[f"{prefix(token.provider)}_BASE_URL"] = token.base_url
    return settings


def _replaces_credential(headers: str) -> bool:
    return any(line.partition(":")[0].strip().lower() in _CREDENTIAL_HEADERS for line in headers.splitlines())
