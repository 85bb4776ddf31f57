"""Daemons of many hosts that share one login, callers who ask without a pause, and what the server says of it.

The problem: whether a refresh token was spent twice, or a token handed out after its end, is not for those to say
who did it. So each daemon is a process with a home of its own, and the verdict is the authorization server's: it
counts refresh tokens that come back, and knows when each access token ended.

Rules:
- Nothing waits for a time to pass in order to succeed: what is waited for is a count (lives of the token, hosts
  that have the newest one), and a deadline far away ends a wait that will not.
- A refused or dropped call is not a failure of the fleet: daemons die here. It is counted.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from e2e.daemon_process import Connection, DaemonProcess, RpcError
from postgres_server import PostgresServer
from tokenward.core.credential import Secret
from tokenward.sandbox import Sandbox, Statistics
from tokenward.stores.key_ring import key_id_of
from tokenward.stores.postgres.administration import Administration
from tokenward.stores.postgres.schema import migrate, role_sql
from tokenward.stores.postgres.wire import Wire

PROFILE = "acme:team"
CLIENT = "fleet-client"
ROLE = "fleet_daemon"
TIMEOUT = 1.0
"""Seconds a refresh may take in all: the least that can be configured. A lease is twice as long."""
LEASE = 2 * TIMEOUT
PAUSE = 0.02
"""Seconds between two calls of one caller, so that callers leave the daemons some of the machine."""
LOOK = 1.0
"""Seconds between two looks at whether a login is lost that is waited for."""
DEADLINE = 100.0
"""Seconds for what must come about, on a machine that is slow or busy."""
KEY = bytes(range(32))


@dataclass
class Witness:
    """What callers saw.

    Args:
        ends: tells when a token ends by the server's clock, in Unix seconds.
    """

    ends: Callable[[str], float]
    calls: int = 0
    expired: list[tuple[str, float]] = field(default_factory=list)
    """The host, and for how many seconds the token had been expired when it was asked for."""
    refused: Counter[str] = field(default_factory=Counter)
    newest: dict[str, str] = field(default_factory=dict)
    """The generation that each host served last."""
    unserved: set[str] = field(default_factory=set)
    """The hosts that had nothing to serve when they were asked last."""
    lives: dict[str, set[str]] = field(default_factory=dict)
    """The hosts that served each generation, in the order in which they came."""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def saw(self, host: str, asked: float, answer: dict[str, Any]) -> None:
        """Note an answer."""
        late = asked - self.ends(answer["token"])
        with self._changed:
            self.calls += 1
            self.newest[host] = generation = answer["generation"]
            self.unserved.discard(host)
            is_news = generation not in self.lives or host not in self.lives[generation]
            self.lives.setdefault(generation, set()).add(host)
            if late > 0:
                self.expired.append((host, late))
            if is_news:
                self._changed.notify_all()

    def was_refused(self, host: str, why: str) -> None:
        """Note that there was no answer."""
        with self._changed:
            self.calls += 1
            self.refused[why] += 1
            self.unserved.add(host)
            self._changed.notify_all()

    def wait_until_unserved(self, hosts: Sequence[str]) -> None:
        """Wait until none of these hosts has anything to serve.

        Raises:
            TimeoutError: they had, for far longer than a token lives.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.unserved >= set(hosts), DEADLINE):
                raise TimeoutError(f"{set(hosts) - self.unserved} serve still")

    def wait_for_lives(self, count: int, hosts: Sequence[str], *, is_lost: Callable[[], bool]) -> None:
        """Wait until the login has lived on for so many lives more, and every host has served the last of them.

        Args:
            count: how many.
            hosts: those that are waited for.
            is_lost: whether there is nothing to wait for any more.

        Raises:
            TimeoutError: it did not, in far longer than it takes, or it never will.
        """
        deadline = time.monotonic() + DEADLINE
        with self._changed:
            wanted = len(self.lives) + count

            def is_there() -> bool:
                latest = list(self.lives)[wanted - 1 :]
                return bool(latest) and all(any(host in self.lives[each] for each in latest) for host in hosts)

            while not self._changed.wait_for(is_there, LOOK):
                if time.monotonic() < deadline and not is_lost():
                    continue
                latest = {host: list(self.lives).index(life) for host, life in self.newest.items()}
                raise TimeoutError(f"life {len(self.lives)} of {wanted}; hosts at {latest}; {dict(self.refused)}")


