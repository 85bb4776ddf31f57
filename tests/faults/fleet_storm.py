"""What befalls a fleet, at moments that a seed has drawn.

The problem: the moments at which a fleet can be hurt are between two lines of one process and two of another;
nobody lists them. So faults come at random, several at a time, on everything that is between the hosts; the seed
is in the message of a test that fails, and names the order of the faults, if not the line at which each struck.

Rules:
- A host has one fault at a time, and so has the database; a fault ends before the storm does.
- A storm ends by the number of its faults. How long one lasts is drawn in leases: that is what it has to be
  longer than, or shorter.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from faults.fleet import LEASE, Fleet
from faults.islands import Island

BETWEEN = (0.05, 0.8)
"""Seconds from the beginning of a fault to that of the next."""
SHORT = (0.0, LEASE / 2)
BEYOND_LEASE = (1.1 * LEASE, 1.8 * LEASE)
HOST, ISLAND, DATABASE = "host", "island", "database"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong and comes right again.

    Args:
        begin: lets it begin; it is given what it strikes.
        end: ends it.
        lasts: seconds between the two, from and to.
        strikes: the kind of what it strikes.
    """

    begin: Callable[[str], object]
    end: Callable[[str], object]
    lasts: tuple[float, float]
    strikes: str = HOST


def database_faults(fleet: Fleet) -> dict[str, Fault]:
    """It is restarted, it crashes, it does not answer, and its connections are cut."""
    server, name = fleet.database.server, fleet.database.name
    frozen = Fault(lambda _: server.freeze(), lambda _: server.thaw(), SHORT, DATABASE)
    return {
        "database-restarted": Fault(lambda _: server.stop(), lambda _: server.start(), SHORT, DATABASE),
        "database-crashed": Fault(lambda _: server.kill(), lambda _: server.start(), BEYOND_LEASE, DATABASE),
        "connections-cut": Fault(lambda _: server.cut(name), lambda _: None, (0.0, 0.0), DATABASE),
        **({"database-frozen": frozen} if sys.platform == "linux" else {}),
    }


def host_faults(fleet: Fleet) -> dict[str, Fault]:
    """A daemon is killed and started again, or stopped for longer than a lease lasts."""
    hosts = fleet.hosts
    return {
        "daemon-killed": Fault(lambda host: hosts[host].kill(), lambda host: hosts[host].start(), BEYOND_LEASE),
        "daemon-restarted": Fault(lambda host: hosts[host].kill(), lambda host: hosts[host].start(), SHORT),
        "daemon-stopped": Fault(
            lambda host: hosts[host].signal(signal.SIGSTOP),
            lambda host: hosts[host].signal(signal.SIGCONT),
            BEYOND_LEASE,
        ),
    }


def network_faults(islands: Mapping[str, Island]) -> dict[str, Fault]:
    """An island is cut off from everything, or from the database alone.

    Args:
        islands: by a name that no host has; with none there are no faults.
    """
    if not islands:
        return {}
    return {
        "network-cut": Fault(
            lambda name: islands[name].cut(), lambda name: islands[name].heal(), BEYOND_LEASE, ISLAND
        ),
        "database-lost": Fault(
            lambda name: islands[name].lose_database(),
            lambda name: islands[name].find_database(),
            BEYOND_LEASE,
            ISLAND,
        ),
    }


class Storm:
    """Faults at random.

    Args:
        faults: by name.
        targets: whom they may strike, by kind: hosts, and islands if there are any.
        seed: of everything that is drawn.
    """

    def __init__(self, faults: Mapping[str, Fault], targets: Mapping[str, Sequence[str]], *, seed: int) -> None:
        self._faults = faults
        self._targets = {DATABASE: [DATABASE], **targets}
        self._draw = random.Random(seed)
        self._struck: set[str] = set()
        self._deck: list[str] = []
        self._lock = threading.Lock()
        self.happened: Counter[str] = Counter()

    def rage(self, *, faults: int = 0, seconds: float = 0.0) -> None:
        """Let so many faults happen, or as many as begin in so many seconds; afterwards all is right again."""
        began = time.monotonic()
        pending: list[Future[None]] = []
        with ThreadPoolExecutor(sum(map(len, self._targets.values()))) as pool:
            while len(pending) < faults or time.monotonic() - began < seconds:
                name = self._next()
                target = self._draw.choice(self._targets[self._faults[name].strikes])
                lasts, pause = self._draw.uniform(*self._faults[name].lasts), self._draw.uniform(*BETWEEN)
                if self._strikes(target):
                    self.happened[name] += 1
                    pending.append(pool.submit(self._happen, name, target, lasts))
                else:
                    self._deck.append(name)
                time.sleep(pause)
        for each in pending:
            each.result()

    def _next(self) -> str:
        """The name of a fault: each once, in an order that is drawn, and then all of them again."""
        if not self._deck:
            self._deck = self._draw.sample(sorted(self._faults), len(self._faults))
        return self._deck.pop()

    def _strikes(self, target: str) -> bool:
        """Whether it can be struck now; then it is taken."""
        with self._lock:
            if target in self._struck:
                return False
            self._struck.add(target)
            return True

    def _happen(self, name: str, target: str, lasts: float) -> None:
        fault = self._faults[name]
        try:
            fault.begin(target)
            time.sleep(lasts)
            fault.end(target)
        finally:
            with self._lock:
                self._struck.discard(target)

    def said(self) -> str:
        """What happened, for people."""
        return ", ".join(f"{name} {count}" for name, count in sorted(self.happened.items()))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What fails in here says its seed."""
    try:
        yield
    except Exception as error:
        error.add_note(f"the storm's seed: {seed}")
        raise
