"""What follows from the configuration at a start alone is said when it changes."""

from __future__ import annotations

import logging

import pytest

from tokenward.core.credential import Secret
from tokenward.daemon.equipment import needs_restart
from tokenward.store_settings import StoreSettings

STARTED = StoreSettings(shared=Secret("postgresql://a@db/fleet"))


def test_what_is_shared_is_followed_after_a_restart(caplog: pytest.LogCaptureFixture) -> None:
    """Another engine, another key, or none any more: the daemon goes on as it started, and says so."""
    caplog.set_level(logging.WARNING)
    for changed in (
        StoreSettings(),
        StoreSettings(shared=Secret("postgresql://b@db/fleet")),
        StoreSettings(shared=STARTED.shared, shared_key="systemd"),
    ):
        reason = needs_restart(STARTED, changed)
        assert reason is not None
        assert "after a restart" in reason
        assert reason in caplog.text
        assert "postgresql" not in caplog.text


def test_what_a_reload_takes_over_needs_none() -> None:
    """The store's own key has its own way."""
    assert needs_restart(STARTED, StoreSettings(shared=STARTED.shared, key="keyring")) is None
    assert needs_restart(StoreSettings(), StoreSettings(key="file")) is None
