"""``tokenward daemon`` and ``tokenward doctor``: what they ask of the daemon's composition root."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.fake_app import put_in_place
from client.fake_daemon import FakeDaemon, profile
from tokenward.cli.main import main
from tokenward.errors import AlreadyServed


@dataclass
class FakeFinding:
    """One sentence of the doctor."""

    check: str
    level: str
    cause: str
    hint: str = ""


FINE = FakeFinding("clocks", "ok", "they agree")
ODD = FakeFinding("environment", "warn", "two logins are set", "unset one")
WRONG = FakeFinding("socket", "fail", "nobody\x1b answers", "start the daemon")


class TestDaemon:
    def test_its_options_arrive(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every option is an argument of `run_daemon`, whose result is the exit status."""
        started: list[dict[str, Any]] = []

        def run_daemon(**options: Any) -> int:
            started.append(options)
            return 7

        put_in_place(monkeypatch, run_daemon=run_daemon)
        arguments = ["--config", "c.toml", "--state-dir", "/s", "--socket", "/s/sock", "--log-level", "debug"]
        assert main(["daemon", *arguments, "--debuggable"]) == 7
        assert main(["daemon"]) == 7
        usual: dict[str, Any] = {"config": None, "state_dir": None, "socket": None}
        assert started == [
            {
                "config": Path("c.toml"),
                "state_dir": Path("/s"),
                "socket": Path("/s/sock"),
                "log_level": "debug",
                "debuggable": True,
            },
            {**usual, "log_level": "info", "debuggable": False},
        ]

    def test_a_socket_that_is_taken(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Served elsewhere is exit 1, and who it is."""

        def run_daemon(**_: Any) -> int:
            raise AlreadyServed("the socket is served by process 5", hint="stop it")

        put_in_place(monkeypatch, run_daemon=run_daemon)
        assert main(["daemon"]) == 1
        assert capsys.readouterr().err == "tokenward: the socket is served by process 5\n  hint: stop it\n"


class TestDoctor:
    @pytest.fixture(autouse=True)
    def _nobody_answers(self, no_daemon: Path) -> None:
        """The tests' machine may have a daemon of its own."""

    def test_the_daemon_is_asked_what_it_keeps(self, monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon) -> None:
        """The checks get the profiles of the daemon that answers; without one they are told so."""
        daemon.answers["profile.list"] = lambda _: {"profiles": [profile()]}
        asked: list[Any] = []

        def run_checks(*, config: Path | None, profiles: Any) -> list[FakeFinding]:
            asked.append(profiles)
            return [FINE]

        put_in_place(monkeypatch, run_checks=run_checks)
        assert main(["doctor"]) == 0
        daemon.close()
        assert main(["doctor"]) == 0
        assert asked == [[profile()], None]

    def test_each_finding_is_a_line_and_a_hint(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Hints only where something is to be done; a failure is exit 1."""
        put_in_place(monkeypatch, run_checks=lambda **_: [FINE, ODD, WRONG])
        assert main(["doctor"]) == 1
        assert capsys.readouterr().out == (
            "ok    clocks       they agree\n"
            "warn  environment  two logins are set\n"
            "                   hint: unset one\n"
            "fail  socket       nobody  answers\n"
            "                   hint: start the daemon\n"
        )

    def test_a_warning_is_no_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a failed check the exit status is 0."""
        put_in_place(monkeypatch, run_checks=lambda **_: [FINE, ODD])
        assert main(["doctor"]) == 0

    def test_json(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """`--json` is an object with the list of findings, and the same exit status."""
        asked: list[Path | None] = []

        def run_checks(*, config: Path | None, profiles: Any) -> list[FakeFinding]:
            assert profiles is None
            asked.append(config)
            return [WRONG]

        put_in_place(monkeypatch, run_checks=run_checks)
        assert main(["doctor", "--json", "--config", "c.toml"]) == 1
        assert json.loads(capsys.readouterr().out) == {
            "findings": [
                {"check": "socket", "level": "fail", "cause": "nobody\x1b answers", "hint": "start the daemon"}
            ]
        }
        assert asked == [Path("c.toml")]
