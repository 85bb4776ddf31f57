"""What a check is given and what it says.

The problem: a doctor that writes, that waits for ever, or that prints a key to show that it found it, is worse
than the illness. So a check gets everything it may look at as one value, and answers with sentences.

Rules:
- A check never writes, and never changes what it looks at.
- A finding names variables, files and modes, never the value of a secret.
- What cannot be looked at is itself a finding; a check does not raise.
- What is wrong comes with what it leads to, and with one way out: a command wherever a command can mend it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tokenward.core.credential import Secret
from tokenward.ports import Clock, KeyStatus

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence of the doctor.

    Args:
        check: which check says it.
        level: "warn" = works now, may not later; "fail" = does not work, or somebody else could read a secret.
        cause: one line: what was found.
        hint: one line: what to do; empty where nothing is to be done.
        consequence: one line: what comes of it; empty where nothing does, or where the cause says it.
    """

    check: str
    level: Level
    cause: str
    hint: str = ""
    consequence: str = ""


def to_run(*words: str | Path) -> str:
    """The hint that a command mends it, ready to be copied to a shell."""
    return f"run: {shlex.join(str(word) for word in words)}"


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended.

    Args:
        status: its exit status.
        output: its standard output.
    """

    status: int
    output: str


@dataclass(frozen=True, slots=True)
class Probed:
    """What one small request with a credential showed.

    Args:
        profile: whose credential; None = none could be had.
        provider: whose API.
        verdict: ``taken``, ``refused`` or ``unknown``.
        reason: one line without a secret; empty where it was taken.
        hint: the way out that came with the reason; empty = none did.
        status: the HTTP status; None = nothing answered.
        from_api: whether the API marked the answer as its own.
        ahead: seconds by which our wall clock is ahead of the server's ``Date``; None = it sent none.
    """

    profile: str | None
    provider: str
    verdict: str
    reason: str = ""
    hint: str = ""
    status: int | None = None
    from_api: bool = False
    ahead: float | None = None


@dataclass(frozen=True, slots=True)
class SharedLook:
    """What one look at the shared store showed.

    Args:
        location: where it is, without a password.
        records: how many profiles it holds.
        unreadable: the profiles that this host has no key for.
        orphans: how many tokens came too late and are kept beside the records.
        trouble: why it did not answer; None if it did.
        hint: what came with that.
    """

    location: str
    records: int = 0
    unreadable: Sequence[str] = ()
    orphans: int = 0
    trouble: str | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class CheckContext:
    """Everything the checks may look at.

    Args:
        uid: the user's id.
        environ: the environment that credentials may stand in; it is also searched for commands.
        clock: the machine's clocks.
        run: runs a command, its first word an absolute path, to its end; None if it could not be started or
            did not end in time.
        socket: where the daemon's socket should be.
        state: the state directory.
        store_key: the file that holds the store's key; None where no file holds it.
        config: the configuration file in force; None = defaults.
        config_holds_key: whether a key or secret stands in it.
        claude_config: Claude Code's configuration directory.
        claude_credentials: the file of Claude Code's stored login; its locks lie around its directory.
        claude_keychain: the command that ends with 0 if Claude Code's login is in the Keychain of macOS; None
            where there is no Keychain.
        claude_command: what starts Claude Code: a name or an absolute path.
        configured_key: the API key of Anthropic's own API in the configuration; None = there is none.
        profiles: what the running daemon answers to ``profile.list``; None = no daemon answered.
        store: how the key of our own store stands; None = it was not looked at.
        config_warnings: what the configuration says that is worth a warning.
        home: the user's home directory.
        project: the directory whose Claude Code settings hold too; None = none.
        managed_settings: the settings of Claude Code that an administrator makes.
        secret_files: files besides the above that the configuration reads credentials from.
        anthropic_profiles: the directory of the profiles of Anthropic's SDKs.
        service_unit: where the service manager's file for the daemon would be; None = no manager is known.
        service_program: the program that this file starts; None = there is no file, or it names none.
        probed: what a request showed; None = none was made.
        shared: what a look at the shared store showed; None = nothing is shared.
    """

    uid: int
    environ: Mapping[str, str] = field(repr=False)
    clock: Clock
    run: Callable[[Sequence[str]], Ran | None]
    socket: Path
    state: Path
    store_key: Path | None
    config: Path | None
    config_holds_key: bool
    claude_config: Path
    claude_credentials: Path
    claude_command: str
    configured_key: Secret | None = None
    claude_keychain: Sequence[str] | None = None
    profiles: Sequence[Mapping[str, Any]] | None = None
    store: KeyStatus | None = None
    config_warnings: Sequence[str] = ()
    home: Path = Path("/nonexistent")
    project: Path | None = None
    managed_settings: Path = Path("/etc/claude-code/managed-settings.json")
    secret_files: Sequence[Path] = ()
    anthropic_profiles: Path = Path("/nonexistent")
    service_unit: Path | None = None
    service_program: Path | None = None
    probed: Probed | None = None
    shared: SharedLook | None = None
