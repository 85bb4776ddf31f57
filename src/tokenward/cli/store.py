"""``tokenward store``: where the key of our own store lies, another key for it, and a backup of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers
    from tokenward.cli.service_access import Call

PLACES = ("file", "keyring", "systemd", "passphrase")
PATIENCE_SECONDS = 180.0
"""A keyring or a passphrase may be waiting for a person."""


def add_parser(subparsers: Subparsers) -> None:
    """Register the commands."""
    store = add_command(
        subparsers,
        "store",
        "our own store: where its key lies, another key, backup and restore",
        run=_status,
        example="tokenward store status",
    )
    commands: Subparsers = store.add_subparsers(metavar="COMMAND", title="commands", required=True)
    status = add_command(
        commands, "status", "show where the store's key lies", run=_status, example="tokenward store status"
    )
    add_json(status, "the result of `store.status`")
    rekey = add_command(
        commands,
        "rekey",
        "seal every record under a new key",
        run=_rekey,
        example="tokenward store rekey --to keyring",
        about="It can be interrupted at any moment: the next start, or the same command, goes on. "
        "The old key is removed, so backups of the files from before can no longer be read.",
    )
    rekey.add_argument("--to", required=True, choices=PLACES, help="where the new key lies")
    add_json(rekey, "the result of `store.rekey`")
    export = add_command(
        commands,
        "export",
        "write everything in the store to an age file",
        run=_export,
        example="tokenward store export --to backup.age --recipient age1…",
        about="Only who has an identity of a recipient can read it. Logins of other programs are not in it.",
    )
    export.add_argument("--to", required=True, metavar="FILE", type=Path, help="a file that does not exist yet")
    export.add_argument("--recipient", required=True, action="append", metavar="age1…", help="may be repeated")
    add_json(export, "the result of `store.export`")
    restore = add_command(
        commands,
        "restore",
        "take the profiles of an exported file into the store",
        run=_restore,
        example="tokenward store restore backup.age --identity key.txt",
        about="Records that are newer stay. A refresh token that was used since the export is dead, and its "
        "server may end the login when it sees it again.",
    )
    restore.add_argument("file", metavar="FILE", type=Path, help="what store export wrote")
    restore.add_argument("--identity", required=True, metavar="FILE", type=Path, help="a file of age identities")
    restore.add_argument("--force", action="store_true", help="replace records that are newer, too")
    add_json(restore, "the result of `store.restore`")


def _status(arguments: argparse.Namespace) -> int:
    return _show_key("store.status", {}, arguments)


def _rekey(arguments: argparse.Namespace) -> int:
    return _show_key("store.rekey", {"to": arguments.to}, arguments)


def _show_key(method: str, params: dict[str, Any], arguments: argparse.Namespace) -> int:
    def act(call: Call) -> int:
        found = call(method, params)
        if arguments.json:
            output.as_json(found)
        else:
            _say_key(found)
        return output.LOCKED if found["locked"] else output.OK

    return _with_service(act)


def _say_key(found: dict[str, Any]) -> None:
    output.say(f"key      {found['key']}: {found['location']}")
    output.say(f"key id   {found['key_id']}")
    output.say(f"records  {found['records']}")
    if found["moving_to"]:
        output.say(f"moving   to {found['moving_to']}; to go on: tokenward store rekey --to {found['moving_to']}")
    if found["note"]:
        output.remark(found["note"])
    if found["locked"]:
        output.complain(found["locked"], "unlock it, then: tokenward store status")


def _export(arguments: argparse.Namespace) -> int:
    def act(call: Call) -> int:
        done = call(
            "store.export", {"file": str(arguments.to.absolute()), "recipients": list(arguments.recipient)}
        )
        if arguments.json:
            output.as_json(done)
            return output.OK
        output.say(f"{len(done['profiles'])} profiles are in {done['file']}")
        for profile in done["left_out"]:
            output.remark(f"{profile} is not in it: its record cannot be read")
        return output.ERROR if done["left_out"] else output.OK

    return _with_service(act)


def _restore(arguments: argparse.Namespace) -> int:
    def act(call: Call) -> int:
        params = {
            "file": str(arguments.file.absolute()),
            "identity_file": str(arguments.identity.absolute()),
            "force": arguments.force,
        }
        done = call("store.restore", params)
        if arguments.json:
            output.as_json(done)
            return output.OK
        for each in done["profiles"]:
            output.say(f"{each['profile']}: {each['result']}{': ' + each['reason'] if each['reason'] else ''}")
        return output.OK

    return _with_service(act)


def _with_service(act: Any) -> int:
    from tokenward.cli.service_access import with_service

    return with_service(act, timeout=PATIENCE_SECONDS)
