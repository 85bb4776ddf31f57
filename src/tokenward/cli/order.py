"""``tokenward order``: which profiles of a provider serve, and which first."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tokenward.cli import output
from tokenward.cli.arguments import add_agent, add_command, add_json

if TYPE_CHECKING:
    from tokenward.cli.arguments import Parser, Subparsers
    from tokenward.cli.service_access import Call


def add_parser(subparsers: Subparsers) -> None:
    """Register the commands."""
    group = add_command(
        subparsers,
        "order",
        "which profiles of a provider serve, and which first",
        run=_run,
        example="tokenward order set anthropic anthropic:work anthropic:home",
        about="Without an order, whoever was used longest ago goes first.",
    )
    actions: Subparsers = group.add_subparsers(required=True, metavar="ACTION", title="actions")
    _add_action(actions, "get", "show the order", example="tokenward order get anthropic")
    setting = _add_action(
        actions,
        "set",
        "let exactly these profiles serve, in this order",
        example="tokenward order set anthropic anthropic:work anthropic:home",
    )
    setting.add_argument("profiles", nargs="+", metavar="PROFILE", help="as provider:name, the first choice first")
    _add_action(actions, "clear", "forget the order", example="tokenward order clear anthropic")


def _add_action(actions: Subparsers, verb: str, summary: str, *, example: str) -> Parser:
    parser = add_command(actions, verb, summary, run=_run, example=example)
    parser.add_argument("provider", metavar="PROVIDER", help="whose profiles")
    add_agent(parser)
    add_json(parser, f"the result of `order.{verb}`")
    parser.set_defaults(method=f"order.{verb}", profiles=None)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from tokenward.cli.service_access import with_service

    params: dict[str, Any] = {"provider": arguments.provider, "agent": arguments.agent}
    if arguments.profiles is not None:
        params["profiles"] = arguments.profiles

    def act(call: Call) -> int:
        order = call(arguments.method, params)
        if arguments.json:
            output.as_json(order)
            return output.OK
        if not order["profiles"]:
            output.explain(f"{order['provider']}: no order is set; whoever was used longest ago goes first")
        for number, profile in enumerate(order["profiles"], 1):
            missing = " (there is no such profile now; it is passed over)" if profile in order["missing"] else ""
            output.say(f"{number}. {profile}{missing}")
        return output.OK

    return with_service(act)
