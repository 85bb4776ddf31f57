"""Programs that run once for a token: what a hook costs, wall time from ``exec`` to its end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks import peers, recipes
from benchmarks.daemon import PATIENCE, Daemon, environment
from benchmarks.figures import Figure, milliseconds
from benchmarks.sampling import Series, in_turns
from benchmarks.stage import Stage, pinned

ANCHOR = "python3 -I -S -c pass"
OIDC = "oidc-token"
GPG, GIT, SSH = "gpg-connect-agent getinfo", "git credential-cache get", "ssh-add -l"
PEERS = (OIDC, GPG, GIT, SSH)
HELPER_FILE = "helper.py"
FILE, FUNCTION = "sh reads a published file", "sh + nc -U"
NO_QUESTION = "sh + nc -h, which asks nobody"
"""What the function cannot be faster than: it starts a shell, and takes what a netcat says."""
KEY = "sk-ant-api03-" + "x" * 95
PUBLISHED = '[sinks.job]\nformat = "env"\nprofile = "anthropic:env"\npath = "~/job.env"\n'


def measure(stage: Stage) -> list[Figure]:
    """Everything that is run once, in turns."""
    home = stage.home("hook")
    with ExitStack() as open_now:
        open_now.enter_context(Daemon(stage, home, config=PUBLISHED, environ={"ANTHROPIC_API_KEY": KEY}))
        ours = environment(home)
        commands = {ANCHOR: once([stage.interpreter, "-I", "-S", "-c", "pass"], ours)}
        helper = [stage.python, "-IS", str(stage.package / HELPER_FILE)]
        commands["claude-code's helper"] = once(helper, ours)
        commands["tokenward-helper"] = once([str(stage.prefix / "bin" / "tokenward-helper")], ours)
        commands["tokenward token"] = once([str(stage.prefix / "bin" / "tokenward"), "token"], ours)
        _wait_until_there(home / "job.env")
        commands[FILE] = _typed(recipes.published_file(), ours)
        if peers.are_there("nc"):
            commands[FUNCTION] = _typed(recipes.function(), ours)
            commands[NO_QUESTION] = once(["/bin/sh", "-c", "said=$(nc -h 2>&1)"], ours)
        _add_peers(stage, commands, open_now)
        for command in commands.values():
            command()
        with pinned(stage.cpu):
            series = in_turns(commands, rounds=stage.effort.rounds)
    return _figures(series)


def _add_peers(stage: Stage, commands: dict[str, Callable[[], list[float]]], open_now: ExitStack) -> None:
    if peers.are_there("oidc-agent", "oidc-gen", "oidc-token"):
        commands[OIDC] = once(["oidc-token", peers.ACCOUNT], open_now.enter_context(peers.oidc_agent(stage)))
    if peers.are_there("gpg-connect-agent"):
        environ = open_now.enter_context(peers.gpg_agent(stage))
        commands[GPG] = once(["gpg-connect-agent", "getinfo pid", "/bye"], environ)
    if peers.are_there("git"):
        environ, question = open_now.enter_context(peers.git_cache(stage))
        commands[GIT] = once(["git", "credential-cache", "get"], environ, stdin=str(question))
    if peers.are_there("ssh-agent", "ssh-add"):
        path = open_now.enter_context(peers.ssh_agent(stage))
        commands[SSH] = once(["ssh-add", "-l"], environment(stage.directory) | {"SSH_AUTH_SOCK": path})


def _wait_until_there(file: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not file.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody publishes {file}")
        time.sleep(0.01)


def _typed(script: str, environ: dict[str, str]) -> Callable[[], list[float]]:
    """What a page tells a shell to type, which is seen to print the key before it is measured."""
    argv = ["/bin/sh", "-c", script]
    said = subprocess.run(argv, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    if KEY not in said.stdout:
        raise RuntimeError(f"it prints no token: {script}")
    return once(argv, environ)


def once(argv: list[str], environ: Mapping[str, str], *, stdin: str = os.devnull) -> Callable[[], list[float]]:
    """What runs a program to its end, and takes the time."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]

    def run() -> list[float]:
        began = time.perf_counter()
        child = os.posix_spawnp(argv[0], argv, environ, file_actions=actions)
        _, status = os.waitpid(child, 0)
        took = time.perf_counter() - began
        if status:
            raise RuntimeError(f"{argv} ended with {os.waitstatus_to_exitcode(status)}")
        return [took]

    return run


def _figures(series: dict[str, Series]) -> list[Figure]:
    anchor = series[ANCHOR].median

    def to(name: str, base: str, bound: float | None) -> Figure:
        median = series[name].median
        return Figure(
            f"{name}, to `{base}`",
            median / series[base].median,
            bound,
            detail=f"{milliseconds(median)} to {milliseconds(series[base].median)}",
        )

    figures = [
        to("claude-code's helper", ANCHOR, 1.15),
        to("tokenward-helper", ANCHOR, 1.3),
        to("tokenward token", ANCHOR, 1.6),
    ]
    if OIDC in series:
        figures.append(to(FILE, OIDC, 0.7))
        if FUNCTION in series:
            figures += [to(FUNCTION, OIDC, 1.4), to(NO_QUESTION, OIDC, None)]
        figures.append(to("claude-code's helper", OIDC, None))
    figures += [
        Figure(f"{name}, to `{ANCHOR}`", series[name].median / anchor, detail=milliseconds(series[name].median))
        for name in PEERS
        if name in series
    ]
    return figures
