"""What ``config.toml`` may say, as types: every key that something obeys, and no other.

The problem: a key that is accepted and ignored is a promise broken in silence. So the tables are closed, and
what a later version will understand is an error today.

Rules:
- Values are strict: a number is not a text, and a truth is neither.
- No error quotes a value: it could be a key.
- ``description`` is the reference: the documentation of the configuration is made from it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from tokenward import config_values, paths
from tokenward.core.federation import RESERVED_PARAMETERS
from tokenward.core.ladders import PRESETS, Ladders
from tokenward.core.model_reference import MODEL_TEXT

LARGEST_MARGIN_SECONDS = 3600.0
"""More than an hour before the end is not a margin: access tokens live for hours."""
LARGEST_REFRESH_TIMEOUT_SECONDS = 50.0
"""A refresh must end before others take our lock for a dead one's: Claude Code's grows stale in 60 s."""
LONGEST_COMMAND_SECONDS = 25.0
"""Less than the 30 s that a caller waits by default."""
SHORTEST_LIFETIME_SECONDS = 30.0
"""A token that lives less would be asked for without end."""
LONGEST_REUSE_GRACE_SECONDS = 3600.0
"""Servers that forgive a replay do so for seconds or minutes."""


def _path(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    expanded = paths.expanded(value, (info.context or {})["environ"])
    if not expanded.is_absolute():
        raise ValueError("must be an absolute path or begin with ~/")
    return expanded


def _secret(value: SecretStr) -> SecretStr:
    if fault := config_values.credential_fault(value.get_secret_value()):
        raise ValueError(fault)
    return value


def _endpoint(value: str) -> str:
    if fault := config_values.url_fault(value, endpoint=True):
        raise ValueError(fault)
    return value


def _address(value: str) -> str:
    if fault := config_values.url_fault(value, endpoint=False):
        raise ValueError(fault)
    return value


def _page(value: str) -> str:
    if fault := config_values.page_fault(value):
        raise ValueError(fault)
    return value


def _postgresql(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    return value


Secretive = Annotated[SecretStr, AfterValidator(_secret)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Address = Annotated[str, AfterValidator(_address)]
Page = Annotated[str, Field(max_length=2048), AfterValidator(_page)]
AbsolutePath = Annotated[Path, BeforeValidator(_path)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ProfileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}:[A-Za-z0-9._@+-]{1,128}$")]
CommandName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._@+-]{1,128}$")]
SinkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_@+-][A-Za-z0-9._@+-]{0,127}$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Text = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[\x20-\x7e]+$")]


ModelText = Annotated[str, Field(pattern=MODEL_TEXT)]
TierName = Literal["free", "pro", "max", "max_5", "max_20", "api"]


class _Table(BaseModel):
    """A table of the file; what is not named here is an error."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        validate_default=False,
        defer_build=True,  # one validator for the whole file, instead of one a table that none uses by itself
    )


class DefaultSettings(_Table):
    """``[default]``: what holds unless a call or a provider says otherwise."""

    provider: str = Field(default="anthropic", description="Served if a call names none.")
    model: ModelText | None = Field(
        default=None, description="Goes out with a token where the caller names none; `provider/model` or an id."
    )
    fallbacks: list[ModelText] = Field(
        default=[], max_length=16, description="The models that `fallback.next` names after one that failed."
    )
    resolution: Literal["profiles-first", "config-first", "oauth-first"] = Field(
        default="profiles-first", description="Which credential of a provider goes first, if several could serve."
    )
    inherit_agents: bool = Field(
        default=False, description="Whether main's profiles serve other agents too, after their own."
    )
    refresh_margin: Seconds = Field(
        default=90.0, le=LARGEST_MARGIN_SECONDS, description="Seconds before the end at which a refresh is due."
    )
    refresh_jitter: Seconds = Field(
        default=15.0, le=LARGEST_MARGIN_SECONDS, description="Seconds by which it may be earlier."
    )
    refresh_timeout: Seconds = Field(
        default=25.0, ge=1, le=LARGEST_REFRESH_TIMEOUT_SECONDS, description="Seconds a refresh may take in all."
    )


