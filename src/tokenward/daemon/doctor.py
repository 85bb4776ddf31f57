"""The doctor inside the daemon: what the checks find from here, and what an API says to one small request.

The problem: the checks look at disks and run commands, for seconds; and only the daemon has a credential to try,
refreshed if it must be, without anybody being shown it.

Rules:
- The checks run in a thread that nobody else waits for, one run at a time.
- A probe sends one request with the very token that a caller would get, and nothing else: a GET that costs
  nothing, or, where a model is named, a message of one word to it.
- What kept a credential from being had is the probe's answer, and no error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
from anyio import to_thread

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.daemon.doctor_models import (
    DoctorProbeParams,
    DoctorProbeResult,
    DoctorRunParams,
    DoctorRunResult,
    FindingResult,
)
from tokenward.daemon.household import Household
from tokenward.daemon.profile_models import ProfileListParams, ProfileResult
from tokenward.daemon.token_models import TokenParams, TokenResult
from tokenward.errors import TokenwardError


@dataclass(frozen=True, slots=True)
class Doctor:
    """Who examines.

    Args:
        household: its clock, its login servers, and the checks.
        token: what a caller gets.
        profiles: what is kept.
        one_at_a_time: the worker thread.
    """

    household: Household
    token: Callable[[TokenParams], Awaitable[TokenResult]]
    profiles: Callable[[ProfileListParams], list[ProfileResult]]
    one_at_a_time: anyio.CapacityLimiter

    async def run(self, params: DoctorRunParams) -> DoctorRunResult:
        """Run every check, with a probe if that is wished."""
        probed = None
        if params.probe:
            probed = await self.probe(
                DoctorProbeParams(profile=params.profile, agent=params.agent, model=params.model)
            )
        kept = [each.model_dump(mode="json") for each in self.profiles(ProfileListParams())]
        found = await to_thread.run_sync(
            self.household.examine,
            kept,
            None if probed is None else probed.model_dump(mode="json"),
            limiter=self.one_at_a_time,
            abandon_on_cancel=True,
        )
        findings = [
            FindingResult(
                check=each.check, level=each.level, cause=each.cause, consequence=each.consequence, hint=each.hint
            )
            for each in found
        ]
        return DoctorRunResult(findings=findings)

    async def probe(self, params: DoctorProbeParams) -> DoctorProbeResult:
        """Show one credential to its API, if one can be had."""
        try:
            token = await self.token(TokenParams(profile=params.profile, agent=params.agent))
        except TokenwardError as error:
            wanted = params.profile.partition(":")[0] if params.profile else self.household.default_provider
            return _unasked(wanted, error)
        credential = Credential(Kind(token.kind), Secret(token.token))
        try:
            found = await self.household.login_server(token.provider).check_key(credential, model=params.model)
        except TokenwardError as error:
            return _unasked(token.provider, error)
        answer = found.answer
        ahead = None
        if answer is not None and answer.date is not None:
            ahead = (self.household.around.clock.wall() - answer.date).total_seconds()
        return DoctorProbeResult(
            profile=token.profile,
            provider=token.provider,
            verdict=found.verdict,
            reason=found.reason,
            hint=found.hint,
            status=None if answer is None else answer.status,
            from_api=answer is not None and answer.from_api,
            ahead=ahead,
        )


def _unasked(provider: str, error: TokenwardError) -> DoctorProbeResult:
    return DoctorProbeResult(
        profile=None,
        provider=provider,
        verdict="unknown",
        reason=error.cause,
        hint=error.hint,
        status=None,
        from_api=False,
        ahead=None,
    )
