"""``tokenward import``: take over what another program keeps, once, and say what became of each of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers
    from tokenward.cli.service_access import Call


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "import",
        "copy another program's credentials into our own store",
        run=run,
        example="tokenward import --from equabot --dry-run",
        about="Nothing of that program is changed or deleted, and nothing that is kept here is replaced. Without "
        "--from it says what is there to import.",
    )
    parser.add_argument("--from", dest="source", metavar="NAME", help="the program: equabot, polpo, codex, …")
    parser.add_argument("--path", metavar="FILE", type=Path, help="one file of it, instead of the usual places")
    parser.add_argument(
        "--profile", dest="profiles", metavar="PROFILE", action="append", help="only this one; may be repeated"
    )
    parser.add_argument("--as", dest="rename", metavar="PROFILE", help="its name here, where one is imported")
    parser.add_argument(
        "--agent", metavar="NAME", default="main", help="whose, in programs that have agents (%(default)s)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    add_json(parser, "imported, unchanged, skipped with the reasons, and the files that were read")


def run(arguments: argparse.Namespace) -> int:
    """Import, or say what could be."""
    from tokenward.cli.service_access import with_service

    if arguments.source is None:
        return with_service(lambda call: _list(call, as_json=arguments.json))
    params = {
        "source": arguments.source,
        "path": str(arguments.path.expanduser().absolute()) if arguments.path is not None else None,
        "profiles": arguments.profiles,
        "rename": arguments.rename,
        "agent": arguments.agent,
        "dry_run": arguments.dry_run,
    }

    def act(call: Call) -> int:
        result = call("source.import", params)
        if arguments.json:
            output.as_json(result)
        else:
            _show(result)
        done = result["imported"] or result["unchanged"] or not result["skipped"]
        return output.OK if done else output.ERROR

    return with_service(act)


def _show(result: dict[str, Any]) -> None:
    for path in result["files"]:
        output.remark(f"read {path}")
    did = "would be imported" if result["dry_run"] else "imported"
    for each in result["imported"]:
        note = f"; {each['note']}" if each["note"] else ""
        output.say(f"{each['profile']}: {did} ({each['kind'].replace('_', ' ')}){note}")
    for name in result["unchanged"]:
        output.say(f"{name}: is kept already")
    for each in result["skipped"]:
        output.say(f"{each['name']}: skipped: {each['reason']}")
    if not (result["imported"] or result["unchanged"] or result["skipped"]):
        output.say("there is no credential in it")


def _list(call: Call, *, as_json: bool) -> int:
    result = call("source.list", {})
    if as_json:
        output.as_json(result)
        return output.OK
    rows = [(each["source"], ", ".join(each["files"]) or "-") for each in result["sources"]]
    rows += [(f"adopted as {each['profile']}", each["path"]) for each in result["adopted"]]
    for line in output.columns(rows):
        output.say(line)
    return output.OK
