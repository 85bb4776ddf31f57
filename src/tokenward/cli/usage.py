"""``tokenward usage``: what is left of the provider's limits, as far as programs reported it."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json
from tokenward.client import Client

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers

Usage: TypeAlias = dict[str, Any]
"""One profile of the result of `usage.get`."""
OK = "ok"
NOTHING = "nothing reported"
REPORT_HINT = "programs do so with usage.report or token.report"
_REJECTED = "rejected"
_WARNED = "allowed_warning"
_HEADINGS = ("PROFILE", "5H", "RESETS", "7D", "RESETS", "REQUESTS", "TOKENS", "REPORTS", "STATE")
_QUOTAS = {"five_hours": "5h", "seven_days": "7d"}
_ALLOWANCES = ("requests", "tokens")
_ROUNDING = 1e-9
"""0.29 * 100 is a little less than 29."""


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "usage",
        "show how much of its limits each profile has used",
        run=run,
        example="tokenward usage anthropic:claude-cli",
        about="In a pipe: one line a profile, STATE last; REQUESTS and TOKENS are what is left this minute.",
    )
    parser.add_argument("profile", nargs="?", metavar="PROFILE", help="only this one, as provider:name")
    parser.add_argument("--agent", metavar="NAME", help="only the profiles of this agent")
    add_json(parser, "the result of `usage.get`")


def run(arguments: argparse.Namespace) -> int:
    """Show the usage."""
    with Client() as client:
        asked = {"profile": arguments.profile, "agent": arguments.agent}
        answer = client.call("usage.get", {name: value for name, value in asked.items() if value is not None})
    usages: list[Usage] = answer["profiles"]
    if arguments.json:
        output.as_json(answer)
    elif output.on_terminal():
        from tokenward.cli import usage_screen

        usage_screen.show(usages)
    else:
        print("\n".join(plain_lines(usages)), flush=True)
    return output.OK


def plain_lines(usages: list[Usage]) -> list[str]:
    """Aligned columns under a heading."""
    return output.columns([_HEADINGS, *map(_row, usages)])


def _row(usage: Usage) -> tuple[str, ...]:
    limits = usage["rate_limit"]
    quotas = (limits["five_hours"], limits["seven_days"])
    return (
        name(usage),
        *(words for quota in quotas for words in (percent(quota["utilization"]), until(quota["resets_at_ms"]))),
        left(limits["requests"]),
        left(limits["tokens"]),
        str(usage["request_count"]),
        state(usage),
    )


def name(usage: Usage) -> str:
    """The profile's id; where it is not main's, with its agent in front."""
    profile, agent = str(usage["profile"]), usage["agent"]
    return profile if agent == "main" else f"{agent}/{profile}"


def percent(utilization: float | None) -> str:
    """A part as whole percents, rounded down so that 100% is all; ``-`` where it is not known."""
    return "-" if utilization is None else f"{int(utilization * 100 + _ROUNDING)}%"


def until(moment_ms: int | None) -> str:
    """How long it is until a moment; ``-`` where it is not known."""
    return "-" if moment_ms is None else output.duration(moment_ms / 1000 - time.time())


def left(allowance: Usage) -> str:
    """What is left, and of how much; ``-`` where it is not known."""
    remaining, limit = allowance["remaining"], allowance["limit"]
    if remaining is None:
        return "-"
    return f"{remaining}/{'?' if limit is None else limit}"


def state(usage: Usage) -> str:
    """Whether the next request would be refused, in words."""
    limits = usage["rate_limit"]
    if usage["is_rate_limited"]:
        ends = [limits["limited_until_ms"]]
        ends += [limits[name]["resets_at_ms"] for name in _QUOTAS if limits[name]["status"] == _REJECTED]
        ends += [limits[name]["resets_at_ms"] for name in _ALLOWANCES if limits[name]["remaining"] == 0]
        latest = max((end for end in ends if end is not None), default=None)
        return "limited" if latest is None else f"limited for {until(latest)}"
    if not usage["request_count"]:
        return NOTHING
    nearly = [words for name, words in _QUOTAS.items() if limits[name]["status"] == _WARNED]
    return f"{' and '.join(nearly)} nearly used up" if nearly else OK
