"""``tokenward demo``: the real daemon over the sandbox, told, shown, checked, and gone afterwards."""

import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import tokenward
from tokenward.cli import demo_screen, demo_stage, demo_story
from tokenward.cli.demo_story import Call, Line, Scene, Shown, Story
from tokenward.cli.main import main
from tokenward.client import Event, Token
from tokenward.sandbox import Fault, Sandbox, Statistics

SHORT_LIVES = """
import sys
from tokenward.cli import demo, main
demo.TTL_SECONDS = 4.0
sys.exit(main.main(["demo", *sys.argv[1:]]))
"""
"""The demo with tokens of 4 s, so that a rotation is soon seen."""
PATIENCE = 60.0
CHECKS = (
    "the daemon starts",
    "the socket hands out a token",
    "the Messages API accepts it",
    "the daemon rotates it before its end",
    "the socket hands out the new token",
    "the Messages API accepts the new one",
    "the server granted what the daemon holds",
    "the stored record is private",
    "SIGTERM stops the daemon cleanly",
)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the demo makes its directory, ours and others' processes alike; it must be empty in the end."""
    with tempfile.TemporaryDirectory(prefix="tw") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)
        assert list(Path(directory).iterdir()) == []


def environment(place: Path, **more: str) -> dict[str, str]:
    """What a demo of its own process gets."""
    sources = str(Path(tokenward.__file__).parents[1])
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "PYTHONPATH": sources,
        "TMPDIR": str(place),
        "LANG": "C.UTF-8",
        **more,
    }


