"""What a person does to a fleet: found it, join a host to it, look at it, and change its key.

The problem: these are done once in a year, by hand, on one host while many others work; each must say what it
found and what is left to do, and each can be cut off at any line and begun again.

The order of a change of keys, each step durable before the next, is:

1. the new key stands beside the old one in this host's document;
2. the engine knows its name as ``coming``: nothing is sealed by it;
3. a person brings the document to every host; each host says which keys it holds,
   at once by ``fleet join``, and by itself now and then;
4. the engine names it ``current``: first values are sealed by it;
5. every record and every orphan is sealed anew, by compare-and-swap, and not while somebody holds its lease.

Cut off anywhere, the same command goes on. A host that does not have the new key serves what it has, and says so;
a value that a host commits meanwhile is sealed by the key of the one that it replaces, and is sealed anew by the
next run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tokenward.core.sharing import Orphan, SharedRecord
from tokenward.errors import ConfigurationFault, StoreUnavailable
from tokenward.ports import Entropy
from tokenward.stores.fleet_place import FleetPlace
from tokenward.stores.key_ring import KEY_BYTES, key_id_of
from tokenward.stores.postgres.administration import Administration, FleetKey, HostSeen
from tokenward.stores.postgres.follower import GREETING_SECONDS
from tokenward.stores.postgres.hosts import Host
from tokenward.stores.postgres.schema import migrate, role_sql, schema_sql
from tokenward.stores.postgres.wire import Wire
from tokenward.stores.shared_keys import KeyFile, SharedKeys

ALIVE_SECONDS = 2 * GREETING_SECONDS
"""A host that was seen since then is expected to hold the key that comes."""
LEASE_PATIENCE_SECONDS = 150
"""For records whose lease somebody holds; no lease is longer."""


@dataclass(frozen=True, slots=True)
class Founded:
    """What ``found`` did.

    Args:
        migrations: how many were applied.
        granted: the roles that may work with it now.
        key_id: the key in force.
        is_new_key: whether it was made just now.
    """

    migrations: int
    granted: Sequence[str]
    key_id: str
    is_new_key: bool


@dataclass(frozen=True, slots=True)
class ShownRecord:
    """A record, and whether this host can read it.

    Args:
        record: as the engine has it.
        trouble: why this host cannot; None if it can.
    """

    record: SharedRecord
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """What there is.

    Args:
        location: where, without a password.
        is_verified: whether whoever answers there must prove that he is it.
        keys: the fleet's, oldest first.
        held: the names of those that this host holds.
        key_location: where this host's are.
        hosts: who subscribed in the last days.
        records: what is shared.
        orphans: what came too late.
    """

    location: str
    is_verified: bool
    keys: Sequence[FleetKey]
    held: Sequence[str]
    key_location: str
    hosts: Sequence[HostSeen]
    records: Sequence[ShownRecord]
    orphans: Sequence[Orphan]

    @property
    def current(self) -> str | None:
        """The name of the key in force."""
        return next((key.key_id for key in self.keys if key.state == "current"), None)


@dataclass(frozen=True, slots=True)
class KeyChange:
    """How far a change of keys is.

    Args:
        key_id: the new key's name.
        state: ``coming``: it is to be brought to every host; ``current``: it is in force.
        resealed: how many values were sealed anew.
        at_work: profiles that somebody refreshed all the time.
        unreadable: profiles that this host cannot read.
        former: the names of the keys that seal nothing any more, and that this host still holds.
    """

    key_id: str
    state: Literal["coming", "current"]
    resealed: int = 0
    at_work: Sequence[str] = ()
    unreadable: Sequence[str] = ()
    former: Sequence[str] = ()


class FleetCare:
    """One fleet, as one host sees it. Every method raises ``SharedStoreAway`` if the engine does not answer.

    Args:
        place: where it is, and as whom this host comes there.
        entropy: where keys and nonces come from.
        wait: sleeps for so many seconds.
    """

    def __init__(self, place: FleetPlace, entropy: Entropy, *, wait: Callable[[float], None] = time.sleep) -> None:
        self._url = place.url
        self._wire = Wire(place.url)
        self._document = place.document
        self._entropy = entropy
        self._wait = wait
        self._administration = Administration(self._wire)
        self._keys = SharedKeys(place.document, entropy, self._administration.current_key)
        self._host = Host(place.holder, place.host, place.version, self._keys.key_ids)

    def sql(self, roles: Sequence[str]) -> str:
        """What ``found`` would have the engine do, for somebody who does it by hand."""
        return "\n".join([schema_sql(), *(role_sql(role) for role in roles)])

    def found(self, owner: str | None, roles: Sequence[str]) -> Founded:
        """Make the tables or bring them up to date, let roles work with them, and see that there is a key.

        Args:
            owner: as whom the tables are made; None = the role of the URL.
            roles: who may work with them; with an owner, the role of the URL as well.

        Raises:
            ConfigurationFault: if a newer program made the tables, or there is no such role.
            StoreUnavailable: if the fleet has a key already, and this host does not have it.
        """
        wire = self._wire if owner is None else Wire(self._url, role=owner)
        granted = [*roles, *([self._wire.role] if owner is not None and self._wire.role else [])]
        grants = "".join(role_sql(role) for role in dict.fromkeys(granted))
        migrations = migrate(wire)
        if grants:
            wire.run(grants.rstrip().rstrip(";"), {})
        administration = Administration(wire)
        keys = administration.fleet_keys()
        held, is_new = self._first_keys(may_make=not keys)
        if not keys:
            administration.introduce(held[0])
        current = administration.current_key()
        if current not in held:
            raise StoreUnavailable(
                f"the fleet has a key already ({current}), and this host does not have it",
                hint=f"bring it here from a host that has it: {self._document.description}",
            )
        return Founded(migrations, tuple(dict.fromkeys(granted)), current, is_new)

    def look(self) -> Look:
        """Everything there is."""
        administration = self._administration
        records = [ShownRecord(record, self._trouble(record)) for record in administration.records()]
        return Look(
            administration.description,
            self._wire.is_verified,
            administration.fleet_keys(),
            self._keys.key_ids(),
            self._document.description,
            administration.hosts(),
            records,
            administration.orphans(),
        )

    def join(self) -> Look:
        """See that this host can do its part, and have the fleet know which keys it holds.

        Raises:
            StoreUnavailable: if it does not have the key in force.
            ConfigurationFault: if its keys must not be used.
        """
        current = self._administration.current_key()
        held = [key_id_of(key) for key in self._document.read()]
        if current not in held:
            raise StoreUnavailable(
                f"this host does not have the fleet's key {current}",
                hint=f"bring it here from a host that has it: {self._document.description}",
            )
        self._administration.greet(self._host)
        return self.look()

    def change_key(self, *, is_forced: bool) -> KeyChange:
        """Go one step on towards a new key; see the module.

        Args:
            is_forced: whether to go on though hosts have not said that they hold it.

        Raises:
            StoreUnavailable: if this host does not have the keys that it takes.
            ConfigurationFault: if hosts do not hold it, or a person must make the key.
        """
        known = {key.key_id: key for key in self._administration.fleet_keys()}
        current = self._administration.current_key()
        held = [key_id_of(key) for key in self._document.read()]
        if current not in held:
            raise StoreUnavailable(
                f"this host does not have the fleet's key {current}, so it cannot seal anything anew",
                hint="change the key on a host that has it",
            )
        coming = [key.key_id for key in known.values() if key.state == "coming"]
        if coming:
            self._refuse_unready(coming[0], held, is_forced=is_forced)
            self._administration.put_in_force(coming[0])
            return self._seal_anew(coming[0])
        if any(key.seals for key in known.values() if key.state == "former"):
            return self._seal_anew(current)
        new = next((key_id for key_id in held if key_id not in known), None) or self._make_key(known)
        self._administration.introduce(new)
        return KeyChange(new, "coming")

    def _first_keys(self, *, may_make: bool) -> tuple[Sequence[str], bool]:
        """The names of the keys that this host holds, and whether one was made."""
        try:
            return [key_id_of(key) for key in self._document.read()], False
        except StoreUnavailable:
            if not may_make or not isinstance(self._document, KeyFile) or self._document.path.exists():
                raise
        key = self._entropy.token(KEY_BYTES)
        self._document.write([key])
        return [key_id_of(key)], True

    def _make_key(self, known: dict[str, FleetKey]) -> str:
        """A new key beside those that seal something; this host's document holds it."""
        if not isinstance(self._document, KeyFile):
            raise ConfigurationFault(
                f"this host's keys are {self._document.description}, where nothing can be written",
                hint="make a key (openssl rand -hex 32), add it there as a second line, and run this again",
            )
        key = self._entropy.token(KEY_BYTES)
        in_use = [
            each
            for each in self._document.read()
            if (fleet_key := known.get(key_id_of(each))) and (fleet_key.state == "current" or fleet_key.seals)
        ]
        self._document.write([*in_use, key])
        return key_id_of(key)

    def _refuse_unready(self, coming: str, held: Sequence[str], *, is_forced: bool) -> None:
        if coming not in held:
            raise StoreUnavailable(
                f"the fleet changes to the key {coming}, which this host does not have",
                hint=f"bring it here from the host where it was made: {self._document.description}",
            )
        unready = [
            host.host
            for host in self._administration.hosts()
            if host.age < ALIVE_SECONDS and coming not in host.key_ids
        ]
        if unready and not is_forced:
            raise ConfigurationFault(
                f"not every host has said that it holds the key {coming}: {', '.join(unready[:10])}",
                hint="bring it there, and run: tokenward fleet join; or go on without them: --force",
            )

    def _seal_anew(self, key_id: str) -> KeyChange:
        done, unreadable = 0, set()
        at_work: list[str] = []
        for _ in range(LEASE_PATIENCE_SECONDS):
            at_work = []
            for record in self._administration.records():
                if record.value.key_id == key_id or record.profile in unreadable:
                    continue
                try:
                    value = self._keys.seal_again(record.profile, record.value, key_id)
                except StoreUnavailable:
                    unreadable.add(record.profile)
                    continue
                if self._administration.reseal(record.profile, record.revision, value):
                    done += 1
                else:
                    at_work.append(record.profile)
            if not at_work:
                break
            self._wait(1.0)
        for orphan in self._administration.orphans():
            if orphan.value.key_id != key_id:
                try:
                    value = self._keys.seal_again(orphan.profile, orphan.value, key_id)
                except StoreUnavailable:
                    unreadable.add(orphan.profile)
                    continue
                self._administration.reseal_orphan(orphan, value)
                done += 1
        held = self._keys.key_ids()
        former = [
            key.key_id
            for key in self._administration.fleet_keys()
            if key.state == "former" and not key.seals and key.key_id in held
        ]
        return KeyChange(key_id, "current", done, tuple(at_work), tuple(sorted(unreadable)), tuple(former))

    def _trouble(self, record: SharedRecord) -> str | None:
        try:
            self._keys.unseal(record.profile, record.value)
        except StoreUnavailable as trouble:
            return trouble.cause
        return None
