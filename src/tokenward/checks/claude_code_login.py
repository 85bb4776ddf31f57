"""Is there a login of Claude Code on this machine, how long does it live, and how does one come here from another?

Rule: what a refresh mends is not said here; the end of a login, which no refresh moves, is (requirement E27).
"""

from __future__ import annotations

from tokenward.checks.claude_code_settings import stored_login
from tokenward.checks.finding import CheckContext, Finding
from tokenward.checks.login_end import ENDING, NEAR_SECONDS, ends_in

NAME = "claude login"
_LOG_IN = "run: claude auth login"


def check(context: CheckContext) -> list[Finding]:
    """The Keychain, or the file and the end of its login, or how to do without them."""
    shown = context.run(context.claude_keychain) if context.claude_keychain is not None else None
    if shown is not None and shown.status == 0:
        return [Finding(NAME, "ok", "Claude Code keeps its login in the Keychain")]
    path = context.claude_credentials
    if not path.exists():
        cause = (
            f"no login of Claude Code in {path}; where it is logged in on another machine: run "
            "`claude setup-token` there, and give the token to `tokenward add anthropic:manual --setup-token` here"
        )
        return [Finding(NAME, "ok", cause)]
    login = stored_login(context)
    if login.get("refreshToken") == "" or login.get("loginEnded"):
        cause = f"the login of Claude Code in {path} has ended"
        return [
            Finding(NAME, "fail", cause, _LOG_IN, "Claude Code asks for a login, and nothing is served from it")
        ]
    ends = login.get("refreshTokenExpiresAt")
    if isinstance(ends, int | float) and not isinstance(ends, bool):
        left = ends / 1000 - context.clock.wall().timestamp()
        if left <= NEAR_SECONDS:
            cause = f"the login of Claude Code in {path} {ends_in(left)}"
            return [Finding(NAME, "fail" if left <= 0 else "warn", cause, _LOG_IN, ENDING)]
        return [Finding(NAME, "ok", f"Claude Code keeps its login in {path}, which {ends_in(left)}")]
    return [Finding(NAME, "ok", f"Claude Code keeps its login in {path}")]