class Caller(threading.Thread):
    """Somebody who asks one host again and again.

    Args:
        name: the host's name.
        path: the daemon's socket.
        witness: notes what came of it.
    """

    def __init__(self, name: str, path: Path, witness: Witness) -> None:
        super().__init__(name=f"caller of {name}", daemon=True)
        self._host = name
        self._path = path
        self._witness = witness
        self._ended = threading.Event()

    def run(self) -> None:
        """Ask until told to end."""
        while not self._ended.is_set():
            try:
                with contextlib.closing(Connection(self._path)) as connection:
                    while not self._ended.wait(PAUSE):
                        self._ask(connection)
            except (OSError, EOFError, ValueError) as error:  # a line that was cut off is no JSON
                self._witness.was_refused(self._host, type(error).__name__)
                self._ended.wait(PAUSE)

    def _ask(self, connection: Connection) -> None:
        asked = time.time()
        try:
            answer = connection.call("token.get", {"profile": PROFILE, "min_valid": 0, "timeout": 1})
        except RpcError as refused:
            self._witness.was_refused(self._host, str(refused.code))
        else:
            self._witness.saw(self._host, asked, answer)

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()


class FleetDatabase:
    """A server of its own, with the tables, a key's name and a role for daemons.

    Args:
        server: it runs.
    """

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.name = server.new_database("fleet under faults", self._prepare)
        if not server.run("SELECT FROM pg_roles WHERE rolname = %s", [ROLE]):
            server.run(f"CREATE ROLE {ROLE} LOGIN")
        for statement in filter(str.strip, role_sql(ROLE).split(";")):
            server.run(statement, database=self.name)

    @staticmethod
    def _prepare(url: str) -> None:
        wire = Wire(Secret(url))
        migrate(wire)
        Administration(wire).introduce(key_id_of(KEY))

    def url(self, address: str = "127.0.0.1") -> str:
        """What a daemon's configuration says."""
        return self.server.url(self.name, user=ROLE, address=address)

    def orphans(self) -> int:
        """How many values came too late."""
        rows = self.server.run("SELECT count(*) FROM tokenward.orphans", database=self.name)
        return int(rows[0][0])


