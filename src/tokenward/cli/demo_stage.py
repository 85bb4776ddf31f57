"""What the demo is played on: the sandbox in our process, the real daemon in one of its own, and a login.

The problem: a daemon that somebody only wanted to see must not find that person's credentials, must not be found
by that person's programs, and must not stay behind.

Rules:
- Everything lies in one private temporary directory, the daemon's home too, and goes with it.
- The daemon's environment is made here and not inherited.
- Only our own child is stopped, by its id: SIGTERM first, SIGKILL if that was not enough.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tokenward
from tokenward.cli import output
from tokenward.client import Client
from tokenward.core.redact import printable
from tokenward.errors import DaemonUnreachable
from tokenward.sandbox import Sandbox

PROVIDER = "demo"
PROFILE = f"{PROVIDER}:newcomer"

LONGEST_SOCKET_PATH = 100
"""Bytes; sun_path holds 104 on macOS and 108 on Linux, its final zero included."""
_LONGEST_TEMPORARY = LONGEST_SOCKET_PATH - len("/tw-01234567/sock")
START_SECONDS = 20.0
"""A cold start takes less than a second; a slow disk may read Python's libraries for some."""
STOP_SECONDS = 10.0
"""A refresh under way ends within this on loopback; past it, the daemon hangs."""
CALL_SECONDS = 5.0
"""Everything is on this machine: what takes longer has failed."""
_POLL_SECONDS = 0.05
_LAST_WORDS = 8
"""Lines of the daemon's log that are shown when it fails."""
_INHERITED = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH")
"""What a Python needs to start and to speak; on some machines it does not start without its library path."""


class DaemonProcess:
    """The daemon as a child of ours.

    Args:
        directory: a private directory, which becomes its home.
        config: the text of its ``config.toml``.
    """

    def __init__(self, directory: Path, config: str) -> None:
        self.socket = directory / "sock"
        self.state = directory / "state"
        self._log = directory / "daemon.log"
        file = directory / "config.toml"
        file.write_text(config, encoding="utf-8")
        file.chmod(0o600)
        places = ["--config", str(file), "--state-dir", str(self.state), "--socket", str(self.socket)]
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C is for the demo, which then stops the daemon in good order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tokenward", "daemon", *places],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(directory),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_until_it_answers(self, client: Client) -> None:
        """Wait for the socket.

        Raises:
            DaemonUnreachable: if it ends instead, or does not answer within ``START_SECONDS``.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(DaemonUnreachable):
                client.hello("tokenward demo")
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = self._process.wait(_POLL_SECONDS)
                raise DaemonUnreachable(
                    f"the demo's daemon ended at its start with exit status {status}",
                    hint="look at what it said above; check the installation: tokenward doctor",
                )
            if time.monotonic() > deadline:
                raise DaemonUnreachable(
                    f"the demo's daemon did not answer within {START_SECONDS:g} s",
                    hint="try again when the machine is less busy",
                )

    def stop(self) -> int:
        """Stop it and wait for its end; once it has ended, this only says how.

        Returns:
            Its exit status; negative: the signal that ended it.
        """
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        except BaseException:
            # An impatient second Ctrl-C must not leave it behind either.
            self._process.kill()
            self._process.wait()
            raise

    def records(self) -> list[Path]:
        """The files in which its store keeps credentials."""
        return sorted((self.state / "credentials").glob("*.json"))

    def say_last_words(self) -> None:
        """Repeat the end of its log on standard error."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines[-_LAST_WORDS:]:
            output.remark(f"the daemon said: {printable(line)}")


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo is played on.

    Args:
        sandbox: the authorization server and the Messages API.
        daemon: the daemon.
        client: a connection to it.
    """

    sandbox: Sandbox
    daemon: DaemonProcess
    client: Client

    def log_in(self) -> None:
        """Make a login at the authorization server, and give it to the daemon through its socket."""
        issued = self.sandbox.issue(subject="newcomer")
        self.client.add(
            PROFILE,
            access_token=issued.access_token,
            refresh_token=issued.refresh_token,
            expires_in=issued.expires_in,
            scope=issued.scope,
        )


@contextlib.contextmanager
def set_up(ttl_seconds: float) -> Iterator[Stage]:
    """Start everything, and take everything away in the end.

    Args:
        ttl_seconds: life of an access token.

    Raises:
        DaemonUnreachable: if the daemon does not start, or ends while it is needed.
    """
    with contextlib.ExitStack() as stack:
        # The prefixes are nobody's, so that nobody takes these tokens for those of a real login.
        sandbox = stack.enter_context(
            Sandbox(ttl_seconds=ttl_seconds, access_prefix="sk-demo-", refresh_prefix="rt-demo-")
        )
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tw-", dir=_short_place())))
        daemon = DaemonProcess(directory, _config(sandbox))
        stack.callback(daemon.stop)
        client = stack.enter_context(Client(daemon.socket, timeout=CALL_SECONDS))
        try:
            daemon.wait_until_it_answers(client)
        except DaemonUnreachable:
            daemon.say_last_words()
            raise
        try:
            yield Stage(sandbox, daemon, client)
        except DaemonUnreachable:
            daemon.say_last_words()
            raise DaemonUnreachable(
                "the demo's daemon went away while it was needed", hint="start the demo again"
            ) from None


def ways_to_ask(socket: Path) -> tuple[tuple[str, ...], ...]:
    """Commands that ask the daemon for the token from another terminal.

    Args:
        socket: where the daemon listens.

    Returns:
        Each command in the parts between which it may be broken.
    """
    return (
        (f"TOKENWARD_SOCKET={shlex.quote(str(socket))}", f"{_our_own_name()} token {PROFILE}"),
        (
            "printf",
            r"""'{"jsonrpc":"2.0","id":1,"method":"token.get","params":%s}\n'""",
            f"""'{{"profile":"{PROFILE}"}}'""",
            # Without a time limit some of them wait for more after the answer.
            f"| nc -w 1 -U {shlex.quote(str(socket))}",
        ),
    )


def _our_own_name() -> str:
    """How a shell elsewhere finds the very program that runs here, which may not be on its path."""
    invoked = Path(sys.argv[0]).absolute()
    if invoked.name != tokenward.__name__:
        return f"{shlex.quote(sys.executable)} -m {tokenward.__name__}"
    if shutil.which(invoked.name) == str(invoked):
        return invoked.name
    home = os.environ.get("HOME", "")
    if home and invoked.is_relative_to(home):
        return f"~/{shlex.quote(str(invoked.relative_to(home)))}"
    return shlex.quote(str(invoked))


def _config(sandbox: Sandbox) -> str:
    return f"""\
[sources.claude-code]
enabled = false
[providers.{PROVIDER}]
token_endpoint = "{sandbox.token_endpoint}"
client_id = "{sandbox.client_id}"
api_url = "{sandbox.base_url}"
"""


def _environment(home: Path) -> dict[str, str]:
    sources = str(Path(tokenward.__file__).absolute().parents[1])
    given = os.environ.get("PYTHONPATH", "")
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        "HOME": str(home),
        "PATH": os.defpath,
        # The same tokenward as this one, also if it runs from its sources.
        "PYTHONPATH": os.pathsep.join(filter(None, (sources, given))),
    }


def _short_place() -> str:
    """A directory for temporary ones, whose path leaves room for that of a socket."""
    place = tempfile.gettempdir()
    return place if len(os.fsencode(place)) <= _LONGEST_TEMPORARY else "/tmp"  # noqa: S108 - a private directory is made in it
