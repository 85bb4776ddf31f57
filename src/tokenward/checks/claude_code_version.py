"""Is Claude Code there, and new enough to share its login with us and to refresh it when asked?"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tokenward.checks.finding import CheckContext, Finding, to_run

NAME = "claude code"
LOCKS_SINCE = (2, 1, 144)
"""The first version that takes the refresh lock and the write lock; older ones take the legacy lock alone."""
DELEGATION_MEASURED = (2, 1, 329)
"""Here ``claude auth status`` was seen to refresh an expiring login; in 2.1.112 it was seen not to."""
_UPDATE = "run: claude update"
_VERSION = re.compile(r"\b(\d{1,6})\.(\d{1,6})\.(\d{1,6})\b")


def check(context: CheckContext) -> list[Finding]:
    """The command and its version."""
    command = shutil.which(context.claude_command, path=context.environ.get("PATH", ""))
    if command is None:
        return [_absent(context)]
    command = str(Path(command).absolute())
    ran = context.run([command, "--version"])
    found = _VERSION.search(ran.output) if ran is not None and ran.status == 0 else None
    if found is None:
        return [
            Finding(
                NAME,
                "warn",
                f"{command} --version does not say a version",
                to_run(command, "--version"),
                "whether it takes the locks of its own login is not known",
            )
        ]
    version = (int(found[1]), int(found[2]), int(found[3]))
    says = f"{command} is version {found[0]}"
    if version < LOCKS_SINCE:
        consequence = (
            "it neither takes the locks of its own login nor refreshes it when asked: a login can be lost"
        )
        return [Finding(NAME, "fail", f"{says}, which is too old", _UPDATE, consequence)]
    if version < DELEGATION_MEASURED:
        consequence = "it is not known to refresh its login when asked, so that the login may just expire"
        return [Finding(NAME, "warn", says, _UPDATE, consequence)]
    if version > DELEGATION_MEASURED:
        newest = ".".join(map(str, DELEGATION_MEASURED))
        return [Finding(NAME, "ok", f"{says}; the newest whose locks were measured is {newest}")]
    return [Finding(NAME, "ok", f"{says}: it can be asked to refresh its login")]


def _absent(context: CheckContext) -> Finding:
    if not context.claude_credentials.exists():
        return Finding(NAME, "ok", "Claude Code is not installed, and there is no login of it")
    cause = f"there is a login of Claude Code, but no command {context.claude_command} to refresh it"
    hint = "set command under [sources.claude-code] to its absolute path, then run: tokenward doctor"
    return Finding(NAME, "warn", cause, hint, "nobody refreshes that login, and it expires")
