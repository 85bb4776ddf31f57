"""The user's ``config.toml``: found, read once, and either right or refused.

The problem: a misspelt key that is silently ignored is found out when a login is dead, and a configuration
that others may write decides where refresh tokens are sent. So an unknown key, a wrong type or a wrong value
stops the start with the line and the reason, and so does a file that somebody else could have written.

Rules:
- A file that says nothing is not checked: ``Settings()`` is what holds, and pydantic is not imported for it.
- No error and no warning quotes a value: it could be a key.
- Nothing is read from the process: environment, user id and platform are arguments.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenward import paths
from tokenward.errors import ConfigurationFault
from tokenward.settings import Settings

if TYPE_CHECKING:
    from tokenward.config_source import ConfigSource

__all__ = ["MAX_CONFIG_BYTES", "READABLE_KEY", "LoadedConfig", "Settings", "load"]

MAX_CONFIG_BYTES = 256 * 1024
"""A configuration is written by hand; anything larger is another file."""
READABLE_KEY = "it holds a key and others may read it"
OVERFLOW_UID = 65534
"""How root's files appear in a user namespace (design section 9), among them those of read-only system stores."""


class LoadedConfig(NamedTuple):
    """A configuration in force.

    Args:
        settings: what it says.
        path: the file; None = none was found, and the defaults hold.
        warnings: one line each, for the log and for people.
        holds_key: whether a key or secret stands in the file itself.
    """

    settings: Settings
    path: Path | None
    warnings: tuple[str, ...]
    holds_key: bool


def load(
    path: Path | None, environ: Mapping[str, str], *, uid: int, platform: str, apart: bool = False
) -> LoadedConfig:
    """Find, read and check the configuration.

    Args:
        path: what ``--config`` named; None = ``$TOKENWARD_CONFIG``, else the default place.
        environ: the environment.
        uid: the user's id.
        platform: ``sys.platform``.
        apart: whether it is checked in a child of this process, which has no threads yet (``config_apart``).

    Raises:
        ConfigurationFault: if a file that was named is missing; if others may write it; or if a key, a type
            or a value in it is wrong. The message begins with ``file:line``.
    """
    named = path or (Path(variable) if (variable := environ.get("TOKENWARD_CONFIG")) else None)
    place = (named or paths.config_directory(environ, platform=platform) / paths.CONFIG_NAME).absolute()
    opened = _read(place, uid)
    if opened is None:
        if named is not None:
            raise ConfigurationFault(f"{place}: there is no such file", hint="create it, or name another one")
        return LoadedConfig(Settings(), None, (), holds_key=False)
    from tokenward.config_source import ConfigSource  # who wrote no file needs nobody to read one

    text, readable_by_others = opened
    source = ConfigSource(place, text)
    document = source.parsed()
    if not document:
        return LoadedConfig(Settings(), place, (), holds_key=False)
    if apart:
        from tokenward.config_apart import made_apart

        return made_apart(lambda: _checked(source, document, environ, readable_by_others=readable_by_others))
    return _checked(source, document, environ, readable_by_others=readable_by_others)


def _checked(
    source: ConfigSource, document: Mapping[str, Any], environ: Mapping[str, str], *, readable_by_others: bool
) -> LoadedConfig:
    from tokenward.config_check import check, holds_key  # pydantic is half of a start, and checks nothing here

    warnings: list[str] = []
    settings = check(source, document, environ, warnings.append)
    has_key = holds_key(document)
    if has_key and readable_by_others:
        warnings.append(f"{source.place}: {READABLE_KEY}; run: chmod go-r {source.place}")
    return LoadedConfig(settings, source.place, tuple(warnings), holds_key=has_key)


def _read(place: Path, uid: int) -> tuple[str, bool] | None:
    """The file's text and whether others may read it; None if there is no such file."""
    try:
        # Non-blocking, so that a pipe in its place is refused and not waited for.
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unusable(place, f"cannot be opened: {error.strerror}", "check its owner and mode") from None
    try:
        status = os.fstat(descriptor)
        _refuse_foreign_writers(place, status, uid)
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            content = opened.read(MAX_CONFIG_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_CONFIG_BYTES:
        raise _unusable(place, f"is larger than {MAX_CONFIG_BYTES} bytes", "name a configuration file")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationFault(f"{place}:{line}: is not UTF-8", hint="save the file as UTF-8") from None
    return text, bool(status.st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _refuse_foreign_writers(place: Path, status: os.stat_result, uid: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _unusable(place, "is not a regular file", "name a file")
    from_system_store = status.st_uid == OVERFLOW_UID and not status.st_mode & 0o222
    if status.st_uid not in {uid, 0} and not from_system_store:
        raise _unusable(place, "belongs to another user", "make a copy that is yours")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unusable(place, "others may write it", f"run: chmod go-w {place}")
    for directory in {place.parent, Path(os.path.realpath(place)).parent}:
        mode = directory.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise _unusable(place, "others may write its directory", f"run: chmod o-w {directory}")


def _unusable(place: Path, reason: str, hint: str) -> ConfigurationFault:
    return ConfigurationFault(f"{place}: {reason}", hint=hint)
