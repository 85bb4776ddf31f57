"""How it grows: with the clients that ask at once, and with the profiles that are kept."""

from __future__ import annotations

import time

from benchmarks import chart, peers, records
from benchmarks.daemon import Daemon, answer_to, token_get
from benchmarks.footprint import settle
from benchmarks.stage import Stage
from benchmarks.throughput import ONE_HOUR, Load, bare_server

CLIENTS = (1, 4, 16, 64, 256, 1024)
PROFILES = (1, 10, 100, 1_000, 10_000)
SOME = 16
"""Clients that ask while profiles are counted."""


def pictures(stage: Stage) -> dict[str, str]:
    """The pictures, by file name."""
    if not peers.are_there("cc"):
        return {}
    load = Load(stage)
    return {"growth-clients.svg": _clients(stage, load), **_profiles(stage, load)}


def _clients(stage: Stage, load: Load) -> str:
    home = stage.home("clients")
    records.fill(home, ["acme:p0"], left=ONE_HOUR)
    request = token_get('{"profile":"acme:p0"}')
    rates: dict[str, list[tuple[float, float]]] = {"tokenward": [], "a bare asyncio protocol": []}
    with bare_server(stage) as bare, Daemon(stage, home) as daemon:
        for clients in CLIENTS:
            for name, path in (("tokenward", daemon.socket), ("a bare asyncio protocol", bare)):
                rates[name].append((clients, load.answers(path, request, clients=clients)))
    return chart.curves("Answers a second, by clients", rates, across="clients at once", up="answers a second")


def _profiles(stage: Stage, load: Load) -> dict[str, str]:
    rates: dict[str, list[tuple[float, float]]] = {"by name": [], "by provider": []}
    costs: dict[str, list[tuple[float, float]]] = {"memory, MB": [], "start, ms": []}
    for count in (count for count in PROFILES if count <= stage.effort.crowd):
        home = stage.home("profiles")
        records.fill(home, [f"acme:p{number}" for number in range(count)], left=ONE_HOUR)
        daemon, began = Daemon(stage, home), time.perf_counter()
        with daemon.start() as connection:
            answer_to(connection, token_get('{"profile":"acme:p0"}'))
            costs["start, ms"].append((count, (time.perf_counter() - began) * 1e3))
        settle(stage)
        costs["memory, MB"].append((count, daemon.resident()))
        for name, params in (
            ("by name", f'{{"profile":"acme:p{count // 2}"}}'),
            ("by provider", '{"provider":"acme"}'),
        ):
            found = load.answers(daemon.socket, token_get(params), clients=SOME, warm=2 * count)
            rates[name].append((count, found))
        daemon.stop()
    return {
        "growth-profiles.svg": chart.curves(
            "Answers a second, by profiles", rates, across="profiles", up="answers a second"
        ),
        "growth-costs.svg": chart.curves(
            "Memory and start, by profiles", costs, across="profiles", up="MB; milliseconds"
        ),
    }
