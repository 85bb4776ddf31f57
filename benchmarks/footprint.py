"""What a daemon costs that nobody asks: memory, wake-ups, and the time until it serves.

Processor time is the scheduler's count, in nanoseconds over all threads (``Daemon.cpu_seconds``).
"""

from __future__ import annotations

import json
import subprocess
import time
from datetime import UTC, datetime, timedelta
from functools import partial

from benchmarks import peers, records
from benchmarks.daemon import Daemon, answer_to, token_get
from benchmarks.figures import Figure, milliseconds
from benchmarks.one_shot import ANCHOR, once
from benchmarks.sampling import in_turns
from benchmarks.stage import Stage

KEY = {"ANTHROPIC_API_KEY": "sk-ant-api03-" + "x" * 95}
SETTLING_SECONDS = 8.0
"""After which scheduler and watcher are imported, and the use of the first token is written."""
CONFIG = "[default]\nrefresh_margin = 120\n"
NAPS = 40
ROUNDS = 12
DUE, FAR = 30.0, 3600.0
MEGABYTES = "MB"


def measure(stage: Stage) -> list[Figure]:
    """All of it."""
    return [*_start(stage), *_memory_and_wake_ups(stage), _memory_after_a_refresh(stage), *_crowd(stage)]


def _start(stage: Stage) -> list[Figure]:
    def start(config: str) -> list[float]:
        home = stage.home("start")
        daemon = Daemon(stage, home, environ=KEY, config=config)
        began = time.perf_counter()
        with daemon.start() as connection:
            answer_to(connection, token_get())
            took = time.perf_counter() - began
        daemon.stop()
        return [took]

    anchor = once(["taskset", "-c", str(stage.cpu), stage.interpreter, "-I", "-S", "-c", "pass"], {})
    series = in_turns(
        {"start": partial(start, ""), "configured": partial(start, CONFIG), "anchor": anchor},
        rounds=min(ROUNDS, stage.effort.rounds),
    )
    theirs = series["anchor"].median

    def to_anchor(name: str, what: str, bound: float | None) -> Figure:
        ours = series[name].median
        return Figure(what, ours / theirs, bound, detail=f"{milliseconds(ours)} to {milliseconds(theirs)}")

    return [
        to_anchor("start", f"start to the first token answered, to `{ANCHOR}`", 22),
        to_anchor("configured", "the same where a configuration file has to be checked", None),
    ]


def _memory_and_wake_ups(stage: Stage) -> list[Figure]:
    home = stage.home("idle")
    file = home / ".claude" / ".credentials.json"
    file.parent.mkdir(mode=0o700)
    ends = datetime.now(UTC) + timedelta(hours=8)
    login = {"accessToken": "sk-ant-oat01-x", "refreshToken": "sk-ant-ort01-x", "scopes": ["user:inference"]}
    file.write_text(json.dumps({"claudeAiOauth": login | {"expiresAt": int(ends.timestamp() * 1000)}}))
    file.chmod(0o600)
    with Daemon(stage, home, environ=KEY) as daemon:
        with daemon.connect() as connection:
            answer_to(connection, token_get())
        settle(stage)
        resident = daemon.resident()
        before, processor, began = daemon.voluntary_switches(), daemon.cpu_seconds(), time.monotonic()
        time.sleep(stage.effort.idle_seconds)
        minutes = (time.monotonic() - began) / 60
        after = daemon.voluntary_switches()
        switches = sum(count - before.get(thread, 0) for thread, count in after.items())
        processor = daemon.cpu_seconds() - processor
        with daemon.connect() as connection:
            for method in ("daemon.status", "profile.list"):
                answer_to(connection, b'{"jsonrpc":"2.0","id":1,"method":"%b"}\n' % method.encode())
        asked = daemon.resident()
    nap = _cost_of_a_nap(stage, minutes * 60 / max(1, switches))
    return [
        Figure("memory, idle, Claude's file and the environment, no refresh yet", resident, 42, unit=MEGABYTES),
        Figure("the same when `tokenward status` was asked for the first time", asked, unit=MEGABYTES),
        Figure("idle: voluntary context switches a minute", switches / minutes, 200, unit="a minute"),
        Figure(
            "idle: processor time a minute",
            processor * 1000 / minutes,
            20,
            unit="ms",
            detail=f"{nap * 1000 * switches / minutes:.1f} ms by an interpreter that only sleeps as often",
        ),
    ]


def _cost_of_a_nap(stage: Stage, seconds: float) -> float:
    """Processor seconds that an interpreter takes to be woken, on this machine, after so many seconds of sleep."""
    naps = min(NAPS, max(1, int(stage.effort.idle_seconds / seconds)))
    program = (
        "import sys, time\n"
        "began = time.process_time()\n"
        f"for _ in range({naps}): time.sleep({seconds})\n"
        f"print((time.process_time() - began) / {naps})"
    )
    argv = ["taskset", "-c", str(stage.cpu), stage.interpreter, "-I", "-S", "-c", program]
    return float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def settle(stage: Stage) -> None:
    """Let what comes after READY happen."""
    time.sleep(min(SETTLING_SECONDS, stage.effort.idle_seconds))


def _memory_after_a_refresh(stage: Stage) -> Figure:
    home = stage.home("refreshed")
    records.fill(home, ["acme:p0"], left=DUE)
    with peers.issuer() as (url,), Daemon(stage, home, config=records.provider("acme", url)) as daemon:
        with daemon.connect() as connection:
            answer = answer_to(connection, token_get('{"profile":"acme:p0","min_valid":600}'))
        if b"granted-access" not in answer:
            raise RuntimeError(f"it was not refreshed: {answer[:200]!r}")
        settle(stage)
        resident = daemon.resident()
    return Figure("memory, idle, our own store, after a refresh", resident, 55, unit=MEGABYTES)


def _crowd(stage: Stage) -> list[Figure]:
    many = stage.effort.crowd
    resident = []
    for count in (1, many):
        home = stage.home("crowd")
        records.fill(home, [f"acme:p{number}" for number in range(count)], left=FAR)
        daemon = Daemon(stage, home)
        began = time.perf_counter()
        with daemon.start() as connection:
            answer_to(connection, token_get('{"profile":"acme:p0"}'))
            took = time.perf_counter() - began
        settle(stage)
        resident.append(daemon.resident())
        daemon.stop()
    return [
        Figure("memory for each 1,000 profiles", (resident[1] - resident[0]) / many * 1000, 2, unit=MEGABYTES),
        Figure(f"{many:,} profiles: start to ready", took, 3, unit="s"),
    ]
