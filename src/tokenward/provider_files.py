"""Providers: the built-in files, with the user's own words laid over them key by key.

The problem: endpoints move, and how a provider wants to be spoken to is known to nobody's code for long. So
it is data: what we know lies in ``providers/*.toml``, and the user's ``[providers.NAME]`` overrides it.

Rules:
- A provider that is not built in starts from ``generic.toml``: OAuth 2 as the RFCs have it.
- A name means the same in any case, with blanks around it, and under its aliases (P30).
- Claude Code's client_id is used for Claude Code's own login and for nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from tokenward.built_in_providers import BUILT_IN, FederationTable, HeaderTable, provider_file
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.headers import HeaderRules
from tokenward.core.model_reference import Naming
from tokenward.core.provider import ProviderRegistration
from tokenward.core.value import Value
from tokenward.provider_settings import FederationSettings, ProviderSettings

if TYPE_CHECKING:
    from tokenward.core.federation import Federation
    from tokenward.core.login import LoginRules

PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
NAME_HINT = "a name is made of a-z, 0-9, _ and -, and begins with a letter or a digit"
CLAUDE_CODE_PROVIDER = "anthropic"


class ProviderChoice(NamedTuple):
    """What a caller means by a provider's name.

    Args:
        provider: the provider's own name.
        kinds: the only kinds wanted; None = any.
    """

    provider: str
    kinds: frozenset[Kind] | None = None


class ApiFacts(Value):
    """What people are told of a provider's API.

    Args:
        type_name: the API's name.
        env_var: the variable that its own programs read a key from, and we too.
        model_prefix: how the ids of its models begin.
        base_url_overridden: whether the user named another base URL than the provider file.
        billing_url: the page where funds are added, as the user named it.
    """

    type_name: str | None = None
    env_var: str | None = None
    model_prefix: str | None = None
    base_url_overridden: bool = False
    billing_url: str | None = None


class Provider(Value):
    """A provider as it is in force.

    Args:
        registration: where its tokens are refreshed, and how we are registered there.
        headers: what its API wants to see.
        credential: the static credential that the configuration gives; None = none.
        api: what people are told of its API.
        tier: the tier of its subscription, where the user said so; it wins over what credentials say.
        said: what the user said of it.
        default_model: the id of the model that goes out with a token where the caller names none; None = none.
        default_model_note: what a person should know of it.
    """

    registration: ProviderRegistration
    headers: HeaderRules = HeaderRules()
    credential: Credential | None = None
    api: ApiFacts = ApiFacts()
    tier: str | None = None
    said: ProviderSettings = ProviderSettings()
    default_model: str | None = None
    default_model_note: str | None = None

    @property
    def login(self) -> LoginRules:
        """What a person's login there needs."""
        from tokenward.core.login import LoginRules  # people log in once

        said, rules = self.said, provider_file(self.registration.name).login
        base = (self.registration.base_url or "").rstrip("/")
        known_check = f"{base}{rules.key_check_path}" if rules.key_check_path else None
        return LoginRules(
            title=rules.title or self.registration.name,
            scope=said.scope or rules.scope,
            redirect_uri=said.redirect_uri or rules.redirect_uri,
            parameters=MappingProxyType(rules.parameters),
            api_key_endpoint=said.api_key_endpoint or rules.api_key_endpoint,
            api_key_scope=rules.api_key_scope,
            key_check_endpoint=said.key_check_endpoint or known_check,
            message_endpoint=f"{base}{rules.message_path}" if rules.message_path else None,
            state_in_exchange=rules.state_in_exchange,
        )


def choose(name: str) -> ProviderChoice:
    """What a name means: in any case, with blanks around it, or an alias."""
    wanted = name.strip().lower()
    for built_in in BUILT_IN:
        known = provider_file(built_in)
        if wanted == built_in or wanted in known.aliases:
            return ProviderChoice(built_in)
        if wanted in known.restricted_aliases:
            return ProviderChoice(built_in, known.restricted_aliases[wanted])
    return ProviderChoice(wanted)


def model_naming(configured: Iterable[str]) -> Naming:
    """How references to models name providers.

    Args:
        configured: the own names of providers that are known besides the built-in ones.
    """
    names = {name: name for name in configured}
    prefixes = {}
    for built_in in BUILT_IN:
        known = provider_file(built_in)
        names |= dict.fromkeys((built_in, *known.aliases, *known.restricted_aliases), built_in)
        if known.model_prefix is not None:
            prefixes[known.model_prefix] = built_in
    return Naming(names, prefixes)


def has_beta_features(name: str) -> bool:
    """Whether there are any for a provider."""
    return bool(provider_file(name).headers.beta_features)


def canonical_name(name: str) -> str:
    """The provider's own name."""
    return choose(name).provider


def is_built_in(name: str) -> bool:
    """Whether we know the provider without the user's help."""
    return name in BUILT_IN


