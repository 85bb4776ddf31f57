"""Logins as processes: a command, a daemon, a server, and a person with a browser."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.error import URLError
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from e2e.browser import Browser
from e2e.command import Command, finished
from e2e.daemon_process import DaemonProcess, RpcError
from tokenward.sandbox import Fault, Sandbox

_HOUR = 3600.0
CLIENT = "acme-cli"


@pytest.fixture
def server() -> Iterator[Sandbox]:
    """An authorization server that knows us by a client_id of our own."""
    with Sandbox(client_id=CLIENT, ttl_seconds=_HOUR, device_interval=1.0) as running:
        yield running


def configuration(server: Sandbox) -> str:
    """Acme by its issuer; Anthropic by endpoints, as somebody with a client of their own writes it."""
    return f"""
[providers.acme]
issuer = "{server.issuer}"
client_id = "{CLIENT}"
scope = "user:profile"

[providers.anthropic]
client_id = "{CLIENT}"
authorization_endpoint = "{server.authorization_endpoint}"
token_endpoint = "{server.token_endpoint}"
revocation_endpoint = "{server.revocation_endpoint}"
redirect_uri = "{server.base_url}/oauth/code/callback"
api_key_endpoint = "{server.base_url}/api/oauth/claude_cli/create_api_key"

[sources.claude-code]
refresh = "watch"
"""


@pytest.fixture
def daemon(server: Sandbox, tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon that runs."""
    home = tmp_path / "home"
    home.mkdir()
    with DaemonProcess(home, config=configuration(server)) as running:
        yield running


@pytest.fixture
def no_daemon(server: Sandbox, tmp_path: Path) -> DaemonProcess:
    """A configured home in which no daemon runs."""
    home = tmp_path / "home"
    home.mkdir()
    return DaemonProcess(home, config=configuration(server))


def asked(url: str) -> dict[str, str]:
    """The parameters of an authorization request."""
    return dict(parse_qsl(urlsplit(url).query))


def as_account(url: str, account: str) -> str:
    """The same address, opened by the owner of another account."""
    return f"{url}&{urlencode({'login_hint': account})}"


def code_and_state(url: str) -> str:
    """What the page of a pasted login shows to its person."""
    page = Browser().open(url)
    return page.text.partition("<code>")[2].partition("</code>")[0]


def secrets_of(daemon: DaemonProcess, *profiles: str) -> list[str]:
    """The tokens that are served, to be looked for where they must not be."""
    return [daemon.call("token.get", profile=each)["token"] for each in profiles]


@pytest.mark.covers("L15", "L16", "L17", "L18", "L19", "N26", "N27", "P33")
def test_a_pasted_login_is_stored_under_its_account(daemon: DaemonProcess, server: Sandbox) -> None:
    """The lines come in their order, PKCE is S256, and the token that is served is the one the server granted."""
    with Command(daemon, "login", "anthropic", "--method", "paste", "--no-browser") as command:
        url = command.line("http")
        parameters = asked(url)
        assert parameters["code_challenge_method"] == "S256"
        assert parameters["client_id"] == CLIENT
        assert parameters["scope"] == "user:profile user:inference"
        assert parameters["code"] == "true"
        assert "code_verifier" not in url
        command.line("Paste the authorization code")
        command.enter(code_and_state(as_account(url, "user+work@example.com")))
        command.line("Stored in ")
        assert command.end() == 0
        assert command.lines[:4] == [
            "Logging in to Anthropic (Claude Pro/Max)...",
            "Open this URL in your browser and paste the authorization code",
            url,
            "Paste the authorization code from the browser (format: code#state): ",
        ]
        assert command.lines[4:6] == [
            "Login successful!",
            "Profile saved as: anthropic:user+work@example.com",
        ]
    (token,) = secrets_of(daemon, "anthropic:user+work@example.com")
    assert server.liveness(token) == "live"
    assert token not in "".join(command.lines) + daemon.log + daemon.stdout


