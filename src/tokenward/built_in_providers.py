"""The provider files that we ship: what they may say, and how they are read.

The problem: a start reads them, and most starts read nothing else; pydantic would cost more than all that is in
them.

Rule: they are ours. A test sees that each key is one of these tables' and has its type; here nothing is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from tokenward.core.credential import Kind
from tokenward.providers import packaged
from tokenward.setting_types import Table

BUILT_IN = ("anthropic",)
GENERIC = "generic"


class ClaudeCodeTable(Table):
    """How Claude Code's own login is refreshed."""

    client_id: str


class HeaderTable(Table):
    """What the API wants to see, as ``core.headers.HeaderRules`` has it, and what else it knows."""

    key_header: str | None = None
    always: Mapping[str, str] = MappingProxyType({})
    betas: Mapping[Kind, tuple[str, ...]] = MappingProxyType({})
    beta_features: Mapping[Kind, tuple[str, ...]] = MappingProxyType({})
    billing: Mapping[Kind, Literal["api", "subscription"]] = MappingProxyType({})


class LoginTable(Table):
    """What a person's login needs, as ``core.login.LoginRules`` has it; paths are below the base address."""

    title: str | None = None
    authorization_endpoint: str | None = None
    revocation_endpoint: str | None = None
    scope: str | None = None
    redirect_uri: str | None = None
    parameters: Mapping[str, str] = MappingProxyType({})
    state_in_exchange: bool = False
    api_key_endpoint: str | None = None
    api_key_scope: str | None = None
    key_check_path: str | None = None
    message_path: str | None = None


class FederationTable(Table):
    """How identity tokens are presented, and the environment variables of the provider's own programs."""

    token_path: str
    body: Literal["form", "json"]
    headers: Mapping[str, str]
    wanted: frozenset[str]
    refused_errors: frozenset[str]
    parameters_from: Mapping[str, str]
    identity_token_file_from: str
    identity_token_from: str


class ProviderFile(Table):
    """One of ``providers/*.toml``."""

    aliases: tuple[str, ...] = ()
    restricted_aliases: Mapping[str, frozenset[Kind]] = MappingProxyType({})
    api_type: str | None = None
    env_var: str | None = None
    model_prefix: str | None = None
    base_url: str | None = None
    token_endpoint: str | None = None
    body: Literal["form", "json"]
    reuse_grace: float
    dead_errors: frozenset[str]
    key_kinds: Mapping[str, Kind] = MappingProxyType({})
    headers: HeaderTable
    login: LoginTable = LoginTable()
    claude_code: ClaudeCodeTable | None = None
    federation: FederationTable | None = None


def provider_file(name: str) -> ProviderFile:
    """The built-in file of a provider, or what holds for any.

    Args:
        name: the provider's own name.
    """
    return _read(name if name in BUILT_IN else GENERIC)


@cache
def _read(name: str) -> ProviderFile:
    said = packaged(f"{name}.toml")
    made: dict[str, Any] = {
        "aliases": tuple(said.get("aliases", ())),
        "restricted_aliases": {
            alias: frozenset(map(Kind, kinds)) for alias, kinds in said.get("restricted_aliases", {}).items()
        },
        "reuse_grace": float(said["reuse_grace"]),
        "dead_errors": frozenset(said["dead_errors"]),
        "key_kinds": {prefix: Kind(kind) for prefix, kind in said.get("key_kinds", {}).items()},
        "headers": _headers(said["headers"]),
        "login": LoginTable(**said.get("login", {})),
    }
    if "claude_code" in said:
        made["claude_code"] = ClaudeCodeTable(**said["claude_code"])
    if (minted := said.get("federation")) is not None:
        sets = {key: frozenset(minted[key]) for key in ("wanted", "refused_errors")}
        made["federation"] = FederationTable(**{**minted, **sets})
    return ProviderFile(**{**said, **made})


def _headers(said: Mapping[str, Any]) -> HeaderTable:
    betas = {
        key: {Kind(kind): tuple(values) for kind, values in said[key].items()}
        for key in ("betas", "beta_features")
        if key in said
    }
    billing = {Kind(kind): payer for kind, payer in said.get("billing", {}).items()}
    return HeaderTable(**{**said, **betas, "billing": billing})
