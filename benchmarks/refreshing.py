"""Many refreshes at once: how many a second, and what callers feel of them."""

from __future__ import annotations

import json
import time
import urllib.request
from contextlib import ExitStack

from benchmarks import peers, records
from benchmarks.daemon import Daemon, answer_to, token_get
from benchmarks.figures import Figure, milliseconds
from benchmarks.sampling import Series
from benchmarks.stage import Stage, pinned

ENDPOINTS = 4
"""Of four requests in flight each: sixteen at once."""
WAITING = 16
HOLD_SECONDS = 600.0
"""Longer than we look."""
DUE, FAR = 30.0, 3600.0
"""Seconds of life left of a login that is due, and of one that is not."""
PATIENCE = 120.0
PAUSE = 0.001
"""Between two questions of one that is not a load: what is measured is the wait, not the queue."""


def measure(stage: Stage) -> list[Figure]:
    """Both."""
    return [_refreshes_a_second(stage), _calls_meanwhile(stage)]


def _refreshes_a_second(stage: Stage) -> Figure:
    home, count = stage.home("refreshing"), stage.effort.refreshes
    with peers.issuer(ports=ENDPOINTS) as urls:
        config = "".join(records.provider(f"acme{number}", url) for number, url in enumerate(urls))
        profiles = [f"acme{number % ENDPOINTS}:p{number}" for number in range(count)]
        records.fill(home, profiles, left=DUE)
        with Daemon(stage, home, config=config):
            deadline = time.monotonic() + PATIENCE
            while len(times := _times(urls)) < count:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{len(times)} of {count} refreshed: {(home / 'log').read_text()}")
                time.sleep(0.05)
    times.sort()
    rate = (len(times) - 1) / max(times[-1] - times[0], 1e-9)
    what = f"refreshes a second, {ENDPOINTS * 4} at once, persisted with fsync, one daemon"
    return Figure(what, rate, 150, at_least=True, unit="a second", detail=f"{count} refreshes")


def _times(urls: list[str]) -> list[float]:
    found: list[float] = []
    for url in urls:
        with urllib.request.urlopen(f"{url}/times") as answer:  # noqa: S310 - our own issuer
            found += json.load(answer)["times"]
    return found


def _calls_meanwhile(stage: Stage) -> Figure:
    idle = _asked(stage, "idle", left=FAR)
    busy = _asked(stage, "busy", left=DUE)
    detail = f"{milliseconds(busy.p99)} to {milliseconds(idle.p99)}"
    what = f"p99 of token.get while {WAITING} refreshes wait at one endpoint, to idle p99"
    return Figure(what, busy.p99 / idle.p99, 10, detail=detail)


def _asked(stage: Stage, name: str, *, left: float) -> Series:
    """Questions for a login that is not due, beside sixteen that have so many seconds left."""
    home, series = stage.home(name), Series()
    records.fill(home, [f"acme:p{number}" for number in range(WAITING)], left=left)
    records.fill(home, ["acme:fine"], left=FAR)
    request = token_get('{"profile":"acme:fine"}')
    with ExitStack() as issuers:
        (url,) = issuers.enter_context(peers.issuer(hold=HOLD_SECONDS))
        with Daemon(stage, home, config=records.provider("acme", url)) as daemon, daemon.connect() as connection:
            answer_to(connection, request)
            if left == DUE:
                _wait_until_under_way(url)
            with pinned(stage.other_cpu):
                for _ in range(stage.effort.trips * 5):
                    began = time.perf_counter()
                    answer_to(connection, request)
                    series.seconds.append(time.perf_counter() - began)
                    time.sleep(PAUSE)
            issuers.close()  # else the daemon would wait for its answers before it ends
    return series


def _wait_until_under_way(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(_times([url])) < ENDPOINTS:  # as many as one endpoint gets at once
        if time.monotonic() > deadline:
            raise TimeoutError("nothing is refreshed")
        time.sleep(0.02)
