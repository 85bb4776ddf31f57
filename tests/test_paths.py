"""Every path is a function of the environment, and the families' of HOME alone."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from tokenward import paths
from tokenward.core import protocol
from tokenward.errors import ConfigurationFault


def resolved(environ: Mapping[str, str], platform: str = "linux") -> paths.Paths:
    """The paths of a user without a runtime directory."""
    return paths.resolve(environ, uid=1000, platform=platform, is_ours=lambda _: False)


def test_the_defaults() -> None:
    """Everything below the home directory."""
    found = resolved({"HOME": "/home/me"})
    assert found == paths.Paths(
        home=Path("/home/me"),
        config=Path("/home/me/.config/tokenward/config.toml"),
        state=Path("/home/me/.local/state/tokenward"),
        socket=Path("/home/me/.local/state/tokenward/run/tokenward.sock"),
        families=Path("/home/me/.local/state/tokenward/families"),
        claude_config=Path("/home/me/.claude"),
        claude_secure=Path("/home/me/.claude"),
    )
    assert found.claude_credentials == Path("/home/me/.claude/.credentials.json")
    assert found.daemon_lock == found.state / "daemon.lock"
    assert found.store_key == found.state / "store.key"


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_nothing_but_home_moves_the_families(platform: str) -> None:
    """Two daemons with different settings meet at one directory, or they spend one refresh token twice."""
    environ = {
        "HOME": "/home/me",
        "XDG_STATE_HOME": "/s",
        "XDG_CONFIG_HOME": "/c",
        "XDG_RUNTIME_DIR": "/r",
        "TOKENWARD_STATE_DIR": "/t",
        "TOKENWARD_SOCKET": "/x",
    }
    found = resolved(environ, platform)
    assert found.families == Path("/home/me/.local/state/tokenward/families")
    assert (found.state, found.socket, found.config) == (Path("/t"), Path("/x"), Path("/c/tokenward/config.toml"))


def test_claude_codes_directories() -> None:
    """One variable moves both, the other the login and its locks alone."""
    both = resolved({"HOME": "/h", "CLAUDE_CONFIG_DIR": "/c"})
    assert (both.claude_config, both.claude_secure) == (Path("/c"), Path("/c"))
    login = resolved({"HOME": "/h", "CLAUDE_CONFIG_DIR": "/c", "CLAUDE_SECURESTORAGE_CONFIG_DIR": "/s"})
    assert (login.claude_config, login.claude_credentials) == (Path("/c"), Path("/s/.credentials.json"))


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "me"}])
def test_without_a_home_nothing_is_guessed(environ: dict[str, str]) -> None:
    """A path relative to wherever the daemon was started would be another one each time."""
    with pytest.raises(ConfigurationFault, match="HOME"):
        resolved(environ)


@pytest.mark.parametrize("xdg", [None, "/elsewhere", "relative"])
def test_the_configuration_lies_where_the_platform_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xdg: str | None
) -> None:
    """Our rule, which asks no process, is the one of platformdirs, which does."""
    environ = {"HOME": str(tmp_path), **({"XDG_CONFIG_HOME": xdg} if xdg else {})}
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    theirs = Unix(protocol.APPLICATION, appauthor=False).user_config_path
    assert paths.config_directory(environ, platform="linux") == theirs
    theirs = MacOS(protocol.APPLICATION, appauthor=False).user_config_path
    assert paths.config_directory(environ, platform="darwin") == theirs


@pytest.mark.parametrize("socket", ["/tmp/mine.sock", ""])
def test_token_files_lie_beside_the_usual_socket(socket: str) -> None:
    """A socket put elsewhere, into a directory of everybody's even, takes no tokens there."""
    environ = {"HOME": "/home/me", "XDG_RUNTIME_DIR": "/run/me", "TOKENWARD_SOCKET": socket}
    found = paths.published_tokens(environ, uid=1000, platform="linux")
    assert found == Path("/run/me/tokenward/tokens")


def test_tilde() -> None:
    """It is the home directory of the environment, and only at the beginning."""
    environ = {"HOME": "/h"}
    assert paths.expanded("~/x", environ) == Path("/h/x")
    assert paths.expanded("~", environ) == Path("/h")
    assert paths.expanded("~me/x", environ) == Path("~me/x")
    assert paths.expanded("/a/~/x", environ) == Path("/a/~/x")
