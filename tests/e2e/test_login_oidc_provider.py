"""Logins at a strict authorization server that we did not write: npm's ``oidc-provider``.

It insists on PKCE S256, names itself in every redirect (RFC 9207), rotates at every refresh, and ends a grant when
its refresh token is revoked. The person is a cookie jar that fills the server's own pages in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from e2e.browser import Browser, Page
from e2e.command import Command, finished
from e2e.daemon_process import DaemonProcess

PACKAGE = "oidc-provider@9.13"
INSTALLED_WITHIN = 120  # seconds; a registry that takes longer does not deliver
SECRET = "s+e/c:ret%"


@pytest.fixture(scope="session")
def oidc_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server's code lies: ``$TOKENWARD_TEST_OIDC_PROVIDER``, else what npm installs; skips without."""
    if shutil.which("node") is None:
        pytest.skip("NOT TESTED against a foreign authorization server: there is no node")
    if named := os.environ.get("TOKENWARD_TEST_OIDC_PROVIDER"):
        return Path(named)
    directory = tmp_path_factory.mktemp("oidc")
    try:
        subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(directory), PACKAGE],
            check=True,
            capture_output=True,
            timeout=INSTALLED_WITHIN,
        )
    except (OSError, subprocess.SubprocessError):
        pytest.skip(f"NOT TESTED against a foreign authorization server: npm did not deliver {PACKAGE}")
    return directory / "node_modules"


@pytest.fixture
def issuer(oidc_modules: Path, tmp_path: Path) -> Iterator[str]:
    """The server, running."""
    script = Path(__file__).with_name("oidc_provider.mjs")
    with (tmp_path / "oidc-provider.log").open("w") as log:
        process = subprocess.Popen(
            ["node", str(script), str(oidc_modules)], stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, (tmp_path / "oidc-provider.log").read_text()
            yield address
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def daemon(issuer: str, tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon with three registrations at it."""
    clients = {
        "acme": 'client_id = "acme-cli"',
        "basic": f'client_id = "acme-basic"\nclient_auth = "basic"\nclient_secret = "{SECRET}"',
        "post": f'client_id = "acme-post"\nclient_auth = "post"\nclient_secret = "{SECRET}"',
    }
    tables = [
        f'[providers.{name}]\nissuer = "{issuer}"\nscope = "openid"\n{registered}\n'
        for name, registered in clients.items()
    ]
    home = tmp_path / "home"
    home.mkdir()
    with DaemonProcess(home, config="\n".join(tables)) as running:
        yield running


def clicked_through(browser: Browser, url: str) -> Page:
    """What a person sees in the end who logs in and agrees to everything."""
    page = browser.open(url)
    while page.forms:
        wanted = {"login": "me", "password": "any"} if "login" in page.forms[0].fields else {}
        page = browser.submit(page, **wanted)
    return page


def accepts(issuer: str, token: str) -> bool:
    """Whether the server's own API takes an access token."""
    connection = HTTPConnection(urlsplit(issuer).netloc, timeout=20)
    try:
        connection.request("GET", "/me", headers={"Authorization": f"Bearer {token}"})
        status = connection.getresponse().status
    finally:
        connection.close()
    assert status in {200, 401}
    return status == 200


@pytest.mark.covers("N27")
@pytest.mark.parametrize("provider", ["acme", "basic", "post"])
def test_a_login_by_browser_refreshes_and_is_revoked(daemon: DaemonProcess, issuer: str, provider: str) -> None:
    """From the person's click to the end: the code, the tokens, a rotation, the revocation."""
    profile = f"{provider}:default"
    with Command(daemon, "login", provider, "--method", "oauth") as command:
        shown = clicked_through(Browser(), command.line("http"))
        assert "go back to the terminal" in shown.text
        assert command.line("Profile saved as") == f"Profile saved as: {profile}"
        assert command.end() == 0
    first = daemon.call("token.get", profile=profile)["token"]
    assert accepts(issuer, first)
    daemon.wait_for("profile.get", lambda seen: seen["refresh"] == "direct", profile=profile)
    daemon.call("profile.refresh", profile=profile)
    second = daemon.call("token.get", profile=profile)["token"]
    assert second != first
    assert accepts(issuer, second)
    assert finished(daemon, "logout", profile, "--revoke").status == 0
    assert not accepts(issuer, second)
    assert SECRET not in daemon.log


@pytest.mark.covers("L15", "L17")
def test_a_login_is_pasted_from_the_address_bar(daemon: DaemonProcess, issuer: str) -> None:
    """Nothing listens here; the address that the browser could not open is pasted, its issuer checked."""
    with Command(daemon, "login", "acme", "--method", "paste") as command:
        url = command.line("http")
        stopped_at = clicked_through(Browser("http://127.0.0.1:9/"), url).url
        assert "iss=" in stopped_at
        command.enter(stopped_at)
        command.line("Login successful!")
        assert command.end() == 0
    assert accepts(issuer, daemon.call("token.get", profile="acme:default")["token"])
    with Command(daemon, "login", "acme", "--method", "paste") as command:
        stopped_at = clicked_through(Browser("http://127.0.0.1:9/"), command.line("http")).url
        command.enter(stopped_at.replace("iss=http", "iss=https"))
        assert command.end() == 2
        assert "another issuer" in command.errors


def test_a_device_is_approved(daemon: DaemonProcess, issuer: str) -> None:
    """RFC 8628 with the server's own pages: the code, the confirmation, the login, the consent."""
    with Command(daemon, "login", "acme", "--method", "device") as command:
        shown = clicked_through(Browser(), command.line("http"))
        assert "Sign-in Success" in shown.text
        command.line("Login successful!")
        assert command.end() == 0
    assert accepts(issuer, daemon.call("token.get", profile="acme:default")["token"])
