"""``tokenward status``: every profile, how long it is good for, and what is wrong with it."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json
from tokenward.client import Client, Health, Profile, Status

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers

_TICK = 1.0
"""Seconds between two pictures on a terminal, where the bars shrink though nothing happens."""
OK = "ok"
"""The health of a profile that needs no attention."""
_DISABLED = "disabled"
_COOLING = "cooling"
_HEADINGS = ("PROFILE", "KIND", "VALID", "NEXT", "SOURCE", "HEALTH")


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "status",
        "show the daemon and every profile",
        run=run,
        example="tokenward status --watch",
        about="In a pipe: one line a profile, HEALTH last.",
    )
    parser.add_argument("--agent", metavar="NAME", help="only the profiles of this agent")
    parser.add_argument("--watch", action="store_true", help="go on, and show every change until interrupted")
    add_json(parser, "the result of `daemon.status` (with --watch one line a change)")


def run(arguments: argparse.Namespace) -> int:
    """Show the status."""
    with Client() as client:
        if not arguments.watch:
            _show(_status(client, arguments.agent), as_json=arguments.json)
            return output.OK
        with contextlib.suppress(KeyboardInterrupt):  # the way out that --watch has
            _watch(client, arguments.agent, as_json=arguments.json)
    return output.OK


def health(profile: Profile) -> tuple[str, str]:
    """Whether a profile can serve, in one word, and the reason if it cannot or not well."""
    failure = profile["last_failure"]
    if not profile["enabled"]:
        reason = profile["unusable"] or ""
        return _DISABLED, "" if reason == _DISABLED else reason
    if profile["unusable"]:
        return "unusable", profile["unusable"]
    if profile["insufficient_access"]:
        return "insufficient API access", ""  # the note says why
    if profile["degraded"] == _COOLING:
        return _COOLING, "; ".join(map(window, profile["cooling"]))
    if profile["degraded"]:
        return "degraded", profile["degraded"] + (f" ({failure['reason']})" if failure else "")
    return OK, "; ".join(map(window, profile["cooling"]))


def window(health: Health) -> str:
    """Why and how long a profile, or a model of it, rests, in words."""
    whose = "" if health["model"] is None else f" of {health['model']}"
    until = health["until_ms"]
    left = "for good" if until is None else f"for {output.duration(until / 1000 - time.time())}"
    return f"{health['reason']}{whose}, {left}"


def name(profile: Profile) -> str:
    """The profile's id; where it is not main's, with its agent in front."""
    return profile["profile"] if profile["agent"] == "main" else f"{profile['agent']}/{profile['profile']}"


def valid_for(profile: Profile) -> str:
    """How long the token is good for, in words; ``-`` where it has no end, or none that is known."""
    return output.duration(profile["valid_for"])


def next_refresh(profile: Profile) -> str:
    """When the next refresh is due, from now; ``-`` where none is planned."""
    at_ms = profile["next_refresh_at_ms"]
    return "-" if at_ms is None else output.duration(at_ms / 1000 - time.time())


def plain_lines(profiles: list[Profile]) -> list[str]:
    """Aligned columns under a heading."""
    rows = [
        (
            name(profile),
            profile["kind"] or "-",
            valid_for(profile),
            next_refresh(profile),
            profile["source"],
            ": ".join(filter(None, health(profile))),
        )
        for profile in profiles
    ]
    return output.columns([_HEADINGS, *rows])


def _show(status: Status, *, as_json: bool) -> None:
    if as_json:
        output.as_json(status)
        return
    if status["config_error"]:
        output.complain(
            f"the configuration on disk is not in force: {status['config_error']}",
            "correct it; the daemon goes on with the settings it had",
        )
    for trouble in status["sink_troubles"]:
        output.complain(trouble, "see: tokenward sinks")
    if status["store_trouble"]:
        output.complain(status["store_trouble"], "unlock it, then: tokenward store status")
    for each in status.get("restricted_sockets", []):
        if each["trouble"]:
            output.complain(f"nobody is served on {each['path']}: {each['trouble']}", "see: tokenward doctor")
    if output.on_terminal():
        from tokenward.cli import status_screen

        status_screen.show(status)
    else:
        print("\n".join(plain_lines(status["profiles"])), flush=True)


def _status(client: Client, agent: str | None) -> Status:
    status = client.status()
    if agent is not None:
        status["profiles"] = [each for each in status["profiles"] if each["agent"] == agent]
    return status


def _watch(client: Client, agent: str | None, *, as_json: bool) -> None:
    if as_json or not output.on_terminal():
        for number, status in enumerate(_pictures(client, agent, tick=None)):
            if number and not as_json:
                print()
            _show(status, as_json=as_json)
        return
    from tokenward.cli import status_screen

    status_screen.animate(_pictures(client, agent, tick=_TICK))


def _pictures(client: Client, agent: str | None, *, tick: float | None) -> Iterator[Status]:
    """The status now, after each event, and every ``tick`` seconds; ends only by an error."""
    while True:
        with client.events() as events:
            yield _status(client, agent)
            while True:
                events.wait(tick)
                if events.ended:
                    break
                yield _status(client, agent)
