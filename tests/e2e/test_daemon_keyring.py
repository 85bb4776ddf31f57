"""The store's key in a real keyring: Debian's gnome-keyring, unlocked, locked, and without any bus."""

import json
from pathlib import Path

import pytest

from e2e.command import finished
from e2e.daemon_process import DaemonProcess, DidNotStart, RpcError
from e2e.desktop_session import MISSING, DesktopSession
from e2e.terminal import Terminal

CONFIG = '[store]\nkey = "keyring"\n'
SECRET = "sk-ant-api03-of-mine"
PROFILE = "anthropic:key"
LOCKED = -32009

pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"{', '.join(MISSING)} not installed: NO REAL KEYRING IS TESTED",
)


def furnish(home: Path) -> str:
    """Have a daemon put its key into the keyring, and a credential under it; returns the key's id."""
    with DesktopSession(home, unlocked=True) as session, daemon(home, session) as running:
        running.call("profile.add", profile=PROFILE, kind="api_key", credential={"access_token": SECRET})
        found = running.call("store.status")
        assert (found["key"], found["locked"], found["records"]) == ("keyring", None, 1)
        kept = session.secret_tool("search", "--all", "service", "tokenward")
        assert found["key_id"] in kept
        assert SECRET not in kept
        key_id: str = found["key_id"]
        return key_id


def files_of(state: Path) -> dict[str, bytes]:
    """What a state directory holds, locks and sockets aside."""
    return {path.name: path.read_bytes() for path in state.rglob("*") if path.is_file() and path.suffix != ".lock"}


def daemon(home: Path, session: DesktopSession | None, config: str = CONFIG) -> DaemonProcess:
    """A daemon in a session, or outside of any."""
    return DaemonProcess(home, config=config, env=session.environment if session is not None else {})


