"""A fleet is founded, joined, looked at, and changes its key while its hosts go on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.place import oauth_credential
from fakes.machine import CountingEntropy
from postgres_server import PostgresServer
from tokenward.core.credential import Secret
from tokenward.core.sharing import Claimed, Committed, Outdated, SealedValue
from tokenward.errors import ConfigurationFault, StoreUnavailable
from tokenward.stores.fleet import FleetCare
from tokenward.stores.fleet_place import FleetPlace
from tokenward.stores.key_ring import key_id_of
from tokenward.stores.postgres.administration import Administration
from tokenward.stores.postgres.follower import Follower
from tokenward.stores.postgres.hosts import Host
from tokenward.stores.postgres.shared_store import PostgresSharedStore
from tokenward.stores.postgres.wire import Wire
from tokenward.stores.shared_keys import KeyCommand, KeyDocument, KeyFile, SharedKeys

ME, YOU = "acme:me", "acme:you"
ROLE = "fleet_keeper"


class Machine:
    """One host: its key file, its program, and its person.

    Args:
        url: the fleet's database.
        home: where its files are.
    """

    def __init__(self, url: str, home: Path) -> None:
        self.url = Secret(url)
        self.file = KeyFile(home / "fleet.key")
        self.waits: list[float] = []
        self.while_waiting: Callable[[], None] = lambda: None
        self.administration = Administration(Wire(self.url))
        wire = Wire(self.url)
        self.store = PostgresSharedStore(
            wire, Follower(wire, Host(home.name, home.name, "0", tuple), CountingEntropy())
        )

    def care(self, document: KeyDocument | None = None) -> FleetCare:
        """What a person uses, as a new process has it."""
        name = self.file.path.parent.name
        place = FleetPlace(self.url, document or self.file, name, name, "0")
        return FleetCare(place, _ENTROPY, wait=self._wait)

    def keys(self) -> SharedKeys:
        """What its daemon seals with, as a new process has it."""
        return SharedKeys(self.file, _ENTROPY, self.administration.current_key)

    def seen(self, *key_ids: str) -> None:
        """It says that it holds these keys."""
        self.administration.wire.run(
            "INSERT INTO tokenward.hosts VALUES (%(h)s, %(h)s, '0', %(k)s) ON CONFLICT (holder) DO UPDATE"
            " SET key_ids = excluded.key_ids, last_seen = clock_timestamp()",
            {"h": self.file.path.parent.name, "k": list(key_ids)},
        )

    def stores(self, profile: str, number: int, replaced: SealedValue | None = None) -> SealedValue:
        """It commits a value."""
        value = self.keys().seal(profile, oauth_credential(number), replaced)
        expected = None if replaced is None else replaced.generation
        self.store.commit(profile, expected, value, holder=self.file.path.parent.name)
        return value

    def held(self) -> list[str]:
        """The names of the keys in its file."""
        return [key_id_of(key) for key in self.file.read()]

    def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.while_waiting()


_ENTROPY = CountingEntropy()


@pytest.fixture
def url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database in which a role may do nothing yet."""
    name = postgres_server.new_database()
    if not postgres_server.run("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)):
        postgres_server.run(f"CREATE ROLE {ROLE} LOGIN")
    yield postgres_server.url(name, user=ROLE)
    postgres_server.drop(name)


@pytest.fixture
def first(url: str, tmp_path: Path) -> Machine:
    """The host on which the fleet was founded."""
    machine = Machine(url, tmp_path / "first")
    machine.care().found("postgres", [])
    return machine


@pytest.fixture
def second(url: str, tmp_path: Path, first: Machine) -> Machine:
    """Another host, which was given the key."""
    machine = Machine(url, tmp_path / "second")
    machine.file.write(first.file.read())
    return machine


def test_a_fleet_is_founded_by_its_owner_for_a_role_with_rows_alone(url: str, tmp_path: Path) -> None:
    """Tables, rights and a key; again, nothing is left to do, and the key is the same."""
    machine = Machine(url, tmp_path / "first")
    founded = machine.care().found("postgres", [])
    assert founded.migrations > 0
    assert founded.granted == (ROLE,)
    assert founded.is_new_key
    assert machine.held() == [founded.key_id]
    for owner in ("postgres", None):
        again = machine.care().found(owner, [])
        assert (again.migrations, again.key_id, again.is_new_key) == (0, founded.key_id, False)
    assert machine.care().join().current == founded.key_id


def test_who_does_not_have_the_key_founds_nothing_anew(first: Machine, url: str, tmp_path: Path) -> None:
    """A second key would lock the hosts out of each other's records: it says where the key comes from."""
    stranger = Machine(url, tmp_path / "stranger")
    for act in (lambda: stranger.care().found(None, []), stranger.care().join):
        with pytest.raises(StoreUnavailable) as caught:
            act()
        assert str(stranger.file.path) in caught.value.cause + caught.value.hint
    assert not stranger.file.path.exists()
    stranger.file.write([b"x" * 32])
    for act in (lambda: stranger.care().found(None, []), stranger.care().join):
        with pytest.raises(StoreUnavailable, match=first.held()[0]):
            act()


def test_a_look_tells_what_is_shared_and_what_cannot_be_read(first: Machine, second: Machine) -> None:
    """Records, leases, hosts, keys and orphans; of a host without the key, that it cannot read."""
    value = first.stores(ME, 1)
    first.stores(YOU, 1)
    first.stores(ME, 2, value)
    second.stores(ME, 3, value)
    (record,) = first.store.read(YOU)
    assert isinstance(first.store.claim(record, holder="first-1", seconds=40), Claimed)
    second.seen(*second.held())
    look = second.care().look()
    assert [(shown.record.profile, shown.trouble) for shown in look.records] == [(ME, None), (YOU, None)]
    assert look.records[1].record.lease is not None
    assert look.records[1].record.lease.holder == "first-1"
    assert [(orphan.profile, orphan.holder) for orphan in look.orphans] == [(ME, "second")]
    assert [(host.host, host.key_ids) for host in look.hosts] == [("second", tuple(second.held()))]
    assert [(key.key_id, key.state, key.seals) for key in look.keys] == [(look.current, "current", 3)]
    second.file.write([b"x" * 32])
    assert all(shown.trouble for shown in second.care().look().records)


class TestAChangeOfTheKey:
    def test_everything_is_sealed_anew_and_the_hosts_go_on(self, first: Machine, second: Machine) -> None:
        """Made, brought to the others, put in force; records, orphans and what comes later are under it."""
        (old,) = first.held()
        value = first.stores(ME, 1)
        late = second.stores(ME, 2, value)
        first.stores(ME, 3, value)
        coming = first.care().change_key(is_forced=False)
        assert (coming.state, coming.resealed) == ("coming", 0)
        assert first.held() == [old, coming.key_id]
        assert second.stores(YOU, 1).key_id == old  # nothing is sealed by it yet
        second.file.write(first.file.read())
        changed = first.care().change_key(is_forced=False)
        assert (changed.key_id, changed.state, changed.resealed) == (coming.key_id, "current", 3)
        assert (changed.at_work, changed.unreadable, changed.former) == ((), (), (old,))
        for machine in (first, second):
            assert machine.keys().unseal(ME, machine.store.read(ME)[0].value) == oauth_credential(2)
            (orphan,) = machine.care().look().orphans
            assert machine.keys().unseal(ME, orphan.value) == oauth_credential(3)
            assert {shown.record.value.key_id for shown in machine.care().look().records} == {coming.key_id}
        assert late.generation == first.store.read(ME)[0].value.generation
        assert second.stores("acme:new", 1).key_id == coming.key_id

    def test_a_host_that_has_not_said_that_it_holds_it_is_waited_for(
        self, first: Machine, second: Machine
    ) -> None:
        """By its name; it can be forced, and a host that was not seen for long is none."""
        old = first.held()
        first.seen(*old)
        second.care().join()
        coming = first.care().change_key(is_forced=False)
        first.seen(*first.held())
        with pytest.raises(ConfigurationFault) as caught:
            first.care().change_key(is_forced=False)
        assert "second" in caught.value.cause
        assert "first" not in caught.value.cause
        assert "--force" in caught.value.hint
        assert first.administration.current_key() == old[0]
        first.administration.wire.run(
            "UPDATE tokenward.hosts SET last_seen = last_seen - interval '1 day' WHERE host = 'second'", {}
        )
        assert first.care().change_key(is_forced=False).key_id == coming.key_id
        assert first.administration.current_key() == coming.key_id

    def test_a_host_that_joins_with_the_new_key_is_waited_for_no_longer(
        self, first: Machine, second: Machine
    ) -> None:
        """It has the fleet know at once; its daemon would say so by itself, later."""
        second.care().join()
        coming = first.care().change_key(is_forced=False)
        second.file.write(first.file.read())
        second.care().join()
        assert first.care().change_key(is_forced=False).state == "current"
        assert second.care().join().current == coming.key_id

    def test_a_host_without_the_new_key_says_so_and_loses_nothing(self, first: Machine, second: Machine) -> None:
        """What it holds is refused by its name; a value that it was fetching is stored under the key it knows."""
        value = first.stores(ME, 1)
        first.stores(YOU, 1)
        coming = first.care().change_key(is_forced=False)
        fetched = second.keys().seal(ME, oauth_credential(2), value)  # it is at work meanwhile
        first.care().change_key(is_forced=True)
        with pytest.raises(StoreUnavailable, match=coming.key_id):
            second.keys().unseal(YOU, second.store.read(YOU)[0].value)
        with pytest.raises(StoreUnavailable, match=coming.key_id):
            second.keys().seal("acme:new", oauth_credential(1), None)
        assert isinstance(second.store.commit(ME, value.generation, fetched, holder="second"), Committed)
        assert first.keys().unseal(ME, first.store.read(ME)[0].value) == oauth_credential(2)
        again = first.care().change_key(is_forced=False)  # goes on with what came late
        assert (again.key_id, again.resealed) == (coming.key_id, 1)
        assert first.store.read(ME)[0].value.key_id == coming.key_id

    def test_a_record_at_work_is_waited_for(self, first: Machine) -> None:
        """It is sealed anew when its lease is over, and not from under its holder."""
        value = first.stores(ME, 1)
        first.care().change_key(is_forced=False)
        claimed = first.store.claim(first.store.read(ME)[0], holder="h", seconds=40)
        assert isinstance(claimed, Claimed)
        fetched = first.keys().seal(ME, oauth_credential(2), value)

        def commit() -> None:
            assert first.store.read(ME)[0].revision == claimed.record.revision
            assert isinstance(first.store.commit(ME, value.generation, fetched, holder="h"), Committed)
            first.while_waiting = lambda: None

        first.while_waiting = commit
        changed = first.care().change_key(is_forced=False)
        assert len(first.waits) == 1
        assert (changed.resealed, changed.at_work) == (1, ())
        assert first.keys().unseal(ME, first.store.read(ME)[0].value) == oauth_credential(2)

    def test_a_claim_on_what_was_sealed_anew_is_outdated_and_can_be_repeated(self, first: Machine) -> None:
        """Who read it before sees the new revision, under the same generation."""
        first.stores(ME, 1)
        (seen,) = first.store.read(ME)
        first.care().change_key(is_forced=False)
        first.care().change_key(is_forced=False)
        outcome = first.store.claim(seen, holder="h", seconds=40)
        assert isinstance(outcome, Outdated)
        assert outcome.record is not None
        assert outcome.record.value.generation == seen.value.generation
        assert isinstance(first.store.claim(outcome.record, holder="h", seconds=40), Claimed)

    def test_cut_off_after_the_key_was_made_it_goes_on(self, first: Machine) -> None:
        """The key that is in the file already is the one that is told of; no third is made."""
        (old,) = first.file.read()
        first.file.write([old, b"n" * 32])
        assert first.care().change_key(is_forced=False).key_id == key_id_of(b"n" * 32)
        assert first.file.read() == [old, b"n" * 32]

    def test_the_next_change_leaves_the_key_before_behind(self, first: Machine) -> None:
        """A key that seals nothing any more goes from the file when the next one comes."""
        first.stores(ME, 1)
        (old,) = first.held()
        new = first.care().change_key(is_forced=False).key_id
        first.care().change_key(is_forced=False)
        assert first.held() == [old, new]
        newest = first.care().change_key(is_forced=False).key_id
        assert first.held() == [new, newest]

    def test_where_nothing_can_be_written_a_person_makes_the_key(self, first: Machine) -> None:
        """It says how; the key that is there then is told of."""
        text = first.file.path.read_text()
        command = KeyCommand(["/bin/echo", text], {})
        with pytest.raises(ConfigurationFault) as caught:
            first.care(command).change_key(is_forced=False)
        assert "openssl rand -hex 32" in caught.value.hint
        command = KeyCommand(["/bin/echo", text + (b"n" * 32).hex()], {})
        assert first.care(command).change_key(is_forced=False).key_id == key_id_of(b"n" * 32)

    def test_who_does_not_have_the_keys_changes_nothing(self, first: Machine, second: Machine) -> None:
        """Neither without the one in force, nor without the one that comes."""
        first.stores(ME, 1)
        coming = first.care().change_key(is_forced=False)
        with pytest.raises(StoreUnavailable, match=coming.key_id):
            second.care().change_key(is_forced=True)
        second.file.write([b"x" * 32])
        with pytest.raises(StoreUnavailable, match=first.held()[0]):
            second.care().change_key(is_forced=True)
        assert first.administration.current_key() == first.held()[0]

    def test_a_record_that_changed_meanwhile_is_not_sealed_back(self, first: Machine) -> None:
        """By compare-and-swap: a value that was committed after it was read stays."""
        value = first.stores(ME, 1)
        (seen,) = first.store.read(ME)
        newer = first.stores(ME, 2, value)
        assert not first.administration.reseal(ME, seen.revision, first.keys().seal_again(ME, value, value.key_id))
        assert first.store.read(ME)[0].value == newer