@pytest.mark.covers("L17")
def test_a_code_for_another_login_is_refused(daemon: DaemonProcess, server: Sandbox) -> None:
    """A foreign state and a missing one are refused before anything is sent; nothing is stored."""
    for pasted in ("a-code#another-state", "a-code", "https://x.example/cb?code=a-code&state=another-state"):
        refused = finished(daemon, "login", "anthropic", "--method", "paste", "--no-browser", typed=pasted)
        assert refused.status == 2
        assert "the state is" in refused.said
        assert "a-code" not in refused.said
    assert server.statistics().logins == 0
    assert [each.path for each in server.requests if each.path.endswith("/token")] == []


@pytest.mark.covers("L17")
def test_a_missing_state_is_taken_where_that_was_allowed(daemon: DaemonProcess) -> None:
    """A bare code is enough with --allow-missing-state, and never one with another state."""
    words = ("login", "anthropic", "--method", "paste", "--no-browser", "--allow-missing-state")
    with Command(daemon, *words) as command:
        code, _, _ = code_and_state(command.line("http")).partition("#")
        command.enter(code)
        command.line("Login successful!")
        assert command.end() == 0
    assert finished(daemon, *words, typed="code#wrong").status == 2


@pytest.mark.covers("N21", "N24", "N27", "L19", "L25")
def test_a_browser_of_this_machine_brings_the_code(daemon: DaemonProcess, server: Sandbox) -> None:
    """The loopback redirect completes the login; two accounts are two profiles, the same account stays one."""
    for account in ("a@example.com", "b@example.com", "a@example.com"):
        with Command(daemon, "login", "acme", "--method", "oauth") as command:
            url = command.line("http")
            redirect = urlsplit(asked(url)["redirect_uri"])
            assert redirect.hostname == "127.0.0.1"
            shown = Browser().open(as_account(url, account))
            assert "go back to the terminal" in shown.text
            assert command.line("Profile saved as") == f"Profile saved as: acme:{account}"
            assert command.end() == 0
    profiles = [each["profile"] for each in daemon.call("profile.list", provider="acme")["profiles"]]
    assert profiles == ["acme:a@example.com", "acme:b@example.com"]
    assert server.statistics().logins == 3
    assert {server.liveness(token) for token in secrets_of(daemon, *profiles)} == {"live"}


