"""Does the shared store answer, and has this host the keys of what it holds?"""

from __future__ import annotations

from tokenward.checks.finding import CheckContext, Finding

NAME = "shared store"
ALL_HOSTS = "nothing shared is refreshed from here; other hosts are not touched by this"


def check(context: CheckContext) -> list[Finding]:
    """Where credentials are shared, and what is wrong there."""
    look = context.shared
    if look is None:
        return []
    if look.trouble is not None:
        hint = look.hint or "see that it runs and can be reached from here: tokenward fleet join"
        return [Finding(NAME, "fail", look.trouble, hint, ALL_HOSTS)]
    if look.unreadable:
        named = ", ".join(look.unreadable[:5])
        return [
            Finding(
                NAME,
                "fail",
                f"{len(look.unreadable)} of {look.records} shared profiles cannot be opened here: {named}",
                "give this host the fleet's keys: tokenward fleet join",
                "they cannot be served from here",
            )
        ]
    if look.orphans:
        return [
            Finding(
                NAME,
                "warn",
                f"{look.orphans} new tokens came after another host had replaced the old one",
                "look at them: tokenward fleet status",
                "logins that nobody uses may be good still",
            )
        ]
    return [Finding(NAME, "ok", f"{look.location}, {look.records} profiles")]
