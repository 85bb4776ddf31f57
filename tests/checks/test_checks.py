"""Each check against what it is there to find, and against a healthy machine."""

import json
import os
import socket as sockets
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import ClassVar

import pytest

from checks.patient import Patient
from tokenward.checks import (
    CheckContext,
    Finding,
    Ran,
    claude_code_version,
    clocks,
    environment,
    examine,
    file_modes,
    locks,
    socket,
)
from tokenward.checks.commands import runner

SECRET = "sk-ant-oat01-" + "S" * 80


def levels(findings: list[Finding]) -> list[str]:
    """How bad they are."""
    return [finding.level for finding in findings]


def only(findings: list[Finding]) -> Finding:
    """The one finding."""
    (finding,) = findings
    return finding


@pytest.fixture
def listening(patient: Patient) -> Iterator[Path]:
    """A socket somebody listens on, private in a private directory."""
    path = patient.context().socket
    patient.directory(path.parent)
    with sockets.socket(sockets.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
        yield path


class TestSocket:
    def test_a_living_private_one(self, patient: Patient, listening: Path) -> None:
        """Somebody listens, and nobody else can reach it."""
        assert levels(socket.check(patient.context())) == ["ok"]

    def test_none(self, patient: Patient) -> None:
        """Without a socket there is no daemon, which is a start away."""
        finding = only(socket.check(patient.context()))
        assert (finding.level, "tokenward daemon" in finding.hint) == ("warn", True)

    def test_a_dead_one(self, patient: Patient) -> None:
        """A socket whose daemon ended refuses."""
        path = patient.context().socket
        patient.directory(path.parent)
        with sockets.socket(sockets.AF_UNIX) as listener:
            listener.bind(str(path))
        path.chmod(0o600)
        finding = only(socket.check(patient.context()))
        assert finding.level == "fail"
        assert "left by one that ended" in finding.cause

    def test_one_that_others_reach(self, patient: Patient, listening: Path) -> None:
        """An open socket and an open directory are each said."""
        listening.chmod(0o666)
        listening.parent.chmod(0o755)
        causes = [finding.cause for finding in socket.check(patient.context()) if finding.level == "fail"]
        assert causes == [f"others may enter {listening.parent}", f"others may connect to {listening}"]

    def test_what_is_no_socket(self, patient: Patient) -> None:
        """A file in its place keeps the daemon from starting."""
        patient.write(patient.context().socket)
        assert "is not a socket" in only(socket.check(patient.context())).cause

    def test_a_path_that_is_too_long(self, patient: Patient) -> None:
        """The kernel takes 108 bytes on Linux, 104 on macOS."""
        finding = only(socket.check(patient.context(socket=Path("/" + "x" * 120))))
        assert (finding.level, "TOKENWARD_SOCKET" in finding.hint) == ("fail", True)


class TestFileModes:
    @pytest.fixture(autouse=True)
    def files(self, patient: Patient) -> CheckContext:
        """Everything there and private."""
        context = patient.context()
        patient.directory(context.state)
        for path in (context.store_key, context.config, context.claude_credentials):
            assert path is not None
            patient.write(path)
        return context

    def test_private_ones(self, files: CheckContext) -> None:
        """Nothing to say."""
        assert levels(file_modes.check(files)) == ["ok"] * 4

    def test_missing_ones(self, tmp_path: Path) -> None:
        """Before the first start nothing is there, and nothing is wrong."""
        context = Patient(tmp_path / "nobody").context(config=None)
        assert levels(file_modes.check(context)) == ["ok"] * 3

    @pytest.mark.parametrize("mode", [0o750, 0o701])
    def test_an_open_state_directory(self, files: CheckContext, mode: int) -> None:
        """Others could look for files in it."""
        files.state.chmod(mode)
        assert levels(file_modes.check(files)) == ["fail", "ok", "ok", "ok"]

    def test_an_open_key(self, files: CheckContext) -> None:
        """Who reads the key reads the store."""
        assert files.store_key is not None
        files.store_key.chmod(0o640)
        finding = file_modes.check(files)[2]
        assert (finding.level, finding.hint) == ("fail", f"run: chmod 600 {files.store_key}")

    def test_an_open_login(self, files: CheckContext) -> None:
        """Claude Code's file is its own, so this is a warning."""
        files.claude_credentials.chmod(0o604)
        assert levels(file_modes.check(files)) == ["ok", "ok", "ok", "warn"]

    @pytest.mark.covers("L4")
    @pytest.mark.parametrize(
        ("mode", "holds_key", "level"),
        [(0o644, False, "ok"), (0o640, True, "warn"), (0o604, True, "warn"), (0o600, True, "ok")],
    )
    def test_a_configuration_with_a_key(
        self, patient: Patient, files: CheckContext, mode: int, *, holds_key: bool, level: str
    ) -> None:
        """An inline key makes its readers matter."""
        assert files.config is not None
        files.config.chmod(mode)
        assert file_modes.check(patient.context(config_holds_key=holds_key))[1].level == level

    def test_a_configuration_that_others_write(self, files: CheckContext) -> None:
        """It decides where tokens are sent."""
        assert files.config is not None
        files.config.chmod(0o620)
        assert file_modes.check(files)[1].level == "fail"

    def test_files_of_another_user(self, patient: Patient) -> None:
        """Whatever their mode says."""
        findings = file_modes.check(patient.context(uid=os.getuid() + 1))
        assert levels(findings) == ["fail", "ok", "fail", "warn"]


class TestClocks:
    def test_sane_ones(self, patient: Patient) -> None:
        """Suspended time and files of the past are as it should be."""
        patient.clock.suspend(3600)
        patient.write(patient.context().claude_credentials)
        assert levels(clocks.check(patient.context())) == ["ok"]

    def test_a_file_from_the_future(self, patient: Patient) -> None:
        """The clock was set back since."""
        path = patient.write(patient.context().claude_credentials)
        patient.clock.step(-100)
        finding = only(clocks.check(patient.context()))
        assert (finding.level, str(path) in finding.cause, "100 s in the future" in finding.cause) == (
            "warn",
            True,
            True,
        )

    def test_a_machine_without_a_clock_battery(self, patient: Patient) -> None:
        """In 1970 every token is valid for years."""
        patient.clock.now = datetime(1970, 1, 1, tzinfo=UTC)
        assert levels(clocks.check(patient.context())) == ["fail"]

    def test_a_boot_clock_that_is_none(self, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that is behind the monotonic clock, or that cannot be read, does not count suspends."""
        patient.clock.suspended = -10
        assert "behind" in only(clocks.check(patient.context())).cause

        def unreadable() -> float:
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr(patient.clock, "boottime", unreadable)
        assert "cannot be read" in only(clocks.check(patient.context())).cause


class TestLocks:
    NAMES = (".claude/.oauth_refresh.lock", ".claude.lock", ".claude/.storage-write.lock")

    def test_none(self, patient: Patient) -> None:
        """Nobody refreshes."""
        patient.directory(patient.claude)
        assert levels(locks.check(patient.context())) == ["ok"]

    @pytest.mark.parametrize(
        ("seconds_ago", "level", "said"),
        [(1, "ok", "is held"), (61, "warn", "left behind"), (-1, "ok", "is held"), (-60, "fail", "in the future")],
    )
    @pytest.mark.parametrize("name", NAMES)
    def test_by_age(self, patient: Patient, name: str, *, seconds_ago: float, level: str, said: str) -> None:
        """A fresh one is held, an old one was left behind, and one of the future is waited for for ever."""
        path = patient.touched(patient.directory(patient.home / name), seconds_ago)
        patient.directory(patient.claude)
        finding = only(locks.check(patient.context()))
        assert (finding.level, said in finding.cause, str(path) in finding.cause) == (level, True, True)

    def test_the_write_lock_grows_stale_sooner(self, patient: Patient) -> None:
        """It guards one write."""
        patient.touched(patient.directory(patient.claude / ".storage-write.lock"), 16)
        assert levels(locks.check(patient.context())) == ["warn"]

    def test_one_whose_holder_is_gone(self, patient: Patient) -> None:
        """Everybody waits until it is a minute old; its owner record says who it was."""
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        patient.touched(patient.directory(patient.claude / ".oauth_refresh.lock"), 10)
        record = patient.claude / ".oauth_refresh.lock.owner"
        patient.write(record, json.dumps({"pid": gone.pid, "procStart": "1"}))
        finding = only(locks.check(patient.context()))
        assert (finding.level, f"process {gone.pid}, which is gone" in finding.cause) == ("warn", True)
        assert "in 50 s" in finding.consequence
        patient.write(record, json.dumps({"pid": os.getpid()}))
        assert f"held by process {os.getpid()}" in only(locks.check(patient.context())).cause

    @pytest.mark.parametrize("record", ["", "[]", "{}", '{"pid": "1"}', '{"pid": true}', '{"pid": -1}', "["])
    def test_an_owner_record_that_says_nothing(self, patient: Patient, record: str) -> None:
        """It is another program's; what it does not say is not guessed."""
        patient.directory(patient.claude / ".oauth_refresh.lock")
        patient.write(patient.claude / ".oauth_refresh.lock.owner", record)
        assert levels(locks.check(patient.context())) == ["ok"]

    def test_the_legacy_lock_lies_beside_the_real_directory(self, patient: Patient) -> None:
        """Behind a symlink it is the target's neighbour."""
        patient.directory(patient.home / "dotfiles" / "claude")
        patient.claude.symlink_to("dotfiles/claude")
        path = patient.touched(patient.directory(patient.home / "dotfiles" / "claude.lock"), 100)
        assert str(path) in only(locks.check(patient.context())).cause

    def test_a_file_in_a_locks_place(self, patient: Patient) -> None:
        """Nobody can take a lock that is a file."""
        patient.write(patient.claude / ".oauth_refresh.lock")
        assert levels(locks.check(patient.context())) == ["fail"]


class TestClaudeCodeVersion:
    @pytest.fixture
    def command(self, patient: Patient) -> Path:
        """An installed command."""
        return patient.write(patient.home / "bin" / "claude", mode=0o700)

    @pytest.mark.parametrize(
        ("version", "level"),
        [
            ("2.1.112", "fail"),
            ("2.1.143", "fail"),
            ("2.1.144", "warn"),
            ("2.1.328", "warn"),
            ("2.1.329", "ok"),
            ("2.2.0", "ok"),
            ("10.0.0", "ok"),
        ],
    )
    def test_versions(self, patient: Patient, command: Path, version: str, level: str) -> None:
        """Old ones share no lock; measured ones refresh when asked."""
        patient.commands.answer = Ran(0, f"{version} (Claude Code)\n")
        finding = only(claude_code_version.check(patient.context()))
        assert (finding.level, version in finding.cause) == (level, True)
        assert patient.commands.ran == [[str(command), "--version"]]

    @pytest.mark.parametrize("answer", [None, Ran(1, "2.1.329"), Ran(0, "hello")])
    def test_no_answer(self, patient: Patient, command: Path, answer: Ran | None) -> None:
        """A command that hangs, fails or says something else is no Claude Code."""
        patient.commands.answer = answer
        assert levels(claude_code_version.check(patient.context())) == ["warn"]

    def test_no_command(self, patient: Patient) -> None:
        """That matters once there is a login to refresh."""
        assert levels(claude_code_version.check(patient.context())) == ["ok"]
        patient.write(patient.context().claude_credentials)
        assert levels(claude_code_version.check(patient.context())) == ["warn"]
        assert patient.commands.ran == []

    def test_a_real_command(self, patient: Patient, command: Path) -> None:
        """The runner hands out what a command prints, and nothing of our environment."""
        command.write_text('#!/bin/sh\necho "9.9.9 $TOKEN"\ntest -z "$TOKEN"\n')
        run = runner({"PATH": os.environ["PATH"], "HOME": str(patient.home), "TOKEN": SECRET})
        assert levels(claude_code_version.check(patient.context(run=run))) == ["ok"]
        assert run([str(command)]) == Ran(0, "9.9.9 \n")
        assert run([str(patient.home / "none")]) is None


class TestEnvironment:
    PLACES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "apiKeyHelper", "/login")

    def place(self, patient: Patient, *names: str) -> CheckContext:
        """Put credentials into these places."""
        environ = {name: SECRET for name in names if name.isupper()}
        if "apiKeyHelper" in names:
            patient.write(patient.claude / "settings.json", json.dumps({"apiKeyHelper": f"echo {SECRET}"}))
        if "/login" in names:
            login = {"claudeAiOauth": {"accessToken": SECRET, "refreshToken": SECRET}}
            patient.write(patient.context().claude_credentials, json.dumps(login))
        return patient.context(environ=environ)

    @pytest.mark.parametrize("name", [None, *PLACES])
    def test_one_or_none(self, patient: Patient, name: str | None) -> None:
        """One credential is what is meant."""
        context = self.place(patient, *([name] if name else []))
        finding = only(environment.check(context))
        assert (finding.level, name is None or name in finding.cause) == ("ok", True)

    @pytest.mark.covers("A23")
    @pytest.mark.parametrize("pair", list(combinations(PLACES, 2)), ids=" + ".join)
    def test_any_two_compete(self, patient: Patient, pair: tuple[str, str]) -> None:
        """Both are named, with the place they stand in, and none of them shown."""
        finding = only(environment.check(self.place(patient, *pair)))
        assert finding.level == "warn"
        assert all(name in finding.cause for name in pair)
        assert SECRET not in repr(finding)

    def test_the_preferred_one_is_named(self, patient: Patient) -> None:
        """As Claude Code documents it: the auth token before everything, the login after everything."""
        told = only(environment.check(self.place(patient, *self.PLACES))).consequence
        assert "prefers ANTHROPIC_AUTH_TOKEN" in told

    # claude_code.md 1.2: what is configured, then what goes out as Authorization and as x-api-key
    TABLE: ClassVar = [
        (("apiKeyHelper",), ("apiKeyHelper", "apiKeyHelper")),
        (("apiKeyHelper", "ANTHROPIC_API_KEY"), ("apiKeyHelper", "ANTHROPIC_API_KEY")),
        (("apiKeyHelper", "ANTHROPIC_AUTH_TOKEN"), ("ANTHROPIC_AUTH_TOKEN", "apiKeyHelper")),
        (("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"), ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY")),
        (
            ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "apiKeyHelper"),
            ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"),
        ),
        (("ANTHROPIC_AUTH_TOKEN",), ("ANTHROPIC_AUTH_TOKEN", None)),
        (("ANTHROPIC_API_KEY",), (None, "ANTHROPIC_API_KEY")),
        (("CLAUDE_CODE_OAUTH_TOKEN",), ("CLAUDE_CODE_OAUTH_TOKEN", None)),
        (("/login",), ("/login", None)),
        (("apiKeyHelper", "CLAUDE_CODE_OAUTH_TOKEN", "/login"), ("apiKeyHelper", "apiKeyHelper")),
        (("/login", "CLAUDE_CODE_OAUTH_TOKEN"), ("CLAUDE_CODE_OAUTH_TOKEN", None)),
        (("/login", "ANTHROPIC_API_KEY"), (None, "ANTHROPIC_API_KEY")),
        (("ANTHROPIC_PROFILE",), ("ANTHROPIC_PROFILE", None)),
        (("/login", "primaryApiKey"), ("/login", None)),
        (("primaryApiKey",), (None, "primaryApiKey")),
    ]

    @pytest.mark.parametrize(("configured", "expected"), TABLE)
    def test_what_goes_out_is_what_was_measured(
        self, configured: tuple[str, ...], expected: tuple[str | None, str | None]
    ) -> None:
        """The two headers are filled independently, whatever the documented order."""
        assert environment.sent(configured) == environment.Sent(*expected)

    @pytest.mark.parametrize(
        ("pair", "told"),
        [
            (
                ("apiKeyHelper", "ANTHROPIC_API_KEY"),
                "two are sent at once: apiKeyHelper as Authorization, ANTHROPIC_API_KEY as x-api-key",
            ),
            (("apiKeyHelper", "/login"), "apiKeyHelper is sent, in both headers; /login is ignored"),
            (("/login", "ANTHROPIC_API_KEY"), "ANTHROPIC_API_KEY is sent; /login is ignored"),
        ],
    )
    def test_what_is_sent_and_what_is_ignored_is_told(
        self, patient: Patient, pair: tuple[str, str], told: str
    ) -> None:
        """A person who knows which of two goes out knows which to take away."""
        assert told in only(environment.check(self.place(patient, *pair))).consequence

    def test_the_way_out_spares_the_login(self, patient: Patient) -> None:
        """A forgotten variable is unset, a setting is edited, and nobody is logged out."""
        assert only(environment.check(self.place(patient, *self.PLACES))).hint == "run: unset ANTHROPIC_API_KEY"
        told = only(environment.check(self.place(patient, "apiKeyHelper", "/login"))).hint
        assert told == f"take apiKeyHelper out: ${{EDITOR:-vi}} {patient.claude / 'settings.json'}"

    @pytest.mark.parametrize("scope", ["managed", "local", "project", "user"])
    @pytest.mark.parametrize("setting", ["apiKeyHelper", "env"])
    def test_every_scope_of_the_settings_counts(self, patient: Patient, scope: str, setting: str) -> None:
        """A helper or a variable in any of the four files competes with the shell's."""
        project = patient.home / "project"
        path = {
            "managed": patient.home / "managed.json",
            "local": project / ".claude" / "settings.local.json",
            "project": project / ".claude" / "settings.json",
            "user": patient.claude / "settings.json",
        }[scope]
        value: object = SECRET if setting == "apiKeyHelper" else {"ANTHROPIC_AUTH_TOKEN": SECRET}
        patient.write(path, json.dumps({setting: value}))
        environ = {"CLAUDE_CODE_OAUTH_TOKEN": SECRET}
        context = patient.context(environ=environ, project=project, managed_settings=patient.home / "managed.json")
        assert f"(in {path})" in only(environment.check(context)).cause

    def test_the_nearer_settings_win(self, patient: Patient) -> None:
        """Managed over local over project over user; an empty value there hides the shell's."""
        project = patient.home / "project"
        patient.write(patient.claude / "settings.json", json.dumps({"env": {"ANTHROPIC_API_KEY": SECRET}}))
        local = patient.write(
            project / ".claude" / "settings.local.json", json.dumps({"env": {"ANTHROPIC_API_KEY": SECRET}})
        )
        assert f"(in {local})" in only(environment.check(patient.context(project=project))).cause
        patient.write(local, json.dumps({"env": {"ANTHROPIC_API_KEY": ""}}))
        environ = {"ANTHROPIC_API_KEY": SECRET}
        assert "no credential" in only(environment.check(patient.context(project=project, environ=environ))).cause

    def test_a_key_that_claude_code_made_at_the_console(self, patient: Patient) -> None:
        """It stands in the state file beside the home, or in the directory that a variable names."""
        environ = {"ANTHROPIC_API_KEY": SECRET}
        beside = patient.write(patient.home / ".claude.json", json.dumps({"primaryApiKey": SECRET}))
        finding = only(environment.check(patient.context(environ=environ, home=patient.home)))
        assert f"primaryApiKey (in {beside})" in finding.cause
        assert "primaryApiKey is ignored" in finding.consequence
        beside.unlink()
        moved = patient.write(patient.claude / ".claude.json", json.dumps({"primaryApiKey": SECRET}))
        environ["CLAUDE_CONFIG_DIR"] = str(patient.claude)
        finding = only(environment.check(patient.context(environ=environ, home=patient.home)))
        assert f"primaryApiKey (in {moved})" in finding.cause

    def test_variables_of_the_settings_file(self, patient: Patient) -> None:
        """They beat the shell's, and compete like them."""
        settings = {"env": {"ANTHROPIC_API_KEY": SECRET}}
        path = patient.write(patient.claude / "settings.json", json.dumps(settings))
        finding = only(environment.check(patient.context(environ={"CLAUDE_CODE_OAUTH_TOKEN": SECRET})))
        assert f"ANTHROPIC_API_KEY (in {path})" in finding.cause

    def test_blank_and_ended_ones_do_not_count(self, patient: Patient) -> None:
        """An empty variable, an empty helper and a login that ended are no credentials."""
        patient.write(patient.claude / "settings.json", json.dumps({"apiKeyHelper": "", "env": []}))
        patient.write(patient.context().claude_credentials, json.dumps({"claudeAiOauth": {"accessToken": ""}}))
        finding = only(environment.check(patient.context(environ={"ANTHROPIC_API_KEY": " "})))
        assert "no credential" in finding.cause

    @pytest.mark.parametrize("text", ["{", "[]", "\x00"])
    def test_settings_that_are_no_json(self, patient: Patient, text: str) -> None:
        """They are another program's to read; that they cannot be read is said."""
        patient.write(patient.claude / "settings.json", text)
        assert levels(environment.check(patient.context())) == ["warn", "ok"]


def _tree(root: Path) -> dict[str, tuple[int, int, int]]:
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns, path.lstat().st_ino)
        for path in sorted(root.rglob("*"))
    }


