"""A command that prints a credential: when it runs, and what becomes of what it prints."""

import base64
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contracts.place import found_in
from fakes.machine import FakeClock
from tokenward.core.credential import Kind, Secret
from tokenward.core.reading import Unreadable
from tokenward.core.written_token import Written
from tokenward.sources.command import (
    FIRST_RETRY_SECONDS,
    LARGEST_OUTPUT,
    LONGEST_RETRY_SECONDS,
    RENEW_BEFORE_SECONDS,
    Command,
    CommandPlace,
    argv_of,
)

KEY = "sk-ant-api03-" + "k" * 95
HOUR = 3600.0
PATIENCE = 20.0


@dataclass
class Script:
    """A shell script that counts its runs and prints what a file holds."""

    directory: Path
    clock: FakeClock = field(default_factory=FakeClock)
    lifetime: float | None = None
    written: Written = field(default_factory=Written)

    def __post_init__(self) -> None:
        self._output = self.directory / "output"
        self._runs = self.directory / "runs"
        script = self.directory / "script"
        script.write_text(f"#!/bin/sh\necho run >> {self._runs}\n. {self._output}\n")
        script.chmod(0o700)
        self.place = CommandPlace(
            Command((str(script),), {"PATH": "/usr/bin:/bin"}, PATIENCE, self.lifetime),
            self.written,
            description="sources.command.script",
            clock=self.clock,
        )

    def does(self, line: str) -> None:
        """Set what the next runs do."""
        self._output.write_text(line)

    def prints(self, text: str) -> None:
        """Set what the next runs print."""
        (self.directory / "text").write_text(text)
        self.does(f"cat {self.directory / 'text'}")

    @property
    def runs(self) -> int:
        """How often it ran."""
        return len(self._runs.read_text().splitlines()) if self._runs.exists() else 0


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """One that prints nothing yet."""
    return Script(tmp_path)


def expiring(access: str, seconds: float, clock: FakeClock) -> str:
    """The JSON of a token that ends so many seconds from now."""
    return json.dumps({"access_token": access, "expires_at": clock.wall().timestamp() + seconds})


def reason(script: Script) -> str:
    """Why nothing can be read."""
    reading = script.place.read()
    assert isinstance(reading, Unreadable)
    assert "\n" not in reading.reason
    return reading.reason


def test_what_it_prints_is_the_token(script: Script) -> None:
    """One run gives the token; looking again runs nothing, and the signature stays."""
    script.prints(f"{KEY}\n")
    credential = found_in(script.place.read())
    assert (credential.kind, credential.access) == (Kind.API_KEY, Secret(KEY))
    before = script.place.signature()
    assert script.place.read() == script.place.read()
    assert (script.place.signature(), script.runs) == (before, 1)


def test_it_runs_again_before_the_end(script: Script) -> None:
    """At 90 s before the end, and not before; the signature says when."""
    script.prints(expiring("first", HOUR, script.clock))
    first = found_in(script.place.read())
    assert first.access == Secret("first")
    before = script.place.signature()
    script.clock.advance(HOUR - RENEW_BEFORE_SECONDS - 1)
    assert (script.place.signature(), script.runs) == (before, 1)
    script.clock.advance(1)
    assert script.place.signature() != before
    script.prints(expiring("second", HOUR, script.clock))
    assert found_in(script.place.read()).access == Secret("second")
    assert script.runs == 2


def test_a_suspended_machine_asks_again(script: Script) -> None:
    """Time spent asleep counts, even where the wall clock was set back meanwhile."""
    script.prints(expiring("first", HOUR, script.clock))
    script.place.read()
    script.clock.suspend(HOUR)
    script.clock.step(-HOUR)
    script.place.read()
    assert script.runs == 2


def test_a_refresh_token_is_left_out(script: Script) -> None:
    """The command renews this credential; nobody else holds what it does not need."""
    script.prints(json.dumps({"accessToken": "sk-ant-oat01-x", "refreshToken": "r", "expires_in": HOUR}))
    credential = found_in(script.place.read())
    assert (credential.kind, credential.refresh) == (Kind.SETUP_TOKEN, None)
    assert credential.expires_at is not None
    assert (credential.expires_at - script.clock.wall()).total_seconds() == pytest.approx(HOUR)


