"""Does the configuration say what its writer meant?"""

from __future__ import annotations

from tokenward.checks.finding import CheckContext, Finding
from tokenward.errors import ConfigurationFault

NAME = "config"


def check(context: CheckContext) -> list[Finding]:
    """What was read, with what is worth a warning in it."""
    if context.config_warnings:
        hint = f"correct it in {context.config}, then run: tokenward doctor" if context.config else ""
        consequence = "the daemon does as the warning says, which may not be what you meant"
        return [Finding(NAME, "warn", each, hint, consequence) for each in context.config_warnings]
    if context.config is None:
        return [Finding(NAME, "ok", "no configuration file: the defaults hold")]
    return [Finding(NAME, "ok", f"{context.config} is sound")]


def refused(fault: ConfigurationFault) -> Finding:
    """A configuration that no daemon starts with; nothing else can be examined then."""
    consequence = "the daemon does not start; one that runs goes on with its old settings"
    return Finding(NAME, "fail", fault.cause, fault.hint, consequence)
