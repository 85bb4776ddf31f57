"""The words of a refusal: which error a caller gets, and what it is told to do.

The problem: the person who reads "refresh failed" in a build log has thirty seconds. So every refusal names the
profile, the cause in words that are safe to print, and the exact command that helps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tokenward.core.credential import MAIN_AGENT, Kind
from tokenward.core.lifecycle import Phase
from tokenward.core.serving import Refusal
from tokenward.daemon.flight_results import Cause
from tokenward.errors import (
    AUTHENTICATION,
    CONFIGURATION,
    NETWORK,
    PROVIDER,
    RATE_LIMIT,
    CallTimeout,
    LoginRequired,
    ProfileUnavailable,
    RefreshFailed,
    TokenwardError,
)

if TYPE_CHECKING:
    from tokenward.daemon.keeper import Keeper

CLAUDE_CODE = "claude-code"
COMMAND = "command"
_CLASSES: Mapping[str, str] = {
    Cause.NOT_SENT: NETWORK,
    Cause.AMBIGUOUS: NETWORK,
    Cause.RATE_LIMITED: RATE_LIMIT,
    Cause.MISCONFIGURED: CONFIGURATION,
    Cause.UNWRITABLE: CONFIGURATION,
    Cause.SPENT_ELSEWHERE: AUTHENTICATION,
    Cause.SOURCE_GONE: AUTHENTICATION,
    Cause.NO_IDENTITY: AUTHENTICATION,
}
"""The founding documents' classes of the causes; what is not named is the provider's trouble."""
WRITTEN_DOWN = frozenset({"environment", "dotenv", "config"})
"""Sources that a person edits, and no command."""


def login_command(keeper: Keeper) -> str:
    """The command by which a person renews this credential."""
    if keeper.profile.source == CLAUDE_CODE:
        return "claude auth login"
    if _is_minted(keeper):
        return f"tokenward refresh {keeper.profile.id}"
    kind = Kind.OAUTH if keeper.credential is None else keeper.credential.kind
    agent = "" if keeper.profile.agent == MAIN_AGENT else f" --agent {keeper.profile.agent}"
    if kind is Kind.OAUTH and not agent:
        return f"tokenward login {keeper.profile.provider} --profile {keeper.profile.id}"
    return f"tokenward add {keeper.profile.id} --{kind.replace('_', '-')}{agent}"


def error_for(refusal: Refusal, keeper: Keeper, *, retry_after: float | None) -> TokenwardError:
    """The error for a refusal.

    Args:
        refusal: why nothing is served.
        keeper: whose token was asked for.
        retry_after: seconds until the next attempt, None if none is planned.
    """
    profile, command = keeper.profile.id, login_command(keeper)
    failure = keeper.attempts.failure
    reason = failure.reason if failure is not None else "no answer yet"
    match refusal:
        case Refusal.NOTHING_HELD:
            trouble = f" ({keeper.lookout.trouble})" if keeper.lookout.trouble else ""
            own = keeper.profile.source in {*WRITTEN_DOWN, COMMAND}
            way = _login_hint(keeper, command) if own else f"log in with: {command}"
            return ProfileUnavailable(
                f'No credentials found for profile "{profile}".{trouble}',
                hint=f"{way}; looked at {keeper.place.description}",
            )
        case Refusal.LOGIN_REQUIRED if _is_minted(keeper):
            return LoginRequired(
                f"the identity token of {profile} was refused: {reason}",
                hint=f"it comes from {keeper.place.description}: put a new one there, or mend the rule at the "
                "server; a file that changes is tried within seconds, anything else within ten minutes",
            )
        case Refusal.LOGIN_REQUIRED:
            static = keeper.credential is not None and not keeper.credential.refreshable
            cause = f"{profile} was refused: {reason}" if static else _refresh_failed(keeper, reason)
            return LoginRequired(cause, hint=_login_hint(keeper, command), command=command)
        case Refusal.EXPIRED:
            return _expired(keeper, command)
        case Refusal.EXCLUDED:
            return ProfileUnavailable(
                f"{profile} has no other token than the one that was refused",
                hint=_more_life_hint(keeper, command),
            )
        case Refusal.REFRESH_FAILING if keeper.phase is Phase.REFRESHING:
            return CallTimeout(
                f"{profile} is still being refreshed", hint="the refresh goes on: ask again, or wait longer"
            )
        case Refusal.REFRESH_FAILING:
            return _refresh_failing(keeper, command, reason, retry_after=retry_after)


def _refresh_failing(keeper: Keeper, command: str, reason: str, *, retry_after: float | None) -> RefreshFailed:
    profile, failure = keeper.profile.id, keeper.attempts.failure
    wait = math.ceil(retry_after) if retry_after is not None else None
    when = f"tokenward tries again in {wait} s; " if wait is not None else ""
    if _is_minted(keeper):
        cause = f"no token could be minted for {profile}: {reason}"
        way = f"its identity token comes from {keeper.place.description}"
    else:
        cause = _refresh_failed(keeper, reason)
        way = f"try it now: tokenward refresh {profile}"
        if failure is None or failure.cause != Cause.LOCKED:  # nobody asked the server: a new login mends nothing
            way += f"; or log in again with: {command}"
    return RefreshFailed(
        cause,
        hint=f"{when}{way}",
        error_class=_CLASSES.get(failure.cause if failure is not None else "", PROVIDER),
        retry_after=wait,
    )


def _is_minted(keeper: Keeper) -> bool:
    return keeper.refresher is not None and keeper.refresher.mode == "mint"


def _login_hint(keeper: Keeper, command: str) -> str:
    if keeper.profile.source in WRITTEN_DOWN:
        return f"put a new one into {keeper.place.description}"
    if keeper.profile.source == COMMAND:
        return f"run the command of {keeper.place.description} by hand and see what it prints"
    return f"log in again with: {command}"


def _refresh_failed(keeper: Keeper, reason: str) -> str:
    return (
        f"OAuth token refresh failed for {keeper.profile.provider}: {reason}. Please try again or re-authenticate."
    )


def _expired(keeper: Keeper, command: str) -> TokenwardError:
    credential = keeper.credential
    if credential is not None and credential.refreshable and keeper.refresher is None:
        return ProfileUnavailable(
            f"the token of {keeper.profile.id} expired, and tokenward only watches this login",
            hint=keeper.note or f"run one prompt in Claude Code, or log in with: {command}",
            error_class=AUTHENTICATION,
        )
    return LoginRequired(
        f"OAuth token expired and no refresh token available for {keeper.profile.id}. Please re-authenticate.",
        hint=_login_hint(keeper, command),
        command=command,
    )


def _more_life_hint(keeper: Keeper, command: str) -> str:
    if keeper.profile.source == CLAUDE_CODE:
        return 'run one prompt in Claude Code, which renews it, or set refresh = "direct" (see the README)'
    if keeper.profile.source == COMMAND:
        return _login_hint(keeper, command)
    return f"give it new material with: {command}"


def cannot_refresh(keeper: Keeper) -> TokenwardError:
    """The error for a refresh by hand that no means of this profile can make."""
    credential = keeper.credential
    if credential is None:
        return error_for(Refusal.NOTHING_HELD, keeper, retry_after=None)
    if keeper.phase is Phase.LOGIN_REQUIRED:
        return error_for(Refusal.LOGIN_REQUIRED, keeper, retry_after=None)
    if not credential.refreshable:
        return ProfileUnavailable(
            f"{keeper.profile.id} is a static {credential.kind}: there is nothing to refresh",
            hint="give it new material with: tokenward add",
        )
    if keeper.refresher is None:
        return ProfileUnavailable(
            f"tokenward only watches {keeper.profile.id}",
            hint=keeper.note or "run one prompt in Claude Code, which renews it",
        )
    return ProfileUnavailable(
        f"{keeper.profile.id} is refreshed by Claude Code, which does so when 5 minutes are left",
        hint=_more_life_hint(keeper, login_command(keeper)),
    )
