"""``tokenward demo``: to believe a credential daemon one must see it rotate, and nobody lends a login for that.

So the real daemon runs over the sandbox, with a login of its own that lives for seconds and breaks nobody's.

Rules: nothing of the demo outlives it, however it ends. ``--once`` needs no eyes: it checks, and says so in its
exit status.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers

TTL_SECONDS = 20.0
"""Life of a token in the demo: its margin is a fifth of it, so one sees a rotation every 16 s."""
ONCE_TTL_SECONDS = 6.0
"""As short as leaves a margin of more than a second: the check must be over soon, also on a slow machine."""
PIPE_SECONDS = 90.0
"""What a pipe gets if it does not say for how long: nobody is there to press a key."""


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "demo",
        "watch the daemon work, with no account",
        run=run,
        example="tokenward demo --for 60",
        about=(
            f"The real daemon runs over an authorization server of our own on loopback, whose tokens live "
            f"{TTL_SECONDS:g} seconds. It touches nothing of yours and leaves nothing behind."
        ),
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--once", action="store_true", help="check that it works, without a terminal, and exit")
    length.add_argument(
        "--for",
        dest="seconds",
        type=_seconds,
        metavar="SECONDS",
        help=f"end after so long (on a terminal: when you press q; in a pipe: {PIPE_SECONDS:g})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Show or check."""
    with _ended_by_signals():
        if arguments.once:
            from tokenward.cli.demo_once import check

            return check(ONCE_TTL_SECONDS)
        from tokenward.cli.demo_play import play_on_screen, play_plain

        if _has_screen():
            return play_on_screen(TTL_SECONDS, seconds=arguments.seconds or math.inf)
        endless = math.inf if output.on_terminal() else PIPE_SECONDS
        return play_plain(TTL_SECONDS, seconds=arguments.seconds or endless)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    raise argparse.ArgumentTypeError("must be a number of seconds above 0")


def _has_screen() -> bool:
    """Whether a picture can be drawn, on a terminal that knows the characters of a bar."""
    return output.has_screen() and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM, and SIGHUP from a terminal that closes, unwind as an exit does, so that the daemon is stopped.

    What is ignored (``nohup``) stays ignored.
    """
    caught = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    for each in caught:
        signal.signal(each, _unwind)
    try:
        yield
    finally:
        for each in caught:
            signal.signal(each, signal.SIG_DFL)


def _unwind(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
