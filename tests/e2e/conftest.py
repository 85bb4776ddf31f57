"""Real programs against a sandbox: every test has its own home, its own server and no network."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import claude_code as harness
from e2e.connect_proxy import ConnectProxy
from tokenward.sandbox import Sandbox

_HOUR = 3600.0  # life of an access token the server grants: far from due, unless a test writes otherwise


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    """The real Claude Code: `$TOKENWARD_TEST_CLAUDE`, else `claude` on PATH; skips, saying so, without one."""
    if sys.platform == "darwin":
        pytest.skip("NOT TESTED with the real Claude Code: on macOS it would use the login keychain of this user")
    named = os.environ.get("TOKENWARD_TEST_CLAUDE")
    found = named or shutil.which("claude")
    if not found:
        pytest.skip(
            "NOT TESTED with the real Claude Code: there is no `claude` on PATH; "
            "name the executable in TOKENWARD_TEST_CLAUDE"
        )
    if not os.access(found, os.X_OK):
        pytest.fail(f"TOKENWARD_TEST_CLAUDE names no executable: {found}")
    return Path(found).absolute()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An authorization server and Messages API that knows Claude Code as its client."""
    with Sandbox(client_id=harness.CLIENT_ID, ttl_seconds=_HOUR, require_oauth_beta=True) as running:
        yield running


@pytest.fixture
def connect_proxy(sandbox: Sandbox) -> Iterator[ConnectProxy]:
    """The sandbox in the place of platform.claude.com and api.anthropic.com, and no other host."""
    with ConnectProxy(sandbox.base_url) as running:
        yield running


@pytest.fixture
def claude_code(claude_binary: Path, connect_proxy: ConnectProxy, tmp_path: Path) -> Iterator[harness.ClaudeCode]:
    """A Claude Code with an empty home, for which Anthropic is the sandbox."""
    with harness.ClaudeCode(claude_binary, tmp_path / "home", proxy=connect_proxy) as ready:
        yield ready
