"""docs/ssh.md is walked: one daemon owns the login, and others ask its restricted socket through OpenSSH.

Every command and every setting is the page's; only its places (`/home/me`, `/srv`) are replaced.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.test_code_blocks import ROOT, blocks
from e2e.daemon_process import DaemonProcess
from e2e.ssh_server import SshServer
from tokenward import helper
from tokenward.client import Client
from tokenward.errors import DaemonUnreachable

PAGE = ROOT / "docs" / "ssh.md"
OWNER, BUILD = "owner.acme.dev", "build.acme.dev"
BOT = "anthropic:bot"
KEY = "sk-ant-api03-" + "k" * 95
AWAY = 4
"""The exit status of `tokenward token` where nobody listens."""


def shown(language: str, containing: str) -> str:
    """The one block of the page with this in it."""
    [block] = [block for block in blocks(PAGE, language) if containing in block]
    return block


def in_place(text: str, *, here: Path, there: Path) -> str:
    """What the page says, with the homes of the test: of the machine that asks and of the one with the daemon."""
    replaced = text.replace("/home/me/agents/tokenward.sock", str(there / "agents" / "tokenward.sock"))
    return replaced.replace("/home/me/.tokenward.sock", str(here / ".tokenward.sock"))


def ssh_words(typed: str) -> list[str]:
    """What stands behind `ssh` in a command of the page."""
    program, *words = shlex.split(typed.replace("\\\n", " "))
    assert program == "ssh"
    return words


@pytest.fixture
def here() -> Iterator[Path]:
    """The home of the machine without a daemon; short, as a socket's path must be."""
    with tempfile.TemporaryDirectory(prefix="tw") as made:
        yield Path(made)


@pytest.fixture
def owner(own_home: Path) -> Iterator[DaemonProcess]:
    """The daemon that owns the key, configured as the page says."""
    (own_home / "agents").mkdir(mode=0o700)
    [first, *_] = blocks(PAGE, "toml")
    with DaemonProcess(own_home, config=first) as daemon:
        key = {"access_token": KEY}
        daemon.call("profile.add", profile=BOT, kind="api_key", credential=key)
        yield daemon


class Asking:
    """Programs of the machine without a daemon.

    Args:
        home: its home.
    """

    def __init__(self, home: Path) -> None:
        self.socket = home / ".tokenward.sock"
        self._environ = {
            "HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "TOKENWARD_SOCKET": str(self.socket),
            "PYTHONPATH": str(ROOT / "src"),
        }

    def command(self) -> subprocess.CompletedProcess[str]:
        """`tokenward token`, as the page has it."""
        words = shlex.split(shown("sh", "tokenward token").splitlines()[-1])
        return self._run([sys.executable, "-m", *words])

    def helper(self) -> subprocess.CompletedProcess[str]:
        """What Claude Code runs."""
        return self._run([sys.executable, "-IS", helper.__file__])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self._environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def is_served(self) -> None:
        """Both are given the key."""
        for ran in (self.command(), self.helper()):
            assert ran.stdout == f"{KEY}\n", ran.stderr


