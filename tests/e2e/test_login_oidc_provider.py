"""Logins at a strict authorization server that we did not write: npm's ``oidc-provider``.

It insists on PKCE S256, names itself in every redirect (RFC 9207), rotates at every refresh, and ends a grant when
its refresh token is revoked. The person is a cookie jar that fills the server's own pages in.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from joserfc.jwk import ECKey

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
def client_key(tmp_path: Path) -> Path:
    """The private key of a client that signs; beside it the public one, as the server wants it."""
    key = ECKey.generate_key("P-256", {"kid": "ours", "use": "sig", "alg": "ES256"})
    path = tmp_path / "client.pem"
    path.write_bytes(key.as_pem(private=True))
    path.chmod(0o600)
    (tmp_path / "client.jwk").write_text(json.dumps(key.as_dict(private=False)))
    return path


@pytest.fixture
def issuer(oidc_modules: Path, client_key: Path, tmp_path: Path) -> Iterator[str]:
    """The server, running."""
    script = Path(__file__).with_name("oidc_provider.mjs")
    with (tmp_path / "oidc-provider.log").open("w") as log:
        process = subprocess.Popen(
            ["node", str(script), str(oidc_modules), client_key.with_suffix(".jwk").read_text()],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
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
def daemon(issuer: str, client_key: Path, tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon with four registrations at it."""
    clients = {
        "acme": 'client_id = "acme-cli"',
        "basic": f'client_id = "acme-basic"\nclient_auth = "basic"\nclient_secret = "{SECRET}"',
        "post": f'client_id = "acme-post"\nclient_auth = "post"\nclient_secret = "{SECRET}"',
        "signed": f'client_id = "acme-signed"\nclient_auth = "private_key_jwt"\nclient_key = "{client_key}"\n'
        'client_key_id = "ours"',
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
@pytest.mark.parametrize("provider", ["acme", "basic", "post", "signed"])
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


@pytest.mark.parametrize("provider", ["acme", "signed"])
def test_a_device_is_approved(daemon: DaemonProcess, issuer: str, provider: str) -> None:
    """RFC 8628 with the server's own pages: the code, the confirmation, the login, the consent."""
    with Command(daemon, "login", provider, "--method", "device") as command:
        shown = clicked_through(Browser(), command.line("http"))
        assert "Sign-in Success" in shown.text
        command.line("Login successful!")
        assert command.end() == 0
    assert accepts(issuer, daemon.call("token.get", profile=f"{provider}:default")["token"])


def test_a_client_that_cannot_sign_is_told_before_anything_is_shown(
    daemon: DaemonProcess, client_key: Path
) -> None:
    """A key that others may read sends nobody to a page; mended, it logs in; nothing is revoked with it."""
    client_key.chmod(0o640)
    for method in ("oauth", "paste", "device"):
        refused = finished(daemon, "login", "signed", "--method", method)
        assert (refused.status, refused.lines) == (1, [])
        assert f"run: chmod 600 {client_key}" in refused.said
        assert "mend that, then begin again" in refused.said
    client_key.chmod(0o600)
    with Command(daemon, "login", "signed", "--method", "oauth") as command:
        clicked_through(Browser(), command.line("http"))
        assert command.end() == 0
    client_key.chmod(0o640)
    refused = finished(daemon, "logout", "signed:default", "--revoke")
    assert refused.status == 1
    assert f"run: chmod 600 {client_key}" in refused.said
    assert daemon.call("profile.get", profile="signed:default")["generation"] is not None