def test_the_key_is_in_the_keyring_and_nowhere_else(own_home: Path) -> None:
    """It is found again in another session; no file of ours holds it or the credential."""
    key_id = furnish(own_home)
    state = own_home / ".local" / "state" / "tokenward"
    assert not (state / "store.key").exists()
    assert json.loads((state / "store.json").read_text())["key"] == {"place": "keyring", "id": key_id}
    assert not [path for path in state.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    with DesktopSession(own_home, unlocked=True) as session, daemon(own_home, session) as running:
        assert running.call("token.get", profile=PROFILE)["token"] == SECRET


def test_a_locked_keyring_is_waited_for(own_home: Path) -> None:
    """The daemon runs and says so, refuses what needs the key, and serves once the person has logged in."""
    key_id = furnish(own_home)
    with DesktopSession(own_home, unlocked=False) as session, daemon(own_home, session) as running:
        shown = running.call("daemon.status")
        assert "locked" in shown["store_trouble"]
        assert "locked" in running.call("profile.get", profile=PROFILE)["note"]
        with pytest.raises(RpcError) as not_served:
            running.call("token.get", profile=PROFILE)
        assert not_served.value.code == LOCKED
        with pytest.raises(RpcError) as refused:
            running.call("profile.add", profile="acme:x", kind="api_key", credential={"access_token": "k"})
        assert refused.value.code == LOCKED
        session.unlock()
        found = running.wait_for("store.status", lambda found: found["locked"] is None)
        assert found["key_id"] == key_id
        assert running.call("token.get", profile=PROFILE)["token"] == SECRET
        assert running.call("daemon.status")["store_trouble"] is None


def test_without_a_bus_nothing_is_made_and_nothing_lost(own_home: Path) -> None:
    """No keyring in reach is as good as a locked one: the records stay, and no other key appears."""
    furnish(own_home)
    state = own_home / ".local" / "state" / "tokenward"
    before = files_of(state)
    with daemon(own_home, None) as running:
        assert "no system keyring answers" in running.call("store.status")["locked"]
        assert running.call("profile.get", profile=PROFILE)["unusable"]
    assert files_of(state) == before


def test_a_first_start_without_a_keyring_stops(own_home: Path) -> None:
    """The configuration asks for one, and a key in a file is not what it asks for; the exit status says locked."""
    with pytest.raises(DidNotStart) as stopped, daemon(own_home, None):
        pass
    assert stopped.value.returncode == 5
    assert "no system keyring answers" in stopped.value.log
    assert not (own_home / ".local" / "state" / "tokenward" / "store.key").exists()


def test_a_running_daemon_moves_its_key_into_the_keyring_and_back(own_home: Path) -> None:
    """Tokens are served throughout; what was left behind is gone from its place."""
    state = own_home / ".local" / "state" / "tokenward"
    with DesktopSession(own_home, unlocked=True) as session, daemon(own_home, session, config="") as running:
        running.call("profile.add", profile=PROFILE, kind="api_key", credential={"access_token": SECRET})
        assert (state / "store.key").exists()
        moved = running.call("store.rekey", to="keyring")
        assert (moved["key"], moved["moving_to"]) == ("keyring", None)
        assert not (state / "store.key").exists()
        assert running.call("token.get", profile=PROFILE)["token"] == SECRET
        running.kill()
        running.start()
        assert running.call("token.get", profile=PROFILE)["token"] == SECRET
        assert running.call("store.rekey", to="file")["key"] == "file"
        assert "tokenward" not in session.secret_tool("search", "--all", "service", "tokenward")
        assert running.call("token.get", profile=PROFILE)["token"] == SECRET


def test_onboard_puts_the_key_into_the_keyring(own_home: Path) -> None:
    """Asked on a terminal: the key is in the keyring before the first secret, and the configuration says so."""
    state = own_home / ".local" / "state" / "tokenward"
    key = "sk-ant-api03-" + "k" * 95
    flags = ("--auth-choice", "api-key", "--no-check", "--no-install-service")
    with DesktopSession(own_home, unlocked=True) as session:
        running = daemon(own_home, session, config="")
        with Terminal(running, "onboard", *flags) as terminal:
            terminal.wait_for("Where shall the key go")
            terminal.wait_for("1-2 [1]: ")
            terminal.enter("2")
            terminal.wait_for("The key is in the keyring")
            terminal.wait_for("(not shown): ")
            terminal.enter(key)
            assert terminal.end() == 0
        assert not (state / "store.key").exists()
        key_id = json.loads((state / "store.json").read_text())["key"]["id"]
        assert key_id in session.secret_tool("search", "--all", "service", "tokenward")
        assert 'key = "keyring"' in running.config_file.read_text()
        with running:
            assert running.call("store.status")["note"] is None
            assert running.call("token.get", profile="anthropic:default")["token"] == key
        again = finished(
            running, "onboard", "--non-interactive", "--auth-choice", "skip", "--store-key", "keyring"
        )
        assert (again.status, again.lines[:-2]) == (0, [])
        assert json.loads((state / "store.json").read_text())["key"]["id"] == key_id


def test_onboard_moves_the_key_of_a_running_daemon(own_home: Path) -> None:
    """By flag, and the daemon takes the configuration over; tokens are served after as before."""
    with DesktopSession(own_home, unlocked=True) as session, daemon(own_home, session, config="") as running:
        running.call("profile.add", profile=PROFILE, kind="api_key", credential={"access_token": SECRET})
        words = ("onboard", "--non-interactive", "--auth-choice", "skip", "--store-key")
        moved = finished(running, *words, "keyring")
        assert moved.status == 0, moved.said
        assert "The daemon runs." in moved.lines
        assert (running.call("store.status")["key"], running.call("store.status")["note"]) == ("keyring", None)
        assert running.call("token.get", profile=PROFILE)["token"] == SECRET


def test_onboard_with_a_keyring_that_nobody_unlocked(own_home: Path) -> None:
    """It is said that it is locked; the key stays in its file, and the conversation goes on."""
    with DesktopSession(own_home, unlocked=False) as session:
        running = daemon(own_home, session, config="")
        with Terminal(
            running, "onboard", "--auth-choice", "api-key", "--no-check", "--no-install-service"
        ) as terminal:
            terminal.wait_for("1-2 [1]: ")
            terminal.enter("keyring")
            terminal.wait_for("keyring")
            terminal.wait_for("The key stays in its file")
            terminal.wait_for("(not shown): ")
            terminal.enter("sk-ant-api03-" + "k" * 95)
            assert terminal.end() == 0
    assert (own_home / ".local" / "state" / "tokenward" / "store.key").exists()
