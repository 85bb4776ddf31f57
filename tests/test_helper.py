"""The apiKeyHelper's contract with Claude Code, kept by the file itself and by the script that finds it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from client.fake_daemon import TOKEN, FakeDaemon, HangUp, Json, Refusal, profile
from tokenward import helper, helper_ask

HELPER = Path(helper.__file__)
SCRIPT = Path(__file__).parents[1] / "scripts" / "tokenward-helper"
KEY_AND_LOGIN = [profile(), profile("anthropic:cli", kind="oauth")]
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    """A fake daemon; its socket's path is short, as that of a socket must be."""
    with tempfile.TemporaryDirectory(prefix="tw") as directory, FakeDaemon(Path(directory) / "s") as running:
        yield running


def run(
    daemon: FakeDaemon | Path,
    *arguments: str,
    command: tuple[str | Path, ...] = (sys.executable, "-IS", HELPER),
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the helper as Claude Code does: with a standard input that never ends, and holds something."""
    path = daemon.path if isinstance(daemon, FakeDaemon) else daemon
    reading, writing = os.pipe()
    try:
        os.write(writing, b"not for the helper")
        ran = subprocess.run(
            [*command, *arguments],
            stdin=reading,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "TOKENWARD_SOCKET": str(path),
                **(environ or {}),
            },
            timeout=60,
        )
        assert os.read(reading, 100) == b"not for the helper"
    finally:
        os.close(reading)
        os.close(writing)
    return ran


def assert_failed(ran: subprocess.CompletedProcess[str], status: int) -> None:
    """Nothing on standard output, and two lines on standard error that Claude Code can show whole."""
    assert ran.stdout == ""
    assert ran.returncode == status, ran.stderr
    assert len(ran.stderr) < 500
    cause, hint = ran.stderr.splitlines()
    assert cause.startswith("tokenward-helper: ")
    assert hint.startswith("  hint: ")


class TestToken:
    @pytest.mark.covers("A24")
    def test_one_token_and_nothing_else(self, daemon: FakeDaemon) -> None:
        """The token and a newline, exit 0, a silent standard error, standard input untouched."""
        ran = run(daemon)
        assert (ran.stdout, ran.stderr, ran.returncode) == ("sk-ant-api03-fake\n", "", 0)

    def test_it_asks_once_for_what_works_in_both_headers(self, daemon: FakeDaemon) -> None:
        """The default request: Anthropic's keys and tokens, valid past Claude Code's cache, answered at once."""
        run(daemon)
        assert daemon.requests == [
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "token.get",
                "params": {
                    "provider": "anthropic",
                    "min_valid": 390.0,
                    "timeout": 0.9,
                    "kinds": ["api_key", "auth_token"],
                },
            }
        ]

    def test_a_gateway_takes_any_kind(self, daemon: FakeDaemon) -> None:
        """With ANTHROPIC_BASE_URL at another host there is no filter by kind."""
        run(daemon, environ={"ANTHROPIC_BASE_URL": "http://127.0.0.1:8080"})
        assert "kinds" not in daemon.params("token.get")

    @pytest.mark.parametrize(
        "arguments", [("--profile", "anthropic:me@work.com"), ("--profile=anthropic:me@work.com",)]
    )
    def test_a_profile_can_be_named(self, daemon: FakeDaemon, arguments: tuple[str, ...]) -> None:
        """`--profile` replaces the default provider, in both spellings."""
        run(daemon, *arguments)
        assert daemon.params("token.get")["profile"] == "anthropic:me@work.com"
        assert "provider" not in daemon.params("token.get")

    def test_a_provider_can_be_named(self, daemon: FakeDaemon) -> None:
        """`--provider` replaces the default one."""
        run(daemon, "--provider", "acme")
        assert daemon.params("token.get")["provider"] == "acme"

    def test_its_ttl_decides_how_long_the_token_must_live(self, daemon: FakeDaemon) -> None:
        """The variable that Claude Code hands down arrives as `min_valid`."""
        run(daemon, environ={"CLAUDE_CODE_API_KEY_HELPER_TTL_MS": "1500"})
        assert daemon.params("token.get")["min_valid"] == 91.5

    @pytest.mark.parametrize(
        "raw",
        [
            {"id": 1, "jsonrpc": "2.0", "result": {"kind": "api_key", "token": "sk-late"}},
            {"jsonrpc": "2.0", "id": 1, "result": {"token": "sk-late", "kind": "api_key"}},
        ],
    )
    def test_the_order_and_spacing_of_an_answer_do_not_matter(self, daemon: FakeDaemon, raw: Json) -> None:
        """Any JSON that says the same is read."""
        daemon.raw_answer = json.dumps(raw).encode() + b"\n"
        assert run(daemon).stdout == "sk-late\n"

    def test_escapes_are_undone(self, daemon: FakeDaemon) -> None:
        """A token with characters that JSON escapes is printed as it is."""
        daemon.answers["token.get"] = lambda _: {**TOKEN, "token": 'a\\"b/c'}
        assert run(daemon).stdout == 'a\\"b/c\n'

    def test_a_long_token_in_many_pieces(self, daemon: FakeDaemon) -> None:
        """The longest token that Claude Code takes arrives whole."""
        daemon.answers["token.get"] = lambda _: {**TOKEN, "token": "x" * 16_384, "headers": {"x": "y" * 300_000}}
        assert run(daemon).stdout == "x" * 16_384 + "\n"

    def test_it_loads_nothing_but_the_socket(self, daemon: FakeDaemon) -> None:
        """On the way to a token no module is loaded that a bare interpreter has not, but `_socket` and itself."""
        ran = run(daemon, command=(sys.executable, "-X", "importtime", "-IS", HELPER))
        assert ran.stdout == "sk-ant-api03-fake\n"
        bare = run(daemon, command=(sys.executable, "-X", "importtime", "-IS", "-c", "pass"))
        assert _imported(ran.stderr) - _imported(bare.stderr) <= {"_socket", "helper_ask"}
        assert "_socket" in ran.stderr or "_socket" in sys.builtin_module_names


class TestFailure:
    @pytest.mark.parametrize(
        ("type_name", "status"),
        [
            ("LoginRequired", 3),
            ("RefreshFailed", 1),
            ("CallTimeout", 1),
            ("StoreUnavailable", 1),
            ("PermissionDenied", 1),
            ("SomethingNew", 1),
        ],
    )
    def test_what_the_daemon_says_is_passed_on(self, daemon: FakeDaemon, type_name: str, status: int) -> None:
        """Cause and hint of the daemon, and the exit status of its type."""

        def refuse(_: Json) -> Json:
            raise Refusal(type_name, "the login ended")

        daemon.answers["token.get"] = refuse
        ran = run(daemon)
        assert_failed(ran, status)
        assert ran.stderr == "tokenward-helper: the login ended\n  hint: do this\n"

    @pytest.mark.parametrize("type_name", ["NoCredentials", "AllUnavailable", "ProfileUnavailable"])
    def test_a_login_that_cannot_work_is_told_from_none(self, daemon: FakeDaemon, type_name: str) -> None:
        """Where only the kinds stand in the way, the reason names the way that works."""

        def refuse(_: Json) -> Json:
            raise Refusal(type_name)

        daemon.answers["token.get"] = refuse
        daemon.answers["profile.list"] = lambda _: {"profiles": [profile("anthropic:claude-cli", kind="oauth")]}
        ran = run(daemon)
        assert_failed(ran, 3)
        assert "tokenward claude-code install --via profile" in ran.stderr
        assert daemon.params("profile.list") == {"provider": "anthropic"}

    def test_with_no_login_at_all_the_daemon_has_the_word(self, daemon: FakeDaemon) -> None:
        """No profile that holds a credential: its own hint, and still a matter for a person."""

        def refuse(_: Json) -> Json:
            raise Refusal("NoCredentials", "nothing is configured")

        daemon.answers["token.get"] = refuse
        daemon.answers["profile.list"] = lambda _: {"profiles": [profile("anthropic:claude-cli", kind=None)]}
        ran = run(daemon)
        assert_failed(ran, 3)
        assert "nothing is configured" in ran.stderr

    def test_a_key_that_cools_down_is_worth_waiting_for(self, daemon: FakeDaemon) -> None:
        """If a profile of a fitting kind exists, the kinds are not to blame: exit 1."""

        def refuse(_: Json) -> Json:
            raise Refusal("AllUnavailable")

        daemon.answers["token.get"] = refuse
        daemon.answers["profile.list"] = lambda _: {
            "profiles": [profile(), profile("anthropic:cli", kind="oauth")]
        }
        assert_failed(run(daemon), 1)

    def test_only_the_profile_that_was_named_counts(self, daemon: FakeDaemon) -> None:
        """A named login is refused for its kind, though a key of the provider exists."""

        def refuse(_: Json) -> Json:
            raise Refusal("ProfileUnavailable")

        daemon.answers["token.get"] = refuse
        daemon.answers["profile.list"] = lambda _: {
            "profiles": [profile(), profile("anthropic:cli", kind="oauth")]
        }
        ran = run(daemon, "--profile", "anthropic:cli")
        assert_failed(ran, 3)
        assert "--via profile" in ran.stderr

    def test_a_socket_that_lists_nothing_leaves_the_daemons_word(self, daemon: FakeDaemon) -> None:
        """On a restricted socket, where profiles cannot be listed, the first error stands."""

        def refuse(_: Json) -> Json:
            raise Refusal("NoCredentials", "nothing for this socket")

        daemon.answers["token.get"] = refuse
        ran = run(daemon)
        assert_failed(ran, 3)
        assert "nothing for this socket" in ran.stderr

    def test_a_long_or_wild_reason_fits(self, daemon: FakeDaemon) -> None:
        """A reason is cut and stripped of what a terminal obeys, so that both lines are seen."""

        def refuse(_: Json) -> Json:
            raise Refusal("RefreshFailed", "\x1b[31m\n" + "long " * 500)

        daemon.answers["token.get"] = refuse
        ran = run(daemon)
        assert_failed(ran, 1)
        assert "\x1b" not in ran.stderr

    @pytest.mark.covers("A24")
    def test_without_a_daemon(self, tmp_path: Path) -> None:
        """Exit 4, where it looked, and how to start one."""
        ran = run(tmp_path / "none")
        assert_failed(ran, 4)
        assert str(tmp_path / "none") in ran.stderr
        assert "tokenward daemon" in ran.stderr

    def test_without_home(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        """Where no socket can be named there is no daemon: exit 4, and why."""
        monkeypatch.setattr(helper_ask, "environ", {})
        monkeypatch.setattr(helper_ask, "is_ours", lambda _: False)
        assert helper_ask.main([]) == 4
        said = capfd.readouterr()
        assert said.out == ""
        assert "HOME is not set" in said.err

    def test_a_daemon_that_hangs_up(self, daemon: FakeDaemon) -> None:
        """A connection that ends without an answer is exit 4."""

        def hang_up(_: Json) -> Json:
            raise HangUp

        daemon.answers["token.get"] = hang_up
        assert_failed(run(daemon), 4)

    def test_a_daemon_that_hangs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """One that takes the request and never answers is given up within a second, by our own clock."""
        path = tmp_path / "s"
        assert helper_ask.ANSWER_SECONDS == 1
        monkeypatch.setattr(helper_ask, "START_SECONDS", 100_000)
        read_clock = iter(range(1000))
        monkeypatch.setattr(helper_ask, "monotonic", lambda: next(read_clock) * 0.2)
        monkeypatch.setattr(helper_ask, "environ", {b"TOKENWARD_SOCKET": os.fsencode(path)})
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            assert helper_ask.main([]) == 4
        said = capfd.readouterr()
        assert said.out == ""
        assert "did not answer" in said.err

    @pytest.mark.parametrize("token", ["", "a b", "a\nb", "a\x7f", "sk-ü", "x" * 16_385])
    def test_a_token_that_claude_code_refuses_is_not_printed(self, daemon: FakeDaemon, token: str) -> None:
        """Anything but one word of printable ASCII, of at most 16,384 characters, is a failure."""
        daemon.answers["token.get"] = lambda _: {**TOKEN, "token": token}
        assert_failed(run(daemon), 1)

    @pytest.mark.parametrize(
        "raw",
        [
            b"HTTP/1.1 200 OK\n",
            b"[]\n",
            b'{"jsonrpc":"2.0","id":1,"result":{"token":7}}\n',
            b'{"jsonrpc":"2.0","id":1,"result":{"token":"torn\n',
        ],
    )
    def test_an_answer_that_holds_no_token(self, daemon: FakeDaemon, raw: bytes) -> None:
        """What is not an answer of the daemon is a failure, and none of it is printed."""
        daemon.raw_answer = raw
        assert_failed(run(daemon), 1)

    @pytest.mark.parametrize(
        "arguments", [("extra",), ("--json",), ("--profile",), ("--profile", 'a"b'), ("--provider=",)]
    )
    def test_a_wrong_argument(self, daemon: FakeDaemon, arguments: tuple[str, ...]) -> None:
        """Exit 2, nothing asked."""
        assert_failed(run(daemon, *arguments), 2)
        assert daemon.requests == []

    def test_a_closed_standard_output(self, daemon: FakeDaemon) -> None:
        """The token goes nowhere, least of all into the connection that took the descriptor's place."""
        ran = run(daemon, command=("sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-IS", HELPER))
        assert_failed(ran, 1)
        assert daemon.methods() == ["token.get"]

    def test_a_reader_that_is_gone(self, daemon: FakeDaemon) -> None:
        """A broken pipe is exit 1 and no traceback."""
        reading, writing = os.pipe()
        os.close(reading)
        try:
            ran = subprocess.run(
                [sys.executable, "-IS", HELPER],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                env={"TOKENWARD_SOCKET": str(daemon.path)},
            )
        finally:
            os.close(writing)
        assert ran.returncode == 1
        assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 390), ("", 390), ("300000", 390), ("0", 90), ("1", 90.001), (" 60000 ", 150), ("-1", 390),
        ("1e3", 390), ("12.5", 390), ("soon", 390), ("9" * 15, 31_622_400), ("9" * 5000, 390),
    ],
)  # fmt: skip
def test_min_valid_outlasts_the_cache(text: str | None, seconds: float) -> None:
    """TTL + 90 s; garbage means Claude Code's default, and a huge one the most that the daemon takes."""
    variables = {} if text is None else {b"CLAUDE_CODE_API_KEY_HELPER_TTL_MS": text.encode()}
    assert helper_ask.min_valid(variables) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("address", "any_kind"),
    [
        (None, False), ("", False), ("https://api.anthropic.com", False), ("https://api.anthropic.com/", False),
        ("https://API.Anthropic.com:443/v1?x", False), ("api.anthropic.com", False),
        ("https://api.anthropic.com.", False),
        ("https://user:pw@api.anthropic.com", False), ("https://api.anthropic.com\\@evil.example", False),
        ("https://api.anthropic.com.evil.example", True), ("https://evil.example/api.anthropic.com", True),
        ("https://evil.example#@api.anthropic.com", True), ("http://127.0.0.1:8080", True),
        ("http://[::1]:80", True),
        ("https://gateway.example/https://api.anthropic.com", True),
    ],
)  # fmt: skip
def test_which_addresses_are_a_gateway(address: str | None, any_kind: bool) -> None:  # noqa: FBT001 - a column of the table
    """Only another host than api.anthropic.com is one."""
    variables = {} if address is None else {b"ANTHROPIC_BASE_URL": address.encode()}
    assert helper_ask.any_kind_works(variables) is any_kind


