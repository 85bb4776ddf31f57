"""``tokenward status``: every profile, how long it is good for, and what is wrong with it."""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json
from tokenward.cli.status_line import FORMATS, down, one_line
from tokenward.cli.status_watch import TICK, Picture, asked, watched
from tokenward.cli.status_words import (
    Quotas,
    health,
    last_refresh,
    name,
    next_refresh,
    used,
    valid_for,
)
from tokenward.client import Client, Profile, Status
from tokenward.errors import DaemonUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenward.cli.arguments import Subparsers
    from tokenward.client._shapes import SharedStoreShown

_HEADINGS = ("PROFILE", "KIND", "TIER", "VALID", "LAST", "NEXT", "SOURCE", "5H", "7D", "HEALTH")


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
    parser.add_argument("--profile", metavar="PROFILE", help="only this one, as provider:name")
    parser.add_argument("--watch", action="store_true", help="go on, and show every change until interrupted")
    parser.add_argument("--format", choices=FORMATS, help="one line for a status bar or a prompt")
    add_json(parser, "the result of `daemon.status` (with --watch one line a change)")


def run(arguments: argparse.Namespace) -> int:
    """Show the status."""
    if arguments.format is not None and (arguments.watch or arguments.json):
        output.complain("--format goes with neither --watch nor --json", "leave one of them out")
        return output.USAGE
    with Client() as client:
        if arguments.format is not None:
            return _in_one_line(client, arguments)
        if not arguments.watch:
            picture = asked(client, arguments.agent, arguments.profile)
            _show(picture, as_json=arguments.json)
            return output.OK
        with contextlib.suppress(KeyboardInterrupt):  # the way out that --watch has
            _watch(client, arguments)
    return output.OK


def plain_lines(profiles: list[Profile], quotas: Quotas) -> list[str]:
    """Aligned columns under a heading."""
    return output.columns([_HEADINGS, *(_row(profile, quotas) for profile in profiles)])


def _row(profile: Profile, quotas: Quotas) -> tuple[str, ...]:
    return (
        name(profile),
        profile["kind"] or "-",
        profile["tier"] or "-",
        valid_for(profile),
        last_refresh(profile),
        next_refresh(profile),
        profile["source"],
        *(_percent(used(quotas, profile, quota)) for quota in ("five_hours", "seven_days")),
        ": ".join(filter(None, health(profile))),
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _in_one_line(client: Client, arguments: argparse.Namespace) -> int:
    try:
        picture = asked(client, arguments.agent, arguments.profile)
    except DaemonUnreachable as error:
        print(down(arguments.format, error.hint), flush=True)
        return output.UNREACHABLE
    assert picture.status is not None  # noqa: S101 - it was asked for just now
    print(one_line(arguments.format, picture.status["profiles"], selected=arguments.profile), flush=True)
    return output.OK


def _show(picture: Picture, *, as_json: bool) -> None:
    status = picture.status
    assert status is not None  # noqa: S101 - the callers have looked
    if as_json:
        output.as_json(status)
        return
    for trouble, hint in _troubles(status):
        output.complain(trouble, hint)
    if output.on_terminal():
        from tokenward.cli import status_screen

        status_screen.show(picture)
    else:
        print("\n".join(plain_lines(status["profiles"], picture.quotas)), flush=True)


def _troubles(status: Status) -> Iterable[tuple[str, str]]:
    if status["config_error"]:
        yield (
            f"the configuration on disk is not in force: {status['config_error']}",
            "correct it; the daemon goes on with the settings it had",
        )
    for trouble in status["sink_troubles"]:
        yield trouble, "see: tokenward sinks"
    if status["store_trouble"]:
        yield status["store_trouble"], "unlock it, then: tokenward store status"
    if (shared := status.get("shared_store")) is not None:
        yield from _shared_troubles(shared)
    for each in status.get("restricted_sockets", []):
        if each["trouble"]:
            yield f"nobody is served on {each['path']}: {each['trouble']}", "see: tokenward doctor"


def _shared_troubles(shared: SharedStoreShown) -> Iterable[tuple[str, str]]:
    if shared["away_since_ms"] is not None:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(shared["away_since_ms"] / 1000))
        hint = shared["hint"] or "what is valid is served, nothing shared is refreshed; it is tried again"
        yield f"shared store: away since {since}: {shared['trouble']}", hint
    if shared["orphans"]:
        yield (
            f"shared store: {shared['orphans']} new tokens of this host came after another host's",
            "they are kept: tokenward fleet status",
        )


def _watch(client: Client, arguments: argparse.Namespace) -> None:
    if not arguments.json and output.has_screen():
        from tokenward.cli import status_screen

        status_screen.animate(watched(client, arguments.agent, arguments.profile, tick=TICK))
        return
    first, gone = True, False
    for picture in watched(client, arguments.agent, arguments.profile, tick=None):
        if picture.gone is not None:
            if not gone:
                output.remark(f"{picture.gone}; waiting for it")
            gone = True
            continue
        if gone:
            output.remark("the daemon is back")
        gone = False
        if not arguments.json:
            if not first:
                print()
            for event in picture.news:
                moment = time.strftime("%H:%M:%S", time.localtime(event.at_ms / 1000))
                words = (moment, event.type, event.profile or "-", event.detail)
                print(output.clean(" ".join(words)), flush=True)
        _show(picture, as_json=arguments.json)
        first = False
