"""``tokenward claude-code``: what it writes into whose file, what it refuses, and what it says."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from client.fake_daemon import TOKEN, FakeDaemon, Json, profile, status
from tokenward import helper
from tokenward.cli.main import main

COMMAND = f"{shlex.quote(sys.executable)} -IS {shlex.quote(helper.__file__)}"
OTHERS = '{\n    "model": "opus",\n    "env": {"ENABLE_PROMPT_CACHING_1H": "1"},\n    "hooks": {}\n}\n'
FOREIGN = '{"apiKeyHelper": "echo gatewaykey77", "model": "opus"}'
LOGIN = profile("anthropic:me", kind="oauth")
VARIABLES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, and a project in it as working directory."""
    home = tmp_path / "home"
    (home / "project").mkdir(parents=True)
    for name in (*VARIABLES, "CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "TOKENWARD_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("TOKENWARD_CONFIG", raising=False)
    monkeypatch.chdir(home / "project")
    return home


@pytest.fixture
def settings(home: Path) -> Path:
    """Where the user's settings are; there are none yet, but their directory."""
    path = home / ".claude" / "settings.json"
    path.parent.mkdir()
    return path


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon with one API key."""
    has(daemon, profile())
    return daemon


def has(daemon: FakeDaemon, *profiles: Json) -> None:
    """Have the daemon list these."""
    daemon.answers["profile.list"] = lambda _: {"profiles": list(profiles)}
    daemon.answers["provider.get"] = lambda _: {"base_url": "https://api.anthropic.com"}


class TestHelper:
    @pytest.mark.covers("A11")
    def test_one_member_is_added_and_taken_out_again(
        self, daemon: FakeDaemon, settings: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Everything else keeps its order, its indentation and its place; uninstall gives the bytes back."""
        settings.write_text(OTHERS)
        settings.chmod(0o644)
        assert main(["claude-code", "install"]) == 0
        assert settings.read_text() == OTHERS.replace(
            "{}\n", '{},\n    "apiKeyHelper": ' + json.dumps(COMMAND) + "\n"
        )
        assert settings.stat().st_mode & 0o777 == 0o644
        said = capsys.readouterr()
        assert said.out.splitlines()[:2] == [str(settings), f'+ "apiKeyHelper": {json.dumps(COMMAND)}']
        assert main(["claude-code", "install"]) == 0
        assert "already" in capsys.readouterr().out
        assert main(["claude-code", "uninstall"]) == 0
        assert settings.read_text() == OTHERS
        assert main(["claude-code", "uninstall"]) == 0
        assert settings.read_text() == OTHERS

    def test_a_file_that_we_made_goes_again(self, daemon: FakeDaemon, home: Path) -> None:
        """Without settings there is a file of the owner's alone, and after uninstall none."""
        path = home / ".claude" / "settings.json"
        assert main(["claude-code", "install"]) == 0
        assert json.loads(path.read_text()) == {"apiKeyHelper": COMMAND}
        assert path.stat().st_mode & 0o777 == 0o600
        assert main(["claude-code", "uninstall"]) == 0
        assert not path.exists()

    def test_a_file_that_we_made_stays_if_it_got_more(self, daemon: FakeDaemon, settings: Path) -> None:
        """Claude Code has kept something in it since."""
        main(["claude-code", "install"])
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "model": "opus"}))
        assert main(["claude-code", "uninstall"]) == 0
        assert json.loads(settings.read_text()) == {"model": "opus"}

    def test_the_command_runs_from_sh_whatever_its_path(
        self, daemon: FakeDaemon, settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """What is written, given to sh as Claude Code does it, prints the token, with a quote in its path."""
        python = tmp_path / "it's python"
        python.symlink_to(Path(sys.executable).resolve())
        monkeypatch.setattr(sys, "executable", str(python))
        assert main(["claude-code", "install", "--profile", "anthropic:work", "--spawn"]) == 0
        written = json.loads(settings.read_text())["apiKeyHelper"]
        ran = subprocess.run(["/bin/sh", "-c", written], capture_output=True, text=True, check=False, cwd="/")
        assert (ran.stdout, ran.returncode) == ("sk-ant-api03-fake\n", 0), ran.stderr
        assert daemon.params("token.get")["profile"] == "anthropic:work"
        assert shlex.split(written)[-3:] == ["--profile", "anthropic:work", "--spawn"]

    def test_claudes_own_directory_is_obeyed(
        self, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """CLAUDE_CONFIG_DIR moves the settings."""
        monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "moved"))
        assert main(["claude-code", "install"]) == 0
        assert (tmp_path / "moved" / "settings.json").exists()

    def test_a_linked_file_stays_linked(self, daemon: FakeDaemon, settings: Path, tmp_path: Path) -> None:
        """Into a repository of dotfiles: what it leads to is written."""
        real = tmp_path / "dotfiles.json"
        real.write_text(OTHERS)
        settings.symlink_to(real)
        assert main(["claude-code", "install"]) == 0
        assert settings.is_symlink()
        assert json.loads(real.read_text())["apiKeyHelper"] == COMMAND