class Installation:
    """A virtual environment as an installer lays it out, with our script and file in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.script = self.bin / "tokenward-helper"
        self.packages = root / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        (self.packages / "tokenward").mkdir(parents=True)
        self.bin.mkdir()
        interpreter = Path(sys.executable).resolve()
        (self.bin / "python3").symlink_to(interpreter)
        (root / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\n", "utf-8")
        for name in ("helper.py", "helper_ask.py", "helper_spawn.py", "helper_refusal.py"):
            shutil.copy(HELPER.with_name(name), self.packages / "tokenward")
        shutil.copy(SCRIPT, self.script)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An installation whose path has a space in it, and a quote."""
    return Installation(tmp_path / "it's a venv")


DAEMON = """
import json, os, socket, sys
path = os.environ["TOKENWARD_SOCKET"]
pipes = [number for number in (0, 1, 2) if not os.path.samestat(os.fstat(number), os.stat("/dev/null"))]
with open(os.environ["TOKENWARD_STATE_DIR"] + "/spawned", "a") as told:
    leads = os.getsid(0) == os.getpid()
    told.write(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), leads, pipes]) + "\\n")
if not os.path.exists(os.environ["TOKENWARD_STATE_DIR"] + "/fails"):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    connection = listener.accept()[0]
    connection.recv(65536)
    connection.sendall(b'{"jsonrpc":"2.0","id":1,"result":{"token":"sk-spawned"}}\\n')
"""
"""What stands where the package's daemon would: it notes how it was started, and answers once."""


