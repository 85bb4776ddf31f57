"""``tokenward token`` as scripts call it: one question and the bare token, without what other commands need.

The problem: a parser of arguments, a client and JSON take five times as long to load as a token takes to come.

Rules:
- It loads what ``helper_ask`` loads, and no more. Options that it does not know, and a daemon that is not there,
  are left to the general way (``cli.token``), which does it all afresh.
- An answer of any other shape than a plain token is read by the general way, and nothing is asked twice.
"""

import sys
from posix import environ, getuid
from time import monotonic

from tokenward import helper_ask as ask

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without loading typing
if TYPE_CHECKING:
    from typing import Any

TIMEOUT = 30.0
"""Seconds that the daemon may take, as ``cli.token`` says it too."""
GRACE = 2.0
"""Seconds past them, in which its own word on that arrives."""
_OPTIONS = {"--provider": "provider", "--agent": "agent"}
_FINE = b'"degraded":null'


def run(arguments: list[str]) -> "int | None":
    """Print one token.

    Args:
        arguments: those after ``token``.

    Returns:
        The exit status; None if this is for the general way, and nothing was asked yet.
    """
    wish = wish_of(arguments)
    if wish is None or sys.stdout is None:
        return None
    deadline = monotonic() + TIMEOUT + GRACE
    try:
        path = ask.socket_path(environ, uid=getuid(), platform=sys.platform, is_ours=ask.is_ours)
        connection = ask.connection_to(path, deadline)
    except (OSError, KeyError):
        return None
    try:
        answer = ask.exchange(connection, "token.get", wish, deadline)
    except OSError:
        return _unanswered(is_over=monotonic() >= deadline)
    finally:
        connection.close()
    token = ask.token_in(answer)
    if token is None or _FINE not in answer or min(token) < 0x20 or max(token) > 0x7E:
        return _in_general(answer)
    try:
        ask.write_all(1, token + b"\n")
    except OSError as error:
        return _raised(error)
    return 0


def wish_of(arguments: list[str]) -> "dict[str, Any] | None":
    """What is asked for, as members of ``token.get``'s params; None if an argument is not known here."""
    wish: dict[str, Any] = {}
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        name = _OPTIONS.get(option)
        if name is None:
            name, value = "profile", word
        elif not equals:
            value = next(words, "")
        if name in wish or not value or value[0] == "-" or not ask.NAME_CHARACTERS.issuperset(value):
            return None
        wish[name] = value
    wish["timeout"] = TIMEOUT
    return wish


def _in_general(answer: bytes) -> int:
    from argparse import Namespace

    from tokenward.cli import token
    from tokenward.cli.main import guarded
    from tokenward.client import Token
    from tokenward.client._answers import parsed, result_of

    def show() -> int:
        token.show(
            Token.from_result(result_of(parsed(answer))), Namespace(format="raw", model=None, min_valid=None)
        )
        return 0

    return guarded(show)


def _unanswered(*, is_over: bool) -> int:
    from tokenward.client._calls import gone, unanswered_within
    from tokenward.client._connection import Unanswered

    return _raised(unanswered_within(TIMEOUT) if is_over else gone(Unanswered()))


def _raised(error: Exception) -> int:
    from tokenward.cli.main import guarded

    def fail() -> int:
        raise error

    return guarded(fail)
