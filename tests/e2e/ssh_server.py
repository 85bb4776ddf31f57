"""Debian's OpenSSH, for what is said of a socket that is carried to another machine.

The problem: what `ssh -L` does with a Unix socket (which end makes it, whom the daemon sees, what a dead tunnel
leaves behind) is OpenSSH's to say, so that a stand-in would prove nothing.

Rules: the server listens on loopback at a port of its own, with a key and a list of keys of its own; nothing of
the person's `~/.ssh` and of the machine's `/etc/ssh` is read. A tunnel is ready when somebody listens at its end,
and everything ends with the test.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from e2e.daemon_process import PATIENCE
from postgres_server import free_port

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
SSH = shutil.which("ssh")
_PRIVILEGE_SEPARATION = Path("/run/sshd")
_SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/keys
StrictModes no
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
"""
_CLIENT = """\
Host {host}
    HostName 127.0.0.1
    Port {port}
    User {account}
    IdentityFile {folder}/mine
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known
    GlobalKnownHostsFile /dev/null
    BatchMode yes
"""


def ssh_or_skip() -> tuple[str, str]:
    """The server and the client; without them the test is skipped, and says so."""
    if SSHD is None or SSH is None:
        pytest.skip("NOT TESTED OVER SSH: it is not installed (Debian: openssh-server, openssh-client)")
    if os.geteuid() == 0:
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)  # where there is no systemd, nobody has made it
    return SSHD, SSH


class SshServer:
    """A server that lets in whoever has our key; use it as a context manager.

    Args:
        folder: for keys and settings.
        host: the name under which clients know it.
        restrictions: what stands before our key in the list of keys, as `restrict,port-forwarding`.
        settings: further lines of its configuration.
        account: as whom clients come in.
    """

    def __init__(
        self, folder: Path, *, host: str, restrictions: str = "", settings: str = "", account: str | None = None
    ) -> None:
        self._sshd, self._ssh = ssh_or_skip()
        self._folder = folder
        self._host = host
        self._restrictions = restrictions
        self._settings = settings
        self._account = account or pwd.getpwuid(os.geteuid()).pw_name
        self.port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o755, exist_ok=True)
        for name in ("host", "mine"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._folder / name)]
            subprocess.run(command, check=True)
        self._write("keys", f"{self._restrictions} {self._read('mine.pub')}".lstrip())
        self._write("known", f"[127.0.0.1]:{self.port} {self._read('host.pub')}")
        self._write("sshd_config", _SERVER.format(folder=self._folder, port=self.port) + self._settings)
        self._write(
            "ssh_config",
            _CLIENT.format(folder=self._folder, port=self.port, host=self._host, account=self._account),
        )
        self._start([self._sshd, "-D", "-e", "-f", str(self._folder / "sshd_config")], "sshd.log")
        deadline = time.monotonic() + PATIENCE
        while "Server listening" not in self.log:
            assert time.monotonic() < deadline, self.log
            assert self._processes[0].poll() is None, self.log
            time.sleep(0.02)
        return self

    @property
    def log(self) -> str:
        """What server and clients wrote."""
        return "".join(self._read(name) for name in ("sshd.log", "ssh.log") if (self._folder / name).exists())

    def configure_client(self, text: str) -> None:
        """Put something into the client's settings."""
        self._write("ssh_config", f"{text}\n{self._read('ssh_config')}")

    def run(self, *words: str, ready: Path) -> subprocess.Popen[bytes]:
        """Run the client until it is killed or all of this ends.

        Args:
            words: the command line after `ssh`.
            ready: a socket of which somebody is to be there at its end.
        """
        command = [self._ssh, "-F", str(self._folder / "ssh_config"), *words]
        client = self._start(command, "ssh.log")
        deadline = time.monotonic() + PATIENCE
        while not _is_listened_at(ready):
            assert time.monotonic() < deadline, self.log
            assert client.poll() is None, self.log
            time.sleep(0.02)
        return client

    def ends(self, *words: str) -> int:
        """Run the client to its end, and return its exit status."""
        command = [self._ssh, "-F", str(self._folder / "ssh_config"), *words]
        return self._start(command, "ssh.log").wait(PATIENCE)

    def _start(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self._folder / log).open("ab") as written:
            started = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True
            )
        self._processes.append(started)
        return started

    def _read(self, name: str) -> str:
        return (self._folder / name).read_text(errors="replace")

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()


def _is_listened_at(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.connect(str(path))
        except OSError:
            return False
    return True
