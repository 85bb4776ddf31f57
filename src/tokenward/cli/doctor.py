"""``tokenward doctor``: look at everything that could be wrong, and say what comes of it and what to do about it.

The problem: what is fine is asked for as often as what is not, and a person who scrolls back to find the one line
that matters has been helped badly.

Rules:
- What is fine comes first, a line each; warnings and failures follow, the worst last, next to the prompt.
- On a terminal, sentences are wrapped and the home directory is ``~``. A command is never broken: it will be
  copied.
- Without ``--probe`` nothing is sent anywhere, and without ``--model`` nothing that costs.
"""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json
from tokenward.cli.service_access import Call, with_service
from tokenward.client import Client, Profile
from tokenward.errors import TokenwardError

if TYPE_CHECKING:
    from tokenward.checks import Finding
    from tokenward.cli.arguments import Subparsers

_FAIL = "fail"
_ORDER = ("ok", "warn", _FAIL)
PROBE_SECONDS = 75.0
"""A refresh that is needed first, and the request."""
_RUN = "run: "
_LONGEST_LINE = 120
"""Wider lines are hard to read, however wide the terminal is."""
_SHORTEST_SENTENCE = 40
"""Columns; where fewer are left beside the name of the check, its sentences stand below it."""
_NARROW_INDENT = " " * 6
_UNBROKEN = "\N{NO-BREAK SPACE}"


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "doctor",
        "check the installation, the configuration and every login",
        run=run,
        example="tokenward doctor",
        about=(
            "Works with and without a daemon, and mends nothing. Exit status 1 if a check fails; a warning is "
            "no failure. docs/doctor.md has every check."
        ),
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration, instead of the usual one")
    parser.add_argument(
        "--probe", action="store_true", help="show a credential to its API too, by one request that costs nothing"
    )
    parser.add_argument(
        "--profile", metavar="ID", help="with --probe: whose credential, instead of the one that would be served"
    )
    parser.add_argument(
        "--model", metavar="ID", help="with --probe: send this model a short message instead, which costs tokens"
    )
    add_json(parser, "findings: a list of check, level (ok, warn, fail), cause, consequence, hint")


def run(arguments: argparse.Namespace) -> int:
    """Run every check."""
    from tokenward.daemon.app import run_checks

    if not arguments.probe and (arguments.profile is not None or arguments.model is not None):
        output.complain("--profile and --model say what is shown to an API", "add --probe")
        return output.USAGE
    probed = _probed(arguments.profile, arguments.model) if arguments.probe else None
    findings = run_checks(config=arguments.config, profiles=_kept(), probed=probed, project=_project())
    if arguments.json:
        output.as_json({"findings": [_as_object(each) for each in findings]})
    else:
        for line in _lines(findings):
            print(line)
    return output.ERROR if any(each.level == _FAIL for each in findings) else output.OK


def _as_object(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "level": finding.level,
        "cause": finding.cause,
        "consequence": finding.consequence,
        "hint": finding.hint,
    }


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    width = max((len(each.check) for each in findings), default=0)
    for each in sorted(findings, key=lambda finding: _ORDER.index(finding.level)):
        beginning = f"{each.level:<4}  {each.check:<{width}}  "
        if output.on_terminal() and _columns() < len(beginning) + _SHORTEST_SENTENCE:
            yield beginning.rstrip()
            beginning = _NARROW_INDENT
        yield from _wrapped(beginning, each.cause)
        if each.level != "ok":
            indent = " " * len(beginning)
            if each.consequence:
                yield from _wrapped(f"{indent}so: ", each.consequence)
            if _RUN in each.hint:
                words, begun, command = each.hint.partition(_RUN)
                yield from _wrapped(indent, words, begun + command)
            elif each.hint:
                yield from _wrapped(f"{indent}hint: ", each.hint)
    counts = Counter[str](each.level for each in findings)
    yield f"{counts['ok']} fine, {counts['warn']} to watch, {counts[_FAIL]} wrong"


def _wrapped(beginning: str, text: str, command: str = "") -> list[str]:
    """The text in lines that fit, and a command behind it in one piece."""
    if not output.on_terminal():
        return [beginning + output.clean(text + command)]
    lines = textwrap.wrap(
        f"{output.as_seen(text)} {output.as_seen(command).replace(' ', _UNBROKEN)}".strip(),
        max(_columns(), len(beginning) + 20),
        initial_indent=beginning,
        subsequent_indent=" " * len(beginning),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [each.replace(_UNBROKEN, " ") for each in lines]


def _columns() -> int:
    return min(shutil.get_terminal_size().columns, _LONGEST_LINE)


def _kept() -> list[Profile] | None:
    """What the running daemon keeps; None if none answers, which a check of its own says."""
    try:
        with Client() as client:
            return client.profiles()
    except TokenwardError:
        return None


def _probed(profile: str | None, model: str | None) -> Mapping[str, Any]:
    """What one small request showed; why it could not be made is an answer too."""
    found: list[Mapping[str, Any]] = []

    def ask(call: Call) -> int:
        found.append(call("doctor.probe", {"profile": profile, "model": model}))
        return output.OK

    try:
        with_service(ask, timeout=PROBE_SECONDS)
    except TokenwardError as error:
        provider = profile.partition(":")[0] if profile else "tokenward"
        found.append(
            {
                "profile": None,
                "provider": provider,
                "verdict": "unknown",
                "reason": error.cause,
                "hint": error.hint,
            }
        )
    return found[0]


def _project() -> Path | None:
    """Where Claude Code would be started from this shell."""
    try:
        return Path.cwd()
    except OSError:
        return None  # it was deleted
