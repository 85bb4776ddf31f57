"""PID 1 of the namespaces in which ``user_manager.UserManager`` runs its user manager.

The problem: what has to happen inside (mounts, the user's identity, reaping) cannot be done from outside. See
``user_manager`` for what is made and why.

Rules: standard library only, and nothing of ours: it is run by path, with ``-I``, as root.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_CLONE_NEWUSER = 0x10000000


def _mount(*args: str) -> None:
    subprocess.run(["mount", *args], check=True)


def _closed_above(path: Path) -> Path | None:
    """The topmost directory above a path that others may not enter, or /home, which is covered anyway."""
    for folder in reversed(path.parents):
        if folder == Path("/home") or not folder.stat().st_mode & 0o001:
            return folder
    return None


def _open_a_way(wanted: Iterable[Path], stash: Path) -> None:
    """Cover what is closed to others by empty directories, with the wanted trees bound back into them."""
    covered: dict[Path, list[Path]] = {Path("/home"): []}
    for path in wanted:
        if not path.stat().st_mode & 0o001:
            raise RuntimeError(f"{path}: others may not enter it")
        closed = _closed_above(path)
        if closed is not None:
            covered.setdefault(closed, []).append(path)
    stash.mkdir()
    for closed, paths in covered.items():
        outermost = [path for path in paths if not any(other in path.parents for other in paths)]
        kept = [(path, stash / str(number)) for number, path in enumerate(outermost)]
        for path, keep in kept:
            keep.mkdir()
            _mount("--bind", str(path), str(keep))
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(closed))
        for path, keep in kept:
            path.mkdir(parents=True)
            _mount("-o", "bind,ro", str(keep), str(path))
            subprocess.run(["umount", str(keep)], check=True)
            keep.rmdir()


def _furnish_namespace(plan: Mapping[str, Any]) -> None:
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    _open_a_way(map(Path, plan["wanted"]), Path("/run/kept"))
    Path("/run/systemd/system").mkdir(parents=True)
    Path("/run/systemd/unit-root").mkdir(mode=0o700)  # a booted host has it; services get their root mounted there
    for outside, inside in ((Path(outside), Path(inside)) for outside, inside in plan["bound"].items()):
        if outside.is_dir():
            inside.mkdir(parents=True)
        _mount("--bind", str(outside), str(inside))
    subprocess.run(["umount", "--recursive", "--lazy", "/sys/fs/cgroup"], check=True)
    _mount("-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    _mount("-t", "proc", "proc", "/proc")


def _forbid_user_namespaces(parent_ready: int, child_ready: int) -> None:
    """Enter a user namespace in which no other can be made; the parent, who may, writes the identity mapping."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    os.write(child_ready, b".")
    os.read(parent_ready, 1)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


def _start_manager(argv: list[str], *, user_namespaces: bool, tell: int, outer_proc: int) -> int:
    parent_ready, parent_tells = os.pipe()
    child_ready, child_tells = os.pipe()
    child = os.fork()
    if child == 0:
        if not user_namespaces:
            _forbid_user_namespaces(parent_ready, child_tells)
        os.write(tell, os.readlink("self", dir_fd=outer_proc).encode() + b"\n")
        os.execvp(argv[0], argv)  # noqa: S606 - the point is to become it, without a shell
    os.close(child_tells)
    if not user_namespaces:
        os.read(child_ready, 1)
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{child}/{kind}").write_text("0 0 4294967295")
        os.write(parent_tells, b".")
    return child


def _as_pid_1(plan: Mapping[str, Any]) -> None:
    """Furnish the namespace, start the manager, and reap what is orphaned until the manager ends."""
    outer_proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    tell = plan["tell"]
    _furnish_namespace(plan)
    manager = _start_manager(
        plan["manager"], user_namespaces=plan["user_namespaces"], tell=tell, outer_proc=outer_proc
    )
    os.close(tell)
    os.close(outer_proc)
    while os.wait()[0] != manager:
        pass


if __name__ == "__main__":
    _as_pid_1(json.loads(sys.argv[1]))
