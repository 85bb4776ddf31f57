"""Is there a login of Claude Code on this machine, and how does one come here from another (requirement E27)?"""

from __future__ import annotations

from tokenward.checks.finding import CheckContext, Finding

NAME = "claude login"


def check(context: CheckContext) -> list[Finding]:
    """The file, or how to do without it."""
    if context.claude_credentials.exists():
        return [Finding(NAME, "ok", f"Claude Code keeps its login in {context.claude_credentials}")]
    cause = (
        f"no login of Claude Code in {context.claude_credentials}; where it is logged in on another machine: run "
        "`claude setup-token` there, and give the token to `tokenward add anthropic:manual --setup-token` here"
    )
    return [Finding(NAME, "ok", cause)]
