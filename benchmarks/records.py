"""A store of our own, filled: as after a user has logged in so many times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.daemon.equipment import key_custody
from tokenward.daemon.machine import SystemEntropy
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.store_settings import StoreSettings

TOKEN_TAIL = "x" * 88  # a token is about a hundred characters


def login(number: int, *, left: float) -> Credential:
    """One login, with so many seconds of its life left."""
    return Credential(
        Kind.OAUTH,
        Secret(f"access-{number:06}-{TOKEN_TAIL}"),
        refresh=Secret(f"refresh-{number:06}-{TOKEN_TAIL}"),
        expires_at=datetime.now(UTC) + timedelta(seconds=left),
        granted_life=3600.0,
    )


def fill(home: Path, profiles: list[str], *, left: float) -> None:
    """Put logins into the store of a home.

    Args:
        home: whose; no daemon may run there.
        profiles: the profiles' ids.
        left: seconds of life that each has left.
    """
    state = ensure_private_dir(home / ".local" / "state" / "tokenward")
    store = key_custody(state, {}, StoreSettings(), SystemEntropy()).open()
    for number, profile in enumerate(profiles):
        store.add(profile, login(number, left=left))


def provider(name: str, url: str) -> str:
    """The configuration of a provider that refreshes at an issuer of ``benchmarks.issuer``."""
    return f'[providers.{name}]\ntoken_endpoint = "{url}/token"\nclient_id = "bench"\n'
