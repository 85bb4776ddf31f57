"""Finding the unit templates and filling them in."""

from __future__ import annotations

import plistlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from tokenward import unit_templates
from tokenward.cli.supervisors import supervisor_of
from tokenward.errors import ConfigurationFault

PYTHON = Path("/opt/venv/bin/python")


def service(python: Path = PYTHON, claude: Path | None = None) -> str:
    """The service of the tree, rendered."""
    template = unit_templates.read_unit_template("systemd/tokenward.service")
    return unit_templates.render_unit(template, python=python, claude=claude)


def agent(python: Path = PYTHON, claude: Path | None = None) -> str:
    """The agent of the tree, rendered."""
    return unit_templates.render_agent(
        unit_templates.read_unit_template("launchd/dev.tokenward.daemon.plist"),
        python=python,
        claude=claude,
        home=Path("/Users/ada"),
        socket_path="/Users/ada/Library/Application Support/tokenward/run/tokenward.sock",
    )


class TestLookup:
    def test_a_checkout_has_them_at_its_top(self) -> None:
        """Where readers and packagers look."""
        assert "[Socket]" in unit_templates.read_unit_template("systemd/tokenward.socket")

    def test_the_wheels_own_place_comes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An installed package must not read what happens to lie beside it."""
        package = tmp_path / "site/lib/tokenward"
        for folder, text in (
            (package / "units/systemd", "in the wheel"),
            (tmp_path / "site/systemd", "beside it"),
        ):
            folder.mkdir(parents=True)
            (folder / "tokenward.socket").write_text(text)
        monkeypatch.setattr(unit_templates, "resources", SimpleNamespace(files=lambda _: package))
        assert unit_templates.read_unit_template("systemd/tokenward.socket") == "in the wheel"

    def test_a_missing_template_is_a_broken_installation(self) -> None:
        """And says what to do about it."""
        with pytest.raises(ConfigurationFault) as caught:
            unit_templates.read_unit_template("systemd/absent.service")
        assert caught.value.hint


class TestUnit:
    def test_it_starts_this_interpreter_isolated(self) -> None:
        """-I keeps the working directory and PYTHONPATH out of a service that holds tokens."""
        assert "ExecStart=/opt/venv/bin/python -I -m tokenward daemon" in service().splitlines()

    def test_claudes_directory_comes_first_in_path(self) -> None:
        """So that the ``claude`` of the installation is the one that is run, and finds the node beside it."""
        lines = service(claude=Path("/home/ada/100% node/bin/claude")).splitlines()
        wanted = "/home/ada/100%% node/bin:%h/.local/bin:/usr/local/bin:/usr/bin:/bin"
        assert f'Environment="PATH={wanted}"' in lines

    def test_without_claude_path_is_the_usual_one(self) -> None:
        """Claude Code may be installed later, in a usual place."""
        assert 'Environment="PATH=%h/.local/bin:/usr/local/bin:/usr/bin:/bin"' in service().splitlines()

    def test_all_other_lines_are_the_templates(self) -> None:
        """Two lines are this installation's, one says who wrote it."""
        template = unit_templates.read_unit_template("systemd/tokenward.service").splitlines()
        changed = [line for line in template if line not in service().splitlines()]
        assert [line.partition("=")[0] for line in changed] == ["ExecStart", "Environment"]
        assert len(service().splitlines()) == len(template) + 1

    @pytest.mark.parametrize("path", ["python", "/a\nb/python", "/a\x1b/python", "/a$b", "/a\\b", '/a"b', "/a'b"])
    def test_a_path_that_a_unit_cannot_carry_is_refused(self, path: str) -> None:
        """Relative, with control characters, or with what systemd expands or refuses: never another program."""
        with pytest.raises(ConfigurationFault) as caught:
            service(python=Path(path))
        assert caught.value.hint
        assert "\n" not in caught.value.cause

    def test_a_directory_that_path_cannot_carry_is_refused(self) -> None:
        """A colon would make two directories of one."""
        with pytest.raises(ConfigurationFault):
            service(claude=Path("/a:b/claude"))