@pytest.mark.covers("N24")
def test_the_browser_gets_the_address_as_one_argument(daemon: DaemonProcess, tmp_path: Path) -> None:
    """No shell reads it, whatever is in it, and it is printed all the same."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$#" "$1" > "{opened}.part"\n/bin/mv "{opened}.part" "{opened}"\n'
    )
    browser.chmod(0o755)
    environment = {"BROWSER": str(browser), "PATH": f"{daemon.bin}:/usr/bin:/bin"}
    with Command(daemon, "login", "anthropic", "--method", "paste", env=environment) as command:
        url = command.line("http")
        command.line("Paste the authorization code")
        count, argument = opened.read_text().splitlines()
        assert (count, argument) == ("1", url)
        assert "&" in url


@pytest.mark.covers("L19")
def test_a_new_login_clears_what_had_failed(daemon: DaemonProcess, server: Sandbox) -> None:
    """A login that the server has ended is unusable until its person logs in again, under the same id."""
    words = ("login", "acme", "--method", "oauth", "--profile", "acme:me")
    with Command(daemon, *words) as command:
        Browser().open(command.line("http"))
        assert command.end() == 0
    first = daemon.call("profile.get", profile="acme:me")
    server.faults.next("token", Fault(status=400, body={"error": "invalid_grant"}))
    with pytest.raises(RpcError, match="invalid_grant"):
        daemon.call("profile.refresh", profile="acme:me")
    assert daemon.call("profile.get", profile="acme:me")["last_failure"]["failure"] == "invalid_grant"
    with Command(daemon, *words) as command:
        Browser().open(command.line("http"))
        assert command.end() == 0
    again = daemon.call("profile.get", profile="acme:me")
    assert again["last_failure"] is None
    assert again["unusable"] is None
    assert again["generation"] != first["generation"]
    assert len(daemon.call("profile.list", provider="acme")["profiles"]) == 1


def test_a_person_elsewhere_types_a_short_code(daemon: DaemonProcess, server: Sandbox) -> None:
    """RFC 8628: the address and the code are printed, and approval ends the waiting."""
    with Command(daemon, "login", "acme", "--method", "device", "--no-browser") as command:
        address = command.line("http")
        user_code = command.line("enter this code").rpartition(" ")[2]
        assert parse_qs(urlsplit(address).query)["user_code"] == [user_code]
        assert server.approve_device(user_code, subject="me@example.com")
        assert command.line("Profile saved as") == "Profile saved as: acme:me@example.com"
        assert command.end() == 0


def test_a_person_who_says_no_is_believed(daemon: DaemonProcess, server: Sandbox) -> None:
    """A denied device ends with the status that says who must act, and stores nothing."""
    with Command(daemon, "login", "acme", "--method", "device", "--no-browser") as command:
        user_code = command.line("enter this code").rpartition(" ")[2]
        server.deny_device(user_code)
        assert command.end() == 3
        assert "access_denied" in command.errors
    assert daemon.call("profile.list", provider="acme")["profiles"] == []


@pytest.mark.covers("N22")
@pytest.mark.parametrize("pasted", [True, False])
def test_a_login_makes_an_api_key_and_is_not_kept(daemon: DaemonProcess, server: Sandbox, *, pasted: bool) -> None:
    """The key is stored, works and is never printed; the login that made it is ended at the server."""
    words = ("login", "anthropic", "--method", "create-api-key", *(("--no-browser",) if pasted else ()))
    if not pasted:  # where no address is registered, a port of loopback is listened on
        registered = [line for line in configuration(server).splitlines() if not line.startswith("redirect_uri")]
        daemon.configure("\n".join(registered))
        assert daemon.call("daemon.reload")["reloaded"]
    with Command(daemon, *words) as command:
        url = command.line("http")
        assert asked(url)["scope"] == "org:create_api_key user:profile"
        if pasted:
            command.enter(code_and_state(url))
        else:
            Browser().open(url)
        assert command.line("Profile saved as") == "Profile saved as: anthropic:default"
        assert command.end() == 0
    served = daemon.call("token.get", profile="anthropic:default")
    assert served["kind"] == "api_key"
    assert served["headers"]["x-api-key"].startswith("sk-ant-api03-")
    assert served["token"] not in "".join(command.lines) + command.said + daemon.log
    made = [each for each in server.requests if each.path.endswith("create_api_key")]
    assert [each.method for each in made] == ["POST"]
    assert server.statistics().revocations == 1
    assert not list(daemon.home.rglob(".env*"))


@pytest.mark.covers("N32")
def test_to_revoke_is_to_ask_the_server_first(daemon: DaemonProcess, server: Sandbox) -> None:
    """Logout with --revoke ends the login at the server and here."""
    with Command(daemon, "login", "acme", "--method", "oauth", "--profile", "acme:me") as command:
        Browser().open(command.line("http"))
        assert command.end() == 0
    (token,) = secrets_of(daemon, "acme:me")
    done = finished(daemon, "logout", "acme:me", "--revoke")
    assert done.status == 0
    assert done.lines[0] == "acme:me: the server has revoked it, and it is forgotten here"
    assert server.liveness(token) == "revoked"
    assert daemon.call("profile.list", provider="acme")["profiles"] == []
    assert finished(daemon, "logout", "acme").status == 1


def test_what_the_server_did_not_revoke_is_kept(daemon: DaemonProcess, server: Sandbox) -> None:
    """A server that fails has revoked nothing: the login stays, and the person is told both."""
    with Command(daemon, "login", "acme", "--method", "oauth", "--profile", "acme:me") as command:
        Browser().open(command.line("http"))
        assert command.end() == 0
    server.faults.next("revoke", Fault(status=503))
    refused = finished(daemon, "logout", "acme:me", "--revoke")
    assert refused.status == 1
    assert "503" in refused.said
    assert "it is still kept" in refused.said
    assert [each["profile"] for each in daemon.call("profile.list", provider="acme")["profiles"]] == ["acme:me"]


@pytest.mark.covers("L15")
def test_without_a_daemon_a_login_is_stored_too(no_daemon: DaemonProcess, server: Sandbox) -> None:
    """The command runs the daemon's parts by itself, and a daemon that starts later serves the login."""
    with Command(no_daemon, "login", "acme", "--method", "oauth") as command:
        Browser().open(as_account(command.line("http"), "me@example.com"))
        command.line("Login successful!")
        stored = Path(command.line("Stored in ").removeprefix("Stored in "))
        assert command.end() == 0
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    with no_daemon:
        assert server.liveness(no_daemon.call("token.get", profile="acme:me@example.com")["token"]) == "live"