class TestOneOwner:
    @pytest.mark.parametrize("form", ["settings", "by hand"])
    def test_others_ask_through_ssh(self, here: Path, own_home: Path, owner: DaemonProcess, form: str) -> None:
        """By either form of the page: command, helper and library are served; the socket is this user's alone."""
        asking = Asking(here)
        with SshServer(here / "ssh", host=OWNER) as server:
            if form == "settings":
                server.configure_client(in_place(shown("text", " LocalForward "), here=here, there=own_home))
                typed = ["-N", OWNER]
            else:
                typed = ssh_words(in_place(shown("sh", "-L /home/me"), here=here, there=own_home))
            server.run(*typed, ready=asking.socket)
            asking.is_served()
            assert stat.S_IMODE(asking.socket.stat().st_mode) == 0o600
            with Client(socket_path=asking.socket) as client:
                assert client.token(profile=BOT).token == KEY

    def test_what_ends_comes_back(self, here: Path, own_home: Path, owner: DaemonProcess) -> None:
        """The owner restarts, then the tunnel dies: each time exit status 4 meanwhile, and served again after."""
        asking = Asking(here)
        with SshServer(here / "ssh", host=OWNER) as server, Client(socket_path=asking.socket) as client:
            server.configure_client(in_place(shown("text", " LocalForward "), here=here, there=own_home))
            tunnel = server.run("-N", OWNER, ready=asking.socket)
            assert client.token(profile=BOT).token == KEY
            owner.terminate()
            away = asking.command()
            assert (away.returncode, away.stdout) == (AWAY, ""), away.stderr
            with pytest.raises(DaemonUnreachable):
                client.token(profile=BOT)
            owner.start()
            asking.is_served()
            assert client.token(profile=BOT).token == KEY
            assert tunnel.poll() is None
            tunnel.kill()
            tunnel.wait()
            away = asking.command()
            assert (away.returncode, away.stdout) == (AWAY, ""), away.stderr
            assert asking.helper().returncode != 0
            with pytest.raises(DaemonUnreachable):
                client.token(profile=BOT)
            assert asking.socket.is_socket()  # left behind by the dead, and in nobody's way
            server.run("-N", OWNER, ready=asking.socket)
            asking.is_served()
            assert client.token(profile=BOT).token == KEY

    def test_the_unit_is_one(self, tmp_path: Path) -> None:
        """The page's unit has no fault for systemd, and its command is the one that was tried."""
        if shutil.which("systemd-analyze") is None:
            pytest.skip("NOT TESTED: systemd-analyze is not installed")
        unit = tmp_path / "tokenward-owner.service"
        unit.write_text(shown("ini", "ExecStart"))
        command = ["systemd-analyze", "--user", "--no-pager", "verify", str(unit)]
        environ = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"ExecStart=ssh -N {OWNER}\n" in unit.read_text()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root lets others in: NO ACCOUNT FOR ASKING IS TESTED")
    def test_an_account_can_ask_and_nothing_else(self, here: Path) -> None:
        """With the page's settings it is served by its number, gets no shell and can open nothing at the owner."""
        account = pwd.getpwnam("daemon")
        there = here / "srv"
        (there / "agents").mkdir(parents=True)
        for folder in (here, there, there / "agents"):
            folder.chmod(0o755)
        [*_, listed] = blocks(PAGE, "toml")
        path = there / "agents" / "tokenward.sock"
        config = listed.replace("/srv/agents/tokenward.sock", str(path)).replace("1101", str(account.pw_uid))
        settings = shown("text", "Match User").replace("Match User agents", "Match User daemon")
        asking = Asking(here)
        home = here / "home"
        home.mkdir()
        with (
            DaemonProcess(home, config=config) as daemon,
            SshServer(here / "ssh", host=OWNER, settings=settings, account=account.pw_name) as server,
        ):
            daemon.call("profile.add", profile=BOT, kind="api_key", credential={"access_token": KEY})
            server.configure_client(in_place(shown("text", " LocalForward "), here=here, there=there))
            server.run("-N", OWNER, ready=asking.socket)
            asking.is_served()
            assert server.ends("-o", "ClearAllForwardings=yes", OWNER, "id") != 0
            assert "uid=" not in server.log
            asking.socket.unlink()
            assert server.ends("-N", "-R", "0:127.0.0.1:1", OWNER) != 0
            assert "remote port forwarding failed" in server.log


@pytest.mark.parametrize("administered", [True, False], ids=["replaced", "removed"])
def test_from_here_to_there(here: Path, own_home: Path, owner: DaemonProcess, *, administered: bool) -> None:
    """The other direction: the machine that is connected to asks the daemon of this one, also a second time."""
    asking = Asking(here)
    settings = next(block for block in blocks(PAGE, "text") if block.startswith("StreamLocalBindUnlink"))
    with SshServer(here / "ssh", host=BUILD, settings=settings if administered else "") as server:
        typed = in_place(shown("sh", "-R /home/me"), here=here, there=own_home)
        first = server.run("-N", *ssh_words(typed), ready=asking.socket)
        asking.is_served()
        assert stat.S_IMODE(asking.socket.stat().st_mode) == 0o600
        first.terminate()
        first.wait()
        assert asking.command().returncode == AWAY
        server.configure_client(in_place(shown("text", "RemoteForward"), here=here, there=own_home))
        if not administered:
            assert server.ends("-N", BUILD) != 0, "what the page warns of does not happen"
            cleared = in_place(shown("sh", "ClearAllForwardings"), here=here, there=own_home)
            assert server.ends(*ssh_words(cleared)) == 0
        server.run("-N", BUILD, ready=asking.socket)
        asking.is_served()
