"""A real ``systemd --user`` of an unprivileged user, on a machine whose PID 1 need not be systemd.

The problem: what a unit file promises (a read-only /usr, a restart by the watchdog, a socket that is there before
the daemon) is kept or silently dropped by the manager that runs it, so only a real user manager can show it. Build
machines have none: PID 1 is something else, the tests are root, and root's files are closed to other users.

How: ``unshare`` makes private mount, PID, IPC and cgroup namespaces; ``private_namespace.py``, in there as PID 1,

- hides /run under a tmpfs with ``/run/systemd/system`` (what makes systemd believe the host was booted by it) and
  ``/run/user/UID``;
- mounts a cgroup2 tree whose root is a cgroup of ours that the user owns, as logind's delegation would;
- gives the user a line in /etc/passwd and a home directory, ``/home/ward``;
- makes the interpreter and the sources readable: every directory above them that others may not enter (root's
  home, where a pyenv of root's has the interpreter; and /home, which it needs for the user's own) is covered by
  an empty tmpfs *of this namespace*, and just the wanted trees are bound back into it, read-only, **at their own
  paths**. So symlinks, ``pyvenv.cfg`` and ``#!`` lines hold, nothing else of it becomes visible, and outside
  nothing changes;
- drops to the user and starts ``systemd --user``.

The user gets a virtual environment (``~/.venv``) that reaches the packages and the sources of the running tests by
a ``.pth`` file, so that ``ExecStart=<python> -I -m tokenward daemon`` means this code with nothing installed.

Rules:
- Paths have two names. ``home`` and ``runtime_dir`` are what the test sees; ``HOME`` and ``inside_runtime_dir``
  are what the user and the services see. They are the same directories.
- The network is shared: services reach what the test serves on loopback.
- There is no journal; every service's output is appended to a file that ``log`` reads.
- ``PrivateTmp=yes`` hides what lies under /tmp from a service: such trees are seen at another path (``seen``).
- With ``user_namespaces=False`` the manager runs where no further user namespace can be made, as on hosts that
  forbid them.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

HOME = Path("/home/ward")
"""The user's home directory, as the user sees it."""
SOURCES = Path(__file__).resolve().parents[2]
_PID_1 = Path(__file__).with_name("private_namespace.py")
_USER = "ward"
_SPARE_UIDS = range(61_200, 61_300)
"""In none of the ranges that distributions and systemd hand out (systemd.io/UIDS-GIDS)."""
_TOOLS = ("unshare", "nsenter", "setpriv", "mount", "umount", "systemctl")
_SYSTEMD = next(
    (path for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if Path(path).exists()), None
)
_SEEN = Path("/run/seen")
"""Where trees are bound that lie under /tmp, which a service with PrivateTmp=yes cannot see."""
_PATIENCE = 30.0
"""Seconds for a manager that starts in one on an idle machine."""


def why_unavailable() -> str | None:
    """Why this machine cannot run a user manager, or None if it can."""
    if not sys.platform.startswith("linux"):
        return "not Linux"
    if os.geteuid() != 0:
        return "not root: namespaces and a second user id are needed"
    if _SYSTEMD is None:
        return "systemd is not installed"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return None if _own_cgroup() is not None else "no cgroup2 hierarchy is mounted"


