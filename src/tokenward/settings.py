"""What ``config.toml`` may say, as types: every key that something obeys, and no other.

The problem: a key that is accepted and ignored is a promise broken in silence. So the tables are closed, and
what a later version will understand is an error today.

Rules:
- Values are strict: a number is not a text, and a truth is neither.
- No error quotes a value: it could be a key.
- ``About`` is the reference: the documentation of the configuration is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Literal

from tokenward.core.ladders import PRESETS, Ladders
from tokenward.provider_settings import FederationSettings, ProviderSettings
from tokenward.setting_types import (
    LARGEST_REFRESH_TIMEOUT_SECONDS,
    About,
    AbsolutePath,
    Checked,
    Limits,
    ListOf,
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

    provider: Annotated[str, About("Served if a call names none.")] = "anthropic"
    model: Annotated[
        ModelText | None, About("Goes out with a token where the caller names none; `provider/model` or an id.")
    ] = None
    fallbacks: Annotated[
        ListOf[ModelText],
        Limits(max_length=16),
        About("The models that `fallback.next` names after one that failed."),
    ] = ()
    resolution: Annotated[
        Literal["profiles-first", "config-first", "oauth-first"],
        About("Which credential of a provider goes first, if several could serve."),
    ] = "profiles-first"
    inherit_agents: Annotated[bool, About("Whether main's profiles serve other agents too, after their own.")] = (
        False
    )
    refresh_margin: Annotated[
        Seconds, Limits(le=LARGEST_MARGIN_SECONDS), About("Seconds before the end at which a refresh is due.")
    ] = 90.0
    refresh_jitter: Annotated[
        Seconds, Limits(le=LARGEST_MARGIN_SECONDS), About("Seconds by which it may be earlier.")
    ] = 15.0
    refresh_timeout: Annotated[
        Seconds, Limits(ge=1, le=LARGEST_REFRESH_TIMEOUT_SECONDS), About("Seconds a refresh may take in all.")
    ] = 25.0


def _ladder(steps: tuple[float, ...]) -> tuple[float, ...]:
    try:
        Ladders(cooldown=steps)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("cooldown: ")) from None
    return steps


Ladder = Annotated[ListOf[Annotated[float, Limits(gt=0, allow_inf_nan=False)]], Checked(by=_ladder)]


class HealthSettings(Table):
    """``[health]``: how long a profile rests after callers reported failures."""

    preset: Annotated[
        Literal["tokenward", "equabot", "openclaw"], About("Whose steps; those that are set below go before them.")
    ] = "tokenward"
    cooldown: Annotated[
        Ladder | None,
        About("Seconds after the first, second, … failure in a row; None = the preset's."),
    ] = None
    billing: Annotated[Ladder | None, About("As cooldown, where there is no money.")] = None

    def ladders(self) -> Ladders:
        """The steps in force."""
        preset = PRESETS[self.preset]
        return replace(
            preset,
            cooldown=preset.cooldown if self.cooldown is None else self.cooldown,
            billing=preset.billing if self.billing is None else self.billing,
        )


class SinkSettings(Table):
    """``[sinks.NAME]``: a file that is published for programs that cannot ask the socket."""

    format: Annotated[
        Literal["token", "env", "template", "anthropic-profile"],
        About("The token alone, assignments, a template filled in, or a profile of Anthropic's SDKs."),
    ]
    profile: Annotated[ProfileName, About("Whose token.")]
    path: Annotated[
        AbsolutePath | None,
        About(
            "The file; None = tokens/NAME in the runtime directory (token). For anthropic-profile the "
            "directory of the SDKs' profiles; None = ANTHROPIC_CONFIG_DIR, or ~/.config/anthropic."
        ),
    ] = None
    mode: Annotated[
        Literal["0600", "0400", "0640", "0440"],
        About("Its permission bits; others than owner and group never get any."),
    ] = "0600"
    template: Annotated[AbsolutePath | None, About("The template, with $token in it.")] = None
    variable: Annotated[
        VariableName | None, About("The token's variable in an env file; None = the usual one of its kind.")
    ] = None
    on_change: Annotated[
        ListOf[Text], About("The command that is run when the file has changed, as a list; no shell.")
    ] = ()
    env: PassedOn = ()


def _notify_alone(on_event: tuple[str, ...]) -> tuple[str, ...]:
    if on_event[:1] == ("notify",) and len(on_event) > 1:
        raise ValueError('"notify" stands alone; a command of that name is given by its path')
    return on_event


class EventSettings(Table):
    """``[events]``: what is run when something waits for a person."""

    on_event: Annotated[
        ListOf[Text],
        Checked(by=_notify_alone),
        About('A command, as a list of arguments, or ["notify"] for a notice on the desktop; none = no one.'),
    ] = ()
    env: PassedOn = ()


class MetricsSettings(Table):
    """``[metrics]``: where collectors find the daemon's numbers."""

    socket: Annotated[
        AbsolutePath | None, About("A Unix socket that answers GET /metrics over HTTP. None = none.")
    ] = None


class SocketSettings(Table):
    """``[[sockets]]``: a second socket, which hands out tokens of some profiles and does nothing else."""

    path: Annotated[AbsolutePath, About("Where it lies; its directory exists and is nobody else's to write.")]
    profiles: Annotated[
        ListOf[ProfileKey],
        Limits(min_length=1),
        About("Whose tokens it hands out, the first choice first; of another agent, `agent/provider:name`."),
    ]
    uids: Annotated[ListOf[Uid], About("Users who may call besides our own, by number.")] = ()


def _own_paths(sockets: tuple[SocketSettings, ...]) -> tuple[SocketSettings, ...]:
    if len({each.path for each in sockets}) < len(sockets):
        raise ValueError("two of them have the same path")
    return sockets


class Settings(Table):
    """Everything the configuration decides."""

    default: DefaultSettings = DefaultSettings()
    providers: Mapping[str, ProviderSettings] = MappingProxyType({})
    sources: SourceSettings = SourceSettings()
    store: StoreSettings = StoreSettings()
    health: HealthSettings = HealthSettings()
    sinks: Mapping[SinkName, SinkSettings] = MappingProxyType({})
    events: EventSettings = EventSettings()
    metrics: MetricsSettings = MetricsSettings()
    sockets: Annotated[ListOf[SocketSettings], Checked(by=_own_paths)] = ()


TABLES: dict[tuple[str, ...], type[Table]] = {
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