class TestSpawn:
    """A daemon that `--spawn` starts where none answers."""

    @pytest.fixture
    def place(self) -> Iterator[Path]:
        """A directory short enough for a socket."""
        with tempfile.TemporaryDirectory(prefix="tw") as directory:
            yield Path(directory)

    @pytest.fixture
    def installed(self, installation: Installation) -> tuple[str, ...]:
        """The helper of an installation whose daemon is ours."""
        package = installation.packages / "tokenward"
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(DAEMON, "utf-8")
        return str(installation.bin / "python3"), "-IS", str(package / "helper.py")

    def run(self, installed: tuple[str, ...], place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it with variables of a session in its environment."""
        session = {
            "TOKENWARD_STATE_DIR": str(place),
            "XDG_RUNTIME_DIR": str(place),
            "LC_ALL": "C.UTF-8",
            "ANTHROPIC_API_KEY": "sk-of-the-session",
            "CLAUDE_CODE_MESSAGING_TOKEN": "of-the-session",
            "LD_PRELOAD": "",
        }
        return run(place / "s", *arguments, command=installed, environ=session)

    def test_it_is_started_and_asked(self, installed: tuple[str, ...], place: Path) -> None:
        """The token comes as from any daemon."""
        ran = self.run(installed, place, "--spawn")
        assert (ran.stdout, ran.stderr, ran.returncode) == ("sk-spawned\n", "", 0)

    def test_it_gets_nothing_of_the_session(self, installed: tuple[str, ...], place: Path) -> None:
        """Neither its pipes, whose end Claude Code awaits, nor its directory, nor a variable but what it needs."""
        self.run(installed, place, "--spawn")
        arguments, variables, directory, leads, pipes = json.loads((place / "spawned").read_text())
        assert (arguments, directory, leads, pipes) == (["daemon"], "/", True, [])
        assert variables.keys() == {
            "PATH", "HOME", "TOKENWARD_SOCKET", "TOKENWARD_STATE_DIR", "XDG_RUNTIME_DIR", "LC_ALL",
        }  # fmt: skip

    def test_without_the_option_nothing_is_started(self, installed: tuple[str, ...], place: Path) -> None:
        """Exit 4, and how to start one."""
        assert_failed(self.run(installed, place), 4)
        assert not (place / "spawned").exists()

    def test_one_that_answers_is_not_started_again(
        self, installed: tuple[str, ...], place: Path, daemon: FakeDaemon
    ) -> None:
        """With the option too, the daemon that is there is asked."""
        ran = run(daemon, "--spawn", command=installed, environ={"TOKENWARD_STATE_DIR": str(place)})
        assert ran.stdout == "sk-ant-api03-fake\n"
        assert not (place / "spawned").exists()

    def test_one_that_cannot_start(self, installed: tuple[str, ...], place: Path) -> None:
        """Its end is noticed: exit 4, and how to see why."""
        (place / "fails").touch()
        ran = self.run(installed, place, "--spawn")
        assert_failed(ran, 4)
        assert "ended again" in ran.stderr
        assert len((place / "spawned").read_text().splitlines()) == 1


class TestScript:
    def test_installers_leave_it_alone(self) -> None:
        """Its first line names a shell, and it may be executed."""
        assert SCRIPT.read_text("utf-8").splitlines()[0] == "#!/bin/sh"
        assert os.access(SCRIPT, os.X_OK)

    @pytest.mark.parametrize("shell", SHELLS)
    def test_it_is_sh(self, shell: str) -> None:
        """Every shell can read all of it, to the end that it never reaches."""
        subprocess.run([shell, "-n", SCRIPT], check=True)

    def test_it_starts_no_other_program(self, daemon: FakeDaemon, installation: Installation) -> None:
        """With nothing in PATH the token still comes: the shell finds all by itself."""
        ran = run(daemon, command=(installation.script,), environ={"PATH": ""})
        assert (ran.stdout, ran.stderr) == ("sk-ant-api03-fake\n", "")

    @pytest.mark.parametrize("shell", SHELLS)
    def test_arguments_arrive_whole(self, daemon: FakeDaemon, installation: Installation, shell: str) -> None:
        """In any shell, what follows the script's name reaches the helper."""
        ran = run(daemon, "--profile", "acme:me", command=(shell, installation.script))
        assert ran.stdout == "sk-ant-api03-fake\n"
        assert daemon.params("token.get")["profile"] == "acme:me"

    def test_through_a_symbolic_link(self, daemon: FakeDaemon, installation: Installation, tmp_path: Path) -> None:
        """As pipx lays it out: the interpreter beside the link is somebody else's."""
        elsewhere = tmp_path / "my bin"
        elsewhere.mkdir()
        (elsewhere / "python3").write_text("#!/bin/sh\necho wrong\n", "utf-8")
        (elsewhere / "python3").chmod(0o755)
        (elsewhere / "tokenward-helper").symlink_to(installation.script)
        assert run(daemon, command=(elsewhere / "tokenward-helper",)).stdout == "sk-ant-api03-fake\n"

    @pytest.mark.parametrize("command", [("./tokenward-helper",), ("sh", "tokenward-helper")])
    def test_by_a_relative_path(
        self, daemon: FakeDaemon, installation: Installation, command: tuple[str, ...]
    ) -> None:
        """From its own directory, with and without a slash in its name."""
        assert run(daemon, command=command, cwd=installation.bin).stdout == "sk-ant-api03-fake\n"

    def test_as_claude_code_runs_it(self, daemon: FakeDaemon, installation: Installation) -> None:
        """By `sh -c` with the bare name, found in PATH."""
        path = f"{installation.bin}:{os.environ['PATH']}"
        ran = run(daemon, command=("/bin/sh", "-c", "tokenward-helper"), environ={"PATH": path})
        assert ran.stdout == "sk-ant-api03-fake\n"

    def test_a_system_layout(self, daemon: FakeDaemon, installation: Installation) -> None:
        """Debian's `lib/python3/dist-packages` is found too."""
        debian = installation.root / "lib" / "python3" / "dist-packages"
        debian.parent.mkdir()
        installation.packages.rename(debian)
        assert run(daemon, command=(installation.script,)).stdout == "sk-ant-api03-fake\n"

    def test_an_editable_install(self, daemon: FakeDaemon, installation: Installation) -> None:
        """With the package elsewhere the interpreter beside the script finds it: the Python half."""
        shutil.rmtree(installation.packages / "tokenward")
        (installation.packages / "tokenward.pth").write_text(f"{HELPER.parents[1]}\n", "utf-8")
        assert run(daemon, command=(installation.script,)).stdout == "sk-ant-api03-fake\n"

    def test_as_a_python_script(self, daemon: FakeDaemon) -> None:
        """Given to an interpreter that has the package, it works as Python."""
        ran = run(daemon, command=(sys.executable, SCRIPT), environ={"PYTHONPATH": str(HELPER.parents[1])})
        assert (ran.stdout, ran.stderr) == ("sk-ant-api03-fake\n", "")

    def test_the_exit_status_is_the_helpers(self, installation: Installation, tmp_path: Path) -> None:
        """What the helper says and returns is what the script says and returns."""
        assert_failed(run(tmp_path / "none", command=(installation.script,)), 4)

    def test_without_the_package(self, daemon: FakeDaemon, installation: Installation) -> None:
        """An environment that lost it says so in two lines."""
        shutil.rmtree(installation.packages / "tokenward")
        assert_failed(run(daemon, command=(installation.script,)), 1)

    def test_without_an_interpreter(self, daemon: FakeDaemon, installation: Installation) -> None:
        """An environment whose interpreter is gone says so in two lines."""
        (installation.bin / "python3").unlink()
        assert_failed(run(daemon, command=(installation.script,), environ={"PATH": "/nonexistent"}), 1)


def _imported(importtime: str) -> set[str]:
    return {line.rpartition("|")[2].strip() for line in importtime.splitlines() if line.startswith("import time:")}
