"""``tokenward``: finds the command, loads no other, and turns whatever happens into an exit status.

Exit status: 0 ok, 1 error, 2 usage, 3 a person must log in, 4 no daemon answers, 5 locked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.errors import TokenwardError

if TYPE_CHECKING:
    from tokenward.cli.arguments import Parser

_MODULES = {
    "onboard": "onboard",
    "token": "token",
    "exec": "execute",
    "env": "execute",
    "git-credential": "git_credential",
    "status": "status",
    "top": "top",
    "profiles": "profiles",
    "refresh": "profiles",
    "add": "add",
    "login": "login",
    "import": "imports",
    "adopt": "adopt",
    "logout": "logout",
    "claude-code": "claude_code",
    "auth": "auth",
    "models": "models",
    "order": "order",
    "pin": "pin",
    "store": "store",
    "fleet": "fleet",
    "usage": "usage",
    "sinks": "sinks",
    "events": "events",
    "metrics": "metrics",
    "doctor": "doctor",
    "daemon": "daemon",
    "service": "service",
    "demo": "demo",
    "completion": "completion",
}
"""Which module of this package holds which command, in the order of the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; None for those of the process.

    Returns:
        The exit status.
    """
    return guarded(lambda: _run(list(sys.argv[1:] if argv is None else argv)))


def guarded(work: Callable[[], int]) -> int:
    """The exit status of some work, whatever happens in it; what went wrong is said on standard error."""
    try:
        status = work()
        sys.stdout.flush()
    except TokenwardError as error:
        return output.complain_of(error)
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else output.OK
    except KeyboardInterrupt:
        return output.INTERRUPTED
    except BrokenPipeError:
        # The reader has had enough. The interpreter would complain when it flushes standard output at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return output.ERROR
    except Exception as error:  # noqa: BLE001 - a traceback may show a secret: say where, and not what
        output.complain(f"unexpected {type(error).__name__} at {_place(error)}", "this is a bug: please report it")
        return output.ERROR
    return status


def _run(arguments: list[str]) -> int:
    command = next((word for word in arguments if not word.startswith("-")), "")
    parser = _parser([_MODULES[command]] if command in _MODULES else dict.fromkeys(_MODULES.values()))
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        if command in _MODULES:
            parser.prog = f"{parser.prog} {command}"
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if parsed.version:
        return _show_version()
    if not hasattr(parsed, "run"):
        parser.error("a command is missing")
    status: int = parsed.run(parsed)
    return status


def whole_parser() -> Parser:
    """The parser of every command, for those who describe them all."""
    return _parser(dict.fromkeys(_MODULES.values()))


def _parser(modules: Iterable[str]) -> Parser:
    from tokenward.cli.arguments import Parser

    parser = Parser(
        prog="tokenward",
        description="One daemon per user owns your logins and keys, and hands out tokens that are valid now.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name in modules:
        import_module(f"tokenward.cli.{name}").add_parser(subparsers)
    return parser


def _show_version() -> int:
    from importlib.metadata import PackageNotFoundError, version

    try:
        output.say(f"tokenward {version('tokenward')}")
    except PackageNotFoundError:
        output.say("tokenward (not installed: run from its sources)")
    return output.OK


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"


if __name__ == "__main__":
    sys.exit(main())
