"""What ``config.toml`` may say of where credentials come from, ``[sources.*]``.

Rules:
- Spending another program's refresh token (``refresh = "direct"``) is a consent, and never a default.
- Of other programs' logins only Claude Code's is kept unless the file says so.
"""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
)

from tokenward.setting_types import AbsolutePath, CommandName, PassedOn, ProfileName, Seconds, Table, Text

LONGEST_COMMAND_SECONDS = 25.0
"""Less than the 30 s that a caller waits by default."""
SHORTEST_LIFETIME_SECONDS = 30.0
"""A token that lives less would be asked for without end."""


class ClaudeCodeSettings(Table):
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
    env: PassedOn = Field(default=[])


class NeuroLinkSettings(Table):
    """``[sources.neurolink]``: the login that NeuroLink keeps."""

    enabled: bool = Field(default=False, description="Whether the login there is kept.")
    path: AbsolutePath | None = Field(default=None, description="None = where NeuroLink keeps it by default.")
    refresh: Literal["direct", "watch"] = Field(
        default="watch", description="Who refreshes it: tokenward (direct, a consent), or nobody of ours (watch)."
    )


class DotenvSettings(Table):
    """``[sources.dotenv]``: files of assignments, of which only credentials are read."""

    paths: list[AbsolutePath] = Field(default=[], description="The files; no other is ever looked at.")


class CommandSettings(Table):
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
    env: PassedOn = Field(default=[])


class AnthropicProfileSettings(Table):
    """``[sources.anthropic-profile]``: the profiles of Anthropic's SDKs and of its ``ant`` command."""

    enabled: bool = Field(default=False, description="Whether the profiles there are kept.")
    directory: AbsolutePath | None = Field(
        default=None, description="None = ANTHROPIC_CONFIG_DIR, or ~/.config/anthropic."
    )
    profiles: list[Text] = Field(default=[], description="Which; none = the one that the SDKs would take.")
    refresh: Literal["direct", "watch"] = Field(
        default="watch", description="Who refreshes it: tokenward (direct, a consent), or nobody of ours (watch)."
    )


class SourceSettings(Table):
    """``[sources.*]``."""

    claude_code: ClaudeCodeSettings = Field(default=ClaudeCodeSettings(), alias="claude-code")
    neurolink: NeuroLinkSettings = NeuroLinkSettings()
    dotenv: DotenvSettings = DotenvSettings()
    command: dict[CommandName, CommandSettings] = Field(default_factory=dict)
    anthropic_profile: AnthropicProfileSettings = Field(
        default=AnthropicProfileSettings(), alias="anthropic-profile"
    )
