"""``tokenward fleet``: hosts that share credentials through a database.

The problem: what is shared concerns persons at other machines, so each command says what it did, and what is left
to do elsewhere.

Rules:
- ``init``, ``join``, ``status`` and ``rotate-key`` ask the database, with and without a daemon.
- ``share`` and ``unshare`` are the daemon's: it owns what moves.
- No key and no password is ever printed.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tokenward.cli import output
from tokenward.cli.arguments import add_agent, add_command, add_json

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers
    from tokenward.cli.service_access import Call
    from tokenward.stores.fleet import Look, ShownRecord

PATIENCE_SECONDS = 120.0
"""To share a login may wait for a refresh of it."""


def add_parser(subparsers: Subparsers) -> None:
    """Register the commands."""
    fleet = add_command(
        subparsers,
        "fleet",
        "hosts that share credentials: one login, one refresh",
        run=_status,
        example="tokenward fleet status",
        about="They agree in the PostgreSQL that [store] shared names; docs/fleet.md.",
    )
    commands: Subparsers = fleet.add_subparsers(metavar="COMMAND", title="commands", required=True)
    _add_init(commands)
    join = add_command(
        commands,
        "join",
        "see that this host can share: database, role, tables and key",
        run=_join,
        example="tokenward fleet join",
        about="Bring the key here first, from a host that has it.",
    )
    add_json(join, "the same as `fleet status`")
    status = add_command(
        commands,
        "status",
        "show what is shared, by whom, and under which key",
        run=_status,
        example="tokenward fleet status",
        about="Exit status 1 if this host cannot read a record, or a value came too late and waits for a person.",
    )
    add_json(status, "location, keys, hosts, profiles and orphans")
    _add_rotate_key(commands)
    for word, summary, run in (
        ("share", "move a profile from this host's store to the one that hosts share", _share),
        ("unshare", "move a profile from the shared store to this host's own", _unshare),
    ):
        command = add_command(commands, word, summary, run=run, example=f"tokenward fleet {word} anthropic:work")
        command.add_argument("profile", metavar="PROFILE", help="which one, as provider:name")
        add_agent(command)
        add_json(command, "the profile")


def _add_init(commands: Subparsers) -> None:
    init = add_command(
        commands,
        "init",
        "make the tables in the database, and the first key",
        run=_init,
        example="tokenward fleet init --owner postgres",
        about="May be run again, and brings the tables up to date after an upgrade. Passwords come from where "
        "libpq looks: ~/.pgpass, PGPASSFILE.",
    )
    init.add_argument(
        "--owner", metavar="ROLE", help="make them as this role; the one in [store] shared gets its rights only"
    )
    init.add_argument(
        "--role", metavar="NAME", action="append", default=[], help="let this role share, too; may be repeated"
    )
    init.add_argument("--print", action="store_true", help="only print the SQL, for somebody who runs it by hand")
    add_json(init, "migrations, roles, key_id and is_new_key")


def _add_rotate_key(commands: Subparsers) -> None:
    rotate = add_command(
        commands,
        "rotate-key",
        "seal everything that is shared under a new key",
        run=_rotate_key,
        example="tokenward fleet rotate-key",
        about="Run once, it makes the key; bring it to every host; run again, it seals everything anew. It can be "
        "interrupted at any moment, and goes on when it is run again.",
    )
    rotate.add_argument(
        "--force",
        action="store_true",
        help="go on though hosts do not have the new key; they serve what they have",
    )
    add_json(rotate, "key_id, state, and what was sealed anew")


def _init(arguments: argparse.Namespace) -> int:
    from tokenward.daemon.fleet_access import fleet

    with fleet() as care:
        if arguments.print:
            print(care.sql(arguments.role), end="")
            output.remark("when it was run, make the first key here: tokenward fleet init")
            return output.OK
        founded = care.found(arguments.owner, arguments.role)
        look = care.look()
    if arguments.json:
        output.as_json(
            {
                "migrations": founded.migrations,
                "roles": list(founded.granted),
                "key_id": founded.key_id,
                "is_new_key": founded.is_new_key,
            }
        )
        return output.OK
    output.say(f"tables   {'made, or brought up to date' if founded.migrations else 'are up to date'}")
    for role in founded.granted:
        output.say(f"role     {role} may share")
    output.say(f"key id   {founded.key_id}, in {look.key_location}")
    if founded.is_new_key:
        output.remark(f"keep a copy of {look.key_location}, and bring it to every host, mode 0600;")
        output.remark("then, there: tokenward fleet join")
    return output.OK


def _join(arguments: argparse.Namespace) -> int:
    from tokenward.daemon.fleet_access import fleet

    with fleet() as care:
        look = care.join()
    if arguments.json:
        return _show(look, as_json=True)
    unreadable = [shown for shown in look.records if shown.trouble]
    for shown in unreadable:
        output.remark(f"{shown.record.profile} cannot be read here: {shown.trouble}")
    output.say(f"this host can share: {look.location}")
    output.say(f"key id   {look.current}, in {look.key_location}")
    output.say(f"shared   {len(look.records)} profiles, {len(look.hosts)} hosts seen")
    if not look.is_verified:
        output.remark("whoever answers there is believed: add sslmode=verify-full to [store] shared")
    return output.ERROR if unreadable else output.OK


def _status(arguments: argparse.Namespace) -> int:
    from tokenward.daemon.fleet_access import fleet

    with fleet() as care:
        return _show(care.look(), as_json=arguments.json)


def _show(look: Look, *, as_json: bool) -> int:
    if as_json:
        output.as_json(_document(look))
    else:
        _say(look)
    return output.ERROR if look.orphans or any(shown.trouble for shown in look.records) else output.OK


def _say(look: Look) -> None:
    output.say(f"store    {look.location}")
    output.say(f"keys     {look.key_location}")
    rows = [("KEY", "STATE", "SEALS", "HERE")]
    rows += [
        (key.key_id, key.state, str(key.seals), "yes" if key.key_id in look.held else "no") for key in look.keys
    ]
    for line in output.columns(rows):
        print(line)
    if look.records:
        rows = [("PROFILE", "KEY", "AT WORK", "HEALTH")]
        rows += [_record_row(shown) for shown in look.records]
        for line in output.columns(rows):
            output.say(line)
    else:
        output.say("no profile is shared yet: tokenward fleet share PROFILE")
    if not look.hosts:
        output.say("no daemon has joined yet")
    rows = [("HOST", "SEEN", "VERSION", "KEY")] if look.hosts else []
    rows += [
        (
            host.host,
            f"{output.duration(host.age)} ago",
            host.version,
            "has it" if look.current in host.key_ids else "does not have the key in force",
        )
        for host in look.hosts
    ]
    for line in output.columns(rows):
        output.say(line)
    for orphan in look.orphans:
        output.complain(
            f"a value of {orphan.profile} came too late {output.duration(orphan.age)} ago, from {orphan.holder}",
            f"it is row {orphan.name} of tokenward.orphans; if {orphan.profile} needs a login, log in again; "
            "then the owner of the tables may delete it",
        )


def _record_row(shown: ShownRecord) -> tuple[str, str, str, str]:
    record = shown.record
    at_work = "-"
    if record.lease is not None:
        until = f"{output.duration(record.lease.left)} left" if record.lease.left > 0 else "lapsed"
        at_work = f"{record.lease.holder} ({until})"
    health = shown.trouble or (f"log in again: {record.condemned}" if record.condemned else "ok")
    return record.profile, record.value.key_id, at_work, health


def _document(look: Look) -> dict[str, Any]:
    return {
        "location": look.location,
        "key_location": look.key_location,
        "keys": [
            {
                "key_id": key.key_id,
                "state": key.state,
                "seals": key.seals,
                "age_seconds": round(key.age),
                "is_here": key.key_id in look.held,
            }
            for key in look.keys
        ],
        "hosts": [
            {
                "holder": host.holder,
                "host": host.host,
                "version": host.version,
                "key_ids": list(host.key_ids),
                "seen_seconds_ago": round(host.age),
            }
            for host in look.hosts
        ],
        "profiles": [_record_document(shown) for shown in look.records],
        "orphans": [
            {
                "name": orphan.name,
                "profile": orphan.profile,
                "generation": orphan.value.generation,
                "key_id": orphan.value.key_id,
                "holder": orphan.holder,
                "age_seconds": round(orphan.age),
            }
            for orphan in look.orphans
        ],
    }


def _record_document(shown: ShownRecord) -> dict[str, Any]:
    record, lease = shown.record, shown.record.lease
    return {
        "profile": record.profile,
        "revision": record.revision,
        "generation": record.value.generation,
        "key_id": record.value.key_id,
        "trouble": shown.trouble,
        "condemned": record.condemned,
        "lease": None
        if lease is None
        else {"holder": lease.holder, "age_seconds": round(lease.age, 3), "left_seconds": round(lease.left, 3)},
    }


def _rotate_key(arguments: argparse.Namespace) -> int:
    from tokenward.daemon.fleet_access import fleet

    with fleet() as care:
        done = care.change_key(is_forced=arguments.force)
        location = care.look().key_location
    if arguments.json:
        output.as_json(
            {
                "key_id": done.key_id,
                "state": done.state,
                "resealed": done.resealed,
                "at_work": list(done.at_work),
                "unreadable": list(done.unreadable),
                "former": list(done.former),
            }
        )
    elif done.state == "coming":
        output.say(f"key id   {done.key_id}, coming; it is in {location}")
        output.remark("nothing is sealed by it yet: bring it to every host, and there: tokenward fleet join;")
        output.remark("then run again here: tokenward fleet rotate-key")
    else:
        output.say(f"key id   {done.key_id}, in force; {done.resealed} values were sealed anew")
    for profile in done.unreadable:
        output.remark(f"{profile} is sealed by a key that this host does not have; it was left as it is")
    for profile in done.at_work:
        output.remark(f"{profile} was refreshed all the time; run this again")
    for key_id in done.former:
        output.remark(f"the key {key_id} seals nothing any more: its line may go from {location}, on every host")
    return output.ERROR if done.unreadable or done.at_work else output.OK


def _share(arguments: argparse.Namespace) -> int:
    return _move("profile.share", arguments, "is shared now; a host that joined has it, too")


def _unshare(arguments: argparse.Namespace) -> int:
    return _move("profile.unshare", arguments, "is this host's own now; no other host has it any more")


def _move(method: str, arguments: argparse.Namespace, what: str) -> int:
    from tokenward.cli.service_access import with_service

    def act(call: Call) -> int:
        done = call(method, {"profile": arguments.profile, "agent": arguments.agent})
        if arguments.json:
            output.as_json(done)
        else:
            output.say(f"{arguments.profile} {what}")
        return output.OK

    return with_service(act, timeout=PATIENCE_SECONDS)
