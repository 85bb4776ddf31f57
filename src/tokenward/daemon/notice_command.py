"""The program that tells a person what waits for them, run as the configuration says.

The problem: ``notices`` decides when somebody must be told, and knows neither the environment of the daemon nor
which of it a program may see.

Rules:
- The program gets what says what happened, what it needs to reach a desktop, and what ``[events]`` passes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tokenward.daemon.change_command import run_change_command
from tokenward.daemon.notices import PASSED_ON, PATIENCE_SECONDS
from tokenward.settings import EventSettings
from tokenward.sources.claude_code_command import clean_environment


async def tell_person(
    argv: Sequence[str], told: Mapping[str, str], *, said: EventSettings, environ: Mapping[str, str]
) -> str | None:
    """Run the program that tells a person, and kill it when its time is over; see ``notices.Run``.

    Args:
        argv: the program and its arguments.
        told: the variables that say what happened.
        said: which variables are passed on.
        environ: the environment of the daemon.

    Returns:
        Why it failed, in words; None if it did not.
    """
    around = clean_environment(environ, (*PASSED_ON, *said.env))
    return await run_change_command(argv, {**around, **told}, patience=PATIENCE_SECONDS)
