"""What a caller's report means for the profile, and what the caller is told to do next.

The problem: a caller knows that a request failed, and we know whether the token it used is still the one we hold,
who else could serve, and when. Only both together make an answer that a program can follow without judging itself.

Rules:
- A report speaks of one generation; of another than ours it changes nothing (design I7).
- A refused token is refreshed first. Only if that brings no other is it held against the profile.
- Many reports of one failure count once: while a window is open nothing that it covers counts again.
- ``retry``: the profile serves, perhaps another token; ``rotate``: another profile serves now; ``wait``: nobody
  does before so many seconds; ``login``: nobody will before a person acts; ``none``: the request is to blame.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from tokenward.core.classify import FailureClass, classify
from tokenward.core.reset_times import is_account_wide, reset_at
from tokenward.daemon import failure_reports
from tokenward.daemon.broker import Broker
from tokenward.daemon.failure_reports import UNAUTHORIZED
from tokenward.daemon.line_up import LineUp
from tokenward.daemon.models import Models
from tokenward.daemon.token_models import ReportParams, ReportResult
from tokenward.errors import UnknownModel

if TYPE_CHECKING:
    from tokenward.daemon.keeper import Keeper

_BLAMELESS = frozenset({FailureClass.FORMAT})
"""Failures that any other credential would meet too."""
_OF_THE_WAY = frozenset({FailureClass.SERVER, FailureClass.TIMEOUT})


class Reports:
    """Takes them.

    Args:
        broker: knows who else could serve.
        line: keeps what is known of profiles.
        models: knows what a name for a model means.
    """

    def __init__(self, broker: Broker, line: LineUp, models: Models) -> None:
        self._broker = broker
        self._line = line
        self._models = models

    async def take(self, keeper: Keeper, params: ReportParams) -> ReportResult:
        """Act on one report.

        Args:
            keeper: whose token was used.
            params: the report.
        """
        failure = classify(params.status, params.error, params.headers, outcome=params.outcome)
        model = self._model(keeper, params.model)
        if failure is None:
            if self._is_of_ours(keeper, params) and (params.status is not None or params.outcome == "ok"):
                self._line.health.succeeded(keeper.profile.key, model=model)
            return ReportResult(failure=None, action="none")
        if failure is FailureClass.AUTH:
            return await self._unauthorized(keeper, params)
        moment = reset_at(params.headers, failure=failure, now=self._line.now())
        if self._is_of_ours(keeper, params):
            limited = None if is_account_wide(params.headers) else model
            self._line.health.failed(keeper.profile.key, failure, model=limited, reset_at=moment)
        advice = self._advice(keeper, failure, model, moment)
        if failure is not FailureClass.BILLING:
            return advice
        api = self._broker.household.provider(keeper.profile.provider).api
        return advice.model_copy(update={"billing_url": api.billing_url})

    async def _unauthorized(self, keeper: Keeper, params: ReportParams) -> ReportResult:
        static = keeper.credential is not None and not keeper.credential.refreshable
        # Only a 401 condemns a key for good: what else is refused may be refused by a proxy.
        if static and params.status not in {UNAUTHORIZED, None} and self._is_of_ours(keeper, params):
            self._line.health.failed(keeper.profile.key, FailureClass.AUTH)
            return self._advice(keeper, FailureClass.AUTH, None, None)
        told = await failure_reports.renew(keeper, params.generation)
        if told.action == "retry":
            return told
        if self._is_of_ours(keeper, params):
            self._line.health.failed(keeper.profile.key, FailureClass.AUTH)
        other, _ = self._broker.others(keeper, None)
        return ReportResult(failure=FailureClass.AUTH, action="rotate") if other else told

    def _advice(
        self, keeper: Keeper, failure: FailureClass, model: str | None, moment: datetime | None
    ) -> ReportResult:
        now, key = self._line.now(), keeper.profile.key
        why = self._line[key].unusable(now, model) if key in self._line else None
        if failure in _BLAMELESS or (failure is FailureClass.MODEL and model is None):
            return ReportResult(failure=failure, action="none")
        if why is None and keeper.credential is not None:
            wait = moment if failure in _OF_THE_WAY else None
            return ReportResult(failure=failure, action="retry", retry_after=_seconds(wait, now))
        other, soonest = self._broker.others(keeper, model)
        if other:
            return ReportResult(failure=failure, action="rotate")
        if soonest is None:
            return ReportResult(failure=failure, action="login")
        return ReportResult(failure=failure, action="wait", retry_after=_seconds(soonest.until, now))

    @staticmethod
    def _is_of_ours(keeper: Keeper, params: ReportParams) -> bool:
        return keeper.credential is not None and keeper.credential.generation == params.generation

    def _model(self, keeper: Keeper, name: str | None) -> str | None:
        if name is None:
            return None
        try:
            return self._models.meant(name, provider=keeper.profile.provider).model
        except UnknownModel:
            return name


def _seconds(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else round((moment - now).total_seconds(), 3)
