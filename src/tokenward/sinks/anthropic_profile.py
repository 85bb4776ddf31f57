"""A profile of Anthropic's SDKs, published: Claude Code and the SDKs then send our token as a login's.

The problem: a login's token works in one header, with a beta beside it, and an ``apiKeyHelper`` sends it in two
without. A profile whose ``authentication`` names no ``client_id`` is what the SDKs have for this: "externally
rotated", read again near its end and after a 401, and never refreshed by them (reference/claude_code.md 4.1).

Rules:
- Two files: ``configs/NAME.json``, which says what it is, and ``credentials/NAME.json``, which holds the access
  token and never a refresh token (design I9).
- What the SDKs refuse or hang on is never written: the secret is 0600 and a regular file, the configuration is
  writable by its owner alone, times are whole Unix seconds.
- A profile that we did not publish, by ``ant auth login`` for example, is never written over and never removed.
- The configuration is there before the secret and goes after it, so that no secret ever lies there unowned.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenward.core.credential import Kind, to_unix_milliseconds
from tokenward.disk.atomic_file import read_regular, replace_file
from tokenward.errors import ConfigurationFault
from tokenward.ports import Published
from tokenward.sinks.publication_record import PublicationRecord

EARLIEST_MARGIN = 150.0
"""Seconds before its end by which a new token must be there: the SDKs read it again at 120, and fail at 30."""
OWNER_MARK = "published_by"
OWNER = "tokenward"
LARGEST_CONFIG = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9._@+-]{0,127}")
_WORKSPACE_HEADER = "anthropic-workspace-id"


def rendered_config(published: Published) -> bytes:
    """``configs/NAME.json`` for one of our tokens."""
    document: dict[str, Any] = {"version": "1.0", "authentication": {"type": "user_oauth"}, OWNER_MARK: OWNER}
    if published.base_url is not None:
        document["base_url"] = published.base_url
    if (workspace := dict(published.headers).get(_WORKSPACE_HEADER)) is not None:
        document["workspace_id"] = workspace
    return _as_json(document)


def rendered_credentials(published: Published) -> bytes:
    """``credentials/NAME.json``: the access token and, if it is known, when it ends."""
    document: dict[str, Any] = {
        "version": "1.0",
        "type": "oauth_token",
        "access_token": published.token.reveal(),
    }
    if published.expires_at is not None:
        document["expires_at"] = to_unix_milliseconds(published.expires_at) // 1000
    return _as_json(document)


class AnthropicProfileSink:
    """One published profile.

    Args:
        directory: where the SDKs look for profiles.
        name: the profile's name, as ``ANTHROPIC_PROFILE`` will say it.
        record: knows what we wrote, for a later start that is configured otherwise.

    Raises:
        ConfigurationFault: if the SDKs would not take the name.
    """

    def __init__(self, directory: Path, name: str, record: PublicationRecord) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigurationFault(
                "a sink's name is no name of an Anthropic profile", hint="use letters, digits, . _ @ + and -"
            )
        self.config = directory / "configs" / f"{name}.json"
        self.credentials = directory / "credentials" / f"{name}.json"
        self._directory = directory
        self._record = record

    @property
    def paths(self) -> Sequence[Path]:
        """The configuration and the secret."""
        return (self.config, self.credentials)

    def publish(self, published: Published) -> bool:
        """Have both files say this; see ``ports.Sink``."""
        if published.kind is Kind.API_KEY:
            raise ConfigurationFault(
                f"{published.profile} is an API key, which no Anthropic profile can hold",
                hint="set ANTHROPIC_API_KEY with a sink of format env, or name a login",
            )
        self._refuse_foreign()
        for directory in (self._directory, self.config.parent, self.credentials.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted = ((self.config, rendered_config(published)), (self.credentials, rendered_credentials(published)))
        changed = any(_content(path) != data for path, data in wanted)
        for path, data in wanted:
            self._record.note(path, data)
            replace_file(path, data)
        return changed

    def withdraw(self) -> bool:
        """Take both files away, the secret first; see ``ports.Sink``."""
        try:
            self._refuse_foreign()
        except ConfigurationFault:
            return False
        removed = self.credentials.exists()
        for path in (self.credentials, self.config):
            path.unlink(missing_ok=True)
            self._record.forget(path)
        return removed

    def _refuse_foreign(self) -> None:
        for path in (self.config, self.credentials):
            if _is_link(path):
                raise ConfigurationFault(
                    f"{path} is a symbolic link, which the SDKs refuse", hint="remove it, or choose another name"
                )
        is_there = self.config.exists() or self.credentials.exists()
        if is_there and _owner_of(self.config) != OWNER:
            raise ConfigurationFault(
                f"{self.config} is the profile of another program", hint="choose another name for the sink"
            )


def _is_link(path: Path) -> bool:
    try:
        return stat.S_ISLNK(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _content(path: Path) -> bytes | None:
    try:
        return read_regular(path, LARGEST_CONFIG).data
    except OSError:
        return None


def _owner_of(config: Path) -> object:
    try:
        document = json.loads(read_regular(config, LARGEST_CONFIG).data)
    except (OSError, ValueError, RecursionError):
        return None
    return document.get(OWNER_MARK) if isinstance(document, dict) else None


def _as_json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
