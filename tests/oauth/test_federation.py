"""Identity tokens are fetched anew each time, and what hinders that is said in words."""

import os
import sys
from pathlib import Path

import anyio
import pytest

from contracts.identity_source import IdentitySourceContract
from fakes.scripted_minting import ScriptedIdentity
from tokenward.core.credential import Secret
from tokenward.core.federation import LARGEST_IDENTITY_BYTES, NoIdentity
from tokenward.oauth.federation import GivenIdentity, IdentityCommand, IdentityFile
from tokenward.ports import IdentitySource

IDENTITY = "header.claims.signature"


async def reason(source: IdentitySource) -> str:
    """Why there is no identity token."""
    found = await source.token()
    assert isinstance(found, NoIdentity)
    assert IDENTITY not in found.reason
    return found.reason


class TestFile:
    async def test_it_is_read_anew_each_time(self, tmp_path: Path) -> None:
        """Somebody replaces it between two mints."""
        path = tmp_path / "identity"
        path.write_text(IDENTITY + "\n")
        source = IdentityFile(path)
        assert await source.token() == Secret(IDENTITY)
        path.write_text("another.one.now")
        assert await source.token() == Secret("another.one.now")

    async def test_its_signature_changes_with_it(self, tmp_path: Path) -> None:
        """As Kubernetes rotates: a link that leads to another directory."""
        for name in ("1", "2"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "token").write_text(IDENTITY)
        (tmp_path / "data").symlink_to("1")
        source = IdentityFile(tmp_path / "data" / "token")
        before = source.signature()
        assert before == source.signature()
        (tmp_path / "new").symlink_to("2")
        (tmp_path / "new").rename(tmp_path / "data")
        assert source.signature() != before

    async def test_without_it_the_path_is_named(self, tmp_path: Path) -> None:
        """Absent is said, and is no signature."""
        source = IdentityFile(tmp_path / "nowhere" / "identity")
        assert source.signature() is None
        assert str(tmp_path / "nowhere" / "identity") in await reason(source)

    async def test_what_is_not_one_is_refused(self, tmp_path: Path) -> None:
        """A directory, a pipe that nobody writes to, an empty file and a large one: reasons, and no waiting."""
        pipe, empty, large = tmp_path / "pipe", tmp_path / "empty", tmp_path / "large"
        os.mkfifo(pipe)
        empty.touch()
        large.write_text("a" * (LARGEST_IDENTITY_BYTES + 1))
        assert "directory" in await reason(IdentityFile(tmp_path))
        assert "not a regular file" in await reason(IdentityFile(pipe))
        assert "empty" in await reason(IdentityFile(empty))
        assert "larger" in await reason(IdentityFile(large))

    async def test_a_signature_never_raises(self, tmp_path: Path) -> None:
        """A loop of links is something that is there and cannot be looked at."""
        loop = tmp_path / "loop"
        loop.symlink_to(loop)
        assert IdentityFile(loop).signature() is not None


def command(code: str, *arguments: str, **environ: str) -> IdentityCommand:
    """A command that runs some Python."""
    return IdentityCommand([sys.executable, "-IS", "-c", code, *arguments], environ=environ, timeout=20.0)


