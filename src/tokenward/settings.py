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
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    Field,
    field_validator,
)

from tokenward.core.ladders import PRESETS, Ladders
from tokenward.provider_settings import FederationSettings, ProviderSettings
from tokenward.setting_types import (
    LARGEST_REFRESH_TIMEOUT_SECONDS,
    AbsolutePath,
    ModelText,
    PassedOn,
    ProfileKey,
    ProfileName,
    Seconds,
    SinkName,
    Table,
    Text,
    Uid,
    VariableName,
)
from tokenward.source_settings import (
    AnthropicProfileSettings,
    ClaudeCodeSettings,
    CommandSettings,
    DotenvSettings,
    NeuroLinkSettings,
    SourceSettings,
)
from tokenward.store_settings import StoreSettings

LARGEST_MARGIN_SECONDS = 3600.0
"""More than an hour before the end is not a margin: access tokens live for hours."""


class DefaultSettings(Table):
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


class HealthSettings(Table):
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


class SinkSettings(Table):
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
    env: PassedOn = Field(default=[])


class EventSettings(Table):
    """``[events]``: what is run when something waits for a person."""

    on_event: list[Text] = Field(
        default=[],
        description='A command, as a list of arguments, or ["notify"] for a notice on the desktop; none = no one.',
    )
    env: PassedOn = Field(default=[])

    @field_validator("on_event")
    @classmethod
    def _notify_stands_alone(cls, on_event: list[str]) -> list[str]:
        if on_event[:1] == ["notify"] and len(on_event) > 1:
            raise ValueError('"notify" stands alone; a command of that name is given by its path')
        return on_event


class MetricsSettings(Table):
    """``[metrics]``: where collectors find the daemon's numbers."""

    socket: AbsolutePath | None = Field(
        default=None,
        description="A Unix socket that answers GET /metrics over HTTP. None = none.",
    )


class SocketSettings(Table):
    """``[[sockets]]``: a second socket, which hands out tokens of some profiles and does nothing else."""

    path: AbsolutePath = Field(description="Where it lies; its directory exists and is nobody else's to write.")
    profiles: list[ProfileKey] = Field(
        min_length=1,
        description="Whose tokens it hands out, the first choice first; of another agent, `agent/provider:name`.",
    )
    uids: list[Uid] = Field(default=[], description="Users who may call besides our own, by number.")


class Settings(Table):
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
