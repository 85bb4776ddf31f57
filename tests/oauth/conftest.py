"""What the tests of OAuth's endpoints share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tokenward.http import HttpClient


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client, closed at the end."""
    opened = HttpClient(user_agent="tokenward/0 (test)")
    yield opened
    await opened.aclose()