class FederationSettings(_Table):
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
    env: list[Text] = Field(
        default=[], description="Variables passed on to the command besides PATH, HOME, LANG and XDG_*."
    )
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


class ProviderSettings(_Table):
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


class ClaudeCodeSettings(_Table):
    """``[sources.claude-code]``: the login that Claude Code keeps."""

    enabled: bool = Field(default=True, description="Whether the login there is kept.")
    path: AbsolutePath | None = Field(default=None, description="None = where Claude Code keeps it by default.")
    refresh: Literal["auto", "delegate", "direct", "watch"] = Field(
        default="auto",
        description="Who refreshes the login: Claude Code, asked to (delegate), tokenward (direct, a consent), "
        "nobody of ours (watch); auto is delegate where a claude command is found, else watch.",
    )
    command: Text = Field(
        default="claude", description="Which Claude Code is asked to refresh: a name, or a path."
    )
    env: list[Text] = Field(
        default=[], description="Variables passed on to the command besides PATH, HOME, LANG and XDG_*."
    )


class NeuroLinkSettings(_Table):
    """``[sources.neurolink]``: the login that NeuroLink keeps."""

    enabled: bool = Field(default=False, description="Whether the login there is kept.")
    path: AbsolutePath | None = Field(default=None, description="None = where NeuroLink keeps it by default.")
    refresh: Literal["direct", "watch"] = Field(
        default="watch", description="Who refreshes it: tokenward (direct, a consent), or nobody of ours (watch)."
    )


class DotenvSettings(_Table):
    """``[sources.dotenv]``: files of assignments, of which only credentials are read."""

    paths: list[AbsolutePath] = Field(default=[], description="The files; no other is ever looked at.")


class CommandSettings(_Table):
    """``[sources.command.NAME]``: a command that prints a token, or the JSON of a login."""

    command: list[Text] = Field(
        min_length=1, description="The command and its arguments; with ``shell`` one line for ``/bin/sh``."
    )
    shell: bool = Field(default=False, description="Whether the command is one line for `/bin/sh`.")
    profile: ProfileName | None = Field(default=None, description="None = NAME, of the default provider.")
    timeout: Seconds = Field(
        default=10.0, gt=0, le=LONGEST_COMMAND_SECONDS, description="Seconds after which it is killed."
    )
    lifetime: Seconds | None = Field(
        default=None,
        ge=SHORTEST_LIFETIME_SECONDS,
        description="Seconds that its token lives where it does not say so; None = until a caller is refused.",
    )
    env: list[Text] = Field(
        default=[], description="Variables passed on to the command besides PATH, HOME, LANG and XDG_*."
    )


class AnthropicProfileSettings(_Table):
    """``[sources.anthropic-profile]``: the profiles of Anthropic's SDKs and of its ``ant`` command."""

    enabled: bool = Field(default=False, description="Whether the profiles there are kept.")
    directory: AbsolutePath | None = Field(
        default=None, description="None = ANTHROPIC_CONFIG_DIR, or ~/.config/anthropic."
    )
    profiles: list[Text] = Field(default=[], description="Which; none = the one that the SDKs would take.")
    refresh: Literal["direct", "watch"] = Field(
        default="watch", description="Who refreshes it: tokenward (direct, a consent), or nobody of ours (watch)."
    )


class SourceSettings(_Table):
    """``[sources.*]``."""

    claude_code: ClaudeCodeSettings = Field(default=ClaudeCodeSettings(), alias="claude-code")
    neurolink: NeuroLinkSettings = NeuroLinkSettings()
    dotenv: DotenvSettings = DotenvSettings()
    command: dict[CommandName, CommandSettings] = Field(default_factory=dict)
    anthropic_profile: AnthropicProfileSettings = Field(
        default=AnthropicProfileSettings(), alias="anthropic-profile"
    )


