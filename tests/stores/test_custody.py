"""The store's key is found where it lies, never replaced because it was not found, and changed without a loss."""

import errno
import json
import logging
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from contracts.place import found_in, oauth_credential
from fakes.keyring_backend import FakeKeyring
from tokenward.core.reading import Unreadable
from tokenward.daemon.machine import SystemEntropy
from tokenward.errors import ConfigurationFault, StoreUnavailable
from tokenward.stores import custody as custody_module
from tokenward.stores import key_note
from tokenward.stores.credential_store import EncryptedCredentialStore
from tokenward.stores.custody import KeyCustody
from tokenward.stores.key_files import WRAPPED_KEY_FILE, FileKeyPlace, PassphraseKeyPlace
from tokenward.stores.key_note import NOTE_FILE
from tokenward.stores.key_ring import KEY_FILE, key_id_of
from tokenward.stores.keyring_key import KeyringKeyPlace
from tokenward.stores.systemd_key import CREDENTIAL, SystemdKeyPlace

HELD = {"acme:one": oauth_credential(1), "acme:two": oauth_credential(2), "b:three": oauth_credential(3)}


class Machine:
    """A state directory, a keyring, a systemd that hands over a key, and a person who knows a passphrase."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.state.mkdir(mode=0o700)
        self.keyring = FakeKeyring()
        self.credentials = directory / "credentials"
        self.credentials.mkdir()
        (self.credentials / CREDENTIAL).write_bytes(b"k" * 32)
        self.passphrase = "correct horse"

    def custody(self, wanted: str | None = None) -> KeyCustody:
        """What a process that starts has."""
        entropy = SystemEntropy()
        places = (
            FileKeyPlace(self.state, entropy),
            KeyringKeyPlace(entropy, backend=lambda: self.keyring),
            SystemdKeyPlace(str(self.credentials)),
            PassphraseKeyPlace(self.state, entropy, lambda _: self.passphrase, cost=2),
        )
        return KeyCustody(
            self.state, self.state / "credentials", {place.name: place for place in places}, entropy, wanted=wanted
        )

    def furnished(self, wanted: str | None = None) -> KeyCustody:
        """A custody of a store that holds `HELD`."""
        custody = self.custody(wanted)
        store = custody.open()
        for profile, credential in HELD.items():
            store.add(profile, credential)
        return custody

    def note(self) -> dict[str, object]:
        """What is noted."""
        note: dict[str, object] = json.loads((self.state / NOTE_FILE).read_text())
        return note

    def keys(self) -> int:
        """How many keys of ours lie anywhere."""
        files = [*self.state.glob(f"{KEY_FILE}*"), *self.state.glob(f"{WRAPPED_KEY_FILE}*")]
        return len([file for file in files if file.suffix != ".lock"]) + len(self.keyring.items)


def holds_everything(store: EncryptedCredentialStore) -> bool:
    """Whether each credential can be read."""
    return {profile: found_in(store.place(profile).read()) for profile in store.profiles()} == HELD


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which tokenward never ran."""
    return Machine(tmp_path)


