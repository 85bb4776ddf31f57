"""Doctor: what can be wrong around the daemon, one module a check, each looking and never touching."""

from collections.abc import Callable, Sequence

from tokenward.checks import (
    claude_code_login,
    claude_code_version,
    clocks,
    environment,
    file_modes,
    gateway,
    keys,
    locks,
    profiles,
    socket,
)
from tokenward.checks.finding import CheckContext, Finding, Ran

__all__ = ["ALL", "CheckContext", "Finding", "Ran", "examine"]

ALL: Sequence[Callable[[CheckContext], list[Finding]]] = (
    socket.check,
    profiles.check,
    file_modes.check,
    clocks.check,
    locks.check,
    claude_code_version.check,
    claude_code_login.check,
    environment.check,
    gateway.check,
    keys.check,
)
"""Every check, in the order people read them."""


def examine(context: CheckContext) -> list[Finding]:
    """Everything that all checks find. They look at disks and run a command: call it in a thread."""
    return [finding for check in ALL for finding in check(context)]
