"""The profiles of Anthropic's own SDKs and of its ``ant`` command (reference/claude_code.md 4.1).

The problem: whoever logged in with ``ant auth login``, or whose administrator publishes a profile, has a
credential that the SDKs use. It lies in two files: what it is for, and the secret.

Rules:
- What the SDKs refuse is refused here: a secret that others may read or that is a symbolic link, a
  configuration that others may write, a name that leads out of the directory.
- Times in these files are Unix seconds.
- The SDKs have no lock, so two refreshers of one profile race. We refresh one only with a consent, and only
  where the profile names a ``client_id``: without one its owner is a program that rotates it, and may be us.
- Only profiles of type ``user_oauth``: a workload's profile has no stored token.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tokenward.core.credential import (
    Credential,
    Kind,
    Profile,
    Secret,
    from_unix_milliseconds,
    to_unix_milliseconds,
)
from tokenward.core.provider import endpoint_problem
from tokenward.core.reading import Absent, Blanked, Found, Reading, Unreadable
from tokenward.core.recognise import api_root
from tokenward.disk.atomic_file import read_regular, signature_of
from tokenward.ports import Clock
from tokenward.sources.login_file import LoginFile, text_or_none

NAME = "anthropic-profile"
PROVIDER = "anthropic"
DIRECTORY_VARIABLE = "ANTHROPIC_CONFIG_DIR"
PROFILE_VARIABLE = "ANTHROPIC_PROFILE"
DEFAULT_DIRECTORY = Path(".config") / "anthropic"
"""Below the home directory, on macOS too."""
DEFAULT_PROFILE = "default"
TOKEN_PATH = "/v1/oauth/token"  # noqa: S105 - a path
OAUTH_BETA = "oauth-2025-04-20"
"""What the SDKs send with a refresh."""
LARGEST_CONFIG = 64 * 1024
_PROFILE_NAME = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9._@+-]{0,127}")
"""Narrower than the SDKs' rule: it is a part of our profile's id."""


@dataclass(frozen=True, slots=True)
class ProfileConfig:
    """What ``configs/NAME.json`` says.

    Args:
        base_url: the API's root; None = Anthropic's.
        client_id: under which the login was made; None = its owner rotates it from outside.
        workspace: the workspace that requests are for; None = the token's own.
        credentials: the file of the secret.
        fault: why the SDKs would refuse it; None = they would not.
    """

    base_url: str | None
    client_id: str | None
    workspace: str | None
    credentials: Path
    fault: str | None = None


def directory_in(environ: Mapping[str, str], home: Path) -> Path:
    """Where the profiles lie."""
    said = environ.get(DIRECTORY_VARIABLE, "")
    return Path(said) if said.startswith("/") else home / DEFAULT_DIRECTORY


def active_name(directory: Path, environ: Mapping[str, str]) -> str:
    """The profile that the SDKs would take."""
    if said := environ.get(PROFILE_VARIABLE, "").strip():
        return said
    try:
        return read_regular(directory / "active_config", LARGEST_CONFIG).data.decode().strip() or DEFAULT_PROFILE
    except (OSError, UnicodeDecodeError):
        return DEFAULT_PROFILE


def name_fault(name: str) -> str | None:
    """Why a name can be no profile's; None if it can."""
    return None if _PROFILE_NAME.fullmatch(name) else "is no name of an Anthropic profile"