class UserManager:
    """An unprivileged user with a running ``systemd --user``; a context manager.

    Args:
        readable: further trees, as absolute paths, that the user must be able to read; the interpreter, its
            packages and the project always are.
        user_namespaces: whether the manager may make user namespaces.

    Attributes:
        uid: the user's id.
        home: the home directory, as the test sees it.
        runtime_dir: ``$XDG_RUNTIME_DIR``, as the test sees it.
        inside_runtime_dir: ``$XDG_RUNTIME_DIR``, as the user sees it.
        python: an interpreter, as the user sees it, that imports this project even with ``-I``.
    """

    def __init__(self, *, readable: Sequence[Path] = (), user_namespaces: bool = True) -> None:
        taken = {entry.pw_uid for entry in pwd.getpwall()}
        self.uid = next(uid for uid in _SPARE_UIDS if uid not in taken)
        self._base = Path(tempfile.mkdtemp(prefix="ward-"))
        self.home = self._base / "home"
        self.runtime_dir = self._base / "run"
        self.inside_runtime_dir = Path(f"/run/user/{self.uid}")
        self.python = HOME / ".venv/bin/python"
        self._readable = _outermost([*_interpreter_trees(), SOURCES, *readable])
        self._user_namespaces = user_namespaces
        self._cgroup = (_own_cgroup() or Path("/sys/fs/cgroup")) / self._base.name
        self._process: subprocess.Popen[bytes] | None = None
        self._target = 0

    def seen(self, path: Path) -> Path:
        """A readable path as the user's services see it: /tmp is private to them, so what lies there is moved."""
        for number, tree in enumerate(self._readable):
            if path.is_relative_to(tree) and _is_in_tmp(tree):
                return _SEEN / str(number) / path.relative_to(tree)
        return path

    @property
    def pid(self) -> int:
        """The manager's process id, as the test sees it."""
        return self._target

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            RuntimeError: if the manager does not come up; the message holds what it said.
        """
        try:
            self._furnish()
            self._start()
            self._wait_until_running()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, with everything it runs, and remove its files."""
        self.close()

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        environ: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as the user, in the user's world.

        Args:
            argv: the command; names are looked up in /usr/bin and /bin.
            environ: what to add to HOME, PATH, USER, LANG and XDG_RUNTIME_DIR, which is all there is.
            check: whether a failure is an error here.
            timeout: seconds.

        Raises:
            RuntimeError: if ``check`` and the exit status is not 0; the message holds the output.
        """
        command = [
            *("nsenter", f"--target={self._target}", "--mount", "--pid", "--ipc"),
            *(() if self._user_namespaces else ("--user",)),
            *_as_user(self.uid, environ or {}),
            *map(str, argv),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd="/", check=False)
        if check and done.returncode != 0:
            shown = " ".join(map(str, argv))
            raise RuntimeError(f"{shown} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def systemctl(self, *args: str, check: bool = True) -> str:
        """Run ``systemctl --user`` as the user and return its output."""
        return self.run(["systemctl", "--user", "--no-pager", *args], check=check).stdout.strip()

    def property(self, unit: str, name: str) -> str:
        """One property of a unit, as ``systemctl show`` tells it."""
        return self.systemctl("show", "--value", f"--property={name}", unit)

    def main_pid(self, unit: str) -> int:
        """The main process of a running service, by its id as the test sees it.

        Raises:
            LookupError: if the service has none.
        """
        inside = self.property(unit, "MainPID")
        control_group = self._cgroup / self.property(unit, "ControlGroup").lstrip("/")
        for pid in (control_group / "cgroup.procs").read_text().split():
            status = Path(f"/proc/{pid}/status").read_text().splitlines()
            ids = next(line.split()[1:] for line in status if line.startswith("NSpid:"))
            if ids[-1] == inside:
                return int(pid)
        raise LookupError(f"{unit} has no main process\n{self.log(unit)}")

    def wait_for(self, unit: str, name: str, value: str, *, timeout: float = 30.0) -> None:
        """Wait until a property of a unit has a value.

        Raises:
            TimeoutError: if it has not within ``timeout`` seconds; the message holds the unit's log.
        """
        deadline = time.monotonic() + timeout
        while (seen := self.property(unit, name)) != value:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{unit}: {name} is {seen!r}, not {value!r}\n{self.log(unit)}")
            time.sleep(0.05)

    def log(self, unit: str) -> str:
        """What a service has written to stdout and stderr, over all its runs."""
        path = self.runtime_dir / "log" / f"{unit}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def place(self, relative: str, text: str, *, mode: int = 0o600) -> Path:
        """Write a file of the user's under the home directory and return its path as the user sees it."""
        path = self.home / relative
        for missing in reversed([folder for folder in path.parents if not folder.exists()]):
            missing.mkdir(mode=0o700)
            os.chown(missing, self.uid, self.uid)
        path.write_text(text)
        path.chmod(mode)
        os.chown(path, self.uid, self.uid)
        return HOME / relative

    def drop_in(self, unit: str, name: str, text: str) -> None:
        """Put a drop-in beside a unit of the user's and let the manager read it."""
        self.place(f".config/systemd/user/{unit}.d/{name}.conf", text)
        self.systemctl("daemon-reload")

    def close(self) -> None:
        """Stop it, with everything it runs, and remove its files."""
        if self._process is not None:
            self._process.kill()  # unshare --kill-child: PID 1 of the namespace dies too, and all others with it
            self._process.wait()
            self._process = None
        _remove_cgroup(self._cgroup)
        shutil.rmtree(self._base, ignore_errors=True)

    def _furnish(self) -> None:
        self._base.chmod(0o755)
        for folder in (self.home, self.runtime_dir):
            folder.mkdir(mode=0o700)
            os.chown(folder, self.uid, self.uid)
        log = self.runtime_dir / "log"
        log.mkdir(mode=0o700)
        os.chown(log, self.uid, self.uid)
        line = f"{_USER}:x:{self.uid}:{self.uid}::{HOME}:/bin/sh\n"
        (self._base / "passwd").write_text(Path("/etc/passwd").read_text() + line)
        output = f"append:{self.inside_runtime_dir}/log/%n.log"
        self.place(
            ".config/systemd/user/service.d/output.conf",
            f"[Service]\nStandardOutput={output}\nStandardError={output}\n",
        )
        environment = self.home / ".venv"
        venv.EnvBuilder(symlinks=True).create(environment)
        packages = environment / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        reached = dict.fromkeys(
            str(self.seen(Path(path)))
            for path in (SOURCES / "src", sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
        )
        (packages / "tests.pth").write_text("\n".join(reached))
        subprocess.run(["chown", "-R", f"{self.uid}:{self.uid}", environment], check=True)
        self._cgroup.mkdir()
        for path in (self._cgroup, *self._cgroup.glob("cgroup.*")):
            os.chown(path, self.uid, self.uid)

    def _start(self) -> None:
        receive, send = os.pipe()
        plan = {
            "bound": {
                str(self.home): str(HOME),
                str(self.runtime_dir): str(self.inside_runtime_dir),
                str(self._base / "passwd"): "/etc/passwd",
                **{str(path): str(self.seen(path)) for path in self._readable if _is_in_tmp(path)},
            },
            "wanted": [str(path) for path in self._readable if not _is_in_tmp(path)],
            "user_namespaces": self._user_namespaces,
            "manager": [*_as_user(self.uid, {}), str(_SYSTEMD), "--user", "--log-target=console"],
            "tell": send,
        }
        # The cgroup must be entered before the namespace is made: where the maker is becomes its root.
        enter_cgroup = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        namespaces = ("--mount", "--pid", "--ipc", "--cgroup", "--fork", "--kill-child", "--propagation=private")
        with (self._base / "manager.log").open("wb") as said:
            self._process = subprocess.Popen(
                [
                    *("sh", "-c", enter_cgroup, str(self._cgroup)),
                    *("setpriv", "--pdeathsig=KILL", "unshare", *namespaces),
                    *(sys.executable, "-I", str(_PID_1), json.dumps(plan)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=[send],
                cwd="/",
            )
        os.close(send)
        with os.fdopen(receive) as pipe:
            told = pipe.readline()
        if not told:
            raise RuntimeError(f"no user manager: {self._said()}")
        self._target = int(told)

    def _wait_until_running(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        state = ""
        while state not in {"running", "degraded"}:
            if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"the user manager is {state or 'absent'}: {self._said()}")
            state = self.systemctl("is-system-running", "--wait", check=False)
            time.sleep(0.05)

    def _said(self) -> str:
        return (self._base / "manager.log").read_text(errors="replace") or "(nothing said)"


def _outermost(trees: Sequence[Path]) -> list[Path]:
    return [
        tree
        for tree in dict.fromkeys(trees)
        if not any(tree != other and tree.is_relative_to(other) for other in trees)
    ]


def _is_in_tmp(path: Path) -> bool:
    return path.is_relative_to("/tmp") or path.is_relative_to("/var/tmp")


def _interpreter_trees() -> list[Path]:
    """What must be readable for this interpreter to run: its installation, its environment, what links lead to."""
    named = [Path(sys.base_prefix), Path(sys.prefix), Path(sys.base_exec_prefix)]
    named.extend(Path(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib"))
    real = [Path(os.path.realpath(sys.executable)).parent.parent, *(path.resolve() for path in named)]
    return list(dict.fromkeys([*named, *real]))


def _as_user(uid: int, environ: Mapping[str, str]) -> list[str]:
    """The words that put a command into the user's skin."""
    world = {
        "HOME": str(HOME),
        "USER": _USER,
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "XDG_RUNTIME_DIR": f"/run/user/{uid}",
        **environ,
    }
    drop = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all")
    return [*drop, "env", "-i", *(f"{name}={value}" for name, value in world.items())]


def _own_cgroup() -> Path | None:
    """This process' place in the cgroup2 hierarchy, or None if none is mounted."""
    mounted = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    point = next((Path(fields[1]) for fields in mounted if fields[2] == "cgroup2"), None)
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    inside = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
    return None if point is None else point / inside.lstrip("/")


def _remove_cgroup(top: Path) -> None:
    """Remove a cgroup and those below it; the kernel lets go a moment after their last process has gone."""
    deadline = time.monotonic() + _PATIENCE
    while top.exists() and time.monotonic() < deadline:
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        time.sleep(0.01)
