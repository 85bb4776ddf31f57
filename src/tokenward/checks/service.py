"""Will the service manager's file still start a daemon?

A unit names the interpreter by its absolute path. An upgrade of Python, or an environment that was deleted, leaves
a unit that fails at the next login, when nobody looks.
"""

from __future__ import annotations

import os

from tokenward.checks.finding import CheckContext, Finding

NAME = "service"
_INSTALL = "run: tokenward service install --now"
_FAILS = "no daemon starts at your next login"


def check(context: CheckContext) -> list[Finding]:
    """The file, the interpreter that it names, and whether that one still has tokenward."""
    unit, program = context.service_unit, context.service_program
    if unit is None:
        return []
    if not os.path.lexists(unit):
        return [Finding(NAME, "ok", f"not installed as a service ({unit}); the daemon runs when you start it")]
    if program is None:
        hint = "run: tokenward service install --force --now"
        return [Finding(NAME, "warn", f"{unit} names no program", hint, _FAILS)]
    if not os.access(program, os.X_OK):
        return [Finding(NAME, "fail", f"{unit} starts {program}, which is gone", _INSTALL, _FAILS)]
    if program.name.startswith("python"):
        ran = context.run([str(program), "-I", "-c", "import tokenward"])
        if ran is None or ran.status != 0:
            cause = f"{unit} starts {program}, which has no tokenward any more"
            return [Finding(NAME, "fail", cause, _INSTALL, _FAILS)]
    return [Finding(NAME, "ok", f"{unit} starts {program}")]
