"""What does the API say to one small request with a credential of ours?

A proxy in between answers in the API's place: with 401 where it forwards no credential, with 404 where it forwards
nothing, and a network's login page with 200. Anthropic's API marks its own answers with a ``request-id``; a
proxy's do not have one (requirement P35). Of other APIs nobody knows, so theirs are taken as they are.

Rule: nothing is sent from here. Somebody has asked before, or there is nothing to say.
"""

from __future__ import annotations

from tokenward.checks.clocks import SET_CLOCK
from tokenward.checks.finding import CheckContext, Finding, Level, Probed
from tokenward.checks.profiles import remedy
from tokenward.provider_files import is_built_in

NAME = "probe"
SKEW_WARNED, SKEW_FAILING = 30.0, 300.0
"""A refresh comes 90 s before the end, and servers take assertions that are a few minutes off."""


def check(context: CheckContext) -> list[Finding]:
    """The verdict, and how far our clock is from the server's."""
    probed = context.probed
    if probed is None:
        return []
    return [_verdict(probed, _remedy(probed, context)), *([] if probed.ahead is None else [_skew(probed.ahead)])]


def _verdict(probed: Probed, renew: str) -> Finding:
    if probed.profile is None:
        cause = f"{probed.provider}: no request was made: {probed.reason}"
        return Finding(NAME, "fail", cause, probed.hint, "a program that asks for a token gets the same answer")
    unmarked = is_built_in(probed.provider) and not probed.from_api
    if probed.verdict == "taken" and unmarked:
        cause = (
            f"{probed.profile} was answered {probed.status} without a request-id, as {probed.provider} would give"
        )
        consequence = "a gateway of yours, or the login page of a network, answered in the API's place"
        hint = "if you use no gateway, log in to the network, then run: tokenward doctor --probe"
        return Finding(NAME, "warn", cause, hint, consequence)
    if probed.verdict == "taken":
        return Finding(NAME, "ok", f"{probed.provider} takes the credential of {probed.profile}")
    reason = f": {probed.reason}" if probed.reason else ""
    if probed.status is None:
        cause = f"{probed.profile} could not be tried{reason}"
        return Finding(NAME, "warn", cause, probed.hint or _again(probed), _UNKNOWN)
    if probed.status in {401, 403} and unmarked:
        cause = f"something between here and {probed.provider} answered {probed.status} (no request-id){reason}"
        consequence = "the API never saw the credential: a proxy must forward x-api-key and Authorization"
        return Finding(NAME, "fail", cause, "run: env | grep -i -e _proxy -e base_url", consequence)
    if probed.verdict == "refused":
        cause = f"{probed.provider} itself refuses the credential of {probed.profile} with {probed.status}{reason}"
        return Finding(NAME, "fail", cause, renew, "every program that is served this credential is refused")
    cause = f"{probed.provider} answered {probed.status} to {probed.profile}{reason}"
    return Finding(NAME, "warn", cause, _again(probed), _UNKNOWN)


def _again(probed: Probed) -> str:
    return f"a little later, run: tokenward doctor --probe --profile {probed.profile}"


def _remedy(probed: Probed, context: CheckContext) -> str:
    """What renews this very credential, where the daemon has said what it is."""
    for each in context.profiles or ():
        if each["profile"] == probed.profile:
            return remedy(each)
    return f"run: tokenward login {probed.provider}"


_UNKNOWN = "whether the API takes it is not known"


def _skew(ahead: float) -> Finding:
    words = f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's"
    level: Level = "fail" if abs(ahead) > SKEW_FAILING else "warn" if abs(ahead) > SKEW_WARNED else "ok"
    if level == "ok":
        return Finding(NAME, "ok", "this machine's clock agrees with the server's")
    consequence = (
        "tokens are refreshed too early" if ahead > 0 else "tokens are used after their end, and are refused"
    )
    return Finding(NAME, level, words, SET_CLOCK, consequence)
