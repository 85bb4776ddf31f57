"""The key of the store, from its making to its end: opened at the start, locked meanwhile, changed while in use.

The problem: a store is worth what its key is worth. A key that is not found must not be replaced by a new one; a
keyring that is locked must stop neither the daemon nor what it keeps elsewhere; and to change the key, every
record is written again, in a process that can be killed at any moment.

The order of a change, each step durable before the next, is:

1. the new key is made in its place and read back from there;
2. the note names it beside the old one: from here on both are opened at a start;
3. what is written is sealed by the new key; each record is sealed anew under its lock;
4. the note names the new key as the one, and the old one as former;
5. the old key is removed from its place;
6. the note names the new key alone.

Killed before 2, the old key is in force and the new one is an orphan that seals nothing; from 2 on, the next start
does what is left. No record is ever without the key that opens it.

Rules:
- A record sealed by a key that is neither of the two stops the start, naming both keys.
- A change begins only when every record can be read.
- Where the key lies is what the note says. The configuration decides for a store without records; else, if it
  says otherwise, that is reported, and ``rekey`` is what obeys it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tokenward.errors import ConfigurationFault, StoreUnavailable, TokenwardError
from tokenward.ports import Entropy, KeyPlace, KeyStatus, Sealer
from tokenward.stores.credential_store import EncryptedCredentialStore, holds_records
from tokenward.stores.key_note import KeyName, KeyNote, read_note, write_note
from tokenward.stores.key_ring import AesGcmSealer, key_id_of
from tokenward.stores.record import BadRecord

DEFAULT_PLACE = "file"

log = logging.getLogger("tokenward")


class LockedSealer:
    """A sealer whose key is known by its id and cannot be had now (``ports.Sealer``).

    Args:
        key_id: the key's.
        fault: why it cannot be had.
    """

    def __init__(self, key_id: str, fault: StoreUnavailable) -> None:
        self.key_id = key_id
        self.fault = fault

    def seal(self, plain: bytes, associated: bytes) -> bytes:  # noqa: ARG002 - the port's signature
        """Refuse."""
        raise StoreUnavailable(self.fault.cause, hint=self.fault.hint)

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:  # noqa: ARG002 - the port's signature
        """Refuse."""
        raise StoreUnavailable(self.fault.cause, hint=self.fault.hint)


class KeyCustody:
    """The one key of one store (``ports.Custody``); ``open`` first.

    Args:
        state: the state directory.
        records: the records' directory.
        places: every place that a key can lie in, by name.
        entropy: where nonces come from.
        wanted: the place that the configuration names; None = it does not say.
    """

    def __init__(
        self,
        state: Path,
        records: Path,
        places: Mapping[str, KeyPlace],
        entropy: Entropy,
        *,
        wanted: str | None = None,
    ) -> None:
        self._state = state
        self._records = records
        self._places = places
        self._entropy = entropy
        self.wanted = wanted
        self._note = KeyNote(KeyName(DEFAULT_PLACE, ""))
        self._asking = threading.Lock()
        self._sealer: AesGcmSealer | LockedSealer
        self._store: EncryptedCredentialStore
        self._beside: list[EncryptedCredentialStore] = []

    def open(self) -> EncryptedCredentialStore:
        """The store under its key; made if nothing was sealed yet, and a change that was begun is ended.

        Raises:
            StoreUnavailable: if the key cannot be had and will not be without a person.
            ConfigurationFault: if the records and the key do not belong together.
        """
        note = read_note(self._state)
        sealed = holds_records(self._records)
        if note is None or (not sealed and note.next is None and self.wanted not in {None, note.key.place}):
            note = self._first_note(sealed=sealed)
        self._note = note
        if note.next is not None:
            return self._open_moving(note.key, note.next)
        self._sealer = self._opened(note.key, sealed=sealed)
        self._store = EncryptedCredentialStore(self._records, self._sealer)
        self._refuse_strangers()
        if self._note != note or read_note(self._state) is None:
            write_note(self._state, self._note)
        if self._note.former is not None:
            self._try_to_end()
        return self._store

    def beside(self, directory: Path) -> EncryptedCredentialStore:
        """More records under the same key, which follow it when it changes; ``open`` comes first.

        Args:
            directory: where they lie. Their loss does no harm: nobody is asked about those of another key.
        """
        store = EncryptedCredentialStore(directory, self._sealer)
        self._beside.append(store)
        return store

    def _use(self, sealer: Sealer, *, former: Sealer | None = None) -> None:
        for store in (self._store, *self._beside):
            store.use(sealer, former=former)

    def _first_note(self, *, sealed: bool) -> KeyNote:
        place = self.wanted or DEFAULT_PLACE
        if sealed and self._places[DEFAULT_PLACE].find(None) is not None:
            place = DEFAULT_PLACE  # the only place that is found without a note
        return KeyNote(KeyName(place, ""))

    def _opened(self, name: KeyName, *, sealed: bool) -> AesGcmSealer | LockedSealer:
        """The sealer of the key in use; a key is made where there is none and nothing is sealed."""
        place = self._places[name.place]
        try:
            key = place.find(name.id or None)
        except StoreUnavailable as fault:
            if not name.id or not place.opens_later:
                raise
            log.warning("%s; what the store keeps cannot be served until then", fault.cause)
            return LockedSealer(name.id, fault)
        if key is None:
            if sealed:
                raise self._missing(name, place)
            key = place.make()
        self._note = replace(self._note, key=KeyName(name.place, key_id_of(key)))
        return AesGcmSealer(key, self._entropy)

    def _missing(self, name: KeyName, place: KeyPlace) -> ConfigurationFault:
        other = place.find(None)
        there = f"holds key {key_id_of(other)}" if other is not None else "does not have it"
        return ConfigurationFault(
            f"the store was sealed by key {name.id or 'of another place'}, and {place.description} {there}",
            hint="put the key that sealed the records back, or move the records away to begin anew",
        )

    def _refuse_strangers(self) -> None:
        strangers = self._store.key_mismatches()
        if not strangers:
            return
        profile, key = next(iter(strangers.items()))
        raise ConfigurationFault(
            f"{len(strangers)} stored credentials were sealed by another key than {self._sealer.key_id}: "
            f"{profile} by {key}",
            hint=f"put the key that sealed them back to {self._places[self._note.key.place].description}",
        )

    # Moving

    def _open_moving(self, old: KeyName, new: KeyName) -> EncryptedCredentialStore:
        """Both keys are needed as long as each may have sealed something; a locked one stops the start."""
        former = self._places[old.place].find(old.id)
        key = self._places[new.place].find(new.id)
        if key is None and former is not None:
            log.warning("the key %s of an unfinished rekey is gone; the store stays with %s", new.id, old.id)
            self._note = KeyNote(old)
            self._sealer = AesGcmSealer(former, self._entropy)
            self._store = EncryptedCredentialStore(self._records, self._sealer)
            self._refuse_strangers()
            write_note(self._state, self._note)
            return self._store
        if key is None:
            raise self._missing(new, self._places[new.place])
        self._sealer = AesGcmSealer(key, self._entropy)
        self._store = EncryptedCredentialStore(self._records, self._sealer)
        if former is not None:
            self._store.use(self._sealer, former=AesGcmSealer(former, self._entropy))
        self._refuse_strangers()
        self._try_to_end()
        return self._store

    def rekey(self, place: str) -> int:
        """Seal every record under a new key in a place; see ``ports.Custody``."""
        if self._note.next is not None:
            if place != self._note.next.place:
                raise ConfigurationFault(
                    f"a change of the key to {self._note.next.place} was begun and has not ended",
                    hint=f"end it first: tokenward store rekey --to {self._note.next.place}",
                )
            return self._end()
        self.unlock()
        if isinstance(self._sealer, LockedSealer):
            raise self._sealer.fault
        if bad := self._store.unreadable_records():
            raise StoreUnavailable(
                f"{len(bad)} records cannot be read, and would be lost with the old key: {', '.join(bad[:5])}",
                hint="restore them, or forget them: tokenward logout PROFILE",
            )
        target = self._places[place]
        key = target.make()
        new = AesGcmSealer(key, self._entropy)
        if new.key_id == self._sealer.key_id:
            raise ConfigurationFault(
                f"{target.description} holds the key that is in use already",
                hint="put another key there: openssl rand -hex 32",
            )
        if target.find(new.key_id) != key:
            raise StoreUnavailable(
                f"{target.description} did not give back the key that was put there", hint="nothing was changed"
            )
        self._set_note(replace(self._note, next=KeyName(place, new.key_id)))
        self._use(new, former=self._sealer)
        self._sealer = new
        return self._end()

    def _end(self) -> int:
        try:
            count = self._store.reseal()
            for store in self._beside:
                with suppress(BadRecord):
                    store.reseal()
        except (OSError, BadRecord) as error:
            reason = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
            raise StoreUnavailable(
                f"a record could not be sealed anew: {reason}",
                hint="nothing is lost, both keys are kept; the next start, or the same command, goes on",
            ) from error
        if self._note.next is not None:
            self._set_note(KeyNote(self._note.next, former=self._note.key))
        self._use(self._sealer)
        if self._note.former is not None:
            gone, here = self._note.former, self._note.key
            self._places[gone.place].retire(gone.id, here.id if here.place == gone.place else None)
            self._set_note(KeyNote(here))
        return count

    def _try_to_end(self) -> None:
        try:
            self._end()
        except TokenwardError as fault:
            log.warning("the change of the store's key has not ended: %s", fault.cause)

    def _set_note(self, note: KeyNote) -> None:
        write_note(self._state, note)
        self._note = note

    # Asked by others

    def look(self) -> KeyStatus:
        """Where the key lies, for a doctor: nothing is opened for good, made or moved, and no person is asked."""
        locked = None
        try:
            self._note = read_note(self._state) or self._first_note(sealed=holds_records(self._records))
            place = self._places[self._note.key.place]
            if self._note.key.id and place.name in {"file", "keyring"} and place.find(self._note.key.id) is None:
                locked = f"{place.description} has no key {self._note.key.id}"
            elif not self._note.key.id and place.name == "keyring":
                place.find(None)  # the first start will make a key there, if it answers
        except TokenwardError as fault:
            locked = fault.cause
        return self._status()._replace(locked=locked)

    def unlock(self) -> bool:
        """Ask again for a key that was locked; see ``ports.Custody``."""
        if not self._asking.acquire(blocking=False):
            return False  # somebody asks already, perhaps a person
        try:
            return self._unlock()
        finally:
            self._asking.release()

    def _unlock(self) -> bool:
        sealer, name = self._sealer, self._note.key
        if not isinstance(sealer, LockedSealer):
            return False
        try:
            key = self._places[name.place].find(name.id)
            if key is None:
                raise StoreUnavailable(
                    f"{self._places[name.place].description} has no key {name.id}",
                    hint="put it back from a backup",
                )
        except TokenwardError as fault:
            sealer.fault = StoreUnavailable(fault.cause, hint=fault.hint)
            return False
        self._sealer = AesGcmSealer(key, self._entropy)
        self._use(self._sealer)
        return True

    def status(self) -> KeyStatus:
        """Where the key lies; see ``ports.Custody``."""
        locked = self._sealer.fault.cause if isinstance(self._sealer, LockedSealer) else None
        return self._status()._replace(locked=locked)

    def _status(self) -> KeyStatus:
        name, moving = self._note.key, self._note.next
        note = None
        if self.wanted is not None and self.wanted != name.place and moving is None:
            note = (
                f'the configuration says key = "{self.wanted}", and the key is in "{name.place}": say so there, '
                f"or move it: tokenward store rekey --to {self.wanted}"
            )
        elif self._note.former is not None:
            former = self._note.former
            note = f"the former key {former.id} could not be removed from the {former.place} yet"
        return KeyStatus(
            place=name.place,
            key_id=name.id,
            description=self._places[name.place].description,
            moving_to=moving.place if moving is not None else None,
            note=note,
        )
