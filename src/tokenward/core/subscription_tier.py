"""Which tier a credential is of: ``free``, ``pro``, ``max``, ``max_5``, ``max_20`` or ``api`` (N11, N43).

The problem: owners say it in their own words (``default_claude_max_5x``, ``max``), or not at all, and a guess
("pro") sends people to a worse model than they pay for. So what nobody said is unknown.

A login can be valid and still open no API: a free account's, or one that was not granted inference (L14). The API
then answers each request with a refusal that looks like an outage, so the login itself is flagged.
"""

from __future__ import annotations

from tokenward.core.credential import Credential, Kind

TIERS = ("free", "pro", "max", "max_5", "max_20", "api")
INFERENCE_SCOPE = "user:inference"
"""Without it an access token of Anthropic's authorization server may not ask a model anything."""
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


def insufficient_access(credential: Credential, *, tier: str | None) -> str | None:
    """Why a login that a subscription pays for opens no API; None if it does, or if nobody says.

    Args:
        credential: one of Anthropic's, as its owner keeps it.
        tier: the tier in force; a person's own word wins over the credential's.
    """
    if tier == "free":
        return "the account's plan is free"
    # A token that names no scopes at all says nothing of them.
    if credential.subscription is None and credential.scopes and INFERENCE_SCOPE not in credential.scopes:
        return f"the login was not granted {INFERENCE_SCOPE}"
    return None


def tier_named(text: str) -> str | None:
    """The tier that a person named, in any case and with blanks around it; None if there is no such tier."""
    name = text.strip().lower()
    return name if name in TIERS else None
