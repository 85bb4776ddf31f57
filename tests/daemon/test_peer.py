"""Only those the kernel says are us are served."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from daemon.served import (
    ScriptedService,
    StillClock,
    answered_by,
    serving,
)
from tokenward import errors
from tokenward.daemon import peer as peer_module
from tokenward.daemon import rpc_server as rpc_server_module
from tokenward.daemon.listener import bind_socket
from tokenward.daemon.pace import Pace
from tokenward.daemon.peer import Peer, parse_ucred, parse_xucred
from tokenward.daemon.rpc_server import RpcServer


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody may pass through, outside of pytest's own, which are private."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory


ASK = textwrap.dedent(
    """
    import os, socket, sys
    os.setgroups([]); os.setgid(65533); os.setuid(int(sys.argv[2]))
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(sys.argv[1])
    try:
        peer.sendall(b'{"jsonrpc":"2.0","id":1,"method":"token.get"}\\n')
    except BrokenPipeError:
        pass  # turned away already; the reason lies ready all the same
    print(peer.recv(65536).decode(), end="")
    """
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("uid", [12345, peer_module.overflow_uid()])
async def test_another_user_is_refused(open_directory: Path, uid: int) -> None:
    """Even where the modes let it connect, it reads -32010 and no token."""
    async with serving(open_directory) as served:
        served.path.parent.chmod(0o711)
        served.path.chmod(0o666)
        finished = await anyio.run_process([sys.executable, "-c", ASK, str(served.path), str(uid)])
        assert json.loads(finished.stdout)["error"]["code"] == -32010
        assert json.loads(finished.stdout)["error"]["data"]["type"] == "PermissionDenied"
        assert served.service.lane_served == 0


@pytest.mark.parametrize(
    ("uid", "allow_root", "is_admitted"),
    [(1000, False, True), (1001, False, False), (0, False, False), (0, True, True), (65534, True, False)],
)
async def test_who_is_admitted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uid: int,
    allow_root: bool,  # noqa: FBT001 - a case
    is_admitted: bool,  # noqa: FBT001 - a case
) -> None:
    """Our own uid, and root where allowed; the overflow uid never."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert (uid in peer_module.admitted_uids(allow_root=allow_root)) is is_admitted


async def test_a_daemon_of_the_overflow_uid_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not tell its user from strangers, so it says so instead of serving nobody."""
    bound = bind_socket(str(tmp_path / "run" / "t.sock"))
    monkeypatch.setattr(os, "geteuid", peer_module.overflow_uid)
    with pytest.raises(errors.ConfigurationFault):
        await RpcServer(*answered_by(ScriptedService()), clock=StillClock(), pace=Pace(StillClock())).serve(
            [bound]
        )
    assert bound.fileno() == -1


async def test_a_peer_the_kernel_does_not_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails closed."""

    def nobody(connected: socket.socket) -> Peer:
        raise OSError("the kernel names no peer")

    async with serving(tmp_path) as served:
        monkeypatch.setattr(rpc_server_module, "peer_of", nobody)
        async with served.peer() as peer:
            assert await peer.rest() == b""


def test_the_kernels_words_are_read_strictly() -> None:
    """Both systems' structures are understood; anything of another length or version is refused."""
    assert parse_ucred(struct.pack("iII", 7, 1000, 100)) == Peer(7, 1000, 100)
    xucred = struct.pack("=IIh2x16I", 0, 501, 1, 20, *[0] * 15)
    assert parse_xucred(xucred, 7) == Peer(7, 501, 20)
    for wrong in (b"", struct.pack("iI", 7, 1000)):
        with pytest.raises(OSError, match="names no peer"):
            parse_ucred(wrong)
        with pytest.raises(OSError, match="names no peer"):
            parse_xucred(wrong, 7)
    for version, groups in ((1, 1), (0, 0)):
        with pytest.raises(OSError, match="form we do not know"):
            parse_xucred(struct.pack("=IIh2x16I", version, 501, groups, 20, *[0] * 15), 7)
