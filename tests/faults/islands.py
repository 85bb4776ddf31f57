"""Network namespaces that are cut off and found again: hosts whose network really fails.

The problem: a server that is stopped refuses connections, and one whose network is cut says nothing at all; a
connection that was open stays open at both ends. Only a network does that.

Rules:
- An island is a network namespace with a link of its own to ours, by addresses of the range for tests of networks
  (RFC 2544), of which the PostgreSQL gets one and the authorization server's relay another.
- It is made by root alone, and nothing of it is left.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_IP = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin") or ""
RELAY = Path(__file__).parent / "relay.py"
_NETWORK = "198.18"


class Island:
    """One namespace; a context manager.

    Args:
        number: tells it from the others of this test run, from 0 to 3.
    """

    def __init__(self, number: int) -> None:
        subnet = (os.getpid() * 4 + number) % 8192
        self._name = f"tw{subnet}"
        self._ours = f"{self._name}a"
        first = subnet * 8
        self.database_address, self._address, self._relay_address = (
            f"{_NETWORK}.{first // 256}.{first % 256 + each}" for each in (1, 2, 3)
        )
        self._processes: list[subprocess.Popen[str]] = []
        self.wrapper: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._run("netns", "add", self._name)
            self._furnish()
        except BaseException:
            self._remove()
            raise
        self.wrapper = [_IP, "netns", "exec", self._name]
        return self

    def _furnish(self) -> None:
        self._run("link", "add", self._ours, "type", "veth", "peer", "name", "out", "netns", self._name)
        for address in (self.database_address, self._relay_address):
            self._run("address", "add", f"{address}/29", "dev", self._ours)
        self._run("link", "set", self._ours, "up")
        self._run("-n", self._name, "address", "add", f"{self._address}/29", "dev", "out")
        for device in ("lo", "out"):
            self._run("-n", self._name, "link", "set", device, "up")

    def _run(self, *words: str) -> None:
        subprocess.run([_IP, *words], check=True, capture_output=True)

    def reach(self, address: str) -> str:
        """Have a server of our loopback answer inside, and return its address there.

        Args:
            address: an `http` URL on our loopback.
        """
        asked = urlsplit(address)
        here = self._relay(self._relay_address, "127.0.0.1", asked.port or 80)
        inside = self._relay("127.0.0.1", self._relay_address, here, inside=True)
        return asked._replace(netloc=f"127.0.0.1:{inside}").geturl()

    def _relay(self, address: str, to_address: str, to_port: int, *, inside: bool = False) -> int:
        command = [sys.executable, "-I", str(RELAY), address, to_address, str(to_port)]
        relay = subprocess.Popen(
            [*(self.wrapper if inside else []), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._processes.append(relay)
        assert relay.stdout is not None
        return int(relay.stdout.readline())

    def cut(self) -> None:
        """Nothing passes any more, either way."""
        self._run("-n", self._name, "link", "set", "out", "down")

    def heal(self) -> None:
        """All of it passes again."""
        self._run("-n", self._name, "link", "set", "out", "up")

    def lose_database(self) -> None:
        """What is sent to the database is lost; the authorization server answers still."""
        self._run("-n", self._name, "route", "add", "blackhole", self.database_address)

    def find_database(self) -> None:
        """It arrives again."""
        self._run("-n", self._name, "route", "del", "blackhole", self.database_address)

    def _remove(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
        subprocess.run([_IP, "link", "del", self._ours], check=False, capture_output=True)
        subprocess.run([_IP, "netns", "del", self._name], check=False, capture_output=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()


def why_there_are_none() -> str | None:
    """What stands in the way of a namespace with a link; None = nothing does."""
    if os.geteuid() != 0 or not os.access(_IP, os.X_OK):
        return "only root makes networks (Debian: iproute2)"
    try:
        with Island(3):
            return None
    except subprocess.CalledProcessError as refused:
        return f"this root may not make networks: {refused.stderr.decode().strip()}"
