"""Answers a second with many clients at once, and with many profiles.

What falsifies it, and is kept out:
- A daemon encodes each profile's answer once, and notes once in its audit that a process is new to a profile.
  Clients that stay pay for that once. So it is asked before the clock starts, every server alike: as many answers
  as two turns of the many profiles.
- The machine's speed moves within seconds. So everything is asked once a round, each round in another order, and
  the figure is the median of the ratios within rounds.
- What one round leaves behind (an audit and a state to be written) is done in a later one: whose, changes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import peers, records
from benchmarks.daemon import Daemon, answer_to, token_get
from benchmarks.figures import Figure
from benchmarks.sampling import in_turns
from benchmarks.stage import SOURCES, Stage

CLIENTS = 256
ROUNDS = 15
TOKEN_CHARACTERS = 102
ONE_HOUR = 3600.0


class Load:
    """The program that asks.

    Args:
        stage: where.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._program = str(stage.directory / "load")
        source = str(Path(__file__).parent / "load.c")
        subprocess.run(["cc", "-O2", "-o", self._program, source], check=True)

    def answers(self, path: str, request: bytes, *, clients: int = CLIENTS, warm: int = 0) -> float:
        """Answers a second, counted after so many."""
        stage = self._stage
        argv = [
            "taskset",
            "-c",
            str(stage.other_cpu),
            self._program,
            path,
            str(clients),
            str(stage.effort.seconds),
            str(warm),
        ]
        done = subprocess.run([*argv, request.decode().strip()], check=True, capture_output=True, text=True)
        return float(done.stdout.split()[0])


def measure(stage: Stage) -> list[Figure]:
    """Many clients beside a bare protocol, and many profiles beside one."""
    if not peers.are_there("cc"):
        return []
    load = Load(stage)
    many = stage.effort.crowd
    with ExitStack() as open_now:
        bare = open_now.enter_context(bare_server(stage))
        one = open_now.enter_context(_filled(stage, 1))
        crowd = open_now.enter_context(_filled(stage, many))
        asked = {
            "bare": (bare, token_get('{"profile":"acme:p0"}')),
            "one": (one.socket, token_get('{"profile":"acme:p0"}')),
            "one, by provider": (one.socket, token_get('{"provider":"acme"}')),
            "many": (crowd.socket, token_get(f'{{"profile":"acme:p{many // 2}"}}')),
            "many, by provider": (crowd.socket, token_get('{"provider":"acme"}')),
        }

        def ask(path: str, request: bytes) -> list[float]:
            return [1 / load.answers(path, request, warm=2 * many)]

        actions = {name: partial(ask, path, request) for name, (path, request) in asked.items()}
        took = in_turns(actions, rounds=min(ROUNDS, stage.effort.rounds))

    def to(name: str, base: str, what: str, bound: float) -> Figure:
        ratios = [theirs / ours for ours, theirs in zip(took[name].seconds, took[base].seconds, strict=True)]
        detail = f"{1 / took[name].median:,.0f} to {1 / took[base].median:,.0f} answers a second"
        return Figure(what, median(ratios), bound, at_least=True, detail=detail)

    return [
        to("one", "bare", f"throughput, {CLIENTS} persistent clients, to a bare asyncio protocol with json", 1.0),
        to("many", "one", f"the same with {many:,} profiles to 1, by name", 0.9),
        to("many, by provider", "one, by provider", f"the same with {many:,} profiles to 1, by provider", 0.9),
    ]


@contextmanager
def bare_server(stage: Stage) -> Iterator[str]:
    """The bare protocol in a process of its own; gives its socket."""
    path = str(stage.home("bare") / "socket")
    program = str(SOURCES / "benchmarks" / "bare_server.py")
    argv = ["taskset", "-c", str(stage.cpu), stage.python, program, path, str(TOKEN_CHARACTERS)]
    with subprocess.Popen(argv) as process:
        try:
            peers.wait_for(path)
            yield path
        finally:
            process.terminate()


@contextmanager
def _filled(stage: Stage, profiles: int) -> Iterator[Daemon]:
    """A daemon with logins of its own store, none of them due."""
    home = stage.home(f"store{profiles}")
    records.fill(home, [f"acme:p{number}" for number in range(profiles)], left=ONE_HOUR)
    with Daemon(stage, home) as daemon:
        with daemon.connect() as connection:  # it accepts before it has found everybody
            answer_to(connection, token_get(f'{{"profile":"acme:p{profiles - 1}"}}'))
        yield daemon
