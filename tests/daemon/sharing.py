"""What the tests of shared credentials have in common: hosts of one process that meet in one engine in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.refreshing import RotatingServer, credential_at, nothing, transaction
from fakes.machine import FakeClock
from fakes.shared_sealer import OneKeySealer
from tokenward.core.credential import Credential
from tokenward.core.reading import Found
from tokenward.core.sharing import Condemnation, Removal, SealedValue, SharedRecord
from tokenward.daemon.shared_place import SharedPlace
from tokenward.daemon.shared_records import SharedNews, SharedRecords
from tokenward.daemon.transaction import Transaction
from tokenward.stores.memory import MemoryCredentialStore
from tokenward.stores.memory_shared import MemorySharedStore

PROFILE = "acme:me"
REQUEST_SECONDS = 25.0
LEASE_SECONDS = 50.0


class CountingEngine(MemorySharedStore):
    """An engine that counts what it is asked, and lets a test in around it."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock.boottime)
        self.asked: list[str] = []
        self.notifies = True
        self.before_commit: Callable[[], object] = nothing
        self.after_commit: Callable[[], object] = nothing
        self.after_claim: Callable[[], object] = nothing

    def read(self, profile: str | None = None) -> Any:
        """As in memory."""
        self.asked.append("read")
        return super().read(profile)

    def _tell(self, profile: str | None) -> None:
        if self.notifies:
            super()._tell(profile)

    def claim(self, seen: SharedRecord, *, holder: str, seconds: float) -> Any:
        """As in memory, with the hook after it."""
        self.asked.append("claim" if seconds else "release")
        answer = super().claim(seen, holder=holder, seconds=seconds)
        self.after_claim()
        return answer

    def commit(
        self, profile: str, expected: str | None, change: SealedValue | Condemnation | Removal, *, holder: str
    ) -> Any:
        """As in memory, with the hooks around it."""
        self.asked.append("commit")
        self.before_commit()
        answer = super().commit(profile, expected, change, holder=holder)
        self.after_commit()
        return answer


@dataclass
class Host:
    """One host: its copies, its families, and what it knows.

    Args:
        name: its name at the engine.
        directory: its disk.
        engine: where it meets the others.
        clock: of all hosts.
        server: the authorization server.
    """

    name: str
    directory: Path
    engine: MemorySharedStore
    clock: FakeClock
    server: RotatingServer
    reuse_grace: float = 0.0
    copies: MemoryCredentialStore = field(default_factory=MemoryCredentialStore)
    news: list[tuple[SharedNews, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start, or start again with what is on the disk."""
        self.records = SharedRecords(
            self.engine, OneKeySealer(), self.copies, holder=self.name, clock=self.clock, pause=self.pause
        )
        self.records.told = lambda news, profile, _detail: self.news.append((news, profile))
        self.place = SharedPlace(
            PROFILE,
            self.records,
            clock=self.clock,
            request_seconds=REQUEST_SECONDS,
            reuse_grace=self.reuse_grace,
        )
        self.transaction: Transaction = transaction(
            self.directory / self.name,
            self.place,
            self.clock,
            self.server.post,
            reuse_grace=self.reuse_grace,
            profile=PROFILE,
        )
        self.while_waiting: Callable[[], object] = nothing

    def pause(self, _: threading.Condition, is_so: Callable[[], bool], seconds: float) -> bool:
        """Let the time pass that would be waited, and see what happened meanwhile."""
        self.while_waiting()
        if is_so():
            return True
        self.clock.advance(seconds)
        return is_so()

    @property
    def held(self) -> Credential:
        """What its place holds."""
        reading = self.place.read()
        assert isinstance(reading, Found), reading
        return reading.credential

    def is_cut_off(self) -> bool:
        """Whether it knows that the engine does not answer."""
        return self.records.away is not None

    def refresh(self) -> Any:
        """Refresh what it holds."""
        return self.transaction.refresh(self.held)


class Fleet:
    """Hosts that share one login.

    Args:
        directory: for the disks of the hosts.
        reuse_grace: seconds in which the server takes a spent token again.
    """

    def __init__(self, directory: Path, *, reuse_grace: float = 0.0) -> None:
        self.clock = FakeClock()
        self.engine = CountingEngine(self.clock)
        self.server = RotatingServer()
        self.first = credential_at(self.clock)
        self.engine.commit(PROFILE, None, OneKeySealer().seal(PROFILE, self.first, None), holder="a person")
        self.engine.asked.clear()
        self._directory = directory
        self._reuse_grace = reuse_grace

    def host(self, name: str) -> Host:
        """A host that has looked at the engine."""
        host = Host(name, self._directory, self.engine, self.clock, self.server, self._reuse_grace)
        host.records.look()
        return host

    @property
    def record(self) -> SharedRecord:
        """What the engine holds."""
        [record] = MemorySharedStore.read(self.engine, PROFILE)
        return record