class TestOpening:
    """Which key a start takes."""

    @pytest.mark.parametrize("place", ["file", "keyring", "systemd", "passphrase"])
    def test_a_new_store_has_its_key_where_the_configuration_says(self, machine: Machine, place: str) -> None:
        """It is noted, and the next start finds it there, whether or not the configuration still says so."""
        custody = machine.furnished(place)
        assert (custody.status().place, custody.status().locked) == (place, None)
        later = machine.custody()
        assert holds_everything(later.open())
        assert later.status() == custody.status()
        assert machine.keys() == (0 if place == "systemd" else 1)

    def test_without_a_word_it_is_a_file(self, machine: Machine) -> None:
        """The default needs nothing but a disk."""
        machine.furnished()
        assert (machine.state / KEY_FILE).exists()

    def test_a_store_from_before_the_note_is_found(self, machine: Machine) -> None:
        """Its key is the key file, also if the configuration names another place, which is then reported."""
        machine.furnished()
        (machine.state / NOTE_FILE).unlink()
        custody = machine.custody("keyring")
        assert holds_everything(custody.open())
        assert custody.status().place == "file"
        assert "tokenward store rekey --to keyring" in (custody.status().note or "")
        assert not machine.keyring.items

    @pytest.mark.parametrize("place", ["file", "keyring", "passphrase"])
    def test_a_key_that_is_gone_stops_the_start(self, machine: Machine, place: str) -> None:
        """No new one is made, and the message names the key that the records need."""
        custody = machine.furnished(place)
        machine.keyring.items.clear()
        for file in (KEY_FILE, WRAPPED_KEY_FILE):
            (machine.state / file).unlink(missing_ok=True)
        with pytest.raises(ConfigurationFault, match=custody.status().key_id):
            machine.custody(place).open()
        assert machine.keys() == 0

    def test_another_key_stops_the_start_and_both_are_named(self, machine: Machine) -> None:
        """The one that sealed the records, and the one that is there."""
        custody = machine.furnished()
        (machine.state / KEY_FILE).write_bytes(b"x" * 32)
        with pytest.raises(ConfigurationFault) as caught:
            machine.custody().open()
        assert custody.status().key_id in caught.value.cause
        assert key_id_of(b"x" * 32) in caught.value.cause

    def test_one_record_of_another_key_stops_the_start_and_both_are_named(self, machine: Machine) -> None:
        """Restored from the backup of another machine, say."""
        other = Machine(machine.credentials)
        foreign = other.furnished()
        custody = machine.furnished()
        for record in (other.state / "credentials").glob("*.json"):
            (machine.state / "credentials" / record.name).write_bytes(record.read_bytes())
        with pytest.raises(ConfigurationFault) as caught:
            machine.custody().open()
        assert custody.status().key_id in caught.value.cause
        assert foreign.status().key_id in caught.value.cause

    def test_an_empty_store_follows_the_configuration(self, machine: Machine) -> None:
        """As long as nothing is sealed there is nothing to move."""
        machine.custody().open()
        custody = machine.custody("passphrase")
        custody.open()
        assert custody.status().place == "passphrase"

    def test_a_damaged_note_stops_the_start(self, machine: Machine) -> None:
        """To take it for none could make a new key."""
        machine.furnished("keyring")
        (machine.state / NOTE_FILE).write_text('{"version": 2}')
        with pytest.raises(ConfigurationFault, match="is damaged"):
            machine.custody("keyring").open()
        assert machine.keys() == 1


class TestLocked:
    """A key that cannot be had now."""

    def test_a_locked_keyring_stops_no_start_and_loses_nothing(self, machine: Machine) -> None:
        """Records are unreadable and never absent, no key is made; unlocking changes places."""
        machine.furnished("keyring")
        machine.keyring.locked = True
        custody = machine.custody()
        store = custody.open()
        place = store.place("acme:one")
        before = place.signature()
        reading = place.read()
        assert isinstance(reading, Unreadable)
        assert "keyring is locked" in reading.reason
        assert "keyring is locked" in (custody.status().locked or "")
        with pytest.raises(StoreUnavailable, match="keyring is locked"):
            store.add("acme:new", oauth_credential(9))
        with pytest.raises(StoreUnavailable, match="keyring is locked"):
            custody.rekey("file")
        assert not custody.unlock()
        machine.keyring.locked = False
        assert custody.unlock()
        assert place.signature() != before
        assert holds_everything(store)
        assert custody.status().locked is None
        assert not custody.unlock()
        assert machine.keys() == 1

    def test_a_first_key_is_not_made_behind_a_locked_keyring(self, machine: Machine) -> None:
        """The configuration asks for the keyring, and nothing else will do."""
        machine.keyring.locked = True
        with pytest.raises(StoreUnavailable, match="keyring is locked"):
            machine.custody("keyring").open()
        assert machine.keys() == 0
        assert not (machine.state / NOTE_FILE).exists()

    def test_a_wrong_passphrase_stops_the_start(self, machine: Machine) -> None:
        """To ask a person again every few seconds is no way to wait for them."""
        machine.furnished("passphrase")
        machine.passphrase = "wrong"
        with pytest.raises(StoreUnavailable, match="does not open"):
            machine.custody().open()

    def test_a_doctor_sees_it_and_asks_no_person(self, machine: Machine) -> None:
        """The keyring is asked, the passphrase is not, and nothing is made."""
        assert machine.custody("keyring").look().place == "keyring"
        assert machine.keys() == 0
        machine.furnished("keyring")
        assert machine.custody().look().locked is None
        machine.keyring.locked = True
        assert "keyring is locked" in (machine.custody().look().locked or "")

    def test_a_doctor_sees_before_the_first_start_that_no_key_could_be_made(self, machine: Machine) -> None:
        """A keyring that does not answer is said while there is no key yet, and nothing is made."""
        machine.keyring.locked = True
        assert "keyring is locked" in (machine.custody("keyring").look().locked or "")
        assert machine.keys() == 0


