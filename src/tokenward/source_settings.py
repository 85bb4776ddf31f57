"""What ``config.toml`` may say of where credentials come from, ``[sources.*]``.

Rules:
- Spending another program's refresh token (``refresh = "direct"``) is a consent, and never a default.
- Of other programs' logins only Claude Code's is kept unless the file says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from tokenward.setting_types import (
    About,
    AbsolutePath,
    CommandName,
    Key,
    Limits,
    ListOf,
    PassedOn,
    ProfileName,
    Seconds,
    Table,
    Text,
)

LONGEST_COMMAND_SECONDS = 25.0
"""Less than the 30 s that a caller waits by default."""
SHORTEST_LIFETIME_SECONDS = 30.0
"""A token that lives less would be asked for without end."""


class ClaudeCodeSettings(Table):
    """``[sources.claude-code]``: the login that Claude Code keeps."""

    enabled: Annotated[bool, About("Whether the login there is kept.")] = True
    path: Annotated[AbsolutePath | None, About("None = where Claude Code keeps it by default.")] = None
    refresh: Annotated[
        Literal["auto", "delegate", "direct", "watch"],
        About(
            "Who refreshes the login: Claude Code, asked to (delegate), tokenward (direct, a consent), "
            "nobody of ours (watch); auto is delegate where a claude command is found, else watch."
        ),
    ] = "auto"
    command: Annotated[Text, About("Which Claude Code is asked to refresh: a name, or a path.")] = "claude"
    env: PassedOn = ()


class NeuroLinkSettings(Table):
    """``[sources.neurolink]``: the login that NeuroLink keeps."""

    enabled: Annotated[bool, About("Whether the login there is kept.")] = False
    path: Annotated[AbsolutePath | None, About("None = where NeuroLink keeps it by default.")] = None
    refresh: Annotated[
        Literal["direct", "watch"],
        About("Who refreshes it: tokenward (direct, a consent), or nobody of ours (watch)."),
    ] = "watch"


class DotenvSettings(Table):
    """``[sources.dotenv]``: files of assignments, of which only credentials are read."""

    paths: Annotated[ListOf[AbsolutePath], About("The files; no other is ever looked at.")] = ()


class CommandSettings(Table):
    """``[sources.command.NAME]``: a command that prints a token, or the JSON of a login."""

    command: Annotated[
        ListOf[Text],
        Limits(min_length=1),
        About("The command and its arguments; with ``shell`` one line for ``/bin/sh``."),
    ]
    shell: Annotated[bool, About("Whether the command is one line for `/bin/sh`.")] = False
    profile: Annotated[ProfileName | None, About("None = NAME, of the default provider.")] = None
    timeout: Annotated[
        Seconds, Limits(gt=0, le=LONGEST_COMMAND_SECONDS), About("Seconds after which it is killed.")
    ] = 10.0
    lifetime: Annotated[
        Seconds | None,
        Limits(ge=SHORTEST_LIFETIME_SECONDS),
        About("Seconds that its token lives where it does not say so; None = until a caller is refused."),
    ] = None
    env: PassedOn = ()


class AnthropicProfileSettings(Table):
    """``[sources.anthropic-profile]``: the profiles of Anthropic's SDKs and of its ``ant`` command."""

    enabled: Annotated[bool, About("Whether the profiles there are kept.")] = False
    directory: Annotated[AbsolutePath | None, About("None = ANTHROPIC_CONFIG_DIR, or ~/.config/anthropic.")] = None
    profiles: Annotated[ListOf[Text], About("Which; none = the one that the SDKs would take.")] = ()
    refresh: Annotated[
        Literal["direct", "watch"],
        About("Who refreshes it: tokenward (direct, a consent), or nobody of ours (watch)."),
    ] = "watch"


class SourceSettings(Table):
    """``[sources.*]``."""

    claude_code: Annotated[ClaudeCodeSettings, Key("claude-code")] = ClaudeCodeSettings()
    neurolink: NeuroLinkSettings = NeuroLinkSettings()
    dotenv: DotenvSettings = DotenvSettings()
    command: Mapping[CommandName, CommandSettings] = MappingProxyType({})
    anthropic_profile: Annotated[AnthropicProfileSettings, Key("anthropic-profile")] = AnthropicProfileSettings()
