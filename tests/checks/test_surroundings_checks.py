"""The checks of what lies around: the service, git, links, the SDKs' files, the store's key, the configuration."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tokenward
from checks.patient import Patient
from client.fake_daemon import profile
from tokenward.checks import (
    ALL,
    Finding,
    Probed,
    SharedLook,
    anthropic_profiles,
    config,
    disks,
    git,
    probe,
    service,
    shared_store,
    store_key,
    symlinks,
)
from tokenward.checks.commands import runner
from tokenward.errors import ConfigurationFault
from tokenward.ports import KeyStatus

SECRET = "sk-ant-api03-" + "K" * 95


def only(findings: list[Finding]) -> Finding:
    """The one finding."""
    (finding,) = findings
    return finding


def levels(findings: list[Finding]) -> list[str]:
    """How bad they are."""
    return [finding.level for finding in findings]


def mend(finding: Finding) -> None:
    """Copy the command into a shell."""
    subprocess.run(["/bin/sh", "-c", finding.hint.removeprefix("run: ")], check=True, capture_output=True)


class TestDisks:
    @pytest.fixture
    def table(self, patient: Patient, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The patient's home is on another machine, but for one directory."""
        path = tmp_path_factory.mktemp("kernel") / "mountinfo"
        home = os.path.realpath(patient.home)
        path.write_text(
            f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:4 / {home} rw - nfs4 files:/home rw\n"
            f"3 2 8:2 / {home}/local rw - xfs /dev/sdb1 rw\n"
        )
        return path

    def test_what_lies_on_another_machine_is_said(self, patient: Patient, table: Path) -> None:
        """Each by its path, with the setting that moves it and what comes of it."""
        login = patient.write(patient.claude / ".credentials.json")
        found = disks.check(patient.context(secret_files=[patient.home / ".env"]), table)
        assert levels(found) == ["warn"] * 3
        assert [each.cause.partition(" is on ")[0] for each in found] == [
            str(patient.context().state),
            str(login),
            str(patient.home / ".env"),
        ]
        assert found[0].cause.endswith("is on nfs4 (files:/home)")
        assert "TOKENWARD_STATE_DIR" in found[0].hint
        assert "CLAUDE_CONFIG_DIR" in found[1].hint
        assert "no program gets any token" in found[0].consequence

    def test_a_link_to_a_local_disk_is_local(self, patient: Patient, table: Path) -> None:
        """And a login that is not there is nowhere."""
        state = patient.directory(patient.home / "local" / "state")
        (patient.home / "state").symlink_to(state)
        assert levels(disks.check(patient.context(), table)) == ["ok"]

    def test_without_a_table_nothing_is_wrong(self, patient: Patient) -> None:
        """As on macOS."""
        assert levels(disks.check(patient.context(), patient.home / "none")) == ["ok"]


class TestService:
    @pytest.fixture
    def unit(self, patient: Patient) -> Path:
        """An installed unit."""
        return patient.write(patient.home / "units" / "tokenward.service", "[Service]\n")

    def judged(self, patient: Patient, unit: Path | None, program: Path | None) -> list[Finding]:
        """With commands that really run."""
        run = runner({"PATH": os.environ["PATH"], "HOME": str(patient.home)})
        return service.check(patient.context(service_unit=unit, service_program=program, run=run))

    def test_not_installed(self, patient: Patient) -> None:
        """Nobody needs a service; on a platform without one nothing is said."""
        assert levels(self.judged(patient, patient.home / "none.service", None)) == ["ok"]
        assert self.judged(patient, None, None) == []

    def test_one_that_starts_this_interpreter(self, patient: Patient, unit: Path) -> None:
        """It has tokenward, so the daemon will start."""
        assert levels(self.judged(patient, unit, Path(sys.executable))) == ["ok"]

    def test_an_interpreter_that_is_gone(self, patient: Patient, unit: Path) -> None:
        """After an upgrade of Python, or without the environment, the next login starts nothing."""
        finding = only(self.judged(patient, unit, patient.home / "venv" / "bin" / "python3"))
        assert (finding.level, "which is gone" in finding.cause) == ("fail", True)
        assert finding.hint == "run: tokenward service install --now"

    def test_an_interpreter_without_tokenward(self, patient: Patient, unit: Path) -> None:
        """It is there and runs, but has not got the program."""
        python = patient.write(patient.home / "bin" / "python3", "#!/bin/sh\nexit 1\n", mode=0o700)
        finding = only(self.judged(patient, unit, python))
        assert (finding.level, "no tokenward any more" in finding.cause) == ("fail", True)

    def test_a_unit_that_names_nothing(self, patient: Patient, unit: Path) -> None:
        """Somebody has edited it."""
        assert levels(self.judged(patient, unit, None)) == ["warn"]