@pytest.fixture
def piped(place: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a demo with short lives in a process of its own; its lines can be read as they come."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", SHORT_LIVES, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment(place),
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def lines_until(process: subprocess.Popen[str], words: str) -> list[str]:
    """What it printed, up to the line with these words."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if words in line:
            return lines
    raise AssertionError(f"{words!r} never came; it said {lines}")


def broken(monkeypatch: pytest.MonkeyPatch, endpoint: str, fault: Fault) -> None:
    """Have the sandbox misbehave at an endpoint for good."""

    class Broken(Sandbox):
        def start(self) -> None:
            self.faults.next(endpoint, fault, times=None)
            super().start()

    monkeypatch.setattr(demo_stage, "Sandbox", Broken)


class TestOnce:
    def test_it_checks_itself(self, place: Path) -> None:
        """As a process without a terminal: a line a check, a closing line, exit 0, no token."""
        ended = subprocess.run(
            [sys.executable, "-m", "tokenward", "demo", "--once"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(place),
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert ended.stderr == ""
        assert ended.returncode == 0
        *checks, closing = ended.stdout.splitlines()
        assert [line.partition(": ")[0] for line in checks] == [f"ok  {check}" for check in CHECKS]
        assert closing.startswith(f"all {len(CHECKS)} checks passed in ")
        assert "1 refresh, 1 rotation, reuse detected: 0" in ended.stdout
        assert "sk-demo-" not in ended.stdout
        assert "rt-demo-" not in ended.stdout

    @pytest.mark.parametrize(
        ("broken_at", "failing"),
        [
            (("token", 500), ("the daemon rotates it before its end", "refresh failed: ")),
            (("messages", 401), ("the Messages API accepts it", "it answered 401")),
        ],
    )
    def test_a_broken_server_is_found_out(
        self,
        place: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        broken_at: tuple[str, int],
        failing: tuple[str, str],
    ) -> None:
        """Exit 1, and the check that failed is named with its reason; nothing is left behind."""
        broken(monkeypatch, broken_at[0], Fault(status=broken_at[1]))
        check, why = failing
        assert main(["demo", "--once"]) == 1
        said = capsys.readouterr()
        *passed, failed = said.out.splitlines()
        assert failed.startswith(f"failed  {check}: {why}")
        assert all(line.startswith("ok  ") for line in passed)
        assert f"tokenward: the demo failed where {check}\n  hint: " in said.err

    def test_a_reused_refresh_token_is_found_out(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The server's word on reuse counts, whatever else looks well."""

        class Suspicious(Sandbox):
            def statistics(self) -> Statistics:
                return replace(super().statistics(), reuse_detected=1)

        monkeypatch.setattr(demo_stage, "Sandbox", Suspicious)
        assert main(["demo", "--once"]) == 1
        assert "failed  the server granted what the daemon holds: reuse detected: 1" in capsys.readouterr().out

    def test_a_daemon_that_does_not_start(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The first check fails, and what the daemon said is repeated."""
        monkeypatch.setattr(demo_stage, "_config", lambda _: "nonsense = 1\n")
        assert main(["demo", "--once"]) == 1
        said = capsys.readouterr()
        assert said.out.startswith("failed  the daemon starts: ")
        assert "tokenward: the daemon said: " in said.err
        assert "nonsense" in said.err


class TestInAPipe:
    def test_it_tells_of_rotations_until_interrupted(self, piped: Callable[..., subprocess.Popen[str]]) -> None:
        """A line an event with both generations; Ctrl-C ends it with three lines of summary and exit 0."""
        process = piped()
        lines = lines_until(process, "rotated")
        assert lines[0].startswith("to ask it from another terminal: TOKENWARD_SOCKET=")
        assert " -U " in lines[1]
        kept = next(line for line in lines if "keeps a login" in line).split()[-1]
        assert f" rotated {kept} -> " in lines[-1]
        renewed = lines[-1].split(" -> ")[1].split()[0]
        assert f"the Messages API accepts token no. 2, {renewed}" in lines_until(process, "token no. 2")[-1]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        rotated, used, removed = rest.splitlines()[-3:]
        assert rotated.endswith(" granted by the server, reuse detected: 0.")
        assert used.endswith(" accepted, 0 rejected.")
        assert removed.startswith("Everything it made is removed.")
        assert "sk-demo-" not in "".join(lines) + rest

    def test_a_termination_leaves_nothing_behind(self, piped: Callable[..., subprocess.Popen[str]]) -> None:
        """SIGTERM stops the daemon too, and the exit status says what ended it."""
        process = piped("--for", "600")
        started = lines_until(process, "the daemon runs, process ")[-1]
        lines_until(process, "accepts token no. 1")
        process.terminate()
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 128 + signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            os.kill(int(started.split()[-1]), 0)

    def test_the_daemon_is_killed(self, piped: Callable[..., subprocess.Popen[str]]) -> None:
        """Somebody else ended it: exit 4, and no summary that claims otherwise."""
        process = piped()
        started = lines_until(process, "the daemon runs, process ")[-1]
        lines_until(process, "accepts token no. 1")
        os.kill(int(started.split()[-1]), signal.SIGKILL)
        rest, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 4
        assert "removed" not in rest

    def test_rejected_requests_are_an_error(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A demo that did not show what it should is exit 1."""
        broken(monkeypatch, "messages", Fault(status=401))
        assert main(["demo", "--for", "1"]) == 1
        told = capsys.readouterr().out
        assert "the Messages API: 401 rejected" in told
        assert "0 accepted" in told

    def test_a_daemon_that_does_not_start(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Exit 4; the end of its log and its exit status are shown."""
        monkeypatch.setattr(demo_stage, "_config", lambda _: "nonsense = 1\n")
        assert main(["demo"]) == 4
        said = capsys.readouterr()
        assert said.out == ""
        assert "tokenward: the daemon said: " in said.err
        assert "tokenward: the demo's daemon ended at its start with exit status 2\n  hint: " in said.err

    @pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
    def test_for_wants_seconds(self, seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
        """What is no length of time is wrong usage."""
        assert main(["demo", f"--for={seconds}"]) == 2
        assert "must be a number of seconds above 0" in capsys.readouterr().err


def test_on_a_terminal_until_q(place: Path) -> None:
    """A picture on the other screen; q gives the terminal back as it was, with the summary on it."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    before = termios.tcgetattr(theirs)
    shown = b""
    with os.fdopen(ours, "r+b", buffering=0) as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "tokenward", "demo"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(place, TERM="xterm-256color"),
        )
        while b"200 accepted" not in shown:
            shown += screen.read(4096)
        screen.write(b"q")
        while b"Everything it made is removed." not in shown:
            shown += screen.read(4096)
        assert process.wait(PATIENCE) == 0
        after = termios.tcgetattr(theirs)
        os.close(theirs)
    picture, _, rest = shown.partition(b"\x1b[?1049l")
    assert b"\x1b[?1049h" in picture
    assert b"demo:newcomer" in picture
    assert b"reuse detected: 0." in rest
    assert b"sk-demo-" not in shown
    assert after == before


# The picture

GENERATIONS = ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc")
TOKEN = Shown(number=2, generation=GENERATIONS[1], looks="sk-…", expires_at=1_020.0, due_at=1_015.0)
COMMANDS = (
    ("TOKENWARD_SOCKET=/tmp/tw-01234567/sock", "tokenward token demo:newcomer"),
    ("printf", "'%s\\n'", "'" + 60 * "x" + "'", "| nc -U /tmp/tw-01234567/sock"),
)
SCENE = Scene(
    elapsed=65.0,
    ttl=20.0,
    now=1_000.0,
    token=TOKEN,
    rotated_at=64.0,
    rotations=1,
    granted=1,
    reuse_detected=0,
    accepted=3,
    rejected=0,
    outcome="200 accepted",
    calls=(Call(1, accepted=True), Call(1, accepted=True), Call(2, accepted=True)),
    lines=tuple(Line(float(at), f"line {at}") for at in range(30)),
    commands=COMMANDS,
)


def drawn(scene: Scene, width: int = 80, height: int = 24) -> list[str]:
    """The rows of the screen."""
    console = Console(record=True, width=width, height=height, file=io.StringIO(), highlight=False)
    console.print(demo_screen.picture(scene, width=width, height=height))
    return console.export_text().splitlines()


def bar_of(scene: Scene) -> str:
    """The row with the token's life."""
    return next(row for row in drawn(scene) if row.startswith("token    "))


class TestPicture:
    @pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (300, 50)])
    def test_it_fills_the_screen(self, width: int, height: int) -> None:
        """Not a row more than the terminal has, and no row wider; commands at the bottom, the news above."""
        rows = drawn(SCENE, width, height)
        assert len(rows) == height
        assert max(map(len, rows)) <= min(width, demo_screen.WIDEST)
        assert rows[-1].endswith("nc -U /tmp/tw-01234567/sock")
        assert any(row.endswith("0:29  line 29") for row in rows)

    def test_a_low_screen_keeps_what_happens(self) -> None:
        """Explanations give way; on the lowest, the last rows do."""
        assert any("Every second" in row for row in drawn(SCENE, 80, 24))
        assert not any("Every second" in row for row in drawn(SCENE, 80, 20))
        assert sum("  line " in row for row in drawn(SCENE, 80, 20)) == demo_screen.ENOUGH_LINES
        assert sum("  line " in row for row in drawn(SCENE, 80, 8)) == demo_screen.FEWEST_LINES

    def test_what_a_newcomer_reads(self) -> None:
        """The token without the token, what the server counted, what the API said, how to end it."""
        rows = "\n".join(drawn(SCENE))
        assert "1:05   q ends it" in rows
        assert "no. 2   sk-…   generation bbbbbbbbbbbb   rotated\n" in rows
        assert "1 refresh granted, 1 held   reuse detected: 0\n" in rows
        assert "200 accepted   3 requests: 3 accepted, 0 rejected\n" in rows
        assert "✓✓✓\n" in rows
        assert "TOKENWARD_SOCKET=/tmp/tw-01234567/sock tokenward token demo:newcomer\n" in rows

    def test_life_runs_out_and_jumps_back(self) -> None:
        """A full bar at first, half in the middle of life, none at its end; a mark where a refresh is due."""
        full, half, none = (bar_of(replace(SCENE, now=now)) for now in (1_000.0, 1_010.0, 1_025.0))
        cells = sum(full.count(filled) for filled in "━┿")
        assert full.endswith("20.0 of 20 s")
        assert half.endswith("10.0 of 20 s")
        assert none.endswith(" 0.0 of 20 s")
        assert "╌" not in full
        assert abs(sum(half.count(filled) for filled in "━┿╸") - cells / 2) <= 1
        assert "━" not in none
        assert full.index("┿") == none.index("┆") == demo_screen._LABEL + round(cells * 5 / 20)
        unplanned = replace(SCENE, token=replace(TOKEN, due_at=None))
        assert "┿" not in bar_of(unplanned)

    def test_a_colour_is_one_token(self) -> None:
        """Bar, number and ticks of one token have the same colour, and the next token another."""
        console = Console(width=80, height=24, force_terminal=True, color_system="standard", file=io.StringIO())
        console.print(demo_screen.picture(SCENE, width=80, height=24))
        assert isinstance(console.file, io.StringIO)
        written = console.file.getvalue()
        assert "\x1b[36m✓\x1b[0m\x1b[36m✓\x1b[0m\x1b[35m✓\x1b[0m" in written
        assert "\x1b[35m━" in written
        assert "\x1b[1;35mno. 2" in written

    def test_trouble_is_seen(self) -> None:
        """A reuse, a rejection, and books that differ while a refresh is under way."""
        calls = (*SCENE.calls, Call(2, accepted=False))
        bad = replace(SCENE, reuse_detected=1, rejected=1, granted=2, outcome="401 rejected", calls=calls)
        rows = "\n".join(drawn(bad))
        assert "2 refreshes granted, 1 held   reuse detected: 1   one is under way" in rows
        assert "401 rejected   4 requests: 3 accepted, 1 rejected" in rows
        assert "✓✓✓✗\n" in rows

    def test_before_the_first_token(self) -> None:
        """It has the same shape, without a token."""
        rows = drawn(replace(SCENE, token=None, calls=(), outcome="", rotated_at=None))
        assert len(rows) == 24
        assert any(row.startswith("token    none yet") for row in rows)

    @pytest.mark.parametrize("width", [10, 40, 80, 200])
    def test_a_broken_command_is_the_same_command(self, width: int) -> None:
        """A shell puts the lines together again."""
        parts = ("printf", "'%s-%s\\n'", "'first one'", "second", "| tr a-z A-Z")
        lines = demo_screen.shell_lines(parts, width)
        assert (len(lines) == 1) == (width > 50)
        ran = subprocess.run(["sh", "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
        assert ran.stdout == "FIRST ONE-SECOND\n"


# The story


def token(generation: str, *, expires_at: float = 1_020.0) -> Token:
    """What the socket hands out."""
    return Token(
        token=f"sk-demo-{generation}-secret",
        kind="oauth",
        token_type="Bearer",
        profile="demo:newcomer",
        provider="demo",
        source="store",
        generation=generation,
        expires_at_ms=round(expires_at * 1000),
        valid_for=20.0,
        headers={},
        base_url=None,
        billing=None,
        tier=None,
        degraded=None,
    )


def event(kind: str, generation: str | None = None, *, at: float = 1_000.0, detail: str = "") -> Event:
    """What the daemon tells."""
    return Event(kind, "demo:newcomer", generation, round(at * 1000), detail)


class TestStory:
    @pytest.mark.parametrize("first", ["appeared", "rotated"])
    def test_what_arrives_first_is_no_rotation(self, first: str) -> None:
        """Whatever the daemon calls it; the same generation again is no news."""
        told: list[str] = []
        story = Story(20.0, (), lambda line: told.append(str(line)))
        story.heard(0.0, event(first, GENERATIONS[0]), Statistics())
        story.heard(0.5, event("rotated", GENERATIONS[0]), Statistics())
        assert told == ["0:00  the daemon keeps a login: generation aaaaaaaaaaaa"]
        assert story.rotations == 0

    def test_a_rotation(self) -> None:
        """Both generations, the life that was left, the server's count; its token has the next number."""
        told: list[str] = []
        story = Story(20.0, (), lambda line: told.append(str(line)))
        story.heard(0.0, event("appeared", GENERATIONS[0]), Statistics())
        story.used(1.0, story.served(token(GENERATIONS[0]), None), 200)
        story.used(2.0, story.served(token(GENERATIONS[0]), None), 200)
        story.heard(16.0, event("rotated", GENERATIONS[1], at=1_016.0), Statistics(refreshes_granted=1))
        story.used(16.0, story.served(token(GENERATIONS[1], expires_at=1_036.0), 1_032.0), 200)
        story.heard(75.0, event("rotated", GENERATIONS[2], at=1_040.0), Statistics(refreshes_granted=2))
        assert told[1:] == [
            "0:01  the Messages API accepts token no. 1, aaaaaaaaaaaa",
            "0:16  rotated aaaaaaaaaaaa -> bbbbbbbbbbbb with 4.0 s left; server granted 1",
            "0:16  the Messages API accepts token no. 2, bbbbbbbbbbbb",
            "1:15  rotated bbbbbbbbbbbb -> cccccccccccc; server granted 2",
        ]
        scene = story.scene(76.0, 1_041.0, Statistics(refreshes_granted=2))
        assert (scene.rotations, scene.granted, scene.accepted, scene.rotated_at) == (2, 2, 3, 75.0)
        assert [call.token for call in scene.calls] == [1, 1, 2]
        assert "secret" not in repr(scene)

    def test_trouble(self) -> None:
        """A failed refresh, a request without a token, one without an answer and a rejected one."""
        told: list[Line] = []
        story = Story(20.0, (), told.append)
        story.heard(1.0, event("refresh_failed", detail="HTTP\x1b 500"), Statistics())
        story.heard(1.0, event("saved"), Statistics())
        story.not_served(2.0, "nothing is left")
        shown = story.served(token(GENERATIONS[0]), None)
        story.used(3.0, shown, None)
        story.used(4.0, shown, 401)
        assert [(line.text, line.mood) for line in told] == [
            ("refresh failed: HTTP  500", "trouble"),
            ("saved", "plain"),
            ("the Messages API: no token: nothing is left", "trouble"),
            ("the Messages API: no answer", "trouble"),
            ("the Messages API: 401 rejected", "trouble"),
        ]
        assert story.rejected == 3
        assert story.scene(5.0, 0.0, Statistics()).calls[-1] == Call(1, accepted=False)

    def test_the_summary(self) -> None:
        """Three lines, with what was seen on both sides."""
        assert demo_story.summary(SCENE) == (
            "In 1m5s: 1 rotation, 1 refresh granted by the server, reuse detected: 0.",
            "The Messages API was sent 3 requests: 3 accepted, 0 rejected.",
            "Everything it made is removed. Next, with your own login: tokenward daemon",
        )


# The stage


class TestStage:
    def test_the_request_is_one(self) -> None:
        """What is offered for nc is one line of JSON that asks for the newcomer's token."""
        *printing, netcat = demo_stage.ways_to_ask(Path("/tmp/it's/sock"))[1]
        ran = subprocess.run(["sh", "-c", " ".join(printing)], capture_output=True, text=True, check=True)
        assert ran.stdout.count("\n") == 1
        asked = json.loads(ran.stdout)
        assert (asked["method"], asked["params"]) == ("token.get", {"profile": "demo:newcomer"})
        assert netcat == """| nc -w 1 -U '/tmp/it'"'"'s/sock'"""

    def test_a_socket_path_has_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A long TMPDIR is not used; the longest that is leaves 100 bytes for the socket's path."""
        monkeypatch.setattr(tempfile, "tempdir", "/" + 200 * "x")
        assert demo_stage._short_place() == "/tmp"
        longest = "/" + (demo_stage._LONGEST_TEMPORARY - 1) * "x"
        monkeypatch.setattr(tempfile, "tempdir", longest)
        assert demo_stage._short_place() == longest
        assert len(f"{longest}/tw-01234567/sock") == demo_stage.LONGEST_SOCKET_PATH

    @pytest.mark.parametrize(
        ("invoked", "on_path", "name"),
        [
            ("/usr/bin/tokenward", "/usr/bin/tokenward", "tokenward"),
            ("/opt/x y/tokenward", "/usr/bin/tokenward", "'/opt/x y/tokenward'"),
            ("/home/me/.tokenward/bin/tokenward", None, "~/.tokenward/bin/tokenward"),
            ("/src/tokenward/__main__.py", None, "/usr/bin/python3 -m tokenward"),
        ],
    )
    def test_the_program_is_named_as_it_can_be_found(
        self, monkeypatch: pytest.MonkeyPatch, invoked: str, on_path: str | None, name: str
    ) -> None:
        """By its word only where that is the program that runs here."""
        found: dict[str, Any] = {"which": lambda _: on_path}
        monkeypatch.setattr(shutil, "which", found["which"])
        monkeypatch.setattr(sys, "argv", [invoked, "demo"])
        monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
        monkeypatch.setenv("HOME", "/home/me")
        assert demo_stage.ways_to_ask(Path("/s"))[0] == ("TOKENWARD_SOCKET=/s", f"{name} token demo:newcomer")

    def test_the_daemon_gets_nothing_of_ours(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A clean environment: no credential, no setting, no proxy, and a home of its own."""
        for name in ("ANTHROPIC_API_KEY", "TOKENWARD_CONFIG", "XDG_RUNTIME_DIR", "HTTPS_PROXY", "NOTIFY_SOCKET"):
            monkeypatch.setenv(name, "ours")
        given = demo_stage._environment(tmp_path)
        assert "ours" not in given.values()
        assert given["HOME"] == str(tmp_path)
