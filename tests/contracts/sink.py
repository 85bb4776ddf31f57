"""What every `ports.Sink` promises: subclass `SinkContract` and give it a sink that has published nothing."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.ports import Published, Sink

ENDS = datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)
REFRESH = "refresh-token-that-stays-here"
FIRST, SECOND = "sk-ant-oat01-first", "sk-ant-oat01-second"


def published(token: str, *, kind: Kind = Kind.OAUTH, expires_at: datetime | None = ENDS) -> Published:
    """What a sink is given of a credential that has a refresh token."""
    credential = Credential(kind, Secret(token), Secret(REFRESH), expires_at)
    return Published(
        profile="anthropic:me",
        provider="anthropic",
        kind=kind,
        token=credential.access,
        generation=credential.generation,
        expires_at=expires_at,
    )


def files_below(directory: Path) -> set[Path]:
    """Every file below a directory."""
    return {path for path in directory.rglob("*") if path.is_file()}


class SinkContract:
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Sink:
        """A sink below `tmp_path`; overridden by every adapter's tests."""
        raise NotImplementedError

    def content(self, sink: Sink) -> str:
        """All that it has published."""
        return "".join(path.read_text() for path in sink.paths)

    def test_what_is_published_is_there_and_private(self, sink: Sink) -> None:
        """Whatever the umask, nobody but the owner reads the token."""
        before = os.umask(0)
        try:
            assert sink.publish(published(FIRST))
        finally:
            os.umask(before)
        assert FIRST in self.content(sink)
        for path in sink.paths:
            assert stat.S_IMODE(path.lstat().st_mode) == 0o600

    def test_a_rotation_replaces_it(self, sink: Sink) -> None:
        """The new token is in new files and the old one nowhere; readers of the old file keep it whole."""
        sink.publish(published(FIRST))
        secret = sink.paths[-1]
        with secret.open() as opened:
            assert sink.publish(published(SECOND))
            assert FIRST in opened.read()
        assert SECOND in self.content(sink)
        assert FIRST not in self.content(sink)
        beside = [entry.name for entry in secret.parent.iterdir() if ".tokenward-" in entry.name]
        assert beside == []

    def test_what_is_there_already_is_not_written(self, sink: Sink) -> None:
        """It says that nothing changed, and those who watch the files are not woken."""
        sink.publish(published(FIRST))
        before = [path.stat().st_ino for path in sink.paths]
        assert not sink.publish(published(FIRST))
        assert [path.stat().st_ino for path in sink.paths] == before

    def test_what_is_withdrawn_is_gone(self, sink: Sink) -> None:
        """Once it says so, again it says that nothing was there; and it can be published anew."""
        sink.publish(published(FIRST))
        assert sink.withdraw()
        assert not any(path.exists() for path in sink.paths)
        assert not sink.withdraw()
        assert sink.publish(published(SECOND))

    def test_no_refresh_token_and_no_trace_of_one(self, sink: Sink, tmp_path: Path) -> None:
        """What a sink is given holds none, so that none can be written (design I9)."""
        token = published(FIRST)
        assert not any(REFRESH in repr(getattr(token, name)) for name in Published.__slots__)
        assert not hasattr(token, "refresh")
        sink.publish(token)
        assert all(REFRESH not in path.read_text() for path in files_below(tmp_path))

    def test_a_symbolic_link_gets_nothing(self, sink: Sink, tmp_path: Path) -> None:
        """What it leads to is left alone, and so is the link when the sink is withdrawn."""
        theirs = tmp_path / "theirs"
        theirs.write_text("theirs")
        path = sink.paths[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(theirs)
        with pytest.raises(Exception, match="symbolic link"):
            sink.publish(published(FIRST))
        assert not sink.withdraw()
        assert path.is_symlink()
        assert theirs.read_text() == "theirs"

    def test_what_somebody_else_wrote_stays(self, sink: Sink) -> None:
        """A mistyped path costs nobody a file: neither a publication nor a withdrawal touches it."""
        path = sink.paths[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("theirs")
        with pytest.raises(Exception, match=r"did not write|another program"):
            sink.publish(published(FIRST))
        assert not sink.withdraw()
        assert path.read_text() == "theirs"
