"""What the daemon answers about usage, for tests of pictures."""

from __future__ import annotations

from typing import Any

from client.fake_daemon import Json


def usage(profile: str, **utilizations: float | None) -> Json:
    """One profile of `usage.get`, as far as a status shows it."""
    quotas: dict[str, Any] = {"five_hours": None, "seven_days": None, **utilizations}
    limits = {name: {"utilization": part, "status": None, "resets_at_ms": None} for name, part in quotas.items()}
    return {"profile": profile, "agent": "main", "rate_limit": limits}
