"""What both clients ask and how they speak of a failure: the parameters of the calls that have many.

Rules: what is None is not sent (``_answers.request`` leaves it out), so that the daemon's defaults hold. A
request is written twice only if the first cannot have been read, or if it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenward.client._connection import NotSent, Unanswered
from tokenward.client._shapes import Kind
from tokenward.errors import CallTimeout, DaemonUnreachable

GRACE = 2.0
"""Seconds past the timeout that a ``token.get`` names, in which the daemon's own timeout error arrives."""

CHANGES_NOTHING = frozenset(
    {
        "daemon.hello",
        "daemon.status",
        "events.history",
        "events.subscribe",
        "fallback.next",
        "model.for_tier",
        "model.info",
        "model.list",
        "model.resolve",
        "model.validate_access",
        "order.get",
        "profile.get",
        "profile.list",
        "provider.get",
        "provider.list",
        "session.get",
        "token.get",
    }
)
"""What may be asked again after a lost answer; ``token.get`` too, since equal requests share one refresh."""


def token_params(
    *,
    kinds: Sequence[Kind] | None,
    credential: Mapping[str, str] | None,
    betas: Sequence[str] | None,
    **wishes: Any,
) -> dict[str, Any]:
    """The parameters of ``token.get``."""
    return {
        **wishes,
        "kinds": None if kinds is None else list(kinds),
        "credential": None if credential is None else dict(credential),
        "betas": None if betas is None else list(betas),
    }


def report_params(
    *, error: Mapping[str, Any] | None, headers: Mapping[str, str] | None, **told: Any
) -> dict[str, Any]:
    """The parameters of ``token.report``."""
    return {
        **told,
        "error": None if error is None else dict(error),
        "headers": None if headers is None else dict(headers),
    }


def add_params(profile: str, kind: Kind, agent: str | None, **credential: Any) -> dict[str, Any]:
    """The parameters of ``profile.add``; members of the credential that are None are left out."""
    given = {name: value for name, value in credential.items() if value is not None}
    return {"profile": profile, "kind": kind, "credential": given, "agent": agent}


def gone(failure: NotSent | Unanswered) -> DaemonUnreachable:
    """The error for a connection that ended."""
    if isinstance(failure, NotSent):
        return DaemonUnreachable(
            "the daemon closed the connection before it read the request", hint="ask again: nothing was done"
        )
    return DaemonUnreachable(
        "the daemon went away before it answered", hint="see whether it runs, and what was done: tokenward status"
    )


def unanswered_within(seconds: float) -> CallTimeout:
    """The error for an answer that did not come in time."""
    return CallTimeout(
        f"the daemon did not answer within {seconds:g} s", hint="see what it does: tokenward status"
    )
