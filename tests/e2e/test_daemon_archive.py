"""Export and restore, and the store's commands without a daemon, as a person types them."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest

from e2e.claude_code import CLIENT_ID
from e2e.daemon_process import DaemonProcess, RpcError
from e2e.stored_login import given
from tokenward.sandbox import Sandbox

ACME, KEY = "acme:me", "anthropic:key"
HOUR = 3600.0


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A file as age-keygen writes it."""
    mine = pyrage.x25519.Identity.generate()
    path = tmp_path / "identity.txt"
    path.write_text(f"# created: today\n# public key: {mine.to_public()}\n{mine}\n")
    return path


def recipient_of(identity: Path) -> str:
    """The public half."""
    return identity.read_text().splitlines()[1].rpartition(" ")[2]


def tokenward(daemon: DaemonProcess, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a command."""
    return subprocess.run(
        [sys.executable, "-m", "tokenward", *words],
        env=daemon.environment(), check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def registered_at(sandbox: Sandbox) -> str:
    """A provider that refreshes."""
    return f'[providers.acme]\nissuer = "{sandbox.issuer}"\nclient_id = "{CLIENT_ID}"\n'


def test_what_was_exported_comes_back_on_another_machine(
    own_home: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    sandbox: Sandbox,
    identity: Path,
) -> None:
    """Every record, refresh tokens included, and only for who has the identity; the file is private and new."""
    login, backup = sandbox.issue(ttl_seconds=HOUR), tmp_path / "backup.age"
    with DaemonProcess(own_home, config="") as daemon:
        daemon.call("profile.add", profile=ACME, kind="oauth", credential=given(login))
        daemon.call("profile.add", profile=KEY, kind="api_key", credential={"access_token": "sk-ant-api03-mine"})
        ran = tokenward(daemon, "store", "export", "--to", str(backup), "--recipient", recipient_of(identity))
        assert (ran.returncode, ran.stdout) == (0, f"2 profiles are in {backup}\n"), ran.stderr
        again = tokenward(daemon, "store", "export", "--to", str(backup), "--recipient", recipient_of(identity))
        assert again.returncode == 2
        assert "exists already" in again.stderr
    sealed = backup.read_bytes()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert sealed.startswith(b"age-encryption.org/v1\n")
    assert login.refresh_token.encode() not in sealed
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with DaemonProcess(elsewhere, config=registered_at(sandbox)) as daemon:
        ran = tokenward(daemon, "store", "restore", str(backup), "--identity", str(identity))
        assert ran.stdout.splitlines() == [f"{ACME}: restored", f"{KEY}: restored"], ran.stderr
        assert daemon.call("token.get", profile=KEY)["token"] == "sk-ant-api03-mine"
        assert daemon.call("token.get", profile=ACME)["token"] == login.access_token
        daemon.wait_for("profile.get", lambda shown: shown["refresh"] == "direct", profile=ACME)
        daemon.call("profile.refresh", profile=ACME)
        assert sandbox.liveness(daemon.call("token.get", profile=ACME)["token"]) == "live"


def test_a_restore_never_replaces_what_is_newer(
    own_home: Path, tmp_path: Path, sandbox: Sandbox, identity: Path
) -> None:
    """A login refreshed since keeps its refresh token unless that is forced; a key that differs stays, too."""
    first, later = sandbox.issue(ttl_seconds=HOUR), sandbox.issue(ttl_seconds=2 * HOUR)
    paths = {"file": str(tmp_path / "backup.age"), "identity_file": str(identity)}
    with DaemonProcess(own_home, config="") as daemon:
        daemon.call("profile.add", profile=ACME, kind="oauth", credential=given(first))
        daemon.call("profile.add", profile=KEY, kind="api_key", credential={"access_token": "sk-ant-api03-old"})
        daemon.call("store.export", file=paths["file"], recipients=[recipient_of(identity)])
        unchanged = daemon.call("store.restore", **paths)["profiles"]
        assert [each["result"] for each in unchanged] == ["unchanged", "unchanged"]
        daemon.call("profile.add", profile=ACME, kind="oauth", credential=given(later))
        daemon.call("profile.add", profile=KEY, kind="api_key", credential={"access_token": "sk-ant-api03-new"})
        kept = daemon.call("store.restore", **paths)["profiles"]
        assert [(each["result"], each["reason"]) for each in kept] == [
            ("kept", "the record there is newer"),
            ("kept", "the record there differs, and which is newer cannot be told"),
        ]
        assert daemon.call("token.get", profile=ACME)["token"] == later.access_token
        forced = daemon.call("store.restore", **paths, force=True)["profiles"]
        assert [each["result"] for each in forced] == ["restored", "restored"]
        assert daemon.call("token.get", profile=ACME)["token"] == first.access_token
        assert daemon.call("token.get", profile=KEY)["token"] == "sk-ant-api03-old"


def test_wrong_files_change_nothing_and_show_nothing(own_home: Path, tmp_path: Path, identity: Path) -> None:
    """No age file, another's age file, an identity that is none: one line of cause, and no line of the file."""
    other = pyrage.x25519.Identity.generate()
    files = {
        "plain": b"not an age file",
        "other": pyrage.encrypt(b"{}", [other.to_public()]),
        "empty": pyrage.encrypt(
            b'{"x": "secret-inside"}', [pyrage.x25519.Recipient.from_str(recipient_of(identity))]
        ),
    }
    with DaemonProcess(own_home, config="") as daemon:
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
            with pytest.raises(RpcError) as refused:
                daemon.call("store.restore", file=str(tmp_path / name), identity_file=str(identity))
            assert refused.value.code == -32602
            assert "secret-inside" not in str(refused.value)
        with pytest.raises(RpcError, match="holds no age identity"):
            daemon.call("store.restore", file=str(tmp_path / "plain"), identity_file=str(tmp_path / "plain"))
        with pytest.raises(RpcError, match="not an age recipient"):
            daemon.call("store.export", file=str(tmp_path / "new"), recipients=["age1wrong"])
        with pytest.raises(RpcError, match="absolute path"):
            daemon.call("store.export", file="new", recipients=[recipient_of(identity)])
        assert not (tmp_path / "new").exists()
        assert daemon.call("profile.list")["profiles"] == []


def test_the_store_s_commands_work_without_a_daemon(own_home: Path) -> None:
    """A key wrapped with a passphrase that a command gives: moved, used, and locked without the command."""
    askpass = own_home / "askpass"
    askpass.write_text("#!/bin/sh\necho correct horse\n")
    askpass.chmod(0o700)
    daemon = DaemonProcess(own_home, config=f'[store]\nkey = "passphrase"\naskpass = ["{askpass}"]\n')
    added = subprocess.run(
        [sys.executable, "-m", "tokenward", "add", KEY, "--api-key"],
        env=daemon.environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        input="sk-ant-api03-mine\n",
    )
    assert added.returncode == 0, added.stderr
    shown = json.loads(tokenward(daemon, "store", "status", "--json").stdout)
    assert (shown["key"], shown["records"]) == ("passphrase", 1)
    moved = json.loads(tokenward(daemon, "store", "rekey", "--to", "file", "--json").stdout)
    assert moved["key"] == "file"
    assert moved["key_id"] != shown["key_id"]
    assert "tokenward store rekey --to passphrase" in moved["note"]
    assert json.loads(tokenward(daemon, "store", "rekey", "--to", "passphrase", "--json").stdout)["note"] is None
    with daemon:
        assert daemon.call("token.get", profile=KEY)["token"] == "sk-ant-api03-mine"
    daemon.configure("")
    locked = subprocess.run(
        [sys.executable, "-m", "tokenward", "store", "status"],
        env=daemon.environment(), check=False, capture_output=True, text=True, timeout=60, start_new_session=True,
    )  # fmt: skip
    assert locked.returncode == 5
    assert "passphrase was not given" in locked.stderr


def test_a_systemd_credential_is_the_key(own_home: Path, tmp_path: Path) -> None:
    """A service that is given one uses it; without it nothing is made in its stead."""
    (tmp_path / "tokenward-key").write_text("ab" * 32 + "\n")
    given_key = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    config = '[store]\nkey = "systemd"\n'
    with DaemonProcess(own_home, config=config, env=given_key) as daemon:
        daemon.call("profile.add", profile=KEY, kind="api_key", credential={"access_token": "sk-ant-api03-mine"})
        assert daemon.call("store.status")["key"] == "systemd"
    daemon = DaemonProcess(own_home, config=config)
    ran = tokenward(daemon, "store", "status")
    assert ran.returncode == 5
    assert "LoadCredential=tokenward-key" in ran.stderr
    assert not (daemon.state / "store.key").exists()
    doctor = tokenward(daemon, "doctor")
    assert "systemd credential tokenward-key" in doctor.stdout