class Fleet:
    """Daemons of as many hosts, each in a process with its own home; a context manager, which starts them all.

    Args:
        folder: for the homes; short, as a socket's path must be.
        database: what they share.
        sandbox: the authorization server.
        hosts: how many.
        reuse_grace: seconds in which the server forgives a token that comes back; what the daemons are told of it.
        wrappers: words before the command line of each host's daemon.
        addresses: where each host finds the database.
        endpoints: where each host finds the token endpoint.
    """

    def __init__(
        self,
        folder: Path,
        database: FleetDatabase,
        sandbox: Sandbox,
        *,
        hosts: int,
        reuse_grace: float | None = None,
        wrappers: Sequence[Sequence[str]] = (),
        addresses: Sequence[str] = (),
        endpoints: Sequence[str] = (),
    ) -> None:
        self.database = database
        self.sandbox = sandbox
        self._grace = reuse_grace
        self._key = folder / "fleet.key"
        self._key.touch(mode=0o600)
        self._key.write_text(f"{KEY.hex()}\n")
        self.witness = Witness(lambda token: sandbox._families._access[token].expires_at)
        self.hosts: dict[str, DaemonProcess] = {}
        for number in range(hosts):
            home = folder / f"h{number}"
            home.mkdir(mode=0o700)
            self.hosts[home.name] = DaemonProcess(
                home,
                config=self._config(
                    addresses[number] if addresses else "127.0.0.1",
                    endpoints[number] if endpoints else sandbox.token_endpoint,
                ),
                wrapper=wrappers[number] if wrappers else (),
            )
        self._callers: list[Caller] = []

    def _config(self, address: str, endpoint: str) -> str:
        grace = "" if self._grace is None else f"reuse_grace = {self._grace:g}\n"
        return (
            f"[default]\nrefresh_timeout = {TIMEOUT:g}\n\n"
            f'[store]\nshared = "{self.database.url(address)}"\nshared_key_file = "{self._key}"\n\n'
            f'[providers.acme]\ntoken_endpoint = "{endpoint}"\nclient_id = "{CLIENT}"\n{grace}'
        )

    def __enter__(self) -> Self:
        try:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(DaemonProcess.start, self.hosts.values()))
            self._share_a_login()
            for name, daemon in self.hosts.items():
                caller = Caller(name, daemon.socket_file, self.witness)
                caller.start()
                self._callers.append(caller)
            self.goes_on(1)
        except BaseException:
            self._end()
            raise
        return self

    def _share_a_login(self) -> None:
        login = self.sandbox.issue()
        tokens = {"access_token": login.access_token, "refresh_token": login.refresh_token}
        first = next(iter(self.hosts.values()))
        ends = {"expires_at_ms": int(login.expires_at * 1000)}
        first.call("profile.add", profile=PROFILE, shared=True, credential={**tokens, **ends})

    def goes_on(self, lives: int, *, without: str | None = None) -> None:
        """Wait until the login has lived on for so many lives, and every host has it.

        Args:
            lives: how many.
            without: a host that is not waited for.

        Raises:
            TimeoutError: it did not; with what the daemons wrote last.
        """
        try:
            waited_for = [name for name in self.hosts if name != without]
            self.witness.wait_for_lives(lives, waited_for, is_lost=self._is_lost)
        except TimeoutError as late:
            raise TimeoutError(f"{late}; {self.sandbox.statistics()}\n{self._logs()}") from None

    def _is_lost(self) -> bool:
        counted = self.sandbox.statistics()
        return counted.reuse_detected + counted.invalid_grants > 0

    def verdict(self) -> Statistics:
        """What the server counted, when no request is under way.

        Nothing expired was handed out, nothing was spent twice, and every request was granted, or answered once
        more within the grace.
        """
        deadline = time.monotonic() + DEADLINE
        while True:
            counted = self.sandbox.statistics()
            assert self.witness.expired == []
            assert (counted.reuse_detected, counted.invalid_grants) == (0, 0), self._logs()
            if counted.token_requests == counted.refreshes_granted + counted.grace_replays:
                return counted
            assert time.monotonic() < deadline, f"{counted}\n{self._logs()}"
            time.sleep(PAUSE)

    def host_with_the_lease(self) -> str:
        """Who holds the lease at this moment, waited for."""
        names = {
            daemon.call("daemon.status")["shared_store"]["holder"]: name for name, daemon in self.hosts.items()
        }
        assert len(names) == len(self.hosts)
        query = "SELECT lease_holder FROM tokenward.records WHERE lease_holder IS NOT NULL"
        deadline = time.monotonic() + DEADLINE
        while not (rows := self.database.server.run(query, database=self.database.name)):
            assert time.monotonic() < deadline, self._logs()
            time.sleep(PAUSE)
        return names[rows[0][0]]

    def figures(self, since: Statistics) -> str:
        """What happened since, for the table."""
        counted = self.sandbox.statistics()
        refreshes = counted.refreshes_granted - since.refreshes_granted
        return (
            f"{len(self.hosts)} hosts: {refreshes} refreshes, {counted.grace_replays - since.grace_replays} "
            f"answers had again, {self.database.orphans()} orphans; 0 spent twice, 0 expired"
        )

    def _logs(self) -> str:
        return "\n".join(f"{name}: {daemon.log[-1500:]}" for name, daemon in self.hosts.items())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for caller in self._callers:
            caller.end()
        for daemon in self.hosts.values():
            daemon.close()
        for caller in self._callers:
            caller.join()