class StoreSettings(_Table):
    """``[store]``: where the key of our own store lies, and what is shared with other hosts."""

    key: Literal["file", "keyring", "systemd", "passphrase"] | None = Field(
        default=None,
        description="Where a new store's key is put (None = file). A key that exists is moved only by "
        "`tokenward store rekey`.",
    )
    askpass: list[Text] = Field(
        default=[], description="A command that prints the passphrase, as words, where key is passphrase."
    )
    shared: Annotated[SecretStr, AfterValidator(_postgresql)] | None = Field(
        default=None,
        description="The PostgreSQL in which hosts share credentials, `postgresql://ROLE@HOST:PORT/DATABASE`; the "
        "password is better kept in `~/.pgpass`.",
    )
    shared_key: Literal["file", "systemd", "command"] = Field(
        default="file",
        description="Where this host finds the keys that seal what is shared: a file, the systemd credential "
        "`tokenward-fleet-key`, or a command that prints them.",
    )
    shared_key_file: AbsolutePath | None = Field(
        default=None, description="The file, mode 0600; None = fleet.key in the state directory."
    )
    shared_key_command: list[Text] = Field(
        default=[], description="The command, as words, where shared_key is command; no shell."
    )
    shared_key_env: list[Text] = Field(
        default=[], description="Variables passed on to the command besides PATH, HOME, LANG and XDG_*."
    )

    @field_validator("shared_key_command")
    @classmethod
    def _command_is_named(cls, command: list[str], info: ValidationInfo) -> list[str]:
        if not command and info.data.get("shared_key") == "command":
            raise ValueError('must name the command, as shared_key is "command"')
        return command


class HealthSettings(_Table):
    """``[health]``: how long a profile rests after callers reported failures."""

    preset: Literal["tokenward", "equabot", "openclaw"] = Field(
        default="tokenward", description="Whose steps; those that are set below go before them."
    )
    cooldown: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = Field(
        default=None, description="Seconds after the first, second, … failure in a row; None = the preset's."
    )
    billing: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = Field(
        default=None, description="As cooldown, where there is no money."
    )

    @field_validator("cooldown", "billing")
    @classmethod
    def _is_a_ladder(cls, steps: list[float] | None) -> list[float] | None:
        if steps is not None:
            try:
                Ladders(cooldown=tuple(steps))
            except ValueError as error:
                raise ValueError(str(error).removeprefix("cooldown: ")) from None
        return steps

    def ladders(self) -> Ladders:
        """The steps in force."""
        preset = PRESETS[self.preset]
        return replace(
            preset,
            cooldown=preset.cooldown if self.cooldown is None else tuple(self.cooldown),
            billing=preset.billing if self.billing is None else tuple(self.billing),
        )


class SinkSettings(_Table):
    """``[sinks.NAME]``: a file that is published for programs that cannot ask the socket."""

    format: Literal["token", "env", "template", "anthropic-profile"] = Field(
        description="The token alone, assignments, a template filled in, or a profile of Anthropic's SDKs."
    )
    profile: ProfileName = Field(description="Whose token.")
    path: AbsolutePath | None = Field(
        default=None,
        description="The file; None = tokens/NAME in the runtime directory (token). For anthropic-profile the "
        "directory of the SDKs' profiles; None = ANTHROPIC_CONFIG_DIR, or ~/.config/anthropic.",
    )
    mode: Literal["0600", "0400", "0640", "0440"] = Field(
        default="0600", description="Its permission bits; others than owner and group never get any."
    )
    template: AbsolutePath | None = Field(default=None, description="The template, with $token in it.")
    variable: VariableName | None = Field(
        default=None, description="The token's variable in an env file; None = the usual one of its kind."
    )
    on_change: list[Text] = Field(
        default=[],
        description="The command that is run when the file has changed, as a list; no shell.",
    )
    env: list[Text] = Field(
        default=[], description="Variables passed on to the command besides PATH, HOME, LANG and XDG_*."
    )


