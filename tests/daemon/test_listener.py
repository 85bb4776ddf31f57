"""The socket's path: private, never stolen, left as it was found."""

from __future__ import annotations

import os
import resource
import socket
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from daemon.served import (
    RawPeer,
    ScriptedService,
    StillClock,
    answered_by,
    serving,
)
from tokenward import errors
from tokenward.daemon import listener as listener_module
from tokenward.daemon.listener import bind_second_socket, bind_socket, raise_nofile_limit
from tokenward.daemon.pace import Pace
from tokenward.daemon.rpc_server import RpcServer


def test_the_socket_is_private_from_the_start(tmp_path: Path) -> None:
    """0700 and 0600 whatever the umask, which is left as it was; gone after the close."""
    before = os.umask(0)
    try:
        path = tmp_path / "deep" / "run" / "t.sock"
        with bind_socket(str(path)):
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert os.umask(0) == 0
        assert not path.exists()
    finally:
        os.umask(before)


async def test_a_live_socket_is_never_stolen(tmp_path: Path) -> None:
    """The second daemon is told who serves it, and the first one is not disturbed."""
    async with serving(tmp_path) as served:
        with pytest.raises(errors.AlreadyServed, match=f"process {os.getpid()}$"):
            await to_thread.run_sync(bind_socket, str(served.path))
        async with served.peer() as peer:
            assert (await peer.call("token.get"))["result"]


@pytest.mark.parametrize("answer", [b"", b"go away\n", b'{"result": {"version": "x"}}\n', b'{"result": []}\n'])
def test_a_strangers_live_socket_is_never_stolen(tmp_path: Path, answer: bytes) -> None:
    """Whatever answers the connect keeps its path, whether or not it speaks our language."""
    path = tmp_path / "t.sock"
    script = "import socket,sys; s=socket.socket(fileno=0); c,_=s.accept(); c.sendall(sys.argv[1].encode())"
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(path))
        stranger.listen()
        with (
            subprocess.Popen([sys.executable, "-c", script, answer.decode()], stdin=stranger.fileno()),
            pytest.raises(errors.AlreadyServed, match="does not say who"),
        ):
            bind_socket(str(path))
        assert path.is_socket()


def test_a_full_backlog_is_a_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon too busy to accept keeps its path."""
    monkeypatch.setattr(listener_module, "PROBE_SECONDS", 0.01)
    path = tmp_path / "t.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as caller:
        busy.bind(str(path))
        busy.listen(0)
        caller.connect(str(path))
        with pytest.raises(errors.AlreadyServed, match="too busy"):
            bind_socket(str(path))
        assert path.is_socket()


def test_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    """What a killed daemon left behind is in nobody's way."""
    path = tmp_path / "t.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with bind_socket(str(path)), socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(path))


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """Neither a regular file nor a link at the path is touched."""
    for name in ("file", "link"):
        path = tmp_path / name
        if name == "file":
            path.write_text("precious")
        else:
            path.symlink_to(tmp_path / "file")
        with pytest.raises(errors.ConfigurationFault, match="not a socket"):
            bind_socket(str(path))
    assert (tmp_path / "file").read_text() == "precious"


def test_a_path_that_is_too_long_is_refused_clearly(tmp_path: Path) -> None:
    """The error has the lengths and the way out; the longest path that fits works."""
    directory = tmp_path / "é"
    room = listener_module.MAX_PATH_BYTES - len(os.fsencode(directory)) - 1
    with bind_socket(str(directory / ("x" * room))):
        pass
    with pytest.raises(errors.ConfigurationFault, match=f"{listener_module.MAX_PATH_BYTES + 1} bytes") as raised:
        bind_socket(str(directory / ("x" * (room + 1))))
    assert "TOKENWARD_SOCKET" in raised.value.hint


def test_another_daemons_file_is_not_unlinked(tmp_path: Path) -> None:
    """Only the file we bound goes with our socket."""
    path = tmp_path / "t.sock"
    ours = bind_socket(str(path))
    path.rename(tmp_path / "moved")
    path.write_text("somebody else's")
    ours.close()
    assert path.read_text() == "somebody else's"


async def test_an_inherited_socket_is_served_and_left(tmp_path: Path) -> None:
    """A service manager's listening socket is served and closed, and its file stays."""
    path = tmp_path / "t.sock"
    theirs = socket.socket(socket.AF_UNIX)
    theirs.bind(str(path))
    theirs.listen()
    server = RpcServer(*answered_by(ScriptedService()), clock=StillClock(), pace=Pace(StillClock()))
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, [theirs])
        assert not theirs.getblocking()
        async with await anyio.connect_unix(path) as stream:
            assert (await RawPeer(stream).call("token.get"))["result"]
        await server.aclose()
    assert theirs.fileno() == -1
    assert path.is_socket()


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (256, 100_000, listener_module.WANTED_DESCRIPTORS),
        (256, 512, 512),
        (256, resource.RLIM_INFINITY, listener_module.WANTED_DESCRIPTORS),
        (100_000, 100_000, 100_000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_allowed(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, expected: int
) -> None:
    """Up to what we need, never above the hard limit, never down; a refusal changes nothing."""
    limits = {"now": (soft, hard)}
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, wanted: limits.update(now=wanted))
    assert raise_nofile_limit() == expected
    assert limits["now"] == (expected, hard)

    def refuse(which: int, wanted: tuple[int, int]) -> None:
        raise ValueError("not allowed")

    limits["now"] = (soft, hard)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_nofile_limit() == soft


# Second sockets


@pytest.mark.parametrize("mode", [listener_module.OWNER_ONLY, listener_module.ANYBODY])
def test_a_second_socket_has_its_mode_and_leaves_its_directory_alone(tmp_path: Path, mode: int) -> None:
    """The directory is its maker's, with the mode he gave it; a dead socket is replaced, ours is unlinked."""
    tmp_path.chmod(0o755)
    path = tmp_path / "second.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with bind_second_socket(str(path), mode=mode):
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
        with pytest.raises(errors.AlreadyServed):
            bind_second_socket(str(path), mode=mode)
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_second_socket_where_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    """They could put their own in its place, and be handed what callers send."""
    tmp_path.chmod(mode)
    with pytest.raises(errors.ConfigurationFault, match="others may write") as refused:
        bind_second_socket(str(tmp_path / "second.sock"), mode=listener_module.ANYBODY)
    assert "chmod go-w" in refused.value.hint


def test_a_second_socket_touches_no_file_and_follows_no_link(tmp_path: Path) -> None:
    """What is there and is no socket stays, also behind a symbolic link; a missing directory is not made."""
    precious = tmp_path / "precious"
    precious.write_text("x")
    link = tmp_path / "link"
    link.symlink_to(precious)
    for path in (precious, link):
        with pytest.raises(errors.ConfigurationFault, match="not a socket") as refused:
            bind_second_socket(str(path), mode=listener_module.OWNER_ONLY)
        assert "[[sockets]]" in refused.value.hint
    assert (precious.read_text(), link.is_symlink()) == ("x", True)
    with pytest.raises(FileNotFoundError):
        bind_second_socket(str(tmp_path / "missing" / "second.sock"), mode=listener_module.OWNER_ONLY)
    with pytest.raises(errors.ConfigurationFault, match="bytes"):
        bind_second_socket(str(tmp_path / ("x" * 200)), mode=listener_module.OWNER_ONLY)
