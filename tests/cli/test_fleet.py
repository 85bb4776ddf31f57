"""``tokenward fleet``, as a person types it on one host and on another; the database is real, no daemon runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.fake_daemon import FakeDaemon, Refusal
from postgres_server import PostgresServer
from tokenward.cli.main import main

ROLE = "fleet_person"
PASSWORD = "canary-of-the-database"

Captured = pytest.CaptureFixture[str]


class Person:
    """Who types, on one of several hosts.

    Args:
        home: where the hosts' homes are.
        url: the fleet's database, with a password.
        monkeypatch: goes from host to host.
        capsys: what is on the screen.
    """

    def __init__(self, home: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
        self.home, self._url, self._monkeypatch, self._capsys = home, url, monkeypatch, capsys
        self.said = ""
        self.database = url.rpartition("/")[2]
        self.at("first")

    def at(self, host: str, *lines: str) -> None:
        """Go to a host, whose configuration names the database and says this besides."""
        place = self.home / host
        config = place / ".config/tokenward/config.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text("\n".join(["[store]", f'shared = "{self._url}"', *lines, ""]))
        config.chmod(0o600)
        self._monkeypatch.setenv("HOME", str(place))
        self._monkeypatch.setenv("TOKENWARD_SOCKET", str(place / "none.sock"))

    def key(self, host: str) -> Path:
        """Where a host's key file lies."""
        return self.home / host / ".local/state/tokenward/fleet.key"

    def bring_key(self, origin: str, destination: str) -> None:
        """Copy the key file from one host to another."""
        target = self.key(destination)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.write_bytes(self.key(origin).read_bytes())
        target.chmod(0o600)

    def types(self, *words: str, status: int = 0) -> str:
        """Type a command; what it printed. What it said besides is in ``said``."""
        assert main(["fleet", *words]) == status, self._capsys.readouterr()
        shown = self._capsys.readouterr()
        self.said = shown.err
        keys = [line for path in self.home.rglob("fleet.key") for line in path.read_text().split()]
        assert not [secret for secret in [PASSWORD, *keys] if secret in shown.out + shown.err]
        return shown.out

    def types_json(self, *words: str, status: int = 0) -> Any:
        """As ``types``, with ``--json``: one line."""
        (line,) = self.types(*words, "--json", status=status).splitlines()
        return json.loads(line)


