"""Where everything of ours lies, as functions of the environment alone.

The problem: two daemons of one user that disagree on one path, that of the families, would spend one refresh
token twice; and a test that reads the developer's own home would read real credentials. So no function here
asks the process: environment, user id and platform are always arguments.

Rules:
- ``families_directory`` is moved by no setting and no variable but ``HOME`` (design section 4.3).
- A relative path in an ``XDG_*`` variable is ignored, as the XDG Base Directory Specification demands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tokenward.core import protocol
from tokenward.errors import ConfigurationFault

CONFIG_NAME = "config.toml"
CREDENTIALS_FILE = ".credentials.json"


class Paths(NamedTuple):
    """The places of one user.

    Args:
        home: the user's home directory.
        config: where the configuration is looked for if nobody names a file.
        state: the state directory.
        socket: the daemon's socket.
        families: lock and journal of every refresh token family.
        claude_config: Claude Code's configuration directory: its settings.
        claude_secure: the directory of Claude Code's stored login and of the locks around it.
    """

    home: Path
    config: Path
    state: Path
    socket: Path
    families: Path
    claude_config: Path
    claude_secure: Path

    @property
    def daemon_lock(self) -> Path:
        """Held by the one daemon that serves this state directory."""
        return self.state / "daemon.lock"

    @property
    def store_key(self) -> Path:
        """The store's key, where ``[store] key = "file"``."""
        return self.state / "store.key"

    @property
    def claude_credentials(self) -> Path:
        """Claude Code's stored login, unless the configuration names another file."""
        return self.claude_secure / CREDENTIALS_FILE


def resolve(
    environ: Mapping[str, str], *, uid: int, platform: str, is_ours: Callable[[str], bool] | None = None
) -> Paths:
    """Every path, from the environment.

    Args:
        environ: the environment.
        uid: the user's id.
        platform: ``sys.platform``.
        is_ours: whether a directory exists and belongs to the user; by default the disk is asked.

    Raises:
        ConfigurationFault: if ``HOME`` is not set or not absolute.
    """
    home = home_directory(environ)
    claude_config = _absolute(environ, "CLAUDE_CONFIG_DIR") or home / ".claude"
    socket = protocol.socket_path(
        environ, uid=uid, platform=platform, is_ours=is_ours or (lambda path: _belongs_to(path, uid))
    )
    return Paths(
        home=home,
        config=config_directory(environ, platform=platform) / CONFIG_NAME,
        state=Path(protocol.state_directory(environ, platform=platform)),
        socket=Path(socket),
        families=families_directory(environ),
        claude_config=claude_config,
        claude_secure=_absolute(environ, "CLAUDE_SECURESTORAGE_CONFIG_DIR") or claude_config,
    )


def home_directory(environ: Mapping[str, str]) -> Path:
    """The user's home.

    Raises:
        ConfigurationFault: if ``HOME`` is not set or not absolute.
    """
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        raise ConfigurationFault(
            "HOME is not set to an absolute path", hint="start tokenward with HOME set to your home directory"
        )
    return Path(home)


def published_tokens(environ: Mapping[str, str], *, uid: int, platform: str) -> Path:
    """Where token files are published by default: beside the usual socket, wherever the one in use lies."""
    usual = {name: value for name, value in environ.items() if name != "TOKENWARD_SOCKET"}
    socket = protocol.socket_path(usual, uid=uid, platform=platform, is_ours=lambda path: _belongs_to(path, uid))
    return Path(socket).parent / "tokens"


def config_directory(environ: Mapping[str, str], *, platform: str) -> Path:
    """Where ``config.toml`` lies by default: XDG, or the platform's own place on macOS."""
    if explicit := _absolute(environ, "XDG_CONFIG_HOME"):
        return explicit / protocol.APPLICATION
    home = home_directory(environ)
    if platform == "darwin":
        return home / "Library" / "Application Support" / protocol.APPLICATION
    return home / ".config" / protocol.APPLICATION


def config_file(environ: Mapping[str, str], *, platform: str) -> Path:
    """The configuration that a daemon of this environment reads, unless ``--config`` names another."""
    named = environ.get("TOKENWARD_CONFIG")
    return Path(named) if named else config_directory(environ, platform=platform) / CONFIG_NAME


def families_directory(environ: Mapping[str, str]) -> Path:
    """One directory a user, wherever the rest of the state lies, so that all daemons meet there."""
    return home_directory(environ) / ".local" / "state" / protocol.APPLICATION / "families"


def expanded(text: str, environ: Mapping[str, str]) -> Path:
    """A path from a setting, its leading ``~`` replaced by the home directory; ``~name`` is left as it is."""
    return home_directory(environ) / text[2:] if text == "~" or text.startswith("~/") else Path(text)


def _absolute(environ: Mapping[str, str], variable: str) -> Path | None:
    value = environ.get(variable, "")
    return Path(value) if value.startswith("/") else None


def _belongs_to(path: str, uid: int) -> bool:
    try:
        return Path(path).stat().st_uid == uid
    except OSError:
        return False