def test_all_together_write_nothing_and_show_no_secret(patient: Patient, listening: Path) -> None:
    """A full installation is examined; nothing on the disk has changed, and no sentence holds a key."""
    context = patient.context()
    patient.directory(context.state)
    patient.write(context.state / "store.key", SECRET)
    patient.write(patient.home / "config.toml", f'[providers]\nanthropic = "{SECRET}"\n', mode=0o644)
    patient.write(patient.claude / "settings.json", json.dumps({"apiKeyHelper": f"echo {SECRET}"}))
    patient.write(context.claude_credentials, json.dumps({"claudeAiOauth": {"accessToken": SECRET}}))
    patient.directory(patient.claude / ".oauth_refresh.lock")
    patient.write(patient.home / "bin" / "claude", mode=0o700)
    patient.commands.answer = Ran(0, f"2.1.329 {SECRET}")
    before = _tree(patient.home)
    findings = examine(
        patient.context(config_holds_key=True, environ={**context.environ, "ANTHROPIC_API_KEY": SECRET})
    )
    assert _tree(patient.home) == before
    assert SECRET not in repr(findings)
    assert {finding.check for finding in findings} == {
        "config",
        "symlinks",
        "disks",
        "socket",
        "file modes",
        "clocks",
        "locks",
        "claude code",
        "claude login",
        "environment",
        "keys",
    }
    assert all("\n" not in finding.cause + finding.consequence + finding.hint for finding in findings)
    assert all(finding.consequence for finding in findings if finding.level != "ok")
    assert all(finding.hint for finding in findings if finding.level != "ok")


def test_nothing_at_all_is_examined_too(patient: Patient) -> None:
    """On a fresh machine no check raises, and only the daemon is missing."""
    assert set(levels(examine(patient.context()))) == {"ok", "warn"}
