"""A daemon to talk to, where the environment says it is."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.fake_daemon import FakeDaemon


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    """A fake daemon; its socket's path is short, as that of a socket must be."""
    with tempfile.TemporaryDirectory(prefix="tw") as directory:
        path = Path(directory) / "s"
        monkeypatch.setenv("TOKENWARD_SOCKET", str(path))
        with FakeDaemon(path) as running:
            yield running
