"""A credential that somebody wrote down once: served as it stands, and never written."""

from __future__ import annotations

import errno

import pytest

from contracts.place import FAR
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.reading import Found
from tokenward.ports import LocksBusy
from tokenward.sources.fixed import FixedCredential


def fixed(key: str = "sk-ant-api03-x") -> FixedCredential:
    """A key in a configuration."""
    return FixedCredential(Credential(Kind.API_KEY, Secret(key)), name="config", description="providers.anthropic")


def test_it_is_what_it_was_made_of() -> None:
    """Read as often as you like; its signature stays, says something of its value, and is no secret."""
    place = fixed()
    assert place.read() == place.read() == Found(Credential(Kind.API_KEY, Secret("sk-ant-api03-x")))
    assert place.signature() == fixed().signature()
    assert place.signature() != fixed("sk-ant-api03-y").signature()
    assert "sk-ant" not in f"{place.name}{place.description}{place.signature()}"


def test_nobody_else_writes_there() -> None:
    """There are no locks to wait for."""
    locks = fixed().acquire_locks(FAR)
    assert not isinstance(locks, LocksBusy)
    assert list(locks.identities) == []
    assert locks.still_owned()
    locks.release()


def test_it_cannot_be_written() -> None:
    """What the user wrote down is the user's: no refresh token in it is ever spent."""
    with pytest.raises(OSError, match="never written") as refused:
        fixed().prepare_write()
    assert refused.value.errno == errno.EROFS
    assert refused.value.filename == "providers.anthropic"
