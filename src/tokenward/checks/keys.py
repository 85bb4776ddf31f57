"""Does what is written down as a credential look like one?

A key in the wrong place, or one that was pasted with the word before it, is a 401 hours later, in a message that
says nothing of places (requirements P32, N64).

Rule: of a key only its well-known beginning is ever shown.
"""

from __future__ import annotations

from tokenward.checks.claude_code_settings import Said, environment_in_settings
from tokenward.checks.finding import CheckContext, Finding
from tokenward.core.recognise import Shape, recognise, without_bearer
from tokenward.core.redact import recognisable
from tokenward.provider_files import goes_to_gateway

NAME = "keys"
BASE_URL, VARIABLE = "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"
BEARERS = ("ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
_API_KEY = "sk-ant-api"
_CONSOLE = "make one at the Console, then run: tokenward add anthropic:default --api-key"
_UNAUTHORISED = "the API answers 401, in words that do not name this place"


def check(context: CheckContext) -> list[Finding]:
    """Each written-down credential for its form, and those that go to Anthropic itself for their beginning."""
    written = {f"${name}": context.environ.get(name, "") for name in (VARIABLE, *BEARERS)}
    laid_over = environment_in_settings(context)
    written |= {
        f"{name} in {said.path}": said.value
        for name in (VARIABLE, *BEARERS)
        if (said := laid_over.get(name)) is not None
    }
    configured = "" if context.configured_key is None else context.configured_key.reveal()
    findings = [_malformed(place, text) for place, text in written.items()]
    findings.append(_malformed("api_key of providers.anthropic", configured))
    to_judge = {"api_key of providers.anthropic": configured}
    address = laid_over.get(BASE_URL, Said(context.environ.get(BASE_URL, ""), context.claude_config)).value
    if not goes_to_gateway(address.strip()):
        to_judge |= {place: text for place, text in written.items() if VARIABLE in place}
    judged = [_judged(place, text.strip()) for place, text in to_judge.items() if _malformed(place, text) is None]
    return [each for each in (*findings, *judged) if each is not None]


def _malformed(place: str, text: str) -> Finding | None:
    """What no header can carry, or what carries a second ``Bearer``."""
    bare = text.strip()
    if without_bearer(bare)[1]:
        cause = f'{place} begins with "Bearer ", which is not part of a credential'
    elif len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'":
        cause = f"{place} stands in quotation marks, which are not part of a credential"
    elif len(bare.split()) > 1:
        cause = f"{place} has blanks or line breaks inside"
    else:
        return None
    return Finding(NAME, "fail", cause, _again(place), _UNAUTHORISED)


def _again(place: str) -> str:
    if place.startswith("$"):
        return f"paste it alone: read -rs {place[1:]}; export {place[1:]}"
    return "take that out there, then run: tokenward doctor"


def _judged(place: str, key: str) -> Finding | None:
    if not key:
        return None
    shown = recognisable(key)
    shape = recognise(key).shape
    if shape is Shape.API_KEY:
        return Finding(NAME, "ok", f"{place} begins as an API key does: {shown}")
    if shape is Shape.SETUP_TOKEN:
        cause = f"{place} holds a setup token ({shown})"
        consequence = "other programs would send it as an API key, and be refused"
        return Finding(NAME, "warn", cause, "run: tokenward add anthropic:manual --setup-token", consequence)
    cause = f"{place} does not begin with {_API_KEY}, as an API key of Anthropic does: {shown}"
    return Finding(NAME, "fail", cause, _CONSOLE, _UNAUTHORISED)
