"""What ``config.toml`` may say of a provider, ``[providers.NAME]``, and of what is minted there.

The problem: a provider that we do not know must be usable by what its documentation says, and of one that we know
each single key may differ.

Rules:
- Every key is optional; what is absent is as in the built-in provider file.
- Where a grant or a client's authentication would be overwritten, the key is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from tokenward.setting_types import (
    LARGEST_REFRESH_TIMEOUT_SECONDS,
    About,
    AbsolutePath,
    Address,
    Checked,
    Endpoint,
    Limits,
    ListOf,
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


def _none_of_ours(parameters: Mapping[str, str]) -> Mapping[str, str]:
    from tokenward.core.federation import RESERVED_PARAMETERS

    if RESERVED_PARAMETERS & parameters.keys():
        raise ValueError("must not hold what the grant or the client's authentication consists of")
    return parameters


class FederationSettings(Table):
    """``[providers.NAME.federation]``: access tokens are minted from an identity token (RFC 7523)."""

    identity_token_file: Annotated[
        AbsolutePath | None, About("The file that holds the identity token; it is read anew for each mint.")
    ] = None
    identity_command: Annotated[
        ListOf[Text], About("The command that prints the identity token, as a list of arguments; no shell.")
    ] = ()
    command_timeout: Annotated[
        Seconds, Limits(ge=1, le=LARGEST_REFRESH_TIMEOUT_SECONDS), About("Seconds the command may take.")
    ] = 10.0
    env: PassedOn = ()
    token_endpoint: Annotated[
        Endpoint | None, About("Where the identity token is presented; None = the provider's token endpoint.")
    ] = None
    scope: Annotated[Text | None, About("Sent only if set.")] = None
    parameters: Annotated[
        Mapping[str, Text],
        Checked(by=_none_of_ours),
        About("Further parameters that the provider wants, as federation_rule_id and organization_id."),
    ] = MappingProxyType({})


class ProviderSettings(Table):
    """``[providers.NAME]``: laid over the built-in provider file, key by key."""

    issuer: Annotated[Address | None, About("Its metadata are discovered (RFC 8414).")] = None
    token_endpoint: Annotated[Endpoint | None, About("Where tokens are had and refreshed.")] = None
    authorization_endpoint: Annotated[Endpoint | None, About("Where a browser is sent to log in.")] = None
    revocation_endpoint: Annotated[
        Endpoint | None, About("Where `tokenward logout --revoke` ends a login (RFC 7009).")
    ] = None
    device_authorization_endpoint: Annotated[
        Endpoint | None, About("Where `--method device` begins (RFC 8628).")
    ] = None
    client_id: Annotated[Text | None, About("What you are registered as at its server.")] = None
    client_auth: Annotated[
        Literal["none", "basic", "post", "private_key_jwt"] | None,
        About("How the client authenticates (RFC 6749 section 2.3, RFC 7523 section 2.2)."),
    ] = None
    client_secret: Annotated[
        Secretive | None, About("The client's secret, for basic and post; `${NAME}` keeps it out of the file.")
    ] = None
    client_key: Annotated[
        AbsolutePath | None, About("The client's private key for private_key_jwt: PEM or a JWK, mode 0600.")
    ] = None
    client_key_id: Annotated[Text | None, About("The kid under which the server knows that key.")] = None
    scope: Annotated[Text | None, About("What a login asks for; words apart by spaces.")] = None
    redirect_uri: Annotated[
        Address | None, About("Registered for logins; None = a free port of loopback (RFC 8252).")
    ] = None
    api_key_endpoint: Annotated[Endpoint | None, About("Where a login is exchanged for an API key.")] = None
    key_check_endpoint: Annotated[
        Endpoint | None, About("Answers a GET with success to whoever has a good key, as a list of models does.")
    ] = None
    body: Annotated[
        Literal["form", "json"] | None, About("How the token endpoint takes its parameters; form is the standard.")
    ] = None
    reuse_grace: Annotated[
        Seconds | None,
        Limits(le=LONGEST_REUSE_GRACE_SECONDS),
        About("Seconds in which a spent refresh token may be presented again."),
    ] = None
    api_key: Annotated[Secretive | None, About("A key of its API; `${NAME}` keeps it out of the file.")] = None
    auth_token: Annotated[
        Secretive | None, About("A gateway's key, sent as a bearer token; needs api_url beside it.")
    ] = None
    api_url: Annotated[Address | None, About("Where its API or gateway answers.")] = None
    billing_url: Annotated[
        Page | None, About("The page where funds are added; named where a credential has no money.")
    ] = None
    beta_features: Annotated[
        bool | None, About("Whether the header advice names the provider's beta features too.")
    ] = None
    tier: Annotated[TierName | None, About("The tier of its subscription; None = what the credentials say.")] = (
        None
    )
    federation: Annotated[
        FederationSettings | None, About("A table of its own: tokens are minted from a workload's identity.")
    ] = None
