"""The supervisors that may run the daemon: what ``tokenward service`` does by systemd and by launchd.

The problem: both keep units in a directory of the user's, read them, start and stop them, but agree on no name, no
command and no way to say how things stand.

Rules: a supervisor's command that fails is an answer, with one line that says why, and never an exception; nothing
here prints.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tokenward import unit_templates
from tokenward.core import protocol
from tokenward.errors import ConfigurationFault

_PATIENCE = 120.0
"""Seconds: a start may take systemd's own 90, and a supervisor that hangs must not hang us."""
_UNITS = ("tokenward.socket", "tokenward.service")
_LABEL = unit_templates.LAUNCHD_LABEL


@dataclass(frozen=True, slots=True)
class UnitFile:
    """One file that installing writes.

    Args:
        template: the template's name, as ``unit_templates`` knows it.
        path: where it goes.
        optional: whether the daemon runs without it.
    """

    template: str
    path: Path
    optional: bool = False

    def text(self) -> str | None:
        """What is there now; None if nothing is."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None


@dataclass(frozen=True, slots=True)
class Answer:
    """How a supervisor's command ended.

    Args:
        ok: whether it did what was asked.
        text: its output if it did, else one line that says why not.
    """

    ok: bool
    text: str


class Supervisor(Protocol):
    """What differs between systemd and launchd."""

    @property
    def files(self) -> Sequence[UnitFile]:
        """The files, the one that starts the daemon first."""

    @property
    def start_command(self) -> str:
        """What a person types to enable and start the daemon."""

    @property
    def afterthought(self) -> str:
        """A line worth knowing after an installation."""

    @property
    def messages(self) -> str:
        """What a person types to read what the daemon said."""

    def render(self, file: UnitFile, *, python: Path, claude: Path | None) -> str:
        """A file's text for this installation."""

    def prepare(self) -> None:
        """Make what the supervisor expects to be there."""

    def reload(self) -> Answer:
        """Let the supervisor read the files."""

    def start(self) -> Answer:
        """Enable and start the daemon; start it again if it runs."""

    def stop(self) -> Answer:
        """Stop and disable the daemon."""

    def state(self) -> Mapping[str, bool | None]:
        """``active`` and ``enabled``; None is unknown."""


@dataclass(frozen=True, slots=True)
class Systemd:
    """The systemd user manager.

    Args:
        environ: the environment.
    """

    environ: Mapping[str, str]
    start_command: str = field(default=f"systemctl --user enable --now {' '.join(_UNITS)}", init=False)
    afterthought: str = field(
        default="to keep it running while you are logged out: loginctl enable-linger", init=False
    )
    messages: str = field(default="journalctl --user --unit tokenward.service", init=False)

    @property
    def files(self) -> Sequence[UnitFile]:
        """The service, its socket, and the drop-in."""
        units = unit_templates.systemd_directory(self.environ)
        drop_in = "no-user-namespaces.conf"
        return [
            UnitFile("systemd/tokenward.service", units / "tokenward.service"),
            UnitFile("systemd/tokenward.socket", units / "tokenward.socket"),
            UnitFile(f"systemd/{drop_in}", units / "tokenward.service.d" / drop_in, optional=True),
        ]

    def render(self, file: UnitFile, *, python: Path, claude: Path | None) -> str:
        """A file's text for this installation."""
        return unit_templates.render_unit(
            unit_templates.read_unit_template(file.template), python=python, claude=claude
        )

    def prepare(self) -> None:
        """Nothing: systemd makes the socket's directory."""

    def reload(self) -> Answer:
        """Let the supervisor read the files."""
        return _ask("systemctl", "--user", "daemon-reload")

    def start(self) -> Answer:
        """Enable both units; restarting the service brings up the socket that it requires."""
        enabled = _ask("systemctl", "--user", "enable", *_UNITS)
        return _ask("systemctl", "--user", "restart", "tokenward.service") if enabled.ok else enabled

    def stop(self) -> Answer:
        """Stop and disable both units."""
        return _ask("systemctl", "--user", "disable", "--now", *_UNITS)

    def state(self) -> Mapping[str, bool | None]:
        """Of the service: the socket alone serves nobody."""
        shown = _ask(
            *("systemctl", "--user", "show", "--property=ActiveState", "--property=UnitFileState"),
            "tokenward.service",
        )
        told = dict(line.partition("=")[::2] for line in shown.text.splitlines()) if shown.ok else {}
        active, enabled = told.get("ActiveState"), told.get("UnitFileState")
        return {
            "active": None if active is None else active == "active",
            "enabled": None if enabled is None else enabled == "enabled",
        }


