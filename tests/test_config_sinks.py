"""What config.toml may say of sinks, and what it may not, with the line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tokenward.config import LoadedConfig, load
from tokenward.errors import ConfigurationFault

Read = Callable[[str], LoadedConfig]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a text as the configuration."""

    def read(text: str) -> LoadedConfig:
        path = tmp_path / "config.toml"
        path.write_text(text)
        path.chmod(0o600)
        return load(path, {"HOME": str(tmp_path)}, uid=os.getuid(), platform="linux")

    return read


def test_every_format_has_its_keys(read: Read, tmp_path: Path) -> None:
    """What the tables mean, and what they mean where little is said."""
    sinks = read(
        """
        [sinks.sdk]
        format = "anthropic-profile"
        profile = "anthropic:claude-cli"
        [sinks.job]
        format = "env"
        profile = "acme:me"
        path = "~/job.env"
        mode = "0640"
        variable = "ACME_KEY"
        on_change = ["systemctl", "--user", "restart", "job"]
        [sinks.netrc]
        format = "template"
        profile = "acme:me"
        path = "~/netrc"
        template = "~/netrc.in"
        """
    ).settings.sinks
    assert (sinks["sdk"].path, sinks["sdk"].mode, sinks["sdk"].on_change) == (None, "0600", ())
    assert (sinks["job"].path, sinks["job"].mode, sinks["job"].variable) == (
        tmp_path / "job.env",
        "0640",
        "ACME_KEY",
    )
    assert sinks["job"].on_change == ("systemctl", "--user", "restart", "job")
    assert sinks["netrc"].template == tmp_path / "netrc.in"


@pytest.mark.parametrize(
    ("line", "text", "said"),
    [
        (1, "", "sinks.a.format: is missing"),
        (2, "format = 'json'", "sinks.a.format: must be 'token', 'env', 'template' or 'anthropic-profile'"),
        (2, "format = 'env'", "sinks.a.format: env needs to know where"),
        (2, "format = 'template'\npath = '/x'", "sinks.a.format: template needs a template"),
        (3, "format = 'token'\ntemplate = '/x'", "sinks.a.template: is of no use for token"),
        (3, "format = 'token'\nvariable = 'X'", "sinks.a.variable: is of no use for token"),
        (3, "format = 'token'\nmode = '0644'", "sinks.a.mode: must be '0600', '0400', '0640' or '0440'"),
        (3, "format = 'anthropic-profile'\nmode = '0640'", "sinks.a.mode: cannot be chosen"),
        (3, "format = 'token'\npath = 'x'", "sinks.a.path: must be an absolute path"),
        (3, "format = 'token'\non_change = 'x'", "sinks.a.on_change: must be a list"),
        (3, "format = 'template'\npath = '/x'\ntemplate = '/x'", "sinks.a.path: is the template itself"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(read: Read, tmp_path: Path, line: int, text: str, said: str) -> None:
    """The file, the line, the name and the reason."""
    profile = "profile = 'acme:me'\n" if text else ""
    with pytest.raises(ConfigurationFault) as fault:
        read(f"[sinks.a]\n{text}\n{profile}")
    assert fault.value.cause.startswith(f"{tmp_path / 'config.toml'}:{line}: {said}")


@pytest.mark.parametrize("name", ["'..'", "'a/b'", "'.hidden'", "''"])
def test_a_name_that_is_no_file_name_is_refused(read: Read, name: str) -> None:
    """It names the token file."""
    with pytest.raises(ConfigurationFault, match=r"config.toml:1: sinks\."):
        read(f"[sinks.{name}]\nformat = 'token'\nprofile = 'acme:me'\n")


def test_two_sinks_with_one_path_are_refused(read: Read) -> None:
    """Each would write over the other's file."""
    table = "[sinks.{}]\nformat = 'token'\nprofile = 'acme:me'\npath = '/x/token'\n"
    with pytest.raises(ConfigurationFault, match=r"sinks\.b\.path: is the path of sinks\.a too"):
        read(table.format("a") + table.format("b"))
