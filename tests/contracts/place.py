"""What every `ports.Place` promises, whoever owns it: subclass `PlaceContract` and give it a rig.

A place that is only read has `ReadOnlyPlaceContract`.

Rules: values are compared by what every owner keeps (tokens, end, scopes), since another program's file may have
no room for the rest.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.reading import Absent, Found, Reading, Unreadable
from tokenward.ports import LocksBusy, Place, Stored, Superseded

FAR = 1e12  # a deadline on the monotonic clock that no test reaches


def oauth_credential(number: int = 1) -> Credential:
    """An OAuth credential; every number makes another value of it."""
    return Credential(
        kind=Kind.OAUTH,
        access=Secret(f"sk-ant-oat01-access-{number}"),
        refresh=Secret(f"sk-ant-ort01-refresh-{number}"),
        expires_at=datetime(2030, 1, 1, 12, 0, number % 60, tzinfo=UTC),
        scopes=("user:inference", "user:profile"),
    )


class PlaceRig(Protocol):
    """A place, and the hands of its owner, who obeys no lock of ours."""

    @property
    def place(self) -> Place:
        """The place; nothing is there at first."""

    def put(self, credential: Credential) -> None:
        """The owner writes."""

    def tear(self) -> None:
        """Somebody leaves half of something."""

    def vanish(self) -> None:
        """The owner removes it."""


class ReadablePlaceContract:
    """What even a place that is never written promises."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> PlaceRig:
        """Overridden by every adapter's tests."""
        raise NotImplementedError

    def test_says_where_it_is(self, rig: PlaceRig) -> None:
        """A place has a name and a description, and neither shows what is in it."""
        rig.put(oauth_credential())
        assert rig.place.name
        assert rig.place.description
        assert "refresh-1" not in rig.place.name + rig.place.description

    def test_nothing_is_absent(self, rig: PlaceRig) -> None:
        """Where nothing is, reading says so and there is no signature."""
        assert rig.place.read() == Absent()
        assert rig.place.signature() is None

    def test_reads_what_its_owner_wrote(self, rig: PlaceRig) -> None:
        """The owner's credential is found, with its kind, tokens, end and scopes."""
        rig.put(oauth_credential())
        found = found_in(rig.place.read())
        expected = oauth_credential()
        assert (found.kind, found.access, found.refresh) == (expected.kind, expected.access, expected.refresh)
        assert (found.expires_at, found.scopes) == (expected.expires_at, expected.scopes)
        assert found.generation == expected.generation

    def test_reading_changes_nothing(self, rig: PlaceRig) -> None:
        """Looking twice gives the same value and the same signature."""
        rig.put(oauth_credential())
        before = rig.place.signature()
        assert rig.place.read() == rig.place.read()
        assert rig.place.signature() == before
        assert before is not None

    def test_the_signature_follows_the_owner(self, rig: PlaceRig) -> None:
        """A write by the owner changes the signature; removal takes it away."""
        rig.put(oauth_credential(1))
        first = rig.place.signature()
        rig.put(oauth_credential(2))
        assert rig.place.signature() not in {first, None}
        rig.vanish()
        assert rig.place.signature() is None

    def test_what_is_torn_is_unreadable(self, rig: PlaceRig) -> None:
        """Half a file is neither absent nor a stub, and the reason is one line without a secret."""
        rig.put(oauth_credential())
        rig.tear()
        reading = rig.place.read()
        assert isinstance(reading, Unreadable)
        assert reading.reason
        assert "\n" not in reading.reason
        assert "refresh-1" not in reading.reason
        assert rig.place.signature() is not None

    def test_locks_are_had_and_given_back(self, rig: PlaceRig) -> None:
        """The owner's locks can be had, are ours while held, and can be had again."""
        rig.put(oauth_credential())
        for _ in range(2):
            locks = rig.place.acquire_locks(FAR)
            assert not isinstance(locks, LocksBusy)
            assert locks.still_owned()
            assert list(locks.identities) == list(locks.identities)
            locks.release()
            locks.release()


