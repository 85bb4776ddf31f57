"""Programs that run once for a token: what a hook costs, wall time from ``exec`` to its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from benchmarks import peers
from benchmarks.daemon import Daemon, environment, token_get
from benchmarks.figures import Figure, milliseconds
from benchmarks.sampling import Series, in_turns
from benchmarks.stage import Stage, pinned

ANCHOR = "python3 -I -S -c pass"
OIDC = "oidc-token"
GPG, GIT, SSH = "gpg-connect-agent getinfo", "git credential-cache get", "ssh-add -l"
PEERS = (OIDC, GPG, GIT, SSH)
HELPER_FILE = "helper.py"


def measure(stage: Stage) -> list[Figure]:
    """Everything that is run once, in turns."""
    home = stage.home("hook")
    with ExitStack() as open_now:
        daemon = open_now.enter_context(
            Daemon(stage, home, environ={"ANTHROPIC_API_KEY": "sk-ant-api03-" + "x" * 95})
        )
        (home / "token").write_text("sk-ant-api03-" + "x" * 95 + "\n")
        ours = environment(home)
        commands = {ANCHOR: once([stage.interpreter, "-I", "-S", "-c", "pass"], ours)}
        helper = [stage.python, "-IS", str(stage.package / HELPER_FILE)]
        commands["claude-code's helper"] = once(helper, ours)
        commands["tokenward-helper"] = once([str(stage.prefix / "bin" / "tokenward-helper")], ours)
        commands["tokenward token"] = once([str(stage.prefix / "bin" / "tokenward"), "token"], ours)
        commands["sh reads a published file"] = once(
            ["/bin/sh", "-c", f'read -r token < {home / "token"}; printf "%s\\n" "$token"'], ours
        )
        if peers.are_there("nc"):
            question = token_get().decode().strip()
            asking = f"exec nc -N -U {daemon.socket} <<END\n{question}\nEND\n"
            commands["sh + nc -U"] = once(["/bin/sh", "-c", asking], ours)
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
        figures.append(to("sh reads a published file", OIDC, 0.7))
        if "sh + nc -U" in series:
            figures.append(to("sh + nc -U", OIDC, 1.4))
        figures.append(to("claude-code's helper", OIDC, None))
    figures += [
        Figure(f"{name}, to `{ANCHOR}`", series[name].median / anchor, detail=milliseconds(series[name].median))
        for name in PEERS
        if name in series
    ]
    return figures
