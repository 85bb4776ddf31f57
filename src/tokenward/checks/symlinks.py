"""Does a secret lie behind a symbolic link?

Claude Code replaces a linked login file by a regular one (measured): the link is gone, and what it led to keeps a
refresh token that is spent. Our own key is never read through a link.
"""

from __future__ import annotations

import os

from tokenward.checks.finding import CheckContext, Finding, to_run

NAME = "symlinks"


def check(context: CheckContext) -> list[Finding]:
    """The login of Claude Code, and the store's key."""
    findings = []
    login = context.claude_credentials
    if login.is_symlink():
        target = os.path.realpath(login)
        if not login.exists():
            findings.append(
                Finding(
                    NAME,
                    "warn",
                    f"{login} is a link to {target}, which is not there",
                    to_run("rm", login),
                    "no login is found, and the next one replaces the link",
                )
            )
        else:
            consequence = (
                "the next refresh replaces the link by a file, and its target keeps a token that is spent"
            )
            hint = to_run("mv", target, login)
            findings.append(Finding(NAME, "warn", f"{login} is a link to {target}", hint, consequence))
    key = context.store_key
    if key is not None and key.is_symlink():
        target = os.path.realpath(key)
        cause = f"the store's key {key} is a link to {target}"
        findings.append(Finding(NAME, "fail", cause, to_run("mv", target, key), "it is not read through a link"))
    return findings or [Finding(NAME, "ok", "no secret lies behind a symbolic link")]
