"""``tokenward import`` and ``tokenward adopt``: what they ask for, and what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from client.fake_daemon import FakeDaemon, profile
from tokenward.cli.adopt import _TERMS
from tokenward.cli.main import main
from tokenward.daemon import app

RESULT: dict[str, Any] = {
    "source": "polpo",
    "files": ["/home/me/.polpo/auth-profiles.json"],
    "imported": [
        {
            "profile": "acme:a",
            "kind": "api_key",
            "generation": "0123456789ab",
            "expires_at_ms": None,
            "note": "mind \x1b[31mthis",
        }
    ],
    "unchanged": ["acme:b"],
    "skipped": [{"name": "acme:c", "reason": "it is empty"}],
    "dry_run": False,
}


def test_everything_that_was_seen_is_said(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Imported, kept already, skipped with the reason; the files on standard error; no control characters."""
    daemon.answers["source.import"] = lambda _: RESULT
    assert main(["import", "--from", "polpo", "--path", "~/x.json", "--profile", "acme:a"]) == 0
    sent = daemon.params("source.import")
    assert sent["path"] == str(Path("~/x.json").expanduser())
    assert (sent["source"], sent["profiles"], sent["dry_run"]) == ("polpo", ["acme:a"], False)
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "acme:a: imported (api key); mind  [31mthis",
        "acme:b: is kept already",
        "acme:c: skipped: it is empty",
    ]
    assert "/home/me/.polpo/auth-profiles.json" in said.err


def test_an_import_of_nothing_is_an_error(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything was skipped: the exit status says so; ``--json`` prints the answer as it is."""
    nothing = {**RESULT, "imported": [], "unchanged": []}
    daemon.answers["source.import"] = lambda _: nothing
    assert main(["import", "--from", "polpo", "--json", "--dry-run"]) == 1
    assert json.loads(capsys.readouterr().out) == nothing
    assert daemon.params("source.import")["dry_run"] is True


def test_without_a_program_it_says_what_there_is(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs with their files, and what is adopted."""
    daemon.answers["source.list"] = lambda _: {
        "sources": [{"source": "codex", "files": []}, {"source": "polpo", "files": ["/p"]}],
        "layouts": ["codex"],
        "adopted": [{"profile": "a:b", "path": "/f", "layout": "codex", "entry": None, "refresh": "watch"}],
    }
    assert main(["import"]) == 0
    lines = [re.sub(r" +", " ", line) for line in capsys.readouterr().out.splitlines()]
    assert lines == ["codex -", "polpo /p", "adopted as a:b /f"]


@pytest.mark.parametrize(("provider", "quoted"), [("anthropic", True), ("acme", False)])
def test_a_consent_quotes_the_terms(
    daemon: FakeDaemon,
    capsys: pytest.CaptureFixture[str],
    provider: str,
    quoted: bool,  # noqa: FBT001 - a case
) -> None:
    """``--refresh direct`` is said to be one, with what Anthropic says; without it nothing is consented to."""
    daemon.answers["source.adopt"] = lambda params: profile(params["profile"], source="adopted", refresh="direct")
    command = ["adopt", "f.json", "--layout", "codex", "--as", f"{provider}:x"]
    assert main(command) == 0
    assert daemon.params("source.adopt")["refresh"] == "watch"
    assert "consented" not in capsys.readouterr().err
    assert main([*command, "--refresh", "direct"]) == 0
    assert daemon.params("source.adopt")["path"] == str(Path("f.json").absolute())
    said = capsys.readouterr().err
    assert "you consented" in said
    assert (_TERMS in said) is quoted


@pytest.mark.usefixtures("no_daemon")
def test_without_a_daemon_it_is_done_in_this_process(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Import, adopt and let go, as typed, over a store made by hand; nothing of it changes or is shown."""
    monkeypatch.setattr(app, "protect", lambda **_: None)
    path = own_home / ".polpo/auth-profiles.json"
    path.parent.mkdir()
    login = {"provider": "acme", "type": "oauth", "access": "at-secret", "refresh": "rt-secret", "expires": 0}
    path.write_text(json.dumps({"version": 1, "profiles": {"acme:me": login}}))
    before = path.read_bytes()
    assert main(["import", "--from", "polpo"]) == 0
    assert main(["import", "--from", "polpo"]) == 0
    adopt = ["adopt", str(path), "--layout", "polpo", "--entry", "acme:me", "--as", "acme:there"]
    assert main(adopt) == 0
    assert main(["import", "--json"]) == 0
    assert main(["logout", "acme:there"]) == 0
    assert main([*adopt[:3], "netscape", *adopt[4:]]) == 1
    said = capsys.readouterr()
    assert "acme:me: imported (oauth)" in said.out
    assert "acme:me: is kept already" in said.out
    assert "the same login is kept as acme:me" in said.out
    assert f"the login stays as it is in {path}" in said.out
    assert "secret" not in said.out + said.err
    assert path.read_bytes() == before
