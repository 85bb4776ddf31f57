"""The store's key in a real keyring, for a daemon that a real user manager runs under the hardened unit.

The unit gives the daemon a user namespace of its own (``PrivateUsers=yes``), and the bus asks the kernel who
connects: what the one shows must be what the other expects.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.daemon_process import PATIENCE
from e2e.desktop_session import MISSING, PASSWORD
from e2e.user_manager import UserManager, why_unavailable

SERVICE, BUS = "tokenward.service", "dbus.socket"
PROFILE, SECRET = "anthropic:key", "sk-ant-api03-" + "k" * 95
_BUS_UNIT = Path("/usr/lib/systemd/user") / BUS
_WHY_NOT = why_unavailable() or (f"not installed: {', '.join(MISSING)}" if MISSING else None)
if _WHY_NOT is None and not _BUS_UNIT.exists():
    _WHY_NOT = "no session bus of the user manager (Debian: dbus-user-session)"

pytestmark = pytest.mark.skipif(
    _WHY_NOT is not None, reason=f"NOT TESTED with a keyring under a real user manager: {_WHY_NOT}"
)


@pytest.fixture
def user() -> Iterator[UserManager]:
    """A person who has logged in at a desktop: the session's bus is up, and the keyring on it is open."""
    with UserManager() as ready:
        ready.systemctl("start", BUS)
        unlock(ready)
        yield ready


def on_the_bus(user: UserManager) -> dict[str, str]:
    """The variable that a desktop's programs find the bus by."""
    return {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={user.inside_runtime_dir}/bus"}


def unlock(user: UserManager) -> None:
    """Start the keyring with its password, and wait until it has its name on the bus."""
    password = user.place("password", PASSWORD.decode())
    line = f"gnome-keyring-daemon --unlock --components=secrets < {password} >/dev/null 2>&1"
    user.run(["sh", "-c", line], environ=on_the_bus(user))
    has_owner = ["dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"]
    has_owner += ["org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"]
    deadline = time.monotonic() + PATIENCE
    while "true" not in user.run(has_owner, environ=on_the_bus(user)).stdout:
        if time.monotonic() > deadline:
            raise TimeoutError("the keyring is not on the bus")
        time.sleep(0.02)


def tokenward(user: UserManager, *words: str) -> str:
    """Type ``tokenward WORDS`` as the user; stdout."""
    return user.run([user.python, "-I", "-m", "tokenward", *words]).stdout


def test_the_hardened_daemon_reaches_the_keyring(user: UserManager) -> None:
    """It makes its key there, and finds it again after a restart, in a user namespace that is not the bus's."""
    user.place(".config/tokenward/config.toml", '[store]\nkey = "keyring"\n')
    secret = user.place("secret", SECRET)
    tokenward(user, "service", "install", "--now")
    daemon = user.main_pid(SERVICE)
    assert Path(f"/proc/{daemon}/ns/user").readlink() != Path(f"/proc/{user.pid}/ns/user").readlink()
    user.run(["sh", "-c", f'"$0" -I -m tokenward add {PROFILE} --api-key < {secret}', user.python])
    search = ["secret-tool", "search", "--all", "service", "tokenward"]
    kept = user.run(search, environ=on_the_bus(user))
    assert "store key " in kept.stdout + kept.stderr
    assert SECRET not in kept.stdout + kept.stderr
    assert not (user.home / ".local/state/tokenward/store.key").exists()
    user.systemctl("restart", SERVICE)
    assert tokenward(user, "token", PROFILE) == SECRET + "\n"
