"""Does a login lie on a disk that another machine answers for?

Each request for a token looks at its login's file, by one ``stat``: that is how a login which its owner renewed is
served at once. On a local disk it takes a microsecond. Where a server of files, or a program behind FUSE, does not
answer, it takes for ever, and no timeout of ours or of the kernel ends it.
"""

from __future__ import annotations

import os
from pathlib import Path

from tokenward.checks.finding import CheckContext, Finding
from tokenward.core.redact import printable
from tokenward.disk.mount_table import TABLE, mounted_below

NAME = "disks"
_CONSEQUENCE = "while that does not answer, no program gets any token"


def check(context: CheckContext, table: Path = TABLE) -> list[Finding]:
    """Our own store's directory, Claude Code's login, and the files that credentials are read from."""
    looked_at = [(context.state, "set TOKENWARD_STATE_DIR to a directory on a local disk")]
    if os.path.lexists(context.claude_credentials):
        looked_at.append((context.claude_credentials, "set CLAUDE_CONFIG_DIR to a directory on a local disk"))
    looked_at += [(path, f"keep {path} on a local disk") for path in context.secret_files]
    findings = []
    for path, hint in looked_at:
        mounted = mounted_below(Path(os.path.realpath(path)), table)
        if mounted is not None and mounted.answers_elsewhere:
            cause = f"{path} is on {mounted.kind} ({printable(mounted.source)})"
            findings.append(Finding(NAME, "warn", cause, hint, _CONSEQUENCE))
    return findings or [Finding(NAME, "ok", "no login lies on a disk of another machine")]
