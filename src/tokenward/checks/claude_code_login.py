"""Is there a login of Claude Code on this machine, and how does one come here from another (requirement E27)?"""

from __future__ import annotations

from tokenward.checks.finding import CheckContext, Finding

NAME = "claude login"


def check(context: CheckContext) -> list[Finding]:
    """The Keychain, the file, or how to do without them."""
    shown = context.run(context.claude_keychain) if context.claude_keychain is not None else None
    if shown is not None and shown.status == 0:
        return [Finding(NAME, "ok", "Claude Code keeps its login in the Keychain")]
    if context.claude_credentials.exists():
        return [Finding(NAME, "ok", f"Claude Code keeps its login in {context.claude_credentials}")]
    cause = (
        f"no login of Claude Code in {context.claude_credentials}; where it is logged in on another machine: run "
        "`claude setup-token` there, and give the token to `tokenward add anthropic:manual --setup-token` here"
    )
    return [Finding(NAME, "ok", cause)]
