"""Which tier a credential is of: ``free``, ``pro``, ``max``, ``max_5``, ``max_20`` or ``api`` (N11, N43).

The problem: owners say it in their own words (``default_claude_max_5x``, ``max``), or not at all, and a guess
("pro") sends people to a worse model than they pay for. So what nobody said is unknown.
"""

from __future__ import annotations

from tokenward.core.credential import Credential, Kind

TIERS = ("free", "pro", "max", "max_5", "max_20", "api")
_PAID_BY_THE_TOKEN = frozenset({Kind.API_KEY, Kind.AUTH_TOKEN, Kind.FEDERATED})
_NAMED_IN_WORDS = ("max_20", "max_5", "max", "pro", "free")
"""The more particular first: ``max_20x`` holds ``max`` too."""


def tier_of(credential: Credential) -> str | None:
    """The tier that a credential's own data name; None where they do not.

    The rate-limit tier is asked before the subscription: both say ``max``, and only the first says which.
    """
    for said in (credential.tier, credential.subscription):
        for tier in _NAMED_IN_WORDS:
            if said and tier in said.lower():
                return tier
    return "api" if credential.kind in _PAID_BY_THE_TOKEN else None


def tier_named(text: str) -> str | None:
    """The tier that a person named, in any case and with blanks around it; None if there is no such tier."""
    name = text.strip().lower()
    return name if name in TIERS else None