class EventSettings(_Table):
    """``[events]``: what is run when something waits for a person."""

    on_event: list[Text] = Field(
        default=[],
        description='A command, as a list of arguments, or ["notify"] for a notice on the desktop; none = no one.',
    )
    env: list[Text] = Field(
        default=[], description="Variables passed on to the command besides PATH, HOME, LANG and XDG_*."
    )

    @field_validator("on_event")
    @classmethod
    def _notify_stands_alone(cls, on_event: list[str]) -> list[str]:
        if on_event[:1] == ["notify"] and len(on_event) > 1:
            raise ValueError('"notify" stands alone; a command of that name is given by its path')
        return on_event


class MetricsSettings(_Table):
    """``[metrics]``: where collectors find the daemon's numbers."""

    socket: AbsolutePath | None = Field(
        default=None,
        description="A Unix socket that answers GET /metrics over HTTP; read at the start. None = none.",
    )


OVERFLOW_UID = 65534
"""Stands for every user that a namespace does not know (user_namespaces(7)), so for nobody in particular."""


def _nameable(uid: int) -> int:
    if uid == OVERFLOW_UID:
        raise ValueError("stands for every user that a container does not know, and is never admitted")
    return uid


Uid = Annotated[int, Field(ge=0, lt=2**32 - 1), AfterValidator(_nameable)]
ProfileKey = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9._-]{1,64}/)?[a-z0-9][a-z0-9_-]{0,63}:[A-Za-z0-9._@+-]{1,128}$")
]


class SocketSettings(_Table):
    """``[[sockets]]``: a second socket, which hands out tokens of some profiles and does nothing else."""

    path: AbsolutePath = Field(description="Where it lies; its directory exists and is nobody else's to write.")
    profiles: list[ProfileKey] = Field(
        min_length=1,
        description="Whose tokens it hands out, the first choice first; of another agent, `agent/provider:name`.",
    )
    uids: list[Uid] = Field(default=[], description="Users who may call besides our own, by number.")


class Settings(_Table):
    """Everything the configuration decides."""

    default: DefaultSettings = DefaultSettings()
    providers: dict[str, ProviderSettings] = Field(default_factory=dict)
    sources: SourceSettings = SourceSettings()
    store: StoreSettings = StoreSettings()
    health: HealthSettings = HealthSettings()
    sinks: dict[SinkName, SinkSettings] = Field(default_factory=dict)
    events: EventSettings = EventSettings()
    metrics: MetricsSettings = MetricsSettings()
    sockets: list[SocketSettings] = Field(default=[])

    @field_validator("sockets")
    @classmethod
    def _each_has_its_own_path(cls, sockets: list[SocketSettings]) -> list[SocketSettings]:
        if len({each.path for each in sockets}) < len(sockets):
            raise ValueError("two of them have the same path")
        return sockets


TABLES: dict[tuple[str, ...], type[BaseModel]] = {
    (): Settings,
    ("default",): DefaultSettings,
    ("sources",): SourceSettings,
    ("sources", "claude-code"): ClaudeCodeSettings,
    ("sources", "neurolink"): NeuroLinkSettings,
    ("sources", "dotenv"): DotenvSettings,
    ("sources", "command", "*"): CommandSettings,
    ("sources", "anthropic-profile"): AnthropicProfileSettings,
    ("store",): StoreSettings,
    ("health",): HealthSettings,
    ("sinks", "*"): SinkSettings,
    ("events",): EventSettings,
    ("metrics",): MetricsSettings,
    ("sockets", "*"): SocketSettings,
    ("providers", "*"): ProviderSettings,
    ("providers", "*", "federation"): FederationSettings,
}
"""Which type stands behind which table of the file; ``*`` is any name."""
