"""`tokenward metrics`: a page on standard output, or a file that a collector can read at any moment."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from client.fake_daemon import FakeDaemon, Json
from tokenward.cli.main import main

PAGE = "# TYPE tokenward_up gauge\ntokenward_up 1.0\n"


@pytest.fixture
def asked(daemon: FakeDaemon) -> list[Json]:
    """What the daemon is asked for."""
    asked: list[Json] = []

    def answer(params: Json) -> Json:
        asked.append(params)
        return {"content_type": "text/plain", "text": PAGE}

    daemon.answers["metrics.get"] = answer
    return asked


def test_the_page_as_it_is(asked: list[Json], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is added, and OpenMetrics is asked for unless somebody says otherwise."""
    assert main(["metrics"]) == 0
    assert capsys.readouterr().out == PAGE
    assert main(["metrics", "--format", "prometheus"]) == 0
    assert [each["format"] for each in asked] == ["openmetrics", "prometheus"]


def test_a_file_is_replaced_whole(asked: list[Json], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the text that node_exporter reads, readable by it, and nothing is left beside it."""
    path = tmp_path / "tokenward.prom"
    path.write_text("before\n")
    with path.open() as opened:
        assert main(["metrics", "--output", str(path)]) == 0
        assert opened.read() == "before\n", "it was written into"
    assert path.read_text() == PAGE
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert [each["format"] for each in asked] == ["prometheus"]
    assert capsys.readouterr().out == ""


def test_a_file_that_cannot_be_written(
    asked: list[Json], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines, and nothing is left behind."""
    taken = tmp_path / "taken.prom"
    taken.mkdir()
    for path in (tmp_path / "none" / "x.prom", taken):
        assert main(["metrics", "--output", str(path)]) == 1
        cause, hint = capsys.readouterr().err.splitlines()
        assert cause.startswith(f"tokenward: {path} cannot be written: ")
        assert hint.startswith("  hint: ")
    assert [entry.name for entry in tmp_path.iterdir()] == [taken.name]


def test_no_daemon(no_daemon: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 4; the file says that none answers, rather than what was true before."""
    path = tmp_path / "tokenward.prom"
    path.write_text(PAGE)
    assert main(["metrics"]) == 4
    assert path.read_text() == PAGE
    assert main(["metrics", "--output", str(path)]) == 4
    assert "tokenward_up 0.0\n" in path.read_text()
    assert capsys.readouterr().out == ""