@pytest.mark.skipif(shutil.which("git") is None, reason="NOT TESTED: there is no git here")
class TestGit:
    @pytest.fixture
    def repository(self, patient: Patient) -> Path:
        """A real repository, and nothing of the user's own configuration."""
        project = patient.directory(patient.home / "project")
        self.git(patient, project, "init", "--quiet")
        return project

    def git(self, patient: Patient, project: Path, *words: str) -> None:
        """Run git as the patient."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(patient.home), "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", "-C", str(project), *words], env=environ, check=True, capture_output=True)

    def found(self, patient: Patient, project: Path, **changed: object) -> list[Finding]:
        """What the check says, with the real git."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(patient.home)}
        return git.check(patient.context(environ=environ, run=runner(environ), project=project, **changed))

    @pytest.mark.covers("N70")
    def test_a_key_that_is_tracked(self, patient: Patient, repository: Path) -> None:
        """Of four files with keys, those that git tracks are named, and the command takes them out of it."""
        env = patient.write(repository / ".env", f"ANTHROPIC_API_KEY={SECRET}\n")
        settings = patient.write(
            repository / ".claude" / "settings.json", json.dumps({"env": {"ANTHROPIC_API_KEY": SECRET}})
        )
        configuration = patient.write(repository / "config.toml", SECRET)
        other = patient.write(repository / "other.env", SECRET)
        changed = {"config": configuration, "config_holds_key": True, "secret_files": [other]}
        assert levels(self.found(patient, repository, **changed)) == ["ok"]
        self.git(patient, repository, "add", "--force", ".")
        findings = self.found(patient, repository, **changed)
        assert {each.cause.partition(" holds")[0] for each in findings} == {
            str(path) for path in (env, settings, configuration, other)
        }
        assert levels(findings) == ["warn"] * 4
        assert SECRET not in repr(findings)
        for each in findings:
            mend(each)
        assert levels(self.found(patient, repository, **changed)) == ["ok"]

    def test_files_without_a_key_do_not_matter(self, patient: Patient, repository: Path) -> None:
        """An .env of other things, and a configuration that names variables, may be tracked."""
        patient.write(repository / ".env", "COLOUR=blue\n")
        configuration = patient.write(repository / "config.toml")
        self.git(patient, repository, "add", ".")
        assert self.found(patient, repository, config=configuration, config_holds_key=False) == []

    def test_a_repository_starts_no_program(self, patient: Patient, repository: Path) -> None:
        """A hostile one may name a program that git runs for its index; it does not run for us."""
        trap = patient.write(repository / "trap", "#!/bin/sh\ntouch sprung\n", mode=0o700)
        patient.write(repository / ".env", SECRET)
        self.git(patient, repository, "add", ".env")
        self.git(patient, repository, "config", "core.fsmonitor", str(trap))
        assert levels(self.found(patient, repository)) == ["warn"]
        assert not (repository / "sprung").exists()

    def test_without_git(self, patient: Patient, repository: Path) -> None:
        """Nothing is tracked by what is not there."""
        patient.write(repository / ".env", SECRET)
        assert git.check(patient.context(project=repository)) == []


class TestSymlinks:
    def test_none(self, patient: Patient) -> None:
        """Files are files."""
        patient.write(patient.context().claude_credentials)
        assert levels(symlinks.check(patient.context())) == ["ok"]

    def test_a_linked_login(self, patient: Patient) -> None:
        """The way out puts the target in the link's place, on the disk."""
        target = patient.write(patient.home / "dotfiles" / "login.json", "{}")
        patient.directory(patient.claude)
        patient.context().claude_credentials.symlink_to(target)
        finding = only(symlinks.check(patient.context()))
        assert (finding.level, "token that is spent" in finding.consequence) == ("warn", True)
        mend(finding)
        assert levels(symlinks.check(patient.context())) == ["ok"]
        assert patient.context().claude_credentials.read_text() == "{}"

    def test_a_link_to_nothing(self, patient: Patient) -> None:
        """It is no login, and the next one replaces it."""
        patient.directory(patient.claude)
        patient.context().claude_credentials.symlink_to(patient.home / "gone")
        assert "which is not there" in only(symlinks.check(patient.context())).cause

    def test_a_linked_key(self, patient: Patient) -> None:
        """Our own key is not read through a link."""
        key = patient.context().store_key
        assert key is not None
        patient.directory(key.parent)
        key.symlink_to(patient.write(patient.home / "elsewhere"))
        assert levels(symlinks.check(patient.context())) == ["fail"]