@pytest.mark.covers("L15")
def test_without_a_registered_address_nothing_listens_for_a_pasted_login(no_daemon: DaemonProcess) -> None:
    """The browser stops at an address that nobody serves, and its address bar is what is pasted."""
    with Command(no_daemon, "login", "acme", "--method", "paste", "--json") as command:
        url = next(line for line in iter_errors(command) if line.startswith("tokenward: http"))
        url = url.removeprefix("tokenward: ")
        redirect_uri = asked(url)["redirect_uri"]
        assert urlsplit(redirect_uri).port == 9
        command.enter(Browser(redirect_uri).open(as_account(url, "me@example.com")).url)
        assert command.end() == 0
    assert json.loads(command.lines[-1])["profile"] == "acme:me@example.com"


def iter_errors(command: Command) -> Iterator[str]:
    """The lines of standard error once the prompt is there."""
    command.line("Paste the authorization code")
    yield from command.errors.splitlines()


@pytest.mark.covers("N21")
def test_no_client_id_of_another_program_is_used(tmp_path: Path) -> None:
    """Without a client_id in the configuration there is no OAuth login; Claude Code's own is offered."""
    home = tmp_path / "home"
    home.mkdir()
    refused = finished(DaemonProcess(home), "login", "anthropic", "--method", "oauth")
    assert refused.status == 1
    assert "no client_id is configured" in refused.said
    assert "--method claude-code" in refused.said
    assert refused.lines == []


@pytest.mark.covers("N23")
def test_an_api_key_comes_from_a_pipe_or_a_variable(no_daemon: DaemonProcess) -> None:
    """It is stored as anthropic:default, never shown, and never an argument."""
    key = "sk-ant-api03-" + "k" * 90
    piped = finished(no_daemon, "login", "anthropic", "--method", "api-key", typed=key)
    assert piped.status == 0
    assert "Profile saved as: anthropic:default" in piped.lines
    words = ("login", "anthropic", "--method", "api-key", "--non-interactive")
    given = finished(no_daemon, *words, "--profile", "anthropic:env-key", env={"ANTHROPIC_API_KEY": key})
    assert given.status == 0
    assert key not in "".join([*piped.lines, *given.lines, piped.said, given.said])
    assert finished(no_daemon, *words).status == 2
    with no_daemon:
        for profile in ("anthropic:default", "anthropic:env-key"):
            assert no_daemon.call("token.get", profile=profile)["token"] == key


@pytest.mark.parametrize("has_daemon", [True, False])
@pytest.mark.parametrize("method", ["oauth", "paste"])
def test_an_interrupted_login_is_given_up(no_daemon: DaemonProcess, method: str, *, has_daemon: bool) -> None:
    """Ctrl-C ends it at once, says nothing more, stores nothing, and leaves no port open."""
    with ExitStack() as stack:
        if has_daemon:
            stack.enter_context(no_daemon)
        with Command(no_daemon, "login", "acme", "--method", method, "--no-browser") as command:
            url = command.line("http")
            if method == "paste":
                command.line("Paste the authorization code")
            command.interrupt()
            assert command.wait() == 130
            assert command.errors == ""
        if method == "oauth":
            with pytest.raises(URLError):
                Browser().open(asked(url)["redirect_uri"])