def test_a_lifetime_ends_what_does_not_say_its_end(tmp_path: Path) -> None:
    """An opaque token lives as long as its configuration says; a JWT names its end itself."""
    clock = FakeClock()
    script = Script(tmp_path, clock, lifetime=600.0, written=Written(anthropic=False))
    script.prints("ya29.opaque")
    opaque = found_in(script.place.read())
    assert opaque.expires_at is not None
    assert (opaque.expires_at - clock.wall()).total_seconds() == 600
    clock.advance(600)
    claims = base64.urlsafe_b64encode(json.dumps({"exp": clock.wall().timestamp() + 300}).encode()).decode()
    script.prints(f"eyJhbGciOiJub25lIn0.{claims.rstrip('=')}.x")
    jwt = found_in(script.place.read())
    assert jwt.kind is Kind.AUTH_TOKEN
    assert jwt.expires_at is not None
    assert (jwt.expires_at - clock.wall()).total_seconds() == pytest.approx(300)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("exit 3", "status 3"),
        (":", "printed nothing"),
        ("echo two words of help", "several words"),
        ("echo sk-ant-ort01-x", "refresh token"),
        ("printf '\\377\\376'", "no text"),
        (f"head -c {LARGEST_OUTPUT + 1} /dev/zero", f"more than {LARGEST_OUTPUT}"),
        ("kill -9 $$", "status -9"),
        ('echo \'{"access_token": "a", "expires_at": 1}\'', "has ended"),
    ],
)
def test_what_fails_is_said_and_run_again_later(script: Script, line: str, said: str) -> None:
    """One line without the output; the next run is 5 s later, then twice as long, up to 5 min."""
    script.does(line)
    assert said in reason(script)
    assert "sources.command.script" in reason(script)
    assert script.runs == 1
    delay = FIRST_RETRY_SECONDS
    for runs in range(2, 11):
        script.clock.advance(delay - 0.5)
        script.place.read()
        assert script.runs == runs - 1
        script.clock.advance(0.5)
        script.place.read()
        assert script.runs == runs
        delay = min(delay * 2, LONGEST_RETRY_SECONDS)
    script.prints(KEY)
    script.clock.advance(delay)
    assert found_in(script.place.read()).access == Secret(KEY)


def test_a_refused_token_is_asked_for_again(script: Script) -> None:
    """A caller's 401 runs it once; the same token again is a failure, another one is served."""
    script.prints("sk-ant-api03-first")
    first = found_in(script.place.read())
    before = script.place.signature()
    script.place.reject("000000000000")
    assert script.place.signature() == before
    script.place.reject(first.generation)
    assert script.place.signature() != before
    assert "refused" in reason(script)
    script.place.reject(first.generation)
    assert script.runs == 2
    script.prints("sk-ant-api03-second")
    script.clock.advance(FIRST_RETRY_SECONDS)
    assert found_in(script.place.read()).access == Secret("sk-ant-api03-second")
    assert script.runs == 3


@pytest.mark.parametrize("line", ["exec tail -f /dev/null", "tail -f /dev/null & exec tail -f /dev/null"])
def test_what_does_not_end_is_killed_whole(tmp_path: Path, line: str) -> None:
    """Its time over, nothing of its session is left holding our pipe."""
    place = CommandPlace(
        Command(argv_of([line], through_shell=True), {"PATH": "/usr/bin:/bin"}, 0.2),
        Written(),
        description="sources.command.slow",
        clock=FakeClock(),
    )
    reading = place.read()
    assert isinstance(reading, Unreadable)
    assert "had not ended after 0.2 s" in reading.reason


def test_what_it_leaves_running_is_killed_too(script: Script, tmp_path: Path) -> None:
    """A child in the background that gave our pipe back does not outlive the look."""
    lifeline = tmp_path / "lifeline"
    os.mkfifo(lifeline)
    reader = os.open(lifeline, os.O_RDONLY | os.O_NONBLOCK)
    try:
        script.does(f"exec 3>{lifeline}; tail -f /dev/null >/dev/null 2>&1 & exec 3>&-; echo {KEY}")
        assert found_in(script.place.read()).access == Secret(KEY)
        os.set_blocking(reader, True)
        assert os.read(reader, 1) == b"", "its end closes the lifeline"
    finally:
        os.close(reader)


def test_no_shell_and_a_clean_environment(tmp_path: Path) -> None:
    """Arguments are not expanded; nothing of our environment is there but what is given."""

    def printed(argv: tuple[str, ...]) -> str:
        command = Command(argv, {"PATH": "/usr/bin:/bin", "ONLY": "sk-ant-api03-only"}, PATIENCE)
        place = CommandPlace(command, Written(anthropic=False), description="d", clock=FakeClock())
        return found_in(place.read()).access.reveal()

    assert printed(argv_of(["printf", "%s", "$ONLY"], through_shell=False)) == "$ONLY"
    assert printed(argv_of(['printf %s "$ONLY"'], through_shell=True)) == "sk-ant-api03-only"
    environment = printed(argv_of(["env | sort | tr '\\n' ,"], through_shell=True))
    names = {pair.partition("=")[0] for pair in environment.split(",")}
    assert names <= {"", "PATH", "ONLY", "PWD", "SHLVL", "_", "OLDPWD"}


def test_what_cannot_be_started_says_why() -> None:
    """A command that is not there."""
    command = Command(("/nonexistent/command",), {}, PATIENCE)
    reading = CommandPlace(command, Written(), description="d", clock=FakeClock()).read()
    assert isinstance(reading, Unreadable)
    assert "cannot be run" in reading.reason


def test_it_is_never_written(script: Script) -> None:
    """And it has no locks; it says what it is."""
    with pytest.raises(OSError, match="never written"):
        script.place.prepare_write()
    assert (script.place.name, script.place.description) == ("command", "sources.command.script")