class TestAnthropicProfiles:
    @pytest.fixture
    def directory(self, patient: Patient) -> Path:
        """A sound profile."""
        directory = patient.home / ".config" / "anthropic"
        patient.write(directory / "configs" / "me.json", "{}", mode=0o644)
        patient.write(directory / "credentials" / "me.json", SECRET)
        return directory

    def test_sound_ones(self, patient: Patient, directory: Path) -> None:
        """A configuration may be read by others, a secret may not."""
        assert levels(anthropic_profiles.check(patient.context(anthropic_profiles=directory))) == ["ok"]

    def test_none(self, patient: Patient) -> None:
        """Most people have none, and nothing is said."""
        assert anthropic_profiles.check(patient.context(anthropic_profiles=patient.home / "none")) == []

    @pytest.mark.parametrize(
        ("name", "mode", "command"),
        [
            ("credentials/me.json", 0o640, "chmod 600"),
            ("credentials/me.json", 0o604, "chmod 600"),
            ("configs/me.json", 0o664, "chmod go-w"),
            ("configs/me.json", 0o646, "chmod go-w"),
        ],
    )
    def test_loose_ones(self, patient: Patient, directory: Path, name: str, mode: int, command: str) -> None:
        """Each is a failure, for the SDKs refuse it; the command that mends it does."""
        (directory / name).chmod(mode)
        finding = only(anthropic_profiles.check(patient.context(anthropic_profiles=directory)))
        assert (finding.level, finding.hint) == ("fail", f"run: {command} {directory / name}")
        mend(finding)
        assert levels(anthropic_profiles.check(patient.context(anthropic_profiles=directory))) == ["ok"]

    def test_a_linked_secret(self, patient: Patient, directory: Path) -> None:
        """The SDKs do not follow it."""
        target = patient.write(patient.home / "x.json")
        (directory / "credentials" / "linked.json").symlink_to(target)
        assert "is a link" in only(anthropic_profiles.check(patient.context(anthropic_profiles=directory))).cause


class TestStoreKey:
    @pytest.mark.parametrize(
        ("locked", "note", "level"), [(None, None, "ok"), ("it is locked", None, "fail"), (None, "moving", "warn")]
    )
    def test_how_it_stands(self, patient: Patient, locked: str | None, note: str | None, level: str) -> None:
        """Usable, locked away, or between two places."""
        key = KeyStatus("keyring", "0" * 16, "the keyring", locked=locked, note=note)
        assert levels(store_key.check(patient.context(store=key))) == [level]


class TestSharedStore:
    def test_where_nothing_is_shared_nothing_is_said(self, patient: Patient) -> None:
        """It is not everybody's affair."""
        assert shared_store.check(patient.context(shared=None)) == []

    @pytest.mark.parametrize(
        ("look", "level", "words"),
        [
            (SharedLook("db", 2), "ok", "db, 2 profiles"),
            (SharedLook("db", trouble="db: refused", hint="start it"), "fail", "db: refused"),
            (SharedLook("db", 2, ["acme:me"]), "fail", "1 of 2 shared profiles cannot be opened here: acme:me"),
            (SharedLook("db", 2, orphans=3), "warn", "3 new tokens came after"),
        ],
    )
    def test_how_it_stands(self, patient: Patient, look: SharedLook, level: str, words: str) -> None:
        """Away, sealed by a key that is not here, with tokens that came too late, or as it should be."""
        finding = only(shared_store.check(patient.context(shared=look)))
        assert (finding.level, words in finding.cause) == (level, True)
        assert bool(finding.hint) is (level != "ok")


class TestConfig:
    def test_its_warnings(self, patient: Patient) -> None:
        """Each is a finding that names the file; without a file the defaults hold."""
        finding = only(config.check(patient.context(config_warnings=["odd"])))
        assert (finding.level, finding.cause, str(patient.context().config) in finding.hint) == (
            "warn",
            "odd",
            True,
        )
        assert levels(config.check(patient.context())) == ["ok"]
        assert "defaults" in only(config.check(patient.context(config=None))).cause

    def test_one_that_is_refused(self) -> None:
        """Cause and hint are the fault's."""
        finding = config.refused(ConfigurationFault("config.toml:3: no", hint="say yes"))
        assert (finding.level, finding.cause, finding.hint) == ("fail", "config.toml:3: no", "say yes")


