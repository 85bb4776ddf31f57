"""A credential that somebody wrote down once: served as it stands, and never written."""

from __future__ import annotations

import errno

import pytest

from contracts.place import FAR
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.reading import Found
from tokenward.ports import LocksBusy
from tokenward.sources.fixed import FixedCredential, from_environment


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


@pytest.mark.covers("P6", "P28", "L2")
def test_the_key_in_the_environment_is_a_source() -> None:
    """Trimmed; named after its variable."""
    place = from_environment({"ANTHROPIC_API_KEY": " sk-ant-api03-x\n"})
    assert place is not None
    assert place.read() == Found(Credential(Kind.API_KEY, Secret("sk-ant-api03-x")))
    assert place.name == "environment"
    assert place.description == "$ANTHROPIC_API_KEY"


@pytest.mark.parametrize("environ", [{}, {"ANTHROPIC_API_KEY": ""}, {"ANTHROPIC_API_KEY": " \n"}])
def test_an_empty_variable_is_none(environ: dict[str, str]) -> None:
    """Set to nothing is not set."""
    assert from_environment(environ) is None


@pytest.mark.covers("P9")
def test_a_setup_token_in_the_keys_place_is_one() -> None:
    """What begins like one is used as one."""
    place = from_environment({"ANTHROPIC_API_KEY": "sk-ant-oat01-x"})
    assert place is not None
    reading = place.read()
    assert isinstance(reading, Found)
    assert reading.credential.kind is Kind.SETUP_TOKEN
