"""``tokenward exec`` and ``tokenward env``: a program with the variables it needs, and without those in its way.

The problem: people keep a key in a shell file so that one program finds it, and every other program finds it too.

Rules:
- ``exec`` becomes the command: its signals and its exit status are its own, nothing of ours stays, and the secret
  is in its environment and nowhere else.
- The names that were removed are said on standard error, never their values.
- A command that is not there is 127 and one that cannot be run is 126, as shells say it.
- The command is told nothing when another token takes this one's place; the help says so.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_timeout
from tokenward.core import protocol

if TYPE_CHECKING:
    from tokenward.cli.arguments import Parser, Subparsers
    from tokenward.cli.program_variables import Variables
    from tokenward.client import Token

NOT_FOUND = 127
NOT_EXECUTABLE = 126
MIN_VALID = 900.0
"""Seconds of life to ask for: nobody will tell the program of another token."""
_SEPARATOR = "--"


def add_parser(subparsers: Subparsers) -> None:
    """Register the commands."""
    execute = add_command(
        subparsers,
        "exec",
        "run a command with a token in its environment",
        run=_execute,
        example="tokenward exec --profile anthropic:work -- claude -p 'say hello'",
        about="The variables are those that the kind of the token needs, and those in their way are removed and "
        "named. tokenward becomes the command, whose signals and exit status are its own (127: not found, 126: "
        "cannot be run). It is not told when another token takes this one's place: what runs for longer than a "
        "token lives should ask itself, as apiKeyHelper or by the socket.",
    )
    execute.usage = "tokenward exec [OPTION ...] -- COMMAND [ARGUMENT ...]"
    _add_wishes(execute)
    execute.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the command and its arguments"
    )
    env = add_command(
        subparsers,
        "env",
        "print the variables of a token as lines for a shell",
        run=_print,
        example='eval "$(tokenward env --profile anthropic:work)"',
        about="Every program of that shell then sees the token, and nobody renews it there: exec is better.",
    )
    _add_wishes(env)
    env.add_argument("--shell", choices=("sh", "fish"), default="sh", help="whose syntax (%(default)s)")


def _add_wishes(parser: Parser) -> None:
    from tokenward.cli.token import KINDS

    parser.add_argument("--profile", metavar="PROFILE", help="exactly this profile, as provider:name")
    parser.add_argument("--provider", metavar="NAME", help="any profile of this provider")
    parser.add_argument("--agent", metavar="NAME", help='the namespace of profiles ("main")')
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind; may be given again")
    parser.add_argument("--model", metavar="MODEL", help="set ANTHROPIC_MODEL; without it the program chooses")
    parser.add_argument(
        "--like",
        choices=("anthropic",),
        help="the profile's provider is a gateway that speaks this API: set its variables",
    )
    parser.add_argument(
        "--min-valid", type=float, metavar="SECONDS", default=MIN_VALID, help="life to ask for (%(default)g)"
    )
    add_timeout(parser)


def _execute(arguments: argparse.Namespace) -> int:
    words = arguments.words[1:] if arguments.words[:1] == [_SEPARATOR] else arguments.words
    if not words:
        output.complain("a command is missing", "it stands after two dashes: tokenward exec -- claude")
        return output.USAGE
    token, variables = _asked(arguments)
    _say_removed(variables, f"not passed on to {shlex.quote(words[0])}")
    if token.degraded == protocol.DEGRADED_SHORT:
        output.remark(f"the token ends in {output.duration(token.valid_for)}, and the command will not be told")
    elif token.degraded:
        output.remark(f"the token is less than what was asked for ({token.degraded}); see: tokenward status")
    environ = variables.laid_over(os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores it, an ignored signal stays ignored over exec, and the command would not end with its pipe.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvpe(words[0], words, environ)  # noqa: S606 - to become the command is what was asked for
    except (FileNotFoundError, NotADirectoryError):
        output.complain(f"{words[0]}: command not found", "is it on PATH?")
        return NOT_FOUND
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds a zero byte"
        output.complain(f"{words[0]}: cannot be run: {reason}", "is it an executable file?")
        return NOT_EXECUTABLE


def _print(arguments: argparse.Namespace) -> int:
    _, variables = _asked(arguments)
    removed = variables.removed_from(os.environ)
    _say_removed(variables, "to be unset")
    if arguments.shell == "fish":
        lines = [f"set -e {name}" for name in removed]
        lines += [f"set -gx {name} {_fish_quoted(value)}" for name, value in variables.settings.items()]
    else:
        lines = [f"unset {name}" for name in removed]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.settings.items()]
    print("\n".join(lines))
    return output.OK


def _asked(arguments: argparse.Namespace) -> tuple[Token, Variables]:
    """The token that is wanted, and what a program needs to use it."""
    from tokenward.cli.program_variables import variables_for
    from tokenward.client import Client
    from tokenward.core.token_variables import ANTHROPIC

    with Client() as client:
        token = client.token(
            profile=arguments.profile,
            provider=arguments.provider,
            agent=arguments.agent,
            kinds=arguments.kind,
            min_valid=arguments.min_valid,
            timeout=arguments.timeout,
            model=arguments.model,
        )
        known = {} if token.provider == ANTHROPIC else client.call("provider.get", {"provider": token.provider})
    variables = variables_for(
        token, os.environ, like=arguments.like, env_var=known.get("env_var"), model=arguments.model
    )
    output.refuse_control_characters(variables.settings.values())
    if arguments.model and token.model_note:
        output.remark(token.model_note)
    return token, variables


def _say_removed(variables: Variables, fate: str) -> None:
    if removed := variables.removed_from(os.environ):
        output.remark(f"{fate}, for they compete with this token: {', '.join(removed)}")


def _fish_quoted(text: str) -> str:
    """In the single quotes of fish, where a backslash stands before itself and before a quote."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
