"""``tokenward pin``: the model and the profile that one session uses."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json

if TYPE_CHECKING:
    from tokenward.cli.service_access import Call


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "pin",
        "pin a session to a model and, with @, to one profile",
        run=_run,
        example="tokenward pin my-session anthropic/claude-opus-4-6@anthropic:user@work.com",
        about="A profile that was named is hard: where it cannot serve, none does. Without a reference it shows "
        "what the session uses.",
    )
    parser.add_argument("session", metavar="SESSION", help="the session's name, as programs give it")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("reference", nargs="?", metavar="MODEL[@PROFILE]", help="provider/model, an id or an alias")
    what.add_argument("--reset", action="store_true", help="forget the model and the profile of the session")
    add_json(parser, "the result of `session.pin`, `session.get` or `session.reset`")


def _run(arguments: argparse.Namespace) -> int:
    from tokenward.cli.service_access import with_service

    params = {"session": arguments.session}
    method = "session.reset" if arguments.reset else "session.get"
    if arguments.reference is not None:
        method, params = "session.pin", {**params, "model": arguments.reference}

    def act(call: Call) -> int:
        pin = call(method, params)
        if arguments.json:
            output.as_json(pin)
        else:
            output.say(f"{pin['session']}: {_words(pin)}")
        return output.OK

    return with_service(act)


def _words(pin: dict[str, Any]) -> str:
    model = f"{pin['provider']}/{pin['model']}" if pin["model"] is not None else "any model"
    if pin["profile"] is None:
        return f"{model}, any profile" if pin["model"] is not None else "nothing is settled"
    return f"{model}, {pin['profile']}" + (" and no other" if pin["hard"] else " as long as it is usable")
