"""Service unit templates: where they are, and how they become the files of one installation.

The problem: packagers and readers look for ``systemd/`` and ``launchd/`` at the top of the repository, and a
program that is installed has no repository; the wheel carries both as ``tokenward/units/``. A template names the
places where most people's programs are, and a service manager searches no PATH: an installed unit needs this
interpreter, by its absolute path, and the directory of this ``claude``.

Rules:
- Rendering is a function of its arguments. A path that the format cannot carry is an error, never a guess.
- What we wrote says so in its first lines; only such files are ours to replace or remove.
- Standard library only.
"""

from __future__ import annotations

import plistlib
import re
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from xml.parsers.expat import ExpatError

from tokenward.errors import ConfigurationFault

LAUNCHD_LABEL = "dev.tokenward.daemon"
_MARKER = "Written by `tokenward service install`"
_MARKER_LINES = 8
"""How far down the marker may stand: below an XML declaration and a document type."""
_DAEMON = ("-I", "-m", "tokenward", "daemon")
"""-I: what lies in the working directory or PYTHONPATH must not be imported by a service that holds tokens."""
_SYSTEM_DIRECTORIES = ("/usr/local/bin", "/usr/bin", "/bin")
_NOT_IN_A_PROGRAM = "$\\\"'"
"""systemd expands the first in argv[0], by which Python finds its environment, and refuses the others."""
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


def service_unit(environ: Mapping[str, str], *, platform: str) -> Path | None:
    """Where the file that starts the daemon is, or would be; None where no service manager is known.

    Args:
        environ: the environment; ``HOME`` must be in it.
        platform: ``sys.platform``.
    """
    if platform == "darwin":
        return Path(environ["HOME"], "Library/LaunchAgents", f"{LAUNCHD_LABEL}.plist")
    return systemd_directory(environ) / "tokenward.service" if platform.startswith("linux") else None


def systemd_directory(environ: Mapping[str, str]) -> Path:
    """Where a user's own units lie; ``HOME`` must be in the environment."""
    config = Path(environ.get("XDG_CONFIG_HOME", ""))
    return (config if config.is_absolute() else Path(environ["HOME"], ".config")) / "systemd/user"


def read_unit_template(name: str) -> str:
    """The text of one template; in a wheel it is under ``tokenward/units``, in a checkout at the top.

    Args:
        name: its path from the top of the repository, such as ``systemd/tokenward.service``.

    Raises:
        ConfigurationFault: if this installation does not have it.
    """
    package = resources.files("tokenward")
    in_wheel = package.joinpath("units", *name.split("/"))
    if in_wheel.is_file():
        return in_wheel.read_text(encoding="utf-8")
    in_checkout = Path(str(package)).parent.parent / name
    if in_checkout.is_file():
        return in_checkout.read_text(encoding="utf-8")
    raise ConfigurationFault(f"the unit template {name} is missing", hint="install tokenward again")


def render_unit(template: str, *, python: Path, claude: Path | None) -> str:
    """A systemd unit or drop-in for one installation (quoting: systemd.syntax(7), systemd.service(5)).

    Args:
        template: the template's text; what it has no line for is left out.
        python: the interpreter that imports this package, absolute; not resolved, so that a virtual environment
            stays one.
        claude: the ``claude`` that the daemon may ask to refresh its own login, absolute; its directory comes
            first in PATH. None if there is none.

    Raises:
        ConfigurationFault: if a unit cannot carry one of the paths.
    """
    command = " ".join([_unit_word(_carried(python, refused=_NOT_IN_A_PROGRAM)), *_DAEMON])
    directories = [*_escaped_directory_of(claude), "%h/.local/bin", *_SYSTEM_DIRECTORIES]
    lines = [
        f"# {_MARKER}, which replaces it. Changes belong into a drop-in: systemctl --user edit tokenward.service",
    ]
    for line in template.splitlines():
        if line.startswith("ExecStart="):
            lines.append(f"ExecStart={command}")
        elif line.startswith("Environment=PATH="):
            lines.append(f'Environment="PATH={":".join(directories)}"')
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def render_agent(template: str, *, python: Path, claude: Path | None, home: Path, socket_path: str) -> str:
    """A launchd agent for one installation (launchd.plist(5)).

    Args:
        template: the template's text, a property list.
        python: as in ``render_unit``.
        claude: as in ``render_unit``.
        home: the user's home directory, absolute.
        socket_path: where clients look for the socket, absolute.

    Raises:
        ConfigurationFault: if PATH cannot carry the directory of ``claude``.
    """
    agent = plistlib.loads(template.encode())
    directories = [*_directory_of(claude), f"{home}/.local/bin", "/opt/homebrew/bin", *_SYSTEM_DIRECTORIES]
    agent["ProgramArguments"] = [_carried(python, refused=""), *_DAEMON]
    agent["EnvironmentVariables"]["PATH"] = ":".join(directories)
    agent["Sockets"]["rpc"]["SockPathName"] = socket_path
    agent["StandardErrorPath"] = f"{home}/Library/Logs/tokenward.log"
    written = plistlib.dumps(agent, sort_keys=False).decode()
    return written.replace("<plist ", f"<!-- {_MARKER}, which replaces it. -->\n<plist ", 1)


def is_ours(text: str) -> bool:
    """Whether a unit file was written by one of the two functions above."""
    return any(_MARKER in line for line in text.splitlines()[:_MARKER_LINES])


def program_of(text: str, *, home: Path) -> Path | None:
    """The program that a unit or agent starts; None if it does not say.

    Args:
        text: a systemd service or a launchd agent, also one that somebody has edited.
        home: what ``%h`` stands for.
    """
    if text.lstrip().startswith("<"):
        try:
            words = plistlib.loads(text.encode()).get("ProgramArguments")
        except (ValueError, AttributeError, ExpatError):
            return None
        return Path(words[0]) if words else None
    command = next((line for line in reversed(text.splitlines()) if line.startswith("ExecStart=")), "")
    try:
        first = shlex.split(command.removeprefix("ExecStart="))[:1]
    except ValueError:
        return None
    specifiers = {"%h": str(home), "%%": "%"}
    return Path(re.sub("%[h%]", lambda found: specifiers[found[0]], first[0])) if first else None


def _carried(path: Path, *, refused: Sequence[str]) -> str:
    text = str(path)
    if not path.is_absolute() or not text.isprintable() or any(character in text for character in refused):
        raise ConfigurationFault(
            f"a service unit cannot carry the path {text!r}",
            hint="install tokenward, or claude, under a plain absolute path",
        )
    return text


def _directory_of(claude: Path | None) -> list[str]:
    return [] if claude is None else [_carried(claude.parent, refused=":")]


def _escaped_directory_of(claude: Path | None) -> list[str]:
    return [_escaped(directory) for directory in _directory_of(claude)]


def _unit_word(text: str) -> str:
    return text if _PLAIN_WORD.fullmatch(text) else f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
