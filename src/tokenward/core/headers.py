"""Which headers a request needs, for each kind of credential (the table of design section 1).

The problem: a key in the wrong header, an OAuth token without its beta, or both headers at once is a 401 that
looks like an expired token, and a daemon that believes it would refresh a healthy login. So the headers are
advice of the daemon, made from the provider's rules, and never put together by the caller.

Rules:
- Exactly one header carries the token.
- A caller's betas are added, never left out: what a request needs only its sender knows.
- Names are in lower case, so that a caller who merges them with its own finds the double.
- Nothing here names a program: we never pose as another one (design section 8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from tokenward.core.credential import Credential, Kind

AUTHORIZATION = "authorization"
BETA = "anthropic-beta"
Billing = Literal["api", "subscription"]


class HeaderRules(NamedTuple):
    """What one provider wants to see.

    Args:
        key_header: the header that carries a credential of kind ``api_key`` as it is; None = it too travels
            as ``Authorization: Bearer`` (RFC 6750 section 2.1), like every other kind.
        betas: the values of ``anthropic-beta`` that a kind needs.
        always: headers that every request needs, names in lower case.
        billing: who pays for requests made with a kind.
    """

    key_header: str | None = None
    betas: Mapping[Kind, tuple[str, ...]] = MappingProxyType({})
    always: Mapping[str, str] = MappingProxyType({})
    billing: Mapping[Kind, Billing] = MappingProxyType({})


def advice(credential: Credential, rules: HeaderRules) -> dict[str, str]:
    """The headers that make a request authentic, the token included.

    Args:
        credential: the one to be used.
        rules: those of its provider.
    """
    headers = dict(rules.always)
    token = credential.access.reveal()
    if credential.kind is Kind.API_KEY and rules.key_header is not None:
        headers[rules.key_header] = token
    else:
        headers[AUTHORIZATION] = f"Bearer {token}"
    if betas := rules.betas.get(credential.kind):
        headers[BETA] = ",".join(betas)
    return headers


def with_betas(headers: Mapping[str, str], asked: Iterable[str]) -> dict[str, str]:
    """The advice with the caller's own betas after those that the credential needs, each of them once.

    Args:
        headers: the advice.
        asked: values of ``anthropic-beta``, each of which may be a list with commas.
    """
    needed = [headers[BETA]] if BETA in headers else []
    betas = [beta.strip() for value in (*needed, *asked) for beta in value.split(",")]
    merged = ",".join(dict.fromkeys(filter(None, betas)))
    return {**headers, BETA: merged} if merged else dict(headers)