@pytest.fixture
def person(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> Iterator[Person]:
    """A person with an empty database."""
    name = postgres_server.new_database()
    if not postgres_server.run("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)):
        postgres_server.run(f"CREATE ROLE {ROLE} LOGIN")
    yield Person(tmp_path, postgres_server.url(name, user=ROLE, password=PASSWORD), monkeypatch, capsys)
    postgres_server.drop(name)


def test_a_fleet_from_its_beginning_to_another_key(person: Person) -> None:
    """Each command says what it did and what is to be done elsewhere, and the next one finds it done."""
    person.types("status", status=5)
    assert "hint: make its tables as their owner: tokenward fleet init" in person.said
    person.types("init", status=5)
    assert "permission denied" in person.said
    out = person.types("init", "--owner", "postgres")
    assert f"role     {ROLE} may share" in out
    assert "bring it to every host, mode 0600" in person.said
    key_id = person.types_json("init")["key_id"]
    assert key_id in out

    person.at("second")
    person.types("join", status=5)
    assert "tokenward fleet init" in person.said
    person.bring_key("first", "second")
    assert "this host can share: " in person.types("join")

    person.at("first")
    coming = person.types_json("rotate-key")
    assert coming["state"] == "coming"
    assert [key["state"] for key in person.types_json("status")["keys"]] == ["current", "coming"]
    person.types("rotate-key", status=1)
    assert "bring it there, and run: tokenward fleet join" in person.said
    person.bring_key("first", "second")
    person.at("second")
    assert key_id in person.types("join")
    person.at("first")
    assert "in force; 0 values were sealed anew" in person.types("rotate-key")
    assert f"the key {key_id} seals nothing any more" in person.said
    person.at("second")
    assert coming["key_id"] in person.types("join")


def test_status_shows_records_hosts_and_orphans(person: Person, postgres_server: PostgresServer) -> None:
    """For people in lines, for programs as JSON; what waits for a person is an exit status of its own."""
    person.types("init", "--owner", "postgres")
    empty = person.types("status")
    assert "no profile is shared yet: tokenward fleet share PROFILE" in empty
    assert "no daemon has joined yet" in empty
    key_id = person.types_json("status")["keys"][0]["key_id"]

    def happens(statement: str, *parameters: str) -> None:
        postgres_server.run(statement, parameters, database=person.database)

    happens(
        "INSERT INTO tokenward.records (profile, generation, key_id, sealed, changed_by)"
        " VALUES ('acme:me', 'g1', %s, 'x', 'laptop-1')",
        key_id,
    )
    happens(
        "INSERT INTO tokenward.orphans (profile, generation, key_id, sealed, kept_by)"
        " VALUES ('acme:me', 'g2', %s, 'x', 'laptop-2')",
        key_id,
    )
    happens("INSERT INTO tokenward.hosts VALUES (%s, %s, %s, %s)", "laptop-1", "laptop", "1.2", "{old}")
    happens(
        "UPDATE tokenward.records SET lease_holder = changed_by, lease_taken = clock_timestamp(),"
        " lease_until = clock_timestamp() + interval '1 hour'"
    )
    shown = person.types("status", status=1)
    assert "laptop-1 (59m" in shown or "laptop-1 (1h" in shown
    assert "what was sealed cannot be opened" in shown
    assert "does not have the key in force" in shown
    assert "a value of acme:me came too late" in person.said
    found = person.types_json("status", status=1)
    assert found["profiles"][0]["lease"]["holder"] == "laptop-1"
    assert found["profiles"][0]["trouble"]
    assert found["hosts"][0] == {**found["hosts"][0], "host": "laptop", "version": "1.2", "key_ids": ["old"]}
    assert found["orphans"][0] == {**found["orphans"][0], "profile": "acme:me", "holder": "laptop-2"}
    assert set(found) == {"location", "key_location", "keys", "hosts", "profiles", "orphans"}


def test_the_sql_can_be_run_by_somebody_else(person: Person, postgres_server: PostgresServer) -> None:
    """Tables and rights, printed without a database; afterwards the role itself makes the first key."""
    sql = person.types("init", "--print", "--role", ROLE)
    assert "tokenward fleet init" in person.said
    person.types("status", status=5)
    postgres_server.run(sql, database=person.database)
    assert "tables   are up to date" in person.types("init")
    assert person.types_json("status")["keys"][0]["state"] == "current"
    person.types("init", "--print", "--role", 'x"; DROP', status=1)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('shared = "mysql://me:canary-of-the-database@h/d"', "must begin with postgresql://"),
        ('shared = "postgresql://me:canary-of-the-database@127.0.0.1:1/d"', "Connection refused"),
        ("", 'under [store] write: shared = "postgresql://ROLE@HOST:PORT/DATABASE"'),
    ],
    ids=["another kind", "nobody there", "not said"],
)
def test_what_is_wrong_is_said_without_the_password(
    own_home: Path, capsys: Captured, lines: str, said: str
) -> None:
    """A URL of something else, a server that is not there, and nothing at all."""
    config = own_home / ".config/tokenward/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"[store]\n{lines}\n")
    config.chmod(0o600)
    assert main(["fleet", "status"]) != 0
    shown = capsys.readouterr().err
    assert said in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize("word", ["share", "unshare"])
def test_a_profile_is_moved_by_the_daemon(daemon: FakeDaemon, capsys: Captured, word: str) -> None:
    """It owns what moves; its refusal is the command's."""
    daemon.answers[f"profile.{word}"] = lambda _: {"profile": "acme:me"}
    assert main(["fleet", word, "acme:me", "--agent", "ci"]) == 0
    assert daemon.params(f"profile.{word}") == {"profile": "acme:me", "agent": "ci"}
    assert capsys.readouterr().out.startswith("acme:me is ")

    def refuse(_: Any) -> Any:
        raise Refusal("StoreUnavailable", "the shared store is away", code=-32009)

    daemon.answers[f"profile.{word}"] = refuse
    assert main(["fleet", word, "acme:me"]) == 5
    assert "the shared store is away" in capsys.readouterr().err
