"""Who is at the other end of a socket, as the kernel says it.

The problem: whoever may connect gets tokens, and file permissions alone do not say who did: a descriptor can be
passed on, a directory can be opened by mistake, and inside a user namespace strangers all wear one uid.

Rules:
- Only the kernel's word counts (``SO_PEERCRED``, ``LOCAL_PEERCRED``). Where it gives none, nobody is admitted.
- The overflow uid stands for everyone the namespace does not know, so it is never admitted, even as our own.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_UCRED = struct.Struct("iII")
"""``struct ucred`` of unix(7): pid, uid, gid."""
_SO_PEERCRED = 17
"""``SO_PEERCRED``; the socket module names it on Linux only."""
_XUCRED = struct.Struct("=IIh2x16I")
"""``struct xucred`` of Darwin's sys/ucred.h: version, uid, number of groups, groups."""
_XUCRED_VERSION = 0
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1
_LOCAL_PEERPID = 2
_USUAL_OVERFLOW_UID = 65534
"""``/proc/sys/kernel/overflowuid`` where nobody changed it (user_namespaces(7))."""


class Peer(NamedTuple):
    """The process that connected, when it did.

    Args:
        pid: its process id; None where the system does not say.
        uid: its effective user id.
        gid: its effective group id.
    """

    pid: int | None
    uid: int
    gid: int


def parse_ucred(raw: bytes) -> Peer:
    """Read Linux's ``struct ucred``.

    Raises:
        OSError: if it is not one.
    """
    if len(raw) != _UCRED.size:
        raise OSError("the kernel names no peer")
    return Peer._make(_UCRED.unpack(raw))


def parse_xucred(raw: bytes, pid: int | None) -> Peer:
    """Read Darwin's ``struct xucred``.

    Raises:
        OSError: if it is not one, or of an unknown version, or without a group.
    """
    if len(raw) != _XUCRED.size:
        raise OSError("the kernel names no peer")
    version, uid, groups, gid, *_others = _XUCRED.unpack(raw)
    if version != _XUCRED_VERSION or groups < 1:
        raise OSError("the kernel names the peer in a form we do not know")
    return Peer(pid, uid, gid)


def peer_of(connected: socket.socket) -> Peer:
    """Ask the kernel who connected.

    Args:
        connected: an accepted AF_UNIX stream socket.

    Raises:
        OSError: if the kernel does not say.
    """
    if sys.platform == "darwin":
        raw = connected.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED.size)
        return parse_xucred(raw, connected.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID))
    return parse_ucred(connected.getsockopt(socket.SOL_SOCKET, _SO_PEERCRED, _UCRED.size))


def overflow_uid() -> int:
    """The uid that stands for every user the namespace does not map (user_namespaces(7))."""
    try:
        return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return _USUAL_OVERFLOW_UID


def admitted_uids(*, allow_root: bool, others: Iterable[int] = ()) -> frozenset[int]:
    """The users who may call: we ourselves, root if it is allowed, and those who were named."""
    wanted = {os.geteuid(), *others} | ({0} if allow_root else set())
    return frozenset(wanted - {overflow_uid()})