class TestForeignHelper:
    def test_it_is_not_replaced_and_its_secret_not_shown(
        self, daemon: FakeDaemon, settings: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Another helper stops the install; it is named, without what it prints."""
        settings.write_text(FOREIGN)
        assert main(["claude-code", "install"]) == 1
        assert settings.read_text() == FOREIGN
        said = capsys.readouterr()
        assert "echo [masked]" in said.err
        assert "--force" in said.err
        assert "gatewaykey77" not in said.out + said.err

    def test_force_replaces_it_and_uninstall_brings_it_back(
        self, daemon: FakeDaemon, settings: Path, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """To the character, also after a second install; the note of it is the owner's alone, and goes."""
        settings.write_text(FOREIGN)
        assert main(["claude-code", "install", "--force"]) == 0
        assert main(["claude-code", "install", "--profile", "anthropic:work"]) == 0
        (note,) = (home / ".local" / "state" / "tokenward").glob("claude-code*")
        assert note.stat().st_mode & 0o777 == 0o600
        assert main(["claude-code", "uninstall"]) == 0
        assert settings.read_text() == FOREIGN
        assert not note.exists()
        said = capsys.readouterr()
        assert "gatewaykey77" not in said.out + said.err

    @pytest.mark.parametrize("changed", ['"vault read"', None])
    def test_what_was_changed_since_is_not_put_back_over(
        self, daemon: FakeDaemon, settings: Path, changed: str | None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Somebody set another helper, or took ours out, where a foreign one had been before."""
        settings.write_text(FOREIGN)
        main(["claude-code", "install", "--force"])
        settings.write_text("{}" if changed is None else f'{{"apiKeyHelper": {changed}}}')
        before = settings.read_text()
        assert main(["claude-code", "uninstall"]) == 1
        assert settings.read_text() == before
        assert "changed since" in capsys.readouterr().err

    def test_one_that_was_never_ours_is_no_matter_of_uninstall(
        self, daemon: FakeDaemon, settings: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Nothing to undo, and nothing is touched."""
        settings.write_text(FOREIGN)
        assert main(["claude-code", "uninstall"]) == 0
        assert settings.read_text() == FOREIGN
        assert "nothing to undo" in capsys.readouterr().out

    def test_ours_of_another_installation_is_replaced_unasked(self, daemon: FakeDaemon, settings: Path) -> None:
        """What a tokenward elsewhere wrote is no foreign helper."""
        settings.write_text('{"apiKeyHelper": "/old/python -IS /old/tokenward/helper.py", "a": 1}')
        assert main(["claude-code", "install"]) == 0
        assert main(["claude-code", "uninstall"]) == 0
        assert settings.read_text() == '{"a": 1}'


@pytest.mark.parametrize(
    "content",
    [b'{"model": ', b"[]", b"// mine\n{}", b"\xff{}", b'{"apiKeyHelper": "a", "apiKeyHelper": "b"}'],
)
@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_settings_that_are_none_are_left_untouched(
    daemon: FakeDaemon, settings: Path, content: bytes, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Torn, of another type, with comments, no text, ambiguous: refused, with the file's name."""
    settings.write_bytes(content)
    assert main(["claude-code", action]) == 1
    assert settings.read_bytes() == content
    assert str(settings) in capsys.readouterr().err


class TestScopeLocal:
    @pytest.mark.covers("A11")
    def test_it_goes_into_the_projects_own_settings(self, daemon: FakeDaemon, settings: Path, home: Path) -> None:
        """And not into the user's."""
        assert main(["claude-code", "install", "--scope", "local"]) == 0
        local = home / "project" / ".claude" / "settings.local.json"
        assert json.loads(local.read_text()) == {"apiKeyHelper": COMMAND}
        assert not settings.exists()
        assert main(["claude-code", "uninstall", "--scope", "local"]) == 0
        assert not local.exists()

    @pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed: NOT TESTED")
    @pytest.mark.parametrize("ignored", [True, False])
    def test_git_must_ignore_it(
        self,
        daemon: FakeDaemon,
        home: Path,
        ignored: bool,  # noqa: FBT001 - a column
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """A warning in a repository that would take it in."""
        subprocess.run(["git", "init", "-q", str(home / "project")], check=True)
        if ignored:
            (home / "project" / ".gitignore").write_text("settings.local.json\n")
        assert main(["claude-code", "install", "--scope", "local"]) == 0
        assert ("git does not ignore" in capsys.readouterr().err) is not ignored

    def test_a_stronger_helper_is_named(
        self, daemon: FakeDaemon, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The project's counts more than the user's, and not the other way round."""
        main(["claude-code", "install", "--scope", "local"])
        assert "counts" not in capsys.readouterr().err
        main(["claude-code", "install"])
        assert "settings.local.json counts, and not this one" in capsys.readouterr().err
        main(["claude-code", "install", "--scope", "local", "--spawn"])
        assert "counts" not in capsys.readouterr().err


class TestWhatFits:
    @pytest.mark.parametrize("kind", ["oauth", "setup_token", "federated"])
    def test_a_logins_token_does_not_go_through_the_helper(
        self, daemon: FakeDaemon, settings: Path, kind: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Exit 3, nothing written, and the way that works."""
        has(daemon, profile("anthropic:me", kind=kind))
        assert main(["claude-code", "install"]) == 3
        assert not settings.exists()
        assert "install --via profile" in capsys.readouterr().err

    def test_the_named_profile_counts(self, daemon: FakeDaemon, settings: Path) -> None:
        """A key beside the login does not help it."""
        has(daemon, profile(), LOGIN)
        assert main(["claude-code", "install", "--profile", "anthropic:me"]) == 3
        assert main(["claude-code", "install", "--profile", "anthropic:nobody"]) == 1
        assert main(["claude-code", "install", "--profile", 'a"b']) == 1
        assert not settings.exists()
        assert main(["claude-code", "install"]) == 0

    def test_a_gateway_takes_any_kind(self, daemon: FakeDaemon, settings: Path) -> None:
        """As the helper itself does: where the settings send requests elsewhere, a login's token may go there."""
        has(daemon, LOGIN)
        settings.write_text('{"env": {"ANTHROPIC_BASE_URL": "https://gateway.example"}}')
        assert main(["claude-code", "install"]) == 0

    def test_nothing_yet_is_no_hindrance(
        self, daemon: FakeDaemon, settings: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The key may come later; how to add it is said."""
        has(daemon, profile("anthropic:claude-cli", kind=None))
        assert main(["claude-code", "install"]) == 0
        assert "tokenward add" in capsys.readouterr().err

    def test_where_no_daemon_runs_it_is_said(
        self, no_daemon: Path, settings: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is installed all the same; with `--spawn` the helper starts one, and nothing need be said."""
        assert main(["claude-code", "install"]) == 0
        assert "no daemon runs" in capsys.readouterr().err
        assert main(["claude-code", "install", "--spawn"]) == 0
        assert "no daemon runs" not in capsys.readouterr().err
        assert "--spawn" in settings.read_text()

    def test_a_gateways_token_without_its_gateway(
        self, daemon: FakeDaemon, settings: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It would be sent to Anthropic: where the address can be had is said."""
        has(daemon, profile(kind="auth_token"))
        assert main(["claude-code", "install"]) == 0
        assert "ANTHROPIC_BASE_URL" in capsys.readouterr().err

    def test_a_key_of_a_configured_gateway_without_its_gateway(
        self, daemon: FakeDaemon, settings: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It would go to Anthropic as well; with the address set, nothing is said."""
        daemon.answers["provider.get"] = lambda _: {"base_url": "https://gateway.example"}
        assert main(["claude-code", "install"]) == 0
        assert "a gateway's token needs ANTHROPIC_BASE_URL" in capsys.readouterr().err
        settings.write_text('{"env": {"ANTHROPIC_BASE_URL": "https://gateway.example"}}')
        assert main(["claude-code", "install"]) == 0
        assert capsys.readouterr().err == ""

    def test_a_key_of_anthropics_own_needs_no_address(
        self, daemon: FakeDaemon, settings: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Nothing is remarked where nothing is missing."""
        assert main(["claude-code", "install"]) == 0
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
    def test_what_goes_out_beside_the_helper_is_named(
        self,
        daemon: FakeDaemon,
        settings: Path,
        name: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """In the environment and in the settings, where it counts more; never its value."""
        monkeypatch.setenv(name, "sk-hidden")
        main(["claude-code", "install"])
        said = capsys.readouterr()
        assert f"{name} is set (in the environment)" in said.err
        settings.write_text(json.dumps({"env": {name: "sk-hidden"}}))
        main(["claude-code", "install"])
        more = capsys.readouterr()
        assert f"{name} is set (env in {settings})" in more.err
        assert "sk-hidden" not in said.out + said.err + more.out + more.err


class TestProfile:
    def test_the_daemon_is_told_to_publish_it(
        self, daemon: FakeDaemon, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A section in the configuration, taken over, and the variable that names it; uninstall takes it out."""
        has(daemon, profile(), LOGIN)
        path = home / ".config" / "tokenward" / "config.toml"
        path.parent.mkdir(parents=True)
        path.write_text("# mine\n[default]\nrefresh_margin = 60\n")
        daemon.answers["daemon.status"] = lambda _: status(config=str(path))
        daemon.answers["daemon.reload"] = lambda _: {"reloaded": True, "error": None}
        assert main(["claude-code", "install", "--via", "profile"]) == 0
        assert path.read_text() == (
            "# mine\n[default]\nrefresh_margin = 60\n\n"
            '[sinks.tokenward]\nformat = "anthropic-profile"\nprofile = "anthropic:me"\n'
        )
        assert "export ANTHROPIC_PROFILE=tokenward" in capsys.readouterr().out
        assert main(["claude-code", "uninstall", "--via", "profile"]) == 0
        assert path.read_text() == "# mine\n[default]\nrefresh_margin = 60\n"
        assert daemon.methods().count("daemon.reload") == 2

    @pytest.mark.parametrize("before", [None, "# mine\n"])
    def test_a_configuration_that_is_not_taken_is_put_back(
        self, daemon: FakeDaemon, home: Path, before: str | None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The daemon's own next start must not fail for what we wrote."""
        has(daemon, LOGIN)
        path = home / ".config" / "tokenward" / "config.toml"
        if before is not None:
            path.parent.mkdir(parents=True)
            path.write_text(before)
        daemon.answers["daemon.status"] = lambda _: status()
        daemon.answers["daemon.reload"] = lambda _: {"reloaded": False, "error": "line 1: no"}
        assert main(["claude-code", "install", "--via", "profile"]) == 1
        assert (path.read_text() if path.exists() else None) == before
        assert "line 1: no" in capsys.readouterr().err

    def test_a_key_is_no_login(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        """Exit 3, and the way that works for it."""
        assert main(["claude-code", "install", "--via", "profile"]) == 3
        assert "--via helper" in capsys.readouterr().err

    def test_which_of_several_must_be_said(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        """Nobody chooses a login for a person."""
        has(daemon, LOGIN, profile("anthropic:other", kind="setup_token"))
        assert main(["claude-code", "install", "--via", "profile"]) == 1
        assert "--profile" in capsys.readouterr().err


class TestPrint:
    def test_the_settings_without_a_secret(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        """The helper in the token's place; at Anthropic's own address nothing is said of the address."""
        assert main(["claude-code", "print"]) == 0
        assert json.loads(capsys.readouterr().out) == {"apiKeyHelper": COMMAND}
        assert daemon.params("token.get")["kinds"] == ["api_key", "auth_token"]

    @pytest.mark.covers("A10")
    def test_the_gateways_block_as_its_guide_has_it(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Address, token and model under env, only where the token was asked for, with a warning."""
        gateway = {
            **TOKEN,
            "token": "sk-your-api-key",
            "kind": "auth_token",
            "base_url": "https://gateway.example",
        }
        daemon.answers["token.get"] = lambda _: gateway
        words = ["claude-code", "print", "--profile", "anthropic:gateway", "--model", "claude-sonnet-4-20250514"]
        assert main([*words, "--with-token"]) == 0
        said = capsys.readouterr()
        env = {
            "ANTHROPIC_BASE_URL": "https://gateway.example",
            "ANTHROPIC_AUTH_TOKEN": "sk-your-api-key",
            "ANTHROPIC_MODEL": "claude-sonnet-4-20250514",
        }
        assert json.loads(said.out) == {"env": env}
        assert "repository" in said.err
        assert main(words) == 0
        del env["ANTHROPIC_AUTH_TOKEN"]
        helped = f"{COMMAND} --profile anthropic:gateway"
        assert json.loads(capsys.readouterr().out) == {"apiKeyHelper": helped, "env": env}

    def test_via_profile(self, no_daemon: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The variable, for which nobody need be asked."""
        assert main(["claude-code", "print", "--via", "profile"]) == 0
        assert json.loads(capsys.readouterr().out) == {"env": {"ANTHROPIC_PROFILE": "tokenward"}}

    def test_without_a_daemon(self, no_daemon: Path) -> None:
        """Exit 4, as with every command that needs a token."""
        assert main(["claude-code", "print"]) == 4


@pytest.mark.parametrize(
    "words",
    [
        ["install", "--scope", "local"],
        ["install", "--force"],
        ["install", "--spawn"],
        ["uninstall", "--scope", "local"],
        ["print", "--with-token"],
        ["print", "--profile", "anthropic:me"],
    ],
)
def test_what_a_profile_has_no_use_for_is_refused(
    daemon: FakeDaemon, words: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 and nothing done, rather than an option that does nothing."""
    has(daemon, LOGIN)
    assert main(["claude-code", *words, "--via", "profile"]) == 2
    assert capsys.readouterr().out == ""
    assert not (home / ".config").exists()
