"""``tokenward service``: hand the daemon to the user's service manager, take it back, and say how it stands.

The problem: a unit file names absolute paths that only the installation knows, people keep unit files of their
own, and the manager that reads them cannot be reached from every shell (su, cron, containers).

Rules:
- A file that we did not write is never replaced without ``--force`` and never removed.
- Files first: a manager that cannot be reached costs a notice, not the files.
- The manager's own command is shown where a person may want to run it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenward import unit_templates
from tokenward.cli.arguments import add_command
from tokenward.cli.supervisors import Answer, Supervisor, UnitFile, supervisor_of
from tokenward.errors import ConfigurationFault

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers

_IMPORT_SECONDS = 30.0
"""For an interpreter on a cold disk."""


def add_parser(subparsers: Subparsers) -> None:
    """Register the command group.

    Args:
        subparsers: of the top parser; each command sets ``run``, a function from the parsed arguments to the exit
            code.
    """
    group = add_command(
        subparsers,
        "service",
        "run the daemon as a service of your login",
        run=_status,
        example="tokenward service install --now",
    )
    commands: Subparsers = group.add_subparsers(required=True, metavar="COMMAND", title="commands")

    install = add_command(
        commands,
        "install",
        "write the units of the service manager",
        run=_install,
        example="tokenward service install --now",
        about="systemd's on Linux, launchd's on macOS.",
    )
    install.add_argument("--now", action="store_true", help="enable and start the daemon as well")
    install.add_argument("--force", action="store_true", help="replace units that tokenward did not write")
    if sys.platform != "darwin":
        install.add_argument(
            "--no-user-namespaces",
            action="store_true",
            help="add the drop-in for hosts that forbid user namespaces",
        )
    install.set_defaults(no_user_namespaces=False)

    add_command(
        commands,
        "uninstall",
        "stop the daemon and remove what install wrote",
        run=_uninstall,
        example="tokenward service uninstall",
        about="What the store keeps stays.",
    )
    status = add_command(
        commands,
        "status",
        "show what is installed and whether it runs",
        run=_status,
        example="tokenward service status --json",
    )
    status.add_argument("--json", action="store_true", help="as one JSON object")


def _install(args: argparse.Namespace) -> int:
    try:
        supervisor = supervisor_of(sys.platform, os.environ, uid=os.getuid())
        python = _checked_interpreter()
        files = [file for file in supervisor.files if not file.optional or args.no_user_namespaces]
        if not args.force:
            _refuse_foreign(files)
        found = shutil.which("claude")
        claude = None if found is None else Path(found).absolute()
        rendered = [(file, supervisor.render(file, python=python, claude=claude)) for file in files]
        supervisor.prepare()
        for file, text in rendered:
            _write(file.path, text)
            print(f"wrote {file.path}")
    except ConfigurationFault as fault:
        return _fail(fault.cause, fault.hint)
    except OSError as error:
        return _fail(f"the units could not be written: {_reason(error)}", "check the directory and its owner")
    return _hand_over(supervisor, now=args.now)


def _hand_over(supervisor: Supervisor, *, now: bool) -> int:
    reloaded = supervisor.reload()
    if not reloaded.ok:
        _fail(
            f"the files are written, but the service manager cannot be reached: {reloaded.text}",
            f"in a login session of yours (not su or sudo) run: {supervisor.start_command}",
        )
        return 1 if now else 0
    if not now:
        print(f"next: {supervisor.start_command}")
        print(supervisor.afterthought)
        return 0
    started = supervisor.start()
    if not started.ok:
        return _fail(f"the daemon was not started: {started.text}", f"see what it said: {supervisor.messages}")
    print("started")
    print(supervisor.afterthought)
    return 0


def _uninstall(_args: argparse.Namespace) -> int:
    try:
        supervisor = supervisor_of(sys.platform, os.environ, uid=os.getuid())
        present = [(file, text) for file in supervisor.files if (text := file.text()) is not None]
        ours = [file for file, text in present if unit_templates.is_ours(text)]
        stopped = supervisor.stop() if supervisor.files[0] in ours else Answer(ok=True, text="")
        for file in ours:
            file.path.unlink()
            print(f"removed {file.path}")
            _remove_if_empty_drop_in_directory(file.path.parent)
    except ConfigurationFault as fault:
        return _fail(fault.cause, fault.hint)
    except OSError as error:
        return _fail(f"the units could not be removed: {_reason(error)}", "check the directory and its owner")
    if not present:
        print("nothing is installed")
    if ours and stopped.ok:
        stopped = supervisor.reload()
    if not stopped.ok:
        return _fail(
            f"the daemon may still run, for the service manager said: {stopped.text}",
            "log out and in again, or stop it by its process id",
        )
    left = [str(file.path) for file, _ in present if file not in ours]
    if left:
        return _fail(
            f"not written by tokenward, so left alone: {', '.join(left)}", "remove it yourself if it is yours"
        )
    return 0


def _status(args: argparse.Namespace) -> int:
    try:
        supervisor = supervisor_of(sys.platform, os.environ, uid=os.getuid())
        shown = _standing(supervisor, Path(os.environ["HOME"]))
    except ConfigurationFault as fault:
        return _fail(fault.cause, fault.hint)
    except OSError as error:
        return _fail(f"the units could not be read: {_reason(error)}", "check the directory and its owner")
    if args.json:
        print(json.dumps(shown))
        return 0
    print(f"installed    {_words(shown['installed'])}")
    print(f"unit         {shown['unit']}{'' if shown['ours'] in {True, None} else ' (not written by tokenward)'}")
    if shown["program"] is not None:
        print(
            f"program      {shown['program']}{'' if shown['program_exists'] else ' (missing: run install again)'}"
        )
    print(f"enabled      {_words(shown['enabled'])}")
    print(f"active       {_words(shown['active'])}")
    return 0


def _standing(supervisor: Supervisor, home: Path) -> dict[str, Any]:
    """What ``status --json`` prints: the keys are its documented shape, null is unknown."""
    main = supervisor.files[0]
    text = main.text()
    program = None if text is None else unit_templates.program_of(text, home=home)
    return {
        "installed": all(file.text() is not None for file in supervisor.files if not file.optional),
        "unit": str(main.path),
        "ours": None if text is None else unit_templates.is_ours(text),
        "program": None if program is None else str(program),
        "program_exists": None if program is None else os.access(program, os.X_OK),
        **supervisor.state(),
    }


def _checked_interpreter() -> Path:
    """This interpreter, if it imports this package where a service would run it."""
    python = Path(sys.executable).absolute()
    alone = [str(python), "-I", "-c", "import tokenward"]
    tried = subprocess.run(alone, capture_output=True, cwd="/", timeout=_IMPORT_SECONDS, check=False)
    if tried.returncode != 0:
        raise ConfigurationFault(
            f"{python} finds tokenward only by PYTHONPATH or the working directory, which a service has not",
            hint="install it first: pipx install tokenward, or pip install in a virtual environment",
        )
    return python


def _refuse_foreign(files: Sequence[UnitFile]) -> None:
    for file in files:
        text = file.text()
        if text is not None and not unit_templates.is_ours(text):
            raise ConfigurationFault(
                f"{file.path} exists and was not written by tokenward",
                hint="move it away, or run again with --force to replace it",
            )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _remove_if_empty_drop_in_directory(directory: Path) -> None:
    if directory.suffix == ".d" and not any(directory.iterdir()):
        directory.rmdir()


def _reason(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _words(known: bool | None) -> str:  # noqa: FBT001 - it turns a boolean into a word
    return "unknown" if known is None else ("yes" if known else "no")


def _fail(cause: str, hint: str) -> int:
    print(f"tokenward: {cause}\n  hint: {hint}", file=sys.stderr)
    return 1
