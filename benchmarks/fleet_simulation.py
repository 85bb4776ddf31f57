"""What a fleet's database has to carry, to a hundred thousand hosts: ``python -m benchmarks.fleet_simulation``.

The problem: nobody has a hundred thousand hosts to try it with, and what breaks first (connections, questions, or
the herd that comes back after an outage) decides what a team does instead. So what one act costs is measured
(``benchmarks.fleet``), and how many there are is counted here, host by host, with the waits that our own follower
draws.

Rules:
- The server is a queue: so many processors, each act takes its time on one of them. An act that would wait for
  longer than a host does is refused, and a refusal costs a fifth of an act: a process is made for it and ends.
- A host that was refused waits as ``follower.wait_before`` says. One that gets through listens and reads.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import chart
from benchmarks.fleet import Costs
from tokenward.stores.postgres.follower import GREETING_SECONDS, LOOK_SECONDS, wait_before
from tokenward.stores.postgres.wire import PATIENCE_SECONDS

HOSTS = (10, 100, 1_000, 10_000, 100_000)
PROCESSORS = 8
LIFE = 3600.0
"""Seconds an access token lives."""
SPREAD = 5.0
"""Seconds over which hosts read what they were told of."""
OUTAGE = 600.0
"""Seconds the database was away."""
REFUSAL = 0.2
"""Of an act's cost."""
ACTS_TO_RETURN = 2
MEASURED = Costs(act=0.0065, pooled_act=0.0002, told=0.00002, connection=1.2 * 1024 * 1024)
"""On the machine of docs/fleet.md."""
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Herd:
    """What came back after an outage.

    Args:
        hosts: how many.
        most: attempts in the busiest second.
        attempts: all of them.
        half: seconds until half of the hosts were back.
        last: seconds until all were.
    """

    hosts: int
    most: int
    attempts: int
    half: float
    last: float


@dataclass(frozen=True, slots=True)
class Load:
    """What a fleet asks of its database.

    Args:
        hosts: how many.
        memory: bytes of the listening connections.
        acts: a second, all day.
        burst: acts a second after a refresh.
        told: seconds until the last host is told.
        looks: acts a second, where hosts look instead of listening (a pooler in transaction mode).
        herd: what comes back after an outage.
    """

    hosts: int
    memory: float
    acts: float
    burst: float
    told: float
    looks: float
    herd: Herd


def herd(hosts: int, costs: Costs, *, seed: int = 1, processors: int = PROCESSORS) -> Herd:
    """Let all of them come back.

    Args:
        hosts: how many.
        costs: what an act takes.
        seed: of every wait that is drawn.
        processors: the server's.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret depends on it
    failed = 16  # as often as it takes for the wait to be the longest
    waiting = [(wait_before(failed, draw.random()), failed) for _ in range(hosts)]
    heapq.heapify(waiting)
    busy, back, seconds = 0.0, list[float](), Counter[int]()
    while waiting:
        now, failures = heapq.heappop(waiting)
        seconds[int(now)] += 1
        busy = max(busy, now)
        if busy - now > PATIENCE_SECONDS:
            busy += REFUSAL * costs.act / processors
            heapq.heappush(waiting, (now + wait_before(failures + 1, draw.random()), failures + 1))
        else:
            busy += ACTS_TO_RETURN * costs.act / processors
            back.append(busy)
    back.sort()
    return Herd(hosts, max(seconds.values()), seconds.total(), back[len(back) // 2], back[-1])


def load(hosts: int, costs: Costs) -> Load:
    """What a fleet of so many asks."""
    return Load(
        hosts,
        memory=hosts * costs.connection,
        acts=hosts / GREETING_SECONDS + (hosts + 2) / LIFE,
        burst=hosts / SPREAD,
        told=hosts * costs.told,
        looks=hosts / LOOK_SECONDS + (hosts + 2) / LIFE,
        herd=herd(hosts, costs),
    )


def table(loads: Sequence[Load], costs: Costs) -> str:
    """As Markdown."""
    head = (
        "| hosts | connections | their memory | told within | acts a second, all day | after a refresh | "
        f"share of {PROCESSORS} processors then | by looking (PgBouncer) | share | "
        "herd: most a second | all are back after |\n"
        f"|{'---|' * 11}\n"
    )
    rows = []
    for each in loads:
        burst, looks = (
            f"{rate * cost / PROCESSORS:.1%}"
            for rate, cost in ((each.burst, costs.act), (each.looks, costs.pooled_act))
        )
        rows.append(
            f"| {each.hosts:,} | {each.hosts:,} | {each.memory / _MIB:,.0f} MB | {each.told * 1e3:,.0f} ms | "
            f"{each.acts:,.2f} | {each.burst:,.0f} | {burst} | {each.looks:,.1f} | {looks} | "
            f"{each.herd.most:,} | {each.herd.last:,.0f} s |\n"
        )
    return head + "".join(rows)


def picture(loads: Sequence[Load]) -> str:
    """Over the number of hosts."""
    lines = {
        "listening connections": [(each.hosts, float(each.hosts)) for each in loads],
        "acts a second, after a refresh": [(each.hosts, each.burst) for each in loads],
        "attempts in the busiest second after an outage": [(each.hosts, float(each.herd.most)) for each in loads],
        "acts a second, by looking": [(each.hosts, each.looks) for each in loads],
        "acts a second, all day": [(each.hosts, each.acts) for each in loads],
    }
    return chart.curves("What a fleet asks of its database", lines, across="hosts", up="connections; a second")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet_simulation", description=__doc__)
    parser.parse_args(argv)
    sys.stdout.write(table([load(hosts, MEASURED) for hosts in HOSTS], MEASURED))
    return 0


if __name__ == "__main__":
    sys.exit(main())