def test_a_login_for_an_agent_is_no_other_agents(daemon: DaemonProcess, server: Sandbox) -> None:
    """By code and with a key: kept under the agent's name, served to it alone, and said so."""
    with Command(daemon, "login", "acme", "--method", "oauth", "--agent", "ci") as command:
        Browser().open(as_account(command.line("http"), "bot@example.com"))
        assert command.line("Profile saved as") == "Profile saved as: acme:bot@example.com (agent ci)"
        assert command.end() == 0
    key = finished(daemon, "login", "acme", "--method", "api-key", "--agent", "ci", typed="k" * 40)
    assert key.status == 0
    theirs = daemon.call("token.get", profile="acme:bot@example.com", agent="ci")
    assert server.liveness(theirs["token"]) == "live"
    assert daemon.call("token.get", profile="acme:default", agent="ci")["token"] == "k" * 40
    with pytest.raises(RpcError):
        daemon.call("token.get", profile="acme:bot@example.com")
    claude = finished(daemon, "login", "anthropic", "--method", "claude-code", "--agent", "ci")
    assert (claude.status, "belongs to the agent main" in claude.said) == (2, True)


def test_a_key_is_checked_before_it_is_kept(server: Sandbox, tmp_path: Path) -> None:
    """One the API refuses is not kept; one it takes, and one it says nothing about, is; none is ever shown."""
    home = tmp_path / "home"
    home.mkdir()
    good, bad = (f"sk-ant-api03-{letter * 95}" for letter in "gb")
    server.register_api_key(good)
    apis = f'[providers.anthropic]\napi_url = "{server.base_url}/"\n'
    words = ("login", "anthropic", "--method", "api-key", "--check", "--profile")
    with DaemonProcess(home, config=apis) as daemon:
        refused = finished(daemon, *words, "anthropic:bad", typed=bad)
        assert refused.status == 3
        assert "anthropic refuses this key: invalid x-api-key" in refused.said
        assert daemon.call("profile.list")["profiles"] == []
        server.faults.next("models", Fault(status=529))
        unsure = finished(daemon, *words, "anthropic:unsure", typed=bad)
        assert unsure.status == 0
        assert "could not be checked (HTTP 529); it is kept all the same" in unsure.said
        taken = finished(daemon, *words, "anthropic:good", typed=good)
        assert (taken.status, "anthropic takes this key" in taken.said) == (0, True)
        assert [each["profile"] for each in daemon.call("profile.list")["profiles"]] == [
            "anthropic:good",
            "anthropic:unsure",
        ]
        elsewhere = finished(daemon, "login", "acme", "--method", "api-key", "--check", typed="k" * 40)
        assert elsewhere.status == 0
        assert "[providers.acme] has no key_check_endpoint" in elsewhere.said
        daemon.configure(f'{apis}[providers.acme]\nkey_check_endpoint = "{server.base_url}/v1/models"\n')
        assert daemon.call("daemon.reload")["reloaded"]
        theirs = finished(daemon, "login", "acme", "--method", "api-key", "--check", typed=good)
        assert (theirs.status, "acme takes this key" in theirs.said) == (0, True)
        unchecked = finished(daemon, "login", "anthropic", "--method", "api-key", typed=bad)
        assert (unchecked.status, "check" in unchecked.said) == (0, False)
        assert finished(daemon, "login", "anthropic", "--method", "oauth", "--check").status == 2
        for command in (refused, unsure, taken):
            assert not any(key in "".join(command.lines) + command.said for key in (good, bad))
        assert not any(key in daemon.log + daemon.stdout for key in (good, bad))
    asked_for = [(each.method, each.path) for each in server.requests]
    assert asked_for == [("GET", "/v1/models")] * 4
    nowhere = tmp_path / "elsewhere"
    nowhere.mkdir()
    away = DaemonProcess(nowhere, config='[providers.anthropic]\napi_url = "http://127.0.0.1:9"\n')
    lost = finished(away, *words, "anthropic:lost", typed=good)
    assert (lost.status, "was not reached" in lost.said) == (0, True)
