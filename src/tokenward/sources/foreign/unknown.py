"""Programs whose stores are not read, and what a person who names one should do.

The problem: "unknown" is no answer to somebody who asks for a program that everybody has. Some keep their logins
in databases whose form they do not promise, and have a documented command that hands out a token instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenward.errors import ConfigurationFault

_GCLOUD = (
    'let gcloud hand out its token: [sources.command.gcloud] with command = ["gcloud", "config", '
    '"config-helper", "--format=json"], see docs/sources.md'
)
_HAVE_A_COMMAND = {"gcloud": ("gcloud's store is not read: its form is gcloud's own affair", _GCLOUD)}


def unknown(what: str, name: str, known: Sequence[str]) -> ConfigurationFault:
    """The error for a program whose store cannot be had.

    Args:
        what: what of it was asked for: "store", "layout".
        name: what the person called it.
        known: what can be named instead.
    """
    if name in _HAVE_A_COMMAND:
        cause, hint = _HAVE_A_COMMAND[name]
        return ConfigurationFault(cause, hint=hint)
    return ConfigurationFault(f"tokenward knows no {what} {name!r:.40}", hint=f"one of: {', '.join(known)}")
