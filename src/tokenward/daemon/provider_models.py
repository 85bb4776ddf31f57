"""What is said on the socket about providers as they are in force: the built-in file, the configuration on top."""

from __future__ import annotations

from pydantic import Field

from tokenward.daemon.rpc_types import AgentName, Params, Result


class ProviderListParams(Params):
    """For whom."""

    agent: AgentName = "main"


class ProviderParams(Params):
    """One provider."""

    provider: str = Field(max_length=64, description="Its name, or an alias.")
    agent: AgentName = "main"


class ProviderResult(Result):
    """A provider as it is in force."""

    provider: str
    env_var: str | None = Field(description="The variable whose key is served; null = none.")
    api_type: str | None = Field(description="The API's name, for people.")
    model_prefix: str | None = Field(description="How the ids of its models begin.")
    base_url: str | None
    base_url_overridden: bool = Field(description="Whether the configuration names another base URL than usual.")
    serves: str | None = Field(description="The profile that `token.get` would be answered from now.")


class ProviderListResult(Result):
    """All providers that are configured or have a profile, sorted by name."""

    providers: list[ProviderResult]