@dataclass(frozen=True, slots=True)
class Launchd:
    """The launchd domain of the login session.

    Args:
        environ: the environment.
        uid: the user's id.
    """

    environ: Mapping[str, str]
    uid: int
    afterthought: str = field(default="its messages go to ~/Library/Logs/tokenward.log", init=False)
    messages: str = field(default="tail ~/Library/Logs/tokenward.log", init=False)

    @property
    def files(self) -> Sequence[UnitFile]:
        """The agent."""
        name = f"{_LABEL}.plist"
        return [UnitFile(f"launchd/{name}", Path(self.environ["HOME"], "Library/LaunchAgents", name))]

    @property
    def start_command(self) -> str:
        """What a person types to enable and start the daemon."""
        return f"launchctl bootstrap gui/{self.uid} {self.files[0].path}"

    def render(self, file: UnitFile, *, python: Path, claude: Path | None) -> str:
        """A file's text for this installation."""
        return unit_templates.render_agent(
            unit_templates.read_unit_template(file.template),
            python=python,
            claude=claude,
            home=Path(self.environ["HOME"]),
            socket_path=self._socket_path(),
        )

    def prepare(self) -> None:
        """Make the socket's directory, which launchd does not."""
        Path(self._socket_path()).parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def reload(self) -> Answer:
        """Launchd reads an agent when it is bootstrapped: nothing to do."""
        return Answer(ok=True, text="")

    def start(self) -> Answer:
        """Load the agent; one that is loaded has to go first."""
        self.stop()
        return _ask("launchctl", "bootstrap", f"gui/{self.uid}", str(self.files[0].path))

    def stop(self) -> Answer:
        """Unload the agent, if it is loaded."""
        if not self._shown().ok:
            return Answer(ok=True, text="")
        return _ask("launchctl", "bootout", f"gui/{self.uid}/{_LABEL}")

    def state(self) -> Mapping[str, bool | None]:
        """A loaded agent is an enabled one."""
        shown = self._shown()
        return {"active": "state = running" in shown.text, "enabled": shown.ok}

    def _shown(self) -> Answer:
        return _ask("launchctl", "print", f"gui/{self.uid}/{_LABEL}")

    def _socket_path(self) -> str:
        return protocol.socket_path(self.environ, uid=self.uid, platform="darwin", is_ours=lambda _: False)


def supervisor_of(platform: str, environ: Mapping[str, str], *, uid: int) -> Supervisor:
    """The supervisor of a platform.

    Args:
        platform: ``sys.platform``.
        environ: the environment; ``HOME`` must be in it.
        uid: the user's id.

    Raises:
        ConfigurationFault: if there is none that we know, or no ``HOME``.
    """
    if not environ.get("HOME"):
        raise ConfigurationFault("HOME is not set", hint="set it to your home directory")
    if platform == "darwin":
        return Launchd(environ, uid)
    if platform.startswith("linux"):
        return Systemd(environ)
    raise ConfigurationFault(
        f"no supervisor is known for {platform}", hint="run `tokenward daemon` from what starts your session"
    )


def _ask(*argv: str) -> Answer:
    """Run a command of the supervisor."""
    program = shutil.which(argv[0])
    if program is None:
        return Answer(ok=False, text=f"{argv[0]} is not installed")
    try:
        done = subprocess.run(
            [program, *argv[1:]],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(ok=False, text=f"{argv[0]} gave no answer in {_PATIENCE:.0f} s")
    if done.returncode == 0:
        return Answer(ok=True, text=done.stdout)
    said = next((line for line in done.stderr.splitlines() if line.strip()), "")
    return Answer(ok=False, text=said.strip() or f"{argv[0]} ended with {done.returncode}")
