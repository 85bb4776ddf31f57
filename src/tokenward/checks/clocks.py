"""Do the clocks say what expiry, locks and suspend are reckoned by?"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tokenward.checks.finding import CheckContext, Finding, to_run

NAME = "clocks"
SET_CLOCK = (
    "run: sudo sntp -sS time.apple.com" if sys.platform == "darwin" else "run: sudo timedatectl set-ntp true"
)
EARLIEST_PLAUSIBLE = datetime(2025, 1, 1, tzinfo=UTC)
"""This program was written later; a machine without a clock battery starts in 1970."""
FUTURE_SECONDS = 5.0
"""File systems and network mounts round times; more than this is a clock that was set back."""
BEHIND_SECONDS = 1.0
"""The boot clock runs on where the monotonic one stops, so it is never behind it but for the time to read both."""


def check(context: CheckContext) -> list[Finding]:
    """The wall clock against sense and against files, and the boot clock against the monotonic one."""
    wall = context.clock.wall()
    findings = []
    if wall < EARLIEST_PLAUSIBLE:
        consequence = "every token looks valid for years, and TLS fails"
        cause = f"the wall clock says {wall:%Y-%m-%d}"
        findings.append(Finding(NAME, "fail", cause, SET_CLOCK, consequence))
    findings.extend(_from_the_future(context, wall))
    findings.extend(_boot_clock(context))
    return findings or [Finding(NAME, "ok", "the clocks agree")]


def _from_the_future(context: CheckContext, wall: datetime) -> Iterator[Finding]:
    places = [context.claude_credentials, context.config, context.store_key, context.state]
    for path in (place for place in places if place is not None):
        ahead = _modified(path) - wall.timestamp()
        if ahead > FUTURE_SECONDS:
            consequence = "the clock was set back, or is behind another machine's: what expires looks valid longer"
            cause = f"{path} was changed {ahead:.0f} s in the future"
            yield Finding(NAME, "warn", cause, f"if the clock is right, {to_run('touch', path)}", consequence)


def _modified(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _boot_clock(context: CheckContext) -> Iterator[Finding]:
    consequence = "a suspend is noticed by the wall clock alone"
    hint = "restart the machine, or its virtual machine; nothing else is needed"
    try:
        monotonic, boot = context.clock.monotonic(), context.clock.boottime()
    except OSError as error:
        yield Finding(NAME, "warn", f"the boot clock cannot be read: {error.strerror}", hint, consequence)
        return
    if boot < monotonic - BEHIND_SECONDS:
        yield Finding(NAME, "warn", "the boot clock is behind the monotonic clock", hint, consequence)