class ReadOnlyPlaceContract(ReadablePlaceContract):
    """What a place promises that its owner alone writes."""

    def test_it_is_never_written(self, rig: PlaceRig) -> None:
        """No proof of writability is ever given, so no refresh token of it is ever spent."""
        rig.put(oauth_credential())
        with pytest.raises(OSError, match="never written"):
            rig.place.prepare_write()


class PlaceContract(ReadablePlaceContract):
    """What every place promises that we may write."""

    def test_commit_replaces_what_was_expected(self, rig: PlaceRig) -> None:
        """A write whose expectation holds is stored and read back, and changes the signature."""
        rig.put(oauth_credential(1))
        before = rig.place.signature()
        writer = rig.place.prepare_write()
        assert writer.commit(oauth_credential(1).generation, oauth_credential(2)) == Stored()
        assert found_in(rig.place.read()).generation == oauth_credential(2).generation
        assert rig.place.signature() != before

    def test_commit_keeps_what_it_did_not_expect(self, rig: PlaceRig) -> None:
        """A write after somebody else's does nothing and reports the other value."""
        rig.put(oauth_credential(1))
        writer = rig.place.prepare_write()
        rig.put(oauth_credential(3))
        outcome = writer.commit(oauth_credential(1).generation, oauth_credential(2))
        writer.discard()
        assert isinstance(outcome, Superseded)
        assert found_in(outcome.reading).generation == oauth_credential(3).generation
        assert found_in(rig.place.read()).generation == oauth_credential(3).generation

    def test_commit_of_what_is_there_already_is_stored(self, rig: PlaceRig) -> None:
        """A write that was done but not confirmed can be repeated."""
        rig.put(oauth_credential(1))
        rig.place.prepare_write().commit(oauth_credential(1).generation, oauth_credential(2))
        again = rig.place.prepare_write()
        assert again.commit(oauth_credential(1).generation, oauth_credential(2)) == Stored()
        assert found_in(rig.place.read()).generation == oauth_credential(2).generation

    def test_commit_does_not_write_over_what_it_cannot_read(self, rig: PlaceRig) -> None:
        """A place torn since the proof stays as it is."""
        rig.put(oauth_credential(1))
        writer = rig.place.prepare_write()
        rig.tear()
        torn = rig.place.signature()
        outcome = writer.commit(oauth_credential(1).generation, oauth_credential(2))
        writer.discard()
        assert isinstance(outcome, Superseded)
        assert isinstance(outcome.reading, Unreadable)
        assert rig.place.signature() == torn

    def test_commit_does_not_bring_back_what_was_removed(self, rig: PlaceRig) -> None:
        """A place emptied since the proof stays empty: a late refresh undoes no logout."""
        rig.put(oauth_credential(1))
        writer = rig.place.prepare_write()
        rig.vanish()
        outcome = writer.commit(oauth_credential(1).generation, oauth_credential(2))
        writer.discard()
        assert outcome == Superseded(Absent())
        assert rig.place.read() == Absent()

    def test_an_empty_place_cannot_be_proved_writable(self, rig: PlaceRig) -> None:
        """No refresh creates a place, neither where nothing ever was nor where something was removed."""
        for _ in range(2):
            with pytest.raises(OSError):  # noqa: PT011 - which one is the adapter's affair
                rig.place.prepare_write()
            assert rig.place.signature() is None
            rig.put(oauth_credential())
            rig.vanish()

    def test_discard_leaves_the_place_alone(self, rig: PlaceRig) -> None:
        """A proof that is not used leaves no trace, and discarding is safe at any time."""
        rig.put(oauth_credential(1))
        before = rig.place.signature()
        unused = rig.place.prepare_write()
        unused.discard()
        unused.discard()
        assert rig.place.signature() == before
        used = rig.place.prepare_write()
        used.commit(oauth_credential(1).generation, oauth_credential(2))
        used.discard()
        assert found_in(rig.place.read()).generation == oauth_credential(2).generation


def found_in(reading: Reading) -> Credential:
    """The credential of a reading that must have one."""
    assert isinstance(reading, Found), reading
    return reading.credential
