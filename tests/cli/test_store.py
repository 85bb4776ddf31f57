"""``tokenward store``: what it asks of the daemon, and what it says."""

import json
from pathlib import Path
from typing import Any

import pytest

from client.fake_daemon import FakeDaemon, Refusal, status
from tokenward.cli.main import main
from tokenward.cli.store import PLACES
from tokenward.daemon.store_models import RekeyParams

KEY: dict[str, Any] = {
    "key": "keyring",
    "key_id": "0123456789abcdef",
    "location": "system keyring, service tokenward",
    "locked": None,
    "moving_to": None,
    "note": None,
    "records": 3,
}


def says(daemon: FakeDaemon, method: str, result: dict[str, Any]) -> None:
    """Have the daemon answer a method with this."""
    daemon.answers[method] = lambda _: result


def test_status_says_where_the_key_lies(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Place, id and number of records; `--json` prints the result as it is."""
    says(daemon, "store.status", KEY)
    assert main(["store", "status"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "key      keyring: system keyring, service tokenward",
        "key id   0123456789abcdef",
        "records  3",
    ]
    assert main(["store", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == KEY


def test_a_locked_key_is_exit_status_5(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason and the way out; what a person should know besides is a remark."""
    says(daemon, "store.status", {**KEY, "locked": "the system keyring is locked", "note": "look at this"})
    assert main(["store", "status"]) == 5
    said = capsys.readouterr().err
    assert "the system keyring is locked" in said
    assert "hint: unlock it" in said
    assert "look at this" in said


def test_a_change_that_has_not_ended_says_how_to_go_on(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command is one that can be typed."""
    says(daemon, "store.status", {**KEY, "moving_to": "file"})
    assert main(["store", "status"]) == 0
    assert "tokenward store rekey --to file" in capsys.readouterr().out


def test_rekey_names_the_place(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Each place that the daemon knows can be named, and no other."""
    says(daemon, "store.rekey", KEY)
    assert main(["store", "rekey", "--to", "keyring"]) == 0
    assert daemon.params("store.rekey") == {"to": "keyring"}
    assert main(["store", "rekey", "--to", "cloud"]) == 2
    for place in PLACES:
        assert RekeyParams.model_validate({"to": place}).to == place


def test_a_locked_keyring_refuses_it(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """The daemon's cause, and exit status 5."""

    def refuse(_: Any) -> Any:
        raise Refusal("StoreUnavailable", "the system keyring is locked", code=-32009)

    daemon.answers["store.rekey"] = refuse
    assert main(["store", "rekey", "--to", "keyring"]) == 5
    assert "the system keyring is locked" in capsys.readouterr().err


def test_export_sends_absolute_paths(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon has another working directory than the shell; what is left out is said, and is a failure."""
    monkeypatch.chdir(tmp_path)
    file = str(tmp_path / "backup.age")
    says(daemon, "store.export", {"file": file, "profiles": ["a:one", "a:two"], "left_out": []})
    assert main(["store", "export", "--to", "backup.age", "--recipient", "age1x", "--recipient", "age1y"]) == 0
    assert daemon.params("store.export") == {"file": file, "recipients": ["age1x", "age1y"]}
    assert capsys.readouterr().out == f"2 profiles are in {file}\n"
    says(daemon, "store.export", {"file": file, "profiles": [], "left_out": ["a:torn"]})
    assert main(["store", "export", "--to", "backup.age", "--recipient", "age1x"]) == 1
    assert "a:torn is not in it" in capsys.readouterr().err


def test_restore_says_what_became_of_each(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line a profile, with the reason where a record stays."""
    monkeypatch.chdir(tmp_path)
    fates = [
        {"profile": "a:one", "result": "restored", "reason": None},
        {"profile": "a:two", "result": "kept", "reason": "the record there is newer"},
    ]
    says(daemon, "store.restore", {"profiles": fates})
    assert main(["store", "restore", "backup.age", "--identity", "key.txt", "--force"]) == 0
    assert daemon.params("store.restore") == {
        "file": str(tmp_path / "backup.age"),
        "identity_file": str(tmp_path / "key.txt"),
        "force": True,
    }
    assert capsys.readouterr().out.splitlines() == ["a:one: restored", "a:two: kept: the record there is newer"]


def test_the_status_shows_that_the_store_is_locked(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, so that what a program reads stays as it is."""
    says(daemon, "daemon.status", status(store_trouble="the system keyring is locked"))
    assert main(["status"]) == 0
    assert "the system keyring is locked" in capsys.readouterr().err


def test_a_command_is_missing(no_daemon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`tokenward store` alone is wrong usage."""
    assert main(["store"]) == 2
