"""Why the daemon refused the helper a token, in the words of somebody who set up Claude Code.

The problem: the helper asks for keys alone, so a person with a login hears "no credentials". They have one; it
does not go this way.

Rules: loaded by ``helper`` from beside it, and only when the daemon refused; standard library only.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

PERSON = 3
"""Exit status: somebody must log in, or use the other way."""
ERROR = 1
_NOTHING_FOUND = {"NoCredentials", "AllUnavailable", "ProfileUnavailable"}


def explained(
    error: Mapping[str, Any], wish: Mapping[str, Any], kinds: Sequence[str], ask: Callable[[str, Any], Any]
) -> tuple[int, str, str]:
    """What to end with.

    Args:
        error: the daemon's error.
        wish: what ``token.get`` was asked with.
        kinds: the kinds that it was held to, if it was.
        ask: calls another method, from method and params to the reply.

    Returns:
        Exit status, cause, hint.
    """
    data = error.get("data")
    data = data if isinstance(data, dict) else {}
    type_of_error = data.get("type")
    if type_of_error in _NOTHING_FOUND and "kinds" in wish and _has_only_others(wish, kinds, ask):
        return (
            PERSON,
            "there is a login, but Claude Code sends a helper's value as an API key, which a login's token is not",
            "give Claude Code the login as a profile: tokenward claude-code install --via profile",
        )
    cause = str(error.get("message") or "the daemon refused")
    hint = str(data.get("hint") or "see: tokenward status")
    return (PERSON if type_of_error in {"NoCredentials", "LoginRequired"} else ERROR), cause, hint


def _has_only_others(wish: Mapping[str, Any], kinds: Sequence[str], ask: Callable[[str, Any], Any]) -> bool:
    """Whether there are profiles that fit, and the filter by kind is what left none of them."""
    profile = wish.get("profile")
    provider = profile.partition(":")[0] if profile else wish["provider"]
    try:
        listed = ask("profile.list", {"provider": provider})["result"]["profiles"]
        found = {item["kind"] for item in listed if profile in {None, item["profile"]}} - {None}
    except Exception:  # noqa: BLE001 - whatever it is, the daemon's first word then stands
        return False
    return bool(found) and found.isdisjoint(kinds)  # None: a place that is watched and holds no login
