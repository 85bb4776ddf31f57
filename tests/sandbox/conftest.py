"""Every test gets a sandbox of its own, with a clock that stands still until told."""

from collections.abc import Iterator

import pytest

from sandbox.caller import Clock
from tokenward.sandbox import Sandbox


@pytest.fixture
def clock() -> Clock:
    """A clock that moves when told."""
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    """A running sandbox with default rules."""
    with Sandbox(clock=clock) as running:
        yield running