class TestRekey:
    """Another key."""

    @pytest.mark.parametrize("end", ["file", "keyring", "systemd", "passphrase"])
    @pytest.mark.parametrize("start", ["file", "keyring", "passphrase"])
    def test_from_each_place_to_each(self, machine: Machine, start: str, end: str) -> None:
        """Everything is readable before and after a restart, under a new key; the old one is gone."""
        custody = machine.furnished(start)
        old = custody.status().key_id
        store = custody.open()
        assert custody.rekey(end) == len(HELD)
        assert holds_everything(store)
        assert custody.status().place == end
        assert custody.status().key_id != old
        assert custody.status().moving_to is None
        later = machine.custody()
        assert holds_everything(later.open())
        assert (later.status().key_id, later.status().note) == (custody.status().key_id, None)
        assert machine.keys() == (0 if end == "systemd" else 1)
        assert all(
            json.loads(record.read_text())["key"] == later.status().key_id
            for record in (machine.state / "credentials").glob("*.json")
        )

    def test_it_says_when_the_configuration_says_otherwise(self, machine: Machine) -> None:
        """The configuration is the user's file, and is not edited."""
        custody = machine.furnished("file")
        custody.rekey("keyring")
        assert 'the configuration says key = "file"' in (custody.status().note or "")

    def test_what_is_written_meanwhile_is_sealed_by_the_new_key(self, machine: Machine) -> None:
        """Who proved a place before the change and commits after it does not bring the old key back."""
        custody = machine.furnished()
        store = custody.open()
        writer = store.place("acme:one").prepare_write()
        custody.rekey("file")
        writer.commit(HELD["acme:one"].generation, oauth_credential(7))
        later = machine.custody()
        assert found_in(later.open().place("acme:one").read()) == oauth_credential(7)

    def test_what_lies_beside_follows_the_key(self, machine: Machine) -> None:
        """Copies are readable after a change of key; one that is torn stops no change."""
        custody = machine.furnished("file")
        copies = custody.beside(machine.state / "shared")
        copies.add("acme:shared", oauth_credential(7))
        torn = custody.beside(machine.state / "torn")
        torn.add("acme:torn", oauth_credential(8))
        torn.path("acme:torn").write_bytes(b"{")
        custody.rekey("keyring")
        assert found_in(copies.read("acme:shared")) == oauth_credential(7)
        again = machine.custody()
        again.open()
        assert found_in(again.beside(machine.state / "shared").read("acme:shared")) == oauth_credential(7)

    def test_a_record_that_cannot_be_read_stops_it_before_it_begins(self, machine: Machine) -> None:
        """A newer version's record would be lost with the old key."""
        custody = machine.furnished()
        store = custody.open()
        path = store.path("acme:two")
        path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
        with pytest.raises(StoreUnavailable, match="acme:two"):
            custody.rekey("keyring")
        assert machine.note()["next"] is None
        assert not machine.keyring.items

    def test_a_place_that_does_not_give_back_what_it_got_is_not_used(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Some back ends keep nothing, and say nothing."""
        custody = machine.furnished()
        monkeypatch.setattr(machine.keyring, "set_password", lambda *_: None)
        with pytest.raises(StoreUnavailable, match="did not give back"):
            custody.rekey("keyring")
        assert holds_everything(machine.custody().open())

    def test_the_key_in_use_is_no_new_key(self, machine: Machine) -> None:
        """Systemd hands over the one we have: the file behind it may be our own."""
        custody = machine.furnished()
        (machine.credentials / CREDENTIAL).write_bytes((machine.state / KEY_FILE).read_bytes())
        with pytest.raises(ConfigurationFault, match="in use already"):
            custody.rekey("systemd")
        assert holds_everything(machine.custody().open())

    def test_a_full_disk_stops_it_in_the_middle_and_it_goes_on(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both keys are kept, status says so, another target is refused, and the same command ends it."""
        custody = machine.furnished()
        store = custody.open()
        left = iter([None, OSError(errno.ENOSPC, "No space left on device")])
        encoded = store._encoded

        def fill_up(*arguments: Any) -> bytes:
            if (error := next(left, None)) is not None:
                raise error
            return encoded(*arguments)

        monkeypatch.setattr(store, "_encoded", fill_up)
        with pytest.raises(StoreUnavailable, match="No space left"):
            custody.rekey("keyring")
        assert custody.status().moving_to == "keyring"
        assert holds_everything(store)
        with pytest.raises(ConfigurationFault, match="has not ended"):
            custody.rekey("passphrase")
        custody.rekey("keyring")
        assert (custody.status().place, custody.status().moving_to) == ("keyring", None)
        assert holds_everything(machine.custody().open())
        assert machine.keys() == 1


class Died(BaseException):
    """The process, at this point."""


def dying_at(monkeypatch: pytest.MonkeyPatch, point: int) -> list[str]:
    """Have a change of the key die before its step number ``point``; returns the steps taken."""
    taken: list[str] = []

    def step(name: str, original: Callable[..., object]) -> Callable[..., object]:
        def act(*arguments: object, **named: object) -> object:
            if len(taken) == point:
                raise Died(name)
            taken.append(name)
            return original(*arguments, **named)

        return act

    monkeypatch.setattr(custody_module, "write_note", step("note", key_note.write_note))
    for place in (FileKeyPlace, KeyringKeyPlace):
        monkeypatch.setattr(place, "make", step("make", place.make))
        monkeypatch.setattr(place, "retire", step("retire", place.retire))
    monkeypatch.setattr(EncryptedCredentialStore, "_encoded", step("seal", EncryptedCredentialStore._encoded))
    return taken


@pytest.mark.parametrize("end", ["file", "keyring"])
@pytest.mark.parametrize("start", ["file", "keyring"])
def test_dead_before_any_step_the_next_start_has_everything(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, start: str, end: str
) -> None:
    """From the note on the next start ends the change; before it, the old key is in force."""
    point, orders = 0, []
    custody = machine.furnished(start)
    while True:
        before = custody.status().key_id
        with monkeypatch.context() as patched:
            steps = dying_at(patched, point)
            try:
                custody.rekey(end if custody.status().place == start else start)
            except Died:
                pass
            else:
                break
        orders.append(steps)
        custody = machine.custody()
        assert holds_everything(custody.open()), steps
        assert (custody.status().key_id == before) == ("note" not in steps), steps
        assert machine.note()["next"] is machine.note()["former"] is None
        point += 1
    assert steps == ["make", "note", "seal", "seal", "seal", "note", "retire", "note"]
    assert all(longer[:-1] == shorter for shorter, longer in pairwise([*orders, steps]))


def test_a_new_key_that_is_gone_before_it_sealed_anything_is_given_up(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The old one opens everything, so the start goes on with it and says so."""
    custody = machine.furnished()
    with monkeypatch.context() as patched:
        dying_at(patched, 2)
        with pytest.raises(Died):
            custody.rekey("keyring")
    machine.keyring.items.clear()
    with caplog.at_level(logging.WARNING):
        assert holds_everything(machine.custody().open())
    assert "unfinished rekey is gone" in caplog.text
    assert machine.note()["next"] is None


def test_a_new_key_that_is_locked_in_the_middle_stops_the_start(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the records need it; once it is unlocked, the start ends the change."""
    custody = machine.furnished()
    with monkeypatch.context() as patched:
        dying_at(patched, 4)
        with pytest.raises(Died):
            custody.rekey("keyring")
    machine.keyring.locked = True
    with pytest.raises(StoreUnavailable, match="locked"):
        machine.custody().open()
    machine.keyring.locked = False
    assert holds_everything(machine.custody().open())
    assert machine.note()["next"] is None
