"""What follows when a caller's token was not accepted: another one, if there can be one.

The problem: a caller knows that its request was refused, and we know whether the token it used is still the
one we hold. Only both together say whether to refresh: so a report names the generation it speaks of, and one
about another generation than ours changes nothing (design I7).

Rules: many reports of one generation cause one refresh; a static credential that was refused is not tried
again by us, and a person is told.
"""

from __future__ import annotations

from tokenward.core.lifecycle import Phase
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.token_models import ReportResult
from tokenward.errors import RefreshFailed

UNAUTHORIZED = 401
AUTH = "auth"


async def renew(keeper: Keeper, generation: str) -> ReportResult:
    """Get another value than the one that was refused.

    Args:
        keeper: whose token was used.
        generation: the value that was refused.

    Returns:
        ``retry`` with another value, ``wait`` or ``login`` without one.
    """
    if keeper.credential is None:
        return ReportResult(failure=AUTH, action="login")
    if not keeper.credential.refreshable and keeper.credential.generation == generation:
        try:
            keeper.distrust(generation)
        except RefreshFailed as bucket:
            return ReportResult(failure=AUTH, action="wait", retry_after=bucket.details.get("retry_after"))
        await keeper.reconcile()
        renewed = keeper.credential is not None and keeper.credential.generation != generation
        keeper.refused(generation)
        return ReportResult(failure=AUTH, action="retry" if renewed else "login")
    try:
        renewed = await keeper.reject(generation)
    except RefreshFailed as bucket:
        return ReportResult(failure=AUTH, action="wait", retry_after=bucket.details.get("retry_after"))
    if renewed:
        return ReportResult(failure=AUTH, action="retry")
    if keeper.phase in {Phase.BACKOFF, Phase.UNSAVED}:
        return ReportResult(failure=AUTH, action="wait", retry_after=keeper.retry_in())
    return ReportResult(failure=AUTH, action="login")