def config_of(directory: Path, name: str) -> ProfileConfig:
    """Read what a profile is for; a fault is in the result, so that ``status`` can say it."""
    beside = directory / "credentials" / f"{name}.json"
    path = directory / "configs" / f"{name}.json"

    def refused(reason: str) -> ProfileConfig:
        return ProfileConfig(None, None, None, beside, f"{path}: {reason}")

    try:
        image = read_regular(path, LARGEST_CONFIG)
        document = json.loads(image.data)
    except FileNotFoundError:
        return ProfileConfig(None, None, None, beside)
    except OSError as error:
        return refused(error.strerror or type(error).__name__)
    except (ValueError, RecursionError):
        return refused("is not whole JSON")
    if image.mode & (stat.S_IWGRP | stat.S_IWOTH):
        return refused("others may write it, so the SDKs refuse it; run: chmod go-w on it")
    authentication = document.get("authentication") if isinstance(document, dict) else None
    if not isinstance(authentication, dict) or authentication.get("type") != "user_oauth":
        return refused("its authentication is not of type user_oauth")
    base_url, _ = api_root(text_or_none(document.get("base_url")) or "")
    if base_url and (problem := endpoint_problem(base_url)) is not None:
        return refused(f"base_url: {problem}")
    moved = text_or_none(authentication.get("credentials_path"))
    return ProfileConfig(
        base_url=base_url or None,
        client_id=text_or_none(authentication.get("client_id")),
        workspace=text_or_none(document.get("workspace_id")),
        credentials=(directory / moved) if moved else beside,
    )


class ProfileLayout:
    """Where in ``credentials/NAME.json`` the login stands."""

    def read(self, document: dict[str, Any]) -> Reading:
        """Say what the document means."""
        if document.get("type", "oauth_token") != "oauth_token":
            return Unreadable("its type is not oauth_token")
        access, refresh = document.get("access_token"), document.get("refresh_token") or None
        if not access:
            return Blanked(login_ended=False)
        if not isinstance(access, str) or not isinstance(refresh, str | None):
            return Unreadable("it has tokens that are not strings")
        return Found(
            Credential(
                kind=Kind.OAUTH if refresh else Kind.SETUP_TOKEN,
                access=Secret(access),
                refresh=Secret(refresh) if refresh else None,
                expires_at=_moment(document.get("expires_at")),
                scopes=tuple((text_or_none(document.get("scope")) or "").split()),
            )
        )

    def updated(self, document: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """The document with the login's new values and everything else as it was."""
        new = {**document, "access_token": credential.access.reveal()}
        if credential.refresh is not None:
            new["refresh_token"] = credential.refresh.reveal()
        if credential.expires_at is None:
            new.pop("expires_at", None)
        else:
            new["expires_at"] = to_unix_milliseconds(credential.expires_at) // 1000
        return new


def _moment(value: object) -> datetime | None:
    """Unix seconds; zero means "ask each time" to the SDKs, which is an unknown end."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return None
    return from_unix_milliseconds(value * 1000)


class AnthropicProfileFile(LoginFile):
    """The secret of one profile as a place (``ports.Place``).

    Args:
        directory: where the profiles lie.
        name: the profile's name.
        clock: the machine's clocks.
    """

    def __init__(self, directory: Path, name: str, *, clock: Clock) -> None:
        self._directory = directory
        self._profile = name
        super().__init__(config_of(directory, name).credentials, ProfileLayout(), name=NAME, clock=clock)

    def signature(self) -> Hashable | None:
        """One stat of each of the two files."""
        secret = super().signature()
        if secret is None:
            return None
        try:
            return secret, signature_of(self._directory / "configs" / f"{self._profile}.json")
        except OSError as error:
            return secret, error.errno

    def read(self) -> Reading:
        """Look at both files, and refuse what the SDKs refuse."""
        try:
            status = self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return Absent()
        except OSError as error:
            return Unreadable(f"{self.path.name}: {error.strerror}")
        if stat.S_ISLNK(status.st_mode):
            return Unreadable(f"{self.path} is a symbolic link, which the SDKs refuse")
        if status.st_mode & 0o077:
            return Unreadable(f"others may read {self.path}, so the SDKs refuse it; run: chmod 600 on it")
        if (fault := config_of(self._directory, self._profile).fault) is not None:
            return Unreadable(fault)
        return super().read()


def kept_profile(name: str, config: ProfileConfig) -> Profile:
    """Our profile of one of theirs."""
    workspace = (("anthropic-workspace-id", config.workspace),) if config.workspace else ()
    return Profile(f"{PROVIDER}:{name}", PROVIDER, NAME, base_url=config.base_url, headers=workspace)
