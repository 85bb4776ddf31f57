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
import math
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import chart
from benchmarks.__main__ import IMAGES, machine, put
from benchmarks.figures import markdown
from benchmarks.fleet import Costs, measured
from benchmarks.stage import FULL, SOURCES
from tokenward.stores.postgres.follower import GREETING_SECONDS, LOOK_SECONDS, wait_before
from tokenward.stores.postgres.wire import PATIENCE_SECONDS

HOSTS = (10, 100, 1_000, 10_000, 100_000)
PROCESSORS = 8
LIFE = 3600.0
"""Seconds an access token lives."""
WATCHED = 3600.0
"""Seconds after which those who are not back never will be: refusing them takes all that the server has."""
REFUSAL = 0.2
"""Of an act's cost."""
ACTS_TO_RETURN = 2
"""It listens, and reads what may have changed."""
ACTS_OF_A_REFRESH = 3
"""A read, a claim and a commit, of the one host that does it; the others read where they listen."""
PAGE = SOURCES / "docs" / "fleet.md"
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Herd:
    """What came back after an outage.

    Args:
        hosts: how many.
        most: attempts in the busiest second.
        attempts: all of them.
        half: seconds until half of the hosts were back.
        last: seconds until all were; infinite if they never are.
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
        told: seconds from a commit until the last host has the value.
        looks: acts a second, where hosts look instead of listening (a pooler in transaction mode).
        herd: what comes back after an outage.
    """

    hosts: int
    memory: float
    acts: float
    told: float
    looks: float
    herd: Herd


def herd(hosts: int, costs: Costs, *, seed: int = 1, processors: float = PROCESSORS) -> Herd:
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
        if now > WATCHED:
            return Herd(hosts, max(seconds.values()), seconds.total(), math.inf, math.inf)
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
        acts=hosts / GREETING_SECONDS + (hosts + ACTS_OF_A_REFRESH) / LIFE,
        told=hosts * (costs.told + costs.pooled_act / PROCESSORS),
        looks=hosts / LOOK_SECONDS + (hosts + ACTS_OF_A_REFRESH) / LIFE,
        herd=herd(hosts, costs),
    )


def table(loads: Sequence[Load], costs: Costs) -> str:
    """As Markdown."""
    head = (
        "| hosts = connections | their memory | all have a new value within | questions a second | "
        f"by looking, through a pooler | share of {PROCESSORS} processors | "
        f"after an outage: most attempts a second | half are back after | all after |\n|{'---|' * 9}\n"
    )
    rows = []
    for each in loads:
        share = each.looks * costs.pooled_act / PROCESSORS
        rows.append(
            f"| {each.hosts:,} | {each.memory / _MIB:,.0f} MB | {each.told:,.2g} s | {each.acts:,.2g} | "
            f"{each.looks:,.1f} | {share:.2%} | {each.herd.most:,} | {each.herd.half:,.0f} s | "
            f"{each.herd.last:,.0f} s |\n"
        )
    return head + "".join(rows)


def picture(loads: Sequence[Load]) -> str:
    """Over the number of hosts."""
    lines = {
        "listening connections": [(each.hosts, float(each.hosts)) for each in loads],
        "attempts in the busiest second after an outage": [(each.hosts, float(each.herd.most)) for each in loads],
        "questions a second, by looking": [(each.hosts, each.looks) for each in loads],
        "questions a second, listening": [(each.hosts, each.acts) for each in loads],
    }
    return chart.curves(
        "What a fleet asks of its database", lines, across="hosts", up="connections; a second", names_below=True
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, simulate, print, and write it down if asked; the exit status is 1 without a PostgreSQL."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet_simulation")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(SOURCES)}, with a picture")
    arguments = parser.parse_args(argv)
    figures, costs = measured(FULL)
    if costs is None:
        return 1
    loads = [load(hosts, costs) for hosts in HOSTS]
    found, counted = f"{machine()}\n\n{markdown(figures)}", table(loads, costs)
    sys.stdout.write(f"{found}\n{counted}")
    if arguments.write:
        put("figures", found, PAGE)
        put("simulation", counted, PAGE)
        (IMAGES / "fleet.svg").write_text(picture(loads))
    return 0


if __name__ == "__main__":
    sys.exit(main())
