"""What config.toml may say of sources, and what it may not, with the line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tokenward.config import LoadedConfig, load
from tokenward.core.credential import Kind
from tokenward.errors import ConfigurationFault
from tokenward.provider_files import provider_named

KEY = "sk-ant-api03-" + "K" * 95

Read = Callable[..., LoadedConfig]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a text as the configuration."""

    def read(text: str, **environ: str) -> LoadedConfig:
        path = tmp_path / "config.toml"
        path.write_text(text)
        path.chmod(0o600)
        return load(path, {"HOME": str(tmp_path), **environ}, uid=os.getuid(), platform="linux")

    return read


def test_every_source_has_its_table(read: Read, tmp_path: Path) -> None:
    """What the tables mean."""
    sources = read(
        """
        [sources.dotenv]
        paths = ["~/project/.env", "/etc/keys.env"]
        [sources.command.vault]
        command = ["vault", "read", "-field=key", "secret/anthropic"]
        env = ["VAULT_ADDR"]
        [sources.command.gcloud]
        command = ["gcloud auth print-access-token"]
        shell = true
        profile = "google:me"
        timeout = 5
        lifetime = 3000
        [sources.anthropic-profile]
        enabled = true
        profiles = ["work"]
        refresh = "direct"
        """
    ).settings.sources
    assert sources.dotenv.paths == (tmp_path / "project" / ".env", Path("/etc/keys.env"))
    assert list(sources.command) == ["vault", "gcloud"]
    vault, gcloud = sources.command["vault"], sources.command["gcloud"]
    assert (vault.shell, vault.timeout, vault.lifetime, vault.profile) == (False, 10, None, None)
    assert (gcloud.shell, gcloud.timeout, gcloud.lifetime, gcloud.profile) == (True, 5, 3000, "google:me")
    assert (sources.anthropic_profile.profiles, sources.anthropic_profile.refresh) == (("work",), "direct")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('[sources.command.x]\ncommand = "vault read"\n', 2, "command"),
        ("[sources.command.x]\ncommand = []\n", 2, "command"),
        ('[sources.command.x]\ncommand = ["a"]\ntimeout = 26\n', 3, "at most 25"),
        ('[sources.command.x]\ncommand = ["a"]\ntimeout = 0\n', 3, "timeout"),
        ('[sources.command.x]\ncommand = ["a"]\nlifetime = 1\n', 3, "at least 30"),
        ('[sources.command.x]\ncommand = ["a"]\nshel = true\n', 3, "not a known key"),
        ('[sources.command.x]\ncommand = ["a"]\nprofile = "x"\n', 3, "profile"),
        ("[sources.command.x]\nshell = true\n", 1, "command"),
        ('[sources.dotenv]\npaths = ["project/.env"]\n', 2, "absolute path"),
        ('[sources.dotenv]\npath = "/x"\n', 2, "not a known key"),
        ('[sources.anthropic-profile]\nrefresh = "auto"\n', 2, "refresh"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(read: Read, text: str, line: int, said: str) -> None:
    """And every error has a hint."""
    with pytest.raises(ConfigurationFault) as caught:
        read(text)
    assert f"config.toml:{line}: " in caught.value.cause
    assert said in caught.value.cause
    assert caught.value.hint


@pytest.mark.covers("L3", "P9", "P25", "P26")
@pytest.mark.parametrize("form", ['[providers]\nanthropic = "{}"\n', '[providers.anthropic]\napi_key = "{}"\n'])
@pytest.mark.parametrize(
    ("value", "kind"), [("${THE_KEY}", Kind.API_KEY), ("sk-ant-oat01-" + "s" * 95, Kind.SETUP_TOKEN)]
)
def test_both_forms_of_a_key(read: Read, form: str, value: str, kind: Kind) -> None:
    """The shorthand and the table are one; a setup token is recognised in either."""
    config = read(form.format(value), THE_KEY=KEY)
    credential = provider_named("anthropic", config.settings.providers["anthropic"]).credential
    assert credential is not None
    assert credential.kind is kind
    assert config.warnings == ()


@pytest.mark.covers("N16")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[providers]\nanthropic = "sk-gateway-key"\n', "API keys begin with sk-ant-api"),
        ('[providers.anthropic]\napi_key = "sk-ant-ort01-x"\n', "refresh token"),
        ('[providers.anthropic]\napi_key = "${THE_KEY}"\n', "code#state"),
        ('[providers.acme]\napi_key = \'{"access_token": "sk-secret"}\'\n', "JSON of a login"),
        (
            '[providers.anthropic]\napi_url = "https://api.anthropic.com"\nauth_token = "sk-gateway-key"\n',
            "nothing says where the gateway is",
        ),
    ],
)
def test_what_is_no_key_stops_the_start(read: Read, text: str, said: str) -> None:
    """With its line, with what was recognised, and without the value."""
    with pytest.raises(ConfigurationFault) as caught:
        read(text, THE_KEY="abcdefghij#klmnopqrst")
    assert said in caught.value.cause
    assert "config.toml:" in caught.value.cause
    for secret in ("sk-gateway-key", "sk-ant-ort01-x", "sk-secret", "abcdefghij"):
        assert secret not in caught.value.cause + caught.value.hint


@pytest.mark.covers("N16")
def test_a_short_key_is_only_warned_about(read: Read) -> None:
    """A new form of key may be shorter than the ones we know."""
    config = read('[providers]\nanthropic = "sk-ant-api03-short"\n')
    assert len(config.warnings) == 1
    assert "looks too short" in config.warnings[0]
    assert "sk-ant-api03-short" not in config.warnings[0]


@pytest.mark.covers("A3")
def test_a_gateway_key_beside_its_address_is_taken(read: Read) -> None:
    """The check of Anthropic's prefix is for Anthropic's host."""
    for key in ("api_key", "auth_token"):
        config = read(f'[providers.anthropic]\napi_url = "https://gw.example"\n{key} = "sk-gateway-key"\n')
        assert config.warnings == ()
