"""Questions and answers on a socket, both ends on one processor: the time of one."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks import peers
from benchmarks.daemon import Daemon, answer_to, token_get
from benchmarks.figures import Figure, milliseconds
from benchmarks.sampling import Series, in_turns
from benchmarks.stage import Stage, pinned

KEY = {"ANTHROPIC_API_KEY": "sk-ant-api03-" + "x" * 95}
ROUNDS = 9
Action = Callable[[], list[float]]


def measure(stage: Stage) -> list[Figure]:
    """Ours beside ssh-agent, which keeps a connection, and oidc-agent, which does not."""
    with ExitStack() as open_now:
        daemon = open_now.enter_context(Daemon(stage, stage.home("trips"), environ=KEY))
        request, trips = token_get(), stage.effort.trips
        actions = {
            "token.get, kept": kept(daemon.socket, request, trips, open_now),
            "token.get, connected": connected(daemon.socket, request, trips),
        }
        if peers.are_there("ssh-agent", "ssh-keygen", "ssh-add"):
            path = open_now.enter_context(peers.ssh_agent(stage))
            actions["ssh-agent"] = kept(path, peers.SSH_REQUEST, trips, open_now)
        if peers.are_there("oidc-agent", "oidc-gen"):
            path = open_now.enter_context(peers.oidc_agent(stage))["OIDC_SOCK"]
            actions["oidc-agent"] = connected(path, peers.OIDC_REQUEST, trips)
        with pinned(stage.cpu):
            series = in_turns(actions, rounds=min(ROUNDS, stage.effort.rounds))
    figures = []
    if "ssh-agent" in series:
        figures.append(_to(series, "token.get, kept", "ssh-agent", "token.get on a kept connection, p50", 1.6))
    if "oidc-agent" in series:
        figures.append(_to(series, "token.get, connected", "oidc-agent", "token.get with a connect, p50", 1.5))
    return figures


def kept(path: str, request: bytes, trips: int, open_now: ExitStack) -> Action:
    """What asks again and again on one connection; an answer comes in one piece."""
    connection = open_now.enter_context(socket.socket(socket.AF_UNIX))
    connection.connect(path)
    connection.settimeout(60.0)

    def run() -> list[float]:
        samples, clock, send, receive = [], time.perf_counter, connection.sendall, connection.recv
        for _ in range(trips):
            began = clock()
            send(request)
            receive(65_536)
            samples.append(clock() - began)
        return samples

    return run


def connected(path: str, request: bytes, trips: int) -> Action:
    """What connects anew for each question."""

    def run() -> list[float]:
        samples, clock = [], time.perf_counter
        for _ in range(trips):
            began = clock()
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(path)
            connection.sendall(request)
            connection.recv(65_536)
            connection.close()
            samples.append(clock() - began)
        return samples

    return run


def trip_times(daemon: Daemon, params: str, trips: int) -> Series:
    """One question asked so many times on a kept connection; the first is not counted."""
    with daemon.connect() as connection:
        answer_to(connection, token_get(params))
        samples = Series()
        for _ in range(trips):
            began = time.perf_counter()
            answer_to(connection, token_get(params))
            samples.seconds.append(time.perf_counter() - began)
        return samples


def _to(series: dict[str, Series], name: str, base: str, what: str, bound: float) -> Figure:
    ours, theirs = series[name].median, series[base].median
    detail = f"{milliseconds(ours)} (p99 {milliseconds(series[name].p99)}) to {milliseconds(theirs)}"
    return Figure(f"{what}, to {base}", ours / theirs, bound, detail=detail)