def goes_to_gateway(base_url: object) -> bool:
    """Whether requests to a base address go to another host than Anthropic's; without one they do not."""
    known = urlsplit(provider_file(CLAUDE_CODE_PROVIDER).base_url or "").hostname
    return isinstance(base_url, str) and bool(base_url) and _host(base_url) != known


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def provider_named(name: str, settings: ProviderSettings | None = None) -> Provider:
    """The provider in force.

    Args:
        name: its own name.
        settings: the user's table; None = there is none.
    """
    known = provider_file(name)
    said = settings or ProviderSettings()
    registration = ProviderRegistration(
        name=name,
        # Another issuer is another server: our file's endpoint is not one of its.
        token_endpoint=said.token_endpoint or (None if said.issuer else known.token_endpoint),
        issuer=said.issuer,
        client_id=said.client_id,
        client_auth=said.client_auth or "none",
        client_secret=said.client_secret,
        client_key=str(said.client_key) if said.client_key is not None else None,
        client_key_id=said.client_key_id,
        scope=said.scope,
        body=said.body or known.body,
        reuse_grace=known.reuse_grace if said.reuse_grace is None else said.reuse_grace,
        dead_errors=known.dead_errors,
        authorization_endpoint=said.authorization_endpoint
        or (None if said.issuer else known.login.authorization_endpoint),
        revocation_endpoint=said.revocation_endpoint or (None if said.issuer else known.login.revocation_endpoint),
        device_authorization_endpoint=said.device_authorization_endpoint,
        base_url=said.api_url or known.base_url,
    )
    return Provider(
        registration=registration,
        headers=_rules(known.headers, with_features=bool(said.beta_features)),
        credential=_static_credential(said, known.key_kinds),
        api=ApiFacts(
            type_name=known.api_type,
            env_var=known.env_var,
            model_prefix=known.model_prefix,
            base_url_overridden=said.api_url is not None,
            billing_url=said.billing_url,
        ),
        tier=said.tier,
        said=said,
    )


def claude_code_registration(anthropic: Provider) -> ProviderRegistration:
    """How Claude Code's own login is refreshed in direct mode: at the same place, under its own client_id."""
    known = provider_file(CLAUDE_CODE_PROVIDER)
    assert known.claude_code is not None  # noqa: S101 - the packaged file has it, and a test reads it
    return replace(
        anthropic.registration,
        client_id=known.claude_code.client_id,
        client_auth="none",
        client_secret=None,
        client_key=None,
        scope=None,
        # An issuer that the user named is for a client of their own; this login's token is not to be sent there.
        issuer=None,
        token_endpoint=anthropic.registration.token_endpoint or known.token_endpoint,
    )


def federation_wants(name: str) -> frozenset[str]:
    """The further parameters without which a provider mints nothing."""
    known = provider_file(name).federation if is_built_in(name) else None
    return known.wanted if known is not None else frozenset()


def federation_for(
    provider: Provider, said: ProviderSettings | None, environ: Mapping[str, str]
) -> Federation | None:
    """How a provider's access tokens are minted; None if nobody says so.

    Args:
        provider: the provider in force.
        said: the user's table, whose ``federation`` wins over the environment.
        environ: where the variables of the provider's own programs are looked up.
    """
    registration = provider.registration
    known = provider_file(registration.name).federation if is_built_in(registration.name) else None
    if said is not None and said.federation is not None:
        federation = _federation_said(said.federation, registration)
    elif known is None or (found := _federation_in(environ, known)) is None:
        return None
    else:
        federation = found
    if known is None:
        return federation
    endpoint = federation.token_endpoint or f"{registration.base_url}{known.token_path}"
    return replace(
        federation,
        token_endpoint=endpoint,
        body=known.body,
        headers=known.headers,
        refused_errors=known.refused_errors,
    )


def _federation_said(said: FederationSettings, registration: ProviderRegistration) -> Federation:
    from tokenward.core.federation import Federation  # few configurations have one

    return Federation(
        identity_token_file=str(said.identity_token_file) if said.identity_token_file else None,
        identity_command=said.identity_command,
        command_timeout=said.command_timeout,
        env=said.env,
        token_endpoint=said.token_endpoint,
        body=registration.body,
        scope=said.scope,
        parameters=said.parameters,
    )


def _federation_in(environ: Mapping[str, str], known: FederationTable) -> Federation | None:
    """What the environment says, if it says all that is wanted; a file wins over a token."""

    def value(variable: str) -> str:
        return environ.get(variable, "").strip()

    parameters = {name: value(variable) for name, variable in known.parameters_from.items() if value(variable)}
    path, token = value(known.identity_token_file_from), value(known.identity_token_from)
    if known.wanted - parameters.keys() or not (path or token):
        return None
    from tokenward.core.federation import Federation  # few environments name one

    if path:
        return Federation(identity_token_file=path, parameters=parameters)
    return Federation(identity_token=Secret(token), parameters=parameters)


def _rules(headers: HeaderTable, *, with_features: bool) -> HeaderRules:
    betas = dict(headers.betas)
    if with_features:
        for kind, features in headers.beta_features.items():
            betas[kind] = (*betas.get(kind, ()), *features)
    return HeaderRules(
        key_header=headers.key_header,
        betas=MappingProxyType(betas),
        always=MappingProxyType(headers.always),
        billing=MappingProxyType(headers.billing),
    )


def _static_credential(said: ProviderSettings, key_kinds: Mapping[str, Kind]) -> Credential | None:
    if (token := said.auth_token) is not None:
        return Credential(Kind.AUTH_TOKEN, token)
    if (key := said.api_key) is None:
        return None
    kinds = (kind for prefix, kind in key_kinds.items() if key.reveal().startswith(prefix))
    return Credential(next(kinds, Kind.API_KEY), key)
