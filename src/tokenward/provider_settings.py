"""What ``config.toml`` may say of a provider, ``[providers.NAME]``, and of what is minted there.

The problem: a provider that we do not know must be usable by what its documentation says, and of one that we know
each single key may differ.

Rules:
- Every key is optional; what is absent is as in the built-in provider file.
- Where a grant or a client's authentication would be overwritten, the key is refused.
"""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
    field_validator,
)

from tokenward.core.federation import RESERVED_PARAMETERS
from tokenward.setting_types import (
    LARGEST_REFRESH_TIMEOUT_SECONDS,
    AbsolutePath,
    Address,
    Endpoint,
    Page,
    PassedOn,
    Seconds,
    Secretive,
    Table,
    Text,
    TierName,
)

LONGEST_REUSE_GRACE_SECONDS = 3600.0
"""Servers that forgive a replay do so for seconds or minutes."""


class FederationSettings(Table):
    """``[providers.NAME.federation]``: access tokens are minted from an identity token (RFC 7523)."""

    identity_token_file: AbsolutePath | None = Field(
        default=None, description="The file that holds the identity token; it is read anew for each mint."
    )
    identity_command: list[Text] = Field(
        default=[], description="The command that prints the identity token, as a list of arguments; no shell."
    )
    command_timeout: Seconds = Field(
        default=10.0, ge=1, le=LARGEST_REFRESH_TIMEOUT_SECONDS, description="Seconds the command may take."
    )
    env: PassedOn = Field(default=[])
    token_endpoint: Endpoint | None = Field(
        default=None, description="Where the identity token is presented; None = the provider's token endpoint."
    )
    scope: Text | None = Field(default=None, description="Sent only if set.")
    parameters: dict[str, Text] = Field(
        default={},
        description="Further parameters that the provider wants, as federation_rule_id and organization_id.",
    )

    @field_validator("parameters")
    @classmethod
    def _none_is_ours(cls, parameters: dict[str, str]) -> dict[str, str]:
        if RESERVED_PARAMETERS & parameters.keys():
            raise ValueError("must not hold what the grant or the client's authentication consists of")
        return parameters


class ProviderSettings(Table):
    """``[providers.NAME]``: laid over the built-in provider file, key by key."""

    issuer: Address | None = Field(default=None, description="Its metadata are discovered (RFC 8414).")
    token_endpoint: Endpoint | None = Field(default=None, description="Where tokens are had and refreshed.")
    authorization_endpoint: Endpoint | None = Field(default=None, description="Where a browser is sent to log in.")
    revocation_endpoint: Endpoint | None = Field(
        default=None, description="Where `tokenward logout --revoke` ends a login (RFC 7009)."
    )
    device_authorization_endpoint: Endpoint | None = Field(
        default=None, description="Where `--method device` begins (RFC 8628)."
    )
    client_id: Text | None = Field(default=None, description="What you are registered as at its server.")
    client_auth: Literal["none", "basic", "post", "private_key_jwt"] | None = Field(
        default=None, description="How the client authenticates (RFC 6749 section 2.3, RFC 7523 section 2.2)."
    )
    client_secret: Secretive | None = Field(
        default=None, description="The client's secret, for basic and post; `${NAME}` keeps it out of the file."
    )
    client_key: AbsolutePath | None = Field(
        default=None, description="The client's private key for private_key_jwt: PEM or a JWK, mode 0600."
    )
    client_key_id: Text | None = Field(default=None, description="The kid under which the server knows that key.")
    scope: Text | None = Field(default=None, description="What a login asks for; words apart by spaces.")
    redirect_uri: Address | None = Field(
        default=None, description="Registered for logins; None = a free port of loopback (RFC 8252)."
    )
    api_key_endpoint: Endpoint | None = Field(
        default=None, description="Where a login is exchanged for an API key."
    )
    key_check_endpoint: Endpoint | None = Field(
        default=None, description="Answers a GET with success to whoever has a good key, as a list of models does."
    )
    body: Literal["form", "json"] | None = Field(
        default=None, description="How the token endpoint takes its parameters; form is the standard."
    )
    reuse_grace: Seconds | None = Field(
        default=None,
        le=LONGEST_REUSE_GRACE_SECONDS,
        description="Seconds in which a spent refresh token may be presented again.",
    )
    api_key: Secretive | None = Field(
        default=None, description="A key of its API; `${NAME}` keeps it out of the file."
    )
    auth_token: Secretive | None = Field(
        default=None, description="A gateway's key, sent as a bearer token; needs api_url beside it."
    )
    api_url: Address | None = Field(default=None, description="Where its API or gateway answers.")
    billing_url: Page | None = Field(
        default=None, description="The page where funds are added; named where a credential has no money."
    )
    beta_features: bool | None = Field(
        default=None, description="Whether the header advice names the provider's beta features too."
    )
    tier: TierName | None = Field(
        default=None, description="The tier of its subscription; None = what the credentials say."
    )
    federation: FederationSettings | None = Field(
        default=None, description="A table of its own: tokens are minted from a workload's identity."
    )
