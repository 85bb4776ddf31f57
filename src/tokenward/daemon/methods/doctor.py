"""``doctor.*``: what is wrong around the daemon, and whether an API takes a credential of ours.

Rule: no result holds a secret, and without ``probe`` nothing is sent anywhere.
"""

from __future__ import annotations

from tokenward.daemon.doctor_models import (
    DoctorProbeParams,
    DoctorProbeResult,
    DoctorRunParams,
    DoctorRunResult,
)
from tokenward.daemon.methods.method import Call, Method


async def _run(call: Call, params: DoctorRunParams) -> DoctorRunResult:
    return await call.service.doctor.run(params)


async def _probe(call: Call, params: DoctorProbeParams) -> DoctorProbeResult:
    return await call.service.doctor.probe(params)


METHODS = (
    Method.of(
        name="doctor.run",
        handler=_run,
        summary="Every check, with the daemon's own environment; a shell's is seen by `tokenward doctor` alone.",
    ),
    Method.of(
        name="doctor.probe",
        handler=_probe,
        summary="Show one credential to its API, by one request that costs nothing.",
    ),
)
