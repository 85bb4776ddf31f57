"""``tokenward models``: what a name for a model means, which there are, and which a tier may use."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tokenward.cli import models_status, output
from tokenward.cli.arguments import add_agent, add_command, add_json
from tokenward.core.subscription_tier import TIERS

if TYPE_CHECKING:
    from tokenward.cli.arguments import Parser, Subparsers
    from tokenward.cli.service_access import Call

CAPABILITIES = ("vision", "extended_thinking", "tool_use")
_HEADER = ("MODEL", "CONTEXT", "OUTPUT", "VISION", "THINKING", "TOOLS", "FROM TIER", "TABLE", "STATUS")
_MODEL_HELP = "provider/model, provider:model, or an id or alias alone"


def add_parser(subparsers: Subparsers) -> None:
    """Register the commands."""
    group = add_command(
        subparsers,
        "models",
        "the models that are known, and what their names mean",
        run=_list,
        example="tokenward models resolve opus-4.5",
        about="Without an action it lists them all.",
    )
    group.set_defaults(table=None, family=None, capability=None, tier=None, latest=False, json=False)
    actions: Subparsers = group.add_subparsers(metavar="ACTION", title="actions")
    listing = add_command(
        actions, "list", "list the models", run=_list, example="tokenward models list --latest --table current"
    )
    _add_filters(listing)
    _add_resolve(actions)
    info = add_command(
        actions, "info", "what is known of a model", run=_info, example="tokenward models info opus"
    )
    info.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    add_json(info, "the result of `model.info`")
    _add_for_tier(actions)
    _add_check(actions)
    models_status.add_action(actions)


def _add_filters(parser: Parser) -> None:
    parser.add_argument(
        "--table", choices=("current", "documents"), help="only this table: what is current, or what documents say"
    )
    parser.add_argument("--family", metavar="NAME", help="only this family, as opus")
    parser.add_argument("--capability", choices=CAPABILITIES, help="only those that have it")
    parser.add_argument("--tier", choices=TIERS, help="only those that the tier table opens to this tier")
    parser.add_argument("--latest", action="store_true", help="only the newest of each family")
    add_json(parser, "the result of `model.list`")


def _add_resolve(actions: Subparsers) -> None:
    resolve = add_command(
        actions,
        "resolve",
        "what a name for a model means",
        run=_resolve,
        example="tokenward models resolve opus-4.5",
    )
    resolve.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    resolve.add_argument("--strict", action="store_true", help="refuse an id that no table holds")
    add_json(resolve, "the result of `model.resolve`")


def _add_for_tier(actions: Subparsers) -> None:
    for_tier = add_command(
        actions,
        "for-tier",
        "the model that a tier is to use",
        run=_for_tier,
        example="tokenward models for-tier --tier pro claude-opus-4",
        about="The tier is that of the credential that would be served now, unless it is named.",
    )
    for_tier.add_argument("model", nargs="?", metavar="MODEL", help=f"the one wanted: {_MODEL_HELP}")
    for_tier.add_argument("--tier", choices=TIERS, help="the tier")
    add_agent(for_tier)
    add_json(for_tier, "the result of `model.for_tier`")


def _add_check(actions: Subparsers) -> None:
    check = add_command(
        actions,
        "check",
        "whether a tier may use a model",
        run=_check,
        example="tokenward models check --tier max claude-opus-4",
        about="The exit status is 0 if it may, 1 if not.",
    )
    check.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    check.add_argument("--tier", choices=TIERS, help="the tier; else that of the credential that would be served")
    add_agent(check)
    add_json(check, "the result of `model.validate_access`")


def _asked(method: str, arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    from tokenward.cli.service_access import with_service

    answer: dict[str, Any] = {}

    def act(call: Call) -> int:
        answer.update(call(method, {name: getattr(arguments, name) for name in names}))
        return output.OK

    with_service(act)
    return answer


def _list(arguments: argparse.Namespace) -> int:
    answer = _asked("model.list", arguments, "table", "family", "capability", "tier", "latest")
    if arguments.json:
        output.as_json(answer)
        return output.OK
    if not answer["models"]:
        output.remark("no model fits")
        return output.OK
    rows = [_row(model) for model in answer["models"]]
    if output.on_terminal():
        output.table([_HEADER, *rows])
        _say_where_from(answer)
    else:
        print("\n".join(output.columns(rows)))
    return output.OK


def _say_where_from(answer: dict[str, Any]) -> None:
    output.say("")
    for table in answer["tables"]:
        output.explain(f"{table['table']}: {table['source']}, {table['dated']}")
    output.explain("aliases: " + ", ".join(f"{name} = {model}" for name, model in answer["aliases"].items()))
    output.explain(
        "by tier, in the documents: "
        + ", ".join(f"{tier} = {model}" for tier, model in answer["defaults_by_tier"].items())
    )
    if answer["default"] is not None:
        note = f" ({answer['default_note']})" if answer["default_note"] else ""
        output.explain(f"default: {answer['default']}{note}")


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    return (
        model["model"],
        _tokens(model["context_window"]),
        _tokens(model["max_output"]),
        *(_yes(model[capability]) for capability in CAPABILITIES),
        model["minimum_tier"] or "-",
        model["table"],
        _standing(model),
    )


def _tokens(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{count // 1_000_000}M" if count % 1_000_000 == 0 else f"{count // 1000}K"


def _yes(value: bool | None) -> str:  # noqa: FBT001 - what a table says, as it is
    return "-" if value is None else "yes" if value else "no"


def _standing(model: dict[str, Any]) -> str:
    if model["retired"] is not None:
        return f"retired {model['retired']}"
    return "deprecated" if model["deprecated"] else "-"


def _info(arguments: argparse.Namespace) -> int:
    model = _asked("model.info", arguments, "model")
    if arguments.json:
        output.as_json(model)
        return output.OK
    rows = [
        ("model", f"{model['provider']}/{model['model']}"),
        ("family", model["family"]),
        ("context window", _tokens(model["context_window"])),
        ("max output", _tokens(model["max_output"])),
        *((name.replace("_", " "), _yes(model[name])) for name in CAPABILITIES),
        ("from tier", model["minimum_tier"] or "any, as far as is known"),
        ("status", _standing(model)),
        ("table", model["table"]),
    ]
    if model["note"]:
        rows.append(("note", model["note"]))
    print("\n".join(output.columns(rows)))
    return output.OK


def _resolve(arguments: argparse.Namespace) -> int:
    answer = _asked("model.resolve", arguments, "model", "strict")
    if arguments.json:
        output.as_json(answer)
        return output.OK
    output.say(f"{answer['provider']}/{answer['model']}")
    if answer["suggestion"] is not None:
        output.remark(
            f"no table holds {answer['model']}, so it is left as it is; the nearest is {answer['suggestion']}"
        )
    if answer["note"] is not None:
        output.remark(answer["note"])
    return output.OK


def _for_tier(arguments: argparse.Namespace) -> int:
    answer = _asked("model.for_tier", arguments, "model", "tier", "agent")
    if arguments.json:
        output.as_json(answer)
        return output.OK
    output.say(f"{answer['provider']}/{answer['model']}")
    for remark in filter(None, (answer["warning"], answer["note"])):
        output.remark(remark)
    return output.OK


def _check(arguments: argparse.Namespace) -> int:
    answer = _asked("model.validate_access", arguments, "model", "tier", "agent")
    status = output.OK if answer["allowed"] else output.ERROR
    if arguments.json:
        output.as_json(answer)
        return status
    tier, needed = answer["tier"], answer["required_tier"]
    if not answer["allowed"]:
        output.say(f"{answer['model']}: {tier} may not use it; it needs {needed} or higher")
    elif tier is None:
        output.say(f"{answer['model']}: nothing forbids it, since no tier is known")
    else:
        output.say(f"{answer['model']}: {tier} may use it")
    return status