class TestProbe:
    TAKEN = Probed("acme:me", "acme", "taken", status=200, from_api=True)

    def found(self, patient: Patient, probed: Probed) -> list[Finding]:
        """What the check says of it."""
        return probe.check(patient.context(probed=probed))

    def test_without_a_probe_nothing_is_said(self, patient: Patient) -> None:
        """Nothing was sent."""
        assert probe.check(patient.context()) == []

    def test_a_credential_that_is_taken(self, patient: Patient) -> None:
        """That is all."""
        assert levels(self.found(patient, self.TAKEN)) == ["ok"]

    @pytest.mark.covers("P35")
    @pytest.mark.parametrize(
        ("provider", "status", "from_api", "words"),
        [
            ("anthropic", 401, False, "something between here and anthropic answered 401 (no request-id): no"),
            ("anthropic", 403, False, "something between here and anthropic answered 403 (no request-id): no"),
            ("anthropic", 401, True, "anthropic itself refuses the credential of it:me with 401: no"),
            ("acme", 401, False, "acme itself refuses the credential of it:me with 401: no"),
        ],
    )
    def test_who_refused_is_told(
        self, patient: Patient, provider: str, status: int, *, from_api: bool, words: str
    ) -> None:
        """Anthropic's API marks its answers, a proxy does not: a bad key, or one that never arrived."""
        verdict = "refused" if status == 401 else "unknown"
        finding = only(
            self.found(patient, Probed("it:me", provider, verdict, "no", "", status, from_api=from_api))
        )
        assert (finding.level, finding.cause) == ("fail", words)
        assert ("x-api-key and Authorization" in finding.consequence) is ("between" in words)

    def test_a_login_page_of_a_network_takes_nothing(self, patient: Patient) -> None:
        """It answers 200 to everything, without the API's mark; of other APIs no mark is known."""
        page = Probed("anthropic:me", "anthropic", "taken", status=200)
        assert "without a request-id" in only(self.found(patient, page)).cause
        assert levels(self.found(patient, page)) == ["warn"]
        assert levels(self.found(patient, Probed("acme:me", "acme", "taken", status=200))) == ["ok"]

    def test_a_refused_credential_is_renewed_where_it_comes_from(self, patient: Patient) -> None:
        """The daemon has said of which kind and source it is."""
        refused = Probed("acme:me", "acme", "refused", "no", status=401, from_api=True)
        held = [profile("acme:me", kind="api_key")]
        finding = only(probe.check(patient.context(probed=refused, profiles=held)))
        assert finding.hint == "run: tokenward add acme:me --api-key"

    @pytest.mark.parametrize(
        ("probed", "level", "words"),
        [
            (Probed(None, "acme", "unknown", "nothing configured", "log in"), "fail", "no request was made"),
            (Probed("acme:me", "acme", "unknown", "not reached"), "warn", "could not be tried: not reached"),
            (Probed("acme:me", "acme", "unknown", "HTTP 529", status=529), "warn", "answered 529"),
            (Probed("acme:me", "acme", "unknown", "HTTP 403", status=403, from_api=True), "warn", "answered 403"),
        ],
    )
    def test_what_says_nothing_of_the_credential(
        self, patient: Patient, probed: Probed, level: str, words: str
    ) -> None:
        """A request that was not made is a failure, an answer that says nothing a warning."""
        finding = only(self.found(patient, probed))
        assert (finding.level, words in finding.cause, finding.hint != "") == (level, True, True)

    @pytest.mark.parametrize(
        ("ahead", "level"),
        [
            (0.0, "ok"),
            (29.0, "ok"),
            (-29.0, "ok"),
            (31.0, "warn"),
            (-31.0, "warn"),
            (301.0, "fail"),
            (-301.0, "fail"),
        ],
    )
    def test_the_clock_against_the_servers(self, patient: Patient, ahead: float, level: str) -> None:
        """Half a minute is a warning, five minutes a failure, in both directions; the words say which."""
        probed = Probed("acme:me", "acme", "taken", status=200, from_api=True, ahead=ahead)
        finding = self.found(patient, probed)[1]
        assert finding.level == level
        if level != "ok":
            assert ("ahead of" if ahead > 0 else "behind") in finding.cause


def test_the_document_has_every_check() -> None:
    """docs/doctor.md names exactly the checks that there are, in the order of the code, each with a way out."""
    document = Path(tokenward.__file__).parents[2] / "docs" / "doctor.md"
    if not document.exists():
        pytest.skip("NOT TESTED: an installed package has no docs")
    table = document.read_text().partition("## Every check")[2].partition("## ")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| .*$", table, re.MULTILINE)]
    named = [row[0].strip("`") for row in rows if row[0].startswith("`")]
    assert list(dict.fromkeys(named)) == list(ALL)
    assert all(len(row) == 4 and all(row) for row in rows)