class TestCommand:
    async def test_what_it_prints_is_taken(self) -> None:
        """Arguments arrive as they are; no shell looks at them."""
        assert await command("import sys; print(sys.argv[1])", "$HOME;`id`").token() == Secret("$HOME;`id`")

    async def test_its_environment_is_what_it_was_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing of ours is inherited, no input is there, and it does not lie in our session."""
        monkeypatch.setenv("SECRET_OF_OURS", "x")
        code = (
            "import os, sys; print(','.join(sorted(n for n in os.environ if n != 'LC_CTYPE')), "
            "sys.stdin.read() or 'nothing', os.getcwd(), os.getsid(0) == os.getpid(), sep='|')"
        )
        assert await command(code, MINE="1").token() == Secret("MINE|nothing|/|True")

    async def test_it_is_found_in_its_own_path(self, tmp_path: Path) -> None:
        """PATH of its environment counts, not ours."""
        tool = tmp_path / "print-identity"
        tool.write_text(f"#!/bin/sh\necho {IDENTITY}\n")
        tool.chmod(0o700)
        source = IdentityCommand(["print-identity"], environ={"PATH": str(tmp_path)}, timeout=20.0)
        assert await source.token() == Secret(IDENTITY)

    async def test_one_that_is_not_there(self) -> None:
        """The command is named, and what the system says."""
        source = IdentityCommand(["/nowhere/identity"], environ={}, timeout=20.0)
        assert await reason(source) == "the command /nowhere/identity No such file or directory"

    async def test_one_that_fails(self) -> None:
        """What it printed before does not count."""
        assert "exit status 3" in await reason(command(f"print('{IDENTITY}', flush=True); raise SystemExit(3)"))

    async def test_one_that_prints_too_much(self) -> None:
        """It is ended; not everything is taken into memory."""
        assert "larger" in await reason(command("while True: print('a' * 1000)"))

    async def test_one_that_prints_nothing_or_a_page(self) -> None:
        """Neither is an identity token."""
        assert "empty" in await reason(command(""))
        assert "blanks" in await reason(command("print('Please log in')"))

    async def test_one_that_hangs_is_ended_with_its_children(self, tmp_path: Path) -> None:
        """The time that was given is all it gets, and nothing of it is left."""
        born = tmp_path / "born"
        os.mkfifo(born)
        code = '(echo x; exec sleep 600) > "$0" & wait'
        source = IdentityCommand(["/bin/sh", "-c", code, str(born)], environ={"PATH": os.defpath}, timeout=2.0)
        grandchild = await anyio.to_thread.run_sync(os.open, born, os.O_RDONLY | os.O_NONBLOCK)
        with open(grandchild, "rb", closefd=True) as alive:  # noqa: ASYNC230, PTH123 - a descriptor of ours
            assert "has not ended after 2 s" in await reason(source)
            os.set_blocking(grandchild, True)
            with anyio.fail_after(20):
                # The end of the pipe is the end of the last process that held it.
                assert await anyio.to_thread.run_sync(alive.read) == b"x\n"


class TestGiven:
    async def test_it_is_what_was_given(self) -> None:
        """It stays as it is, blanks left out."""
        source = GivenIdentity(Secret(f" {IDENTITY}\n"), description="$IDENTITY")
        assert source.signature() is None
        assert await source.token() == Secret(IDENTITY)

    async def test_what_cannot_be_one_is_said_with_its_name(self) -> None:
        """A variable that holds a page of text is named."""
        assert (await reason(GivenIdentity(Secret("a b"), description="$IDENTITY"))).startswith("$IDENTITY: ")


class _FileRig:
    def __init__(self, directory: Path) -> None:
        self._path = directory / "identity"

    def holding(self, text: str) -> IdentitySource:
        self._path.write_text(text)
        return IdentityFile(self._path)


class TestFileContract(IdentitySourceContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> _FileRig:
        """A file."""
        return _FileRig(tmp_path)


class _CommandRig:
    def holding(self, text: str) -> IdentitySource:
        return IdentityCommand(["/bin/sh", "-c", 'echo "$0"', text], environ={}, timeout=20.0)


class TestCommandContract(IdentitySourceContract):
    @pytest.fixture
    def rig(self) -> _CommandRig:
        """A command."""
        return _CommandRig()


class _GivenRig:
    def holding(self, text: str) -> IdentitySource:
        return GivenIdentity(Secret(text), description="$IDENTITY")


class TestGivenContract(IdentitySourceContract):
    @pytest.fixture
    def rig(self) -> _GivenRig:
        """A variable."""
        return _GivenRig()


class _ScriptedRig:
    def holding(self, text: str) -> IdentitySource:
        return ScriptedIdentity(None if " " in text else text)


class TestScriptedContract(IdentitySourceContract):
    @pytest.fixture
    def rig(self) -> _ScriptedRig:
        """The one that other tests stand on."""
        return _ScriptedRig()
