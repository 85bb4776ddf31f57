"""What every `ports.CredentialStore` promises: subclass `CredentialStoreContract` and give it a rig."""

from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from contracts.place import found_in, oauth_credential
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.reading import Absent, Unreadable
from tokenward.ports import CredentialStore, Superseded

EVERY_FIELD: dict[str, Any] = {
    "kind": Kind.OAUTH,
    "access": Secret("access ü\u2028"),
    "refresh": Secret("refresh"),
    "expires_at": datetime(2031, 2, 3, 4, 5, 6, 789012, tzinfo=UTC),
    "granted_life": 28800.125,
    "scopes": ("one", "two"),
    "token_type": "DPoP",
    "login_ends_at": datetime(2032, 2, 3, 4, 5, 6, 1, tzinfo=UTC),
    "subscription": "max",
    "tier": "max_20",
    "account": "0a-1b",
}
"""A value for every field of a credential, none of them its default."""


class StoreRig(Protocol):
    """A store, and somebody who damages it."""

    @property
    def store(self) -> CredentialStore:
        """The store; empty at first."""

    def damage(self, profile: str) -> None:
        """Make one record unreadable."""


class CredentialStoreContract:
    @pytest.fixture
    def rig(self, tmp_path: Path) -> StoreRig:
        """Overridden by every adapter's tests."""
        raise NotImplementedError

    def test_an_empty_store(self, rig: StoreRig) -> None:
        """Nothing is listed, every place is absent, and looking creates nothing."""
        assert list(rig.store.profiles()) == []
        assert rig.store.place("acme:me").read() == Absent()
        assert rig.store.remove("acme:me") is False
        assert list(rig.store.profiles()) == []

    def test_what_is_added_is_listed_and_read(self, rig: StoreRig) -> None:
        """Records are listed sorted by id, each at its own place."""
        rig.store.add("b:two", oauth_credential(2))
        rig.store.add("a:me@work.com", oauth_credential(1))
        assert list(rig.store.profiles()) == ["a:me@work.com", "b:two"]
        assert found_in(rig.store.place("a:me@work.com").read()) == oauth_credential(1)
        assert found_in(rig.store.place("b:two").read()) == oauth_credential(2)
        assert rig.store.place("b:two").name == "store"

    def test_every_field_comes_back_equal(self, rig: StoreRig) -> None:
        """A credential read back equals the one added, in every field there is."""
        assert set(EVERY_FIELD) == {field.name for field in fields(Credential) if field.init}
        credential = Credential(**EVERY_FIELD)
        rig.store.add("a:me", credential)
        found = found_in(rig.store.place("a:me").read())
        assert found == credential
        assert found.generation == credential.generation

    def test_the_defaults_come_back_equal(self, rig: StoreRig) -> None:
        """A key with nothing but itself comes back as that."""
        key = Credential(kind=Kind.API_KEY, access=Secret("sk-ant-api03-key"))
        rig.store.add("a:key", key)
        assert found_in(rig.store.place("a:key").read()) == key

    def test_adding_again_replaces(self, rig: StoreRig) -> None:
        """New material for a profile takes the place of the old."""
        rig.store.add("a:me", oauth_credential(1))
        rig.store.add("a:me", oauth_credential(2))
        assert list(rig.store.profiles()) == ["a:me"]
        assert found_in(rig.store.place("a:me").read()) == oauth_credential(2)

    def test_what_is_removed_is_gone(self, rig: StoreRig) -> None:
        """Removal deletes one record, says whether there was one, and a new one can be added."""
        rig.store.add("a:me", oauth_credential(1))
        rig.store.add("b:two", oauth_credential(2))
        assert rig.store.remove("a:me") is True
        assert rig.store.remove("a:me") is False
        assert rig.store.place("a:me").read() == Absent()
        assert list(rig.store.profiles()) == ["b:two"]
        rig.store.add("a:me", oauth_credential(3))
        assert found_in(rig.store.place("a:me").read()) == oauth_credential(3)

    def test_a_late_refresh_does_not_undo_a_removal(self, rig: StoreRig) -> None:
        """A write prepared before a removal finds the record absent and leaves it so."""
        rig.store.add("a:me", oauth_credential(1))
        writer = rig.store.place("a:me").prepare_write()
        rig.store.remove("a:me")
        assert writer.commit(oauth_credential(1).generation, oauth_credential(2)) == Superseded(Absent())
        assert list(rig.store.profiles()) == []

    def test_a_damaged_record_is_unreadable_and_can_be_replaced(self, rig: StoreRig) -> None:
        """Damage is reported and not taken for absence; new material makes the profile whole again."""
        rig.store.add("a:me", oauth_credential(1))
        rig.damage("a:me")
        assert isinstance(rig.store.place("a:me").read(), Unreadable)
        assert list(rig.store.profiles()) == ["a:me"]
        rig.store.add("a:me", oauth_credential(2))
        assert found_in(rig.store.place("a:me").read()) == oauth_credential(2)