class TestAgent:
    def test_every_placeholder_is_replaced(self) -> None:
        """Nothing of the template's user is left."""
        assert "/Users/USER" not in agent()

    def test_it_starts_this_interpreter_with_this_users_paths(self) -> None:
        """Launchd expands nothing: every path is written out."""
        parsed = plistlib.loads(agent(claude=Path("/Users/ada/a & b/claude")).encode())
        assert parsed["ProgramArguments"] == [str(PYTHON), "-I", "-m", "tokenward", "daemon"]
        assert parsed["EnvironmentVariables"]["PATH"].startswith("/Users/ada/a & b:/Users/ada/.local/bin:")
        assert parsed["Sockets"]["rpc"]["SockPathName"].endswith(
            "Application Support/tokenward/run/tokenward.sock"
        )
        assert parsed["StandardErrorPath"] == "/Users/ada/Library/Logs/tokenward.log"

    def test_the_rest_is_the_templates(self) -> None:
        """Numbers stay numbers, and truth stays truth."""
        template = plistlib.loads(unit_templates.read_unit_template("launchd/dev.tokenward.daemon.plist").encode())
        rendered = plistlib.loads(agent().encode())
        differing = {key for key in template if template[key] != rendered[key]}
        assert differing == {"ProgramArguments", "EnvironmentVariables", "Sockets", "StandardErrorPath"}


class TestReadingBack:
    @pytest.mark.parametrize("text", [service(), agent()], ids=["unit", "agent"])
    def test_what_we_wrote_is_known_as_ours(self, text: str) -> None:
        """So that it may be replaced and removed."""
        assert unit_templates.is_ours(text)

    @pytest.mark.parametrize("name", ["systemd/tokenward.service", "launchd/dev.tokenward.daemon.plist"])
    def test_a_template_copied_by_hand_is_not_ours(self, name: str) -> None:
        """Whoever copied it may have changed it."""
        assert not unit_templates.is_ours(unit_templates.read_unit_template(name))

    @pytest.mark.parametrize("path", ["/plain/python", "/with space/python", "/100%h/python", "/100%%h/python"])
    def test_the_interpreter_is_read_back(self, path: str) -> None:
        """``status`` asks whether what the unit starts is still there."""
        assert unit_templates.program_of(service(python=Path(path)), home=Path("/home/ada")) == Path(path)
        assert unit_templates.program_of(agent(python=Path(path)), home=Path("/home/ada")) == Path(path)

    def test_the_templates_own_program_is_in_the_home_directory(self) -> None:
        """%h is the user's home."""
        template = unit_templates.read_unit_template("systemd/tokenward.service")
        found = unit_templates.program_of(template, home=Path("/home/ada"))
        assert found == Path("/home/ada/.local/bin/tokenward")

    @pytest.mark.parametrize(
        "text", ["", "[Service]\n", "ExecStart=\n", 'ExecStart="unclosed\n', "<plist", "<plist/>"]
    )
    def test_a_spoilt_file_has_no_program(self, text: str) -> None:
        """People edit files; ``status`` must be able to say so."""
        assert unit_templates.program_of(text, home=Path("/home/ada")) is None


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {}, "/home/me/.config/systemd/user/tokenward.service"),
        ("linux", {"XDG_CONFIG_HOME": "/cfg"}, "/cfg/systemd/user/tokenward.service"),
        ("linux", {"XDG_CONFIG_HOME": "relative"}, "/home/me/.config/systemd/user/tokenward.service"),
        ("darwin", {}, "/home/me/Library/LaunchAgents/dev.tokenward.daemon.plist"),
        ("freebsd14", {}, None),
    ],
)
def test_where_the_file_that_starts_the_daemon_lies(
    platform: str, environ: dict[str, str], expected: str | None
) -> None:
    """It is where installing writes it, for whoever only wants to look."""
    found = unit_templates.service_unit({"HOME": "/home/me", **environ}, platform=platform)
    assert found == (Path(expected) if expected else None)
    if found is not None:
        assert supervisor_of(platform, {"HOME": "/home/me", **environ}, uid=1).files[0].path == found
