"""What a path is on, as the kernel lists what is mounted (proc_pid_mountinfo(5)).

The problem: a file on another machine's disk may answer a ``stat`` in an hour, and nobody can be told that
beforehand by looking at the file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("/proc/self/mountinfo")
_MOUNT_POINT_FIELD = 4
_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mounted:
    """One mounted file system.

    Args:
        kind: its type, as ``ext4``, ``nfs4`` or ``fuse.sshfs``.
        source: what is mounted, as ``server:/home``.
        at: where.
    """

    kind: str
    source: str
    at: str

    @property
    def answers_elsewhere(self) -> bool:
        """Whether another machine, or another program of this one, answers for it."""
        return self.kind in _NETWORKED or self.kind.startswith("fuse.")


_NETWORKED = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs", "virtiofs"}
)


def mounted_below(path: Path, table: Path = TABLE) -> Mounted | None:
    """What is mounted where a path lies.

    Args:
        path: absolute, without symbolic links; it need not exist.
        table: the kernel's table.

    Returns:
        None where there is no such table, or it does not say.
    """
    try:
        lines = table.read_bytes().splitlines()
    except OSError:
        return None
    found: Mounted | None = None
    for line in lines:
        before, _, after = line.partition(b" - ")
        fields, kinds = before.split(b" "), after.split(b" ")
        if len(fields) <= _MOUNT_POINT_FIELD or len(kinds) < 2:
            continue
        at = _unescaped(fields[_MOUNT_POINT_FIELD])
        # Of several at one place the last is on top.
        if path.is_relative_to(at) and (found is None or len(at) >= len(found.at)):
            found = Mounted(_unescaped(kinds[0]), _unescaped(kinds[1]), at)
    return found


def _unescaped(field: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda escape: bytes([int(escape[1], 8) & 0xFF]), field))
