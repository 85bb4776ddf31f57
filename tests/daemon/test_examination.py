"""What the doctor sees of a shared store, as the configuration names it."""

from __future__ import annotations

import socket
from pathlib import Path

from tokenward.checks import Finding
from tokenward.daemon.examination import examination
from tokenward.daemon.options import Options


def shared_store(home: Path, store: str) -> list[Finding]:
    """The findings on it."""
    config = home / "config.toml"
    config.write_text(f"[store]\n{store}\n")
    config.chmod(0o600)
    options = Options({"HOME": str(home), "PATH": "/nowhere"}, config_file=config)
    found = examination(options, profiles=None, probed=None, project=None)
    return [each for each in found if each.check == "shared store"]


def test_one_that_does_not_answer_is_a_finding(own_home: Path) -> None:
    """It says where it is and why, without the password, and looking makes nothing."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    [finding] = shared_store(own_home, f'shared = "postgresql://me:secret@127.0.0.1:{port}/fleet"')
    assert finding.level == "fail"
    assert f"127.0.0.1:{port}" in finding.cause
    assert "secret" not in finding.cause + finding.hint
    assert finding.hint
    assert not (own_home / ".local").exists()


def test_where_nothing_is_shared_there_is_none(own_home: Path) -> None:
    """It is not everybody's affair."""
    assert shared_store(own_home, 'key = "file"') == []
