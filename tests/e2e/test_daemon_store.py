"""The daemon's own store as seen from outside: what it is given stays, sealed, refreshed, across restarts."""

import signal
import stat
from pathlib import Path

import pytest

from e2e.claude_code import CLIENT_ID
from e2e.daemon_process import DaemonProcess, direct
from e2e.stored_login import StoredLogin, given
from tokenward.sandbox import HOLD_AFTER, Sandbox, fingerprint

DUE = 50.0
"""Seconds of life that are less than the margin: a refresh is due."""
ACME = "acme:me"


def registered_at(sandbox: Sandbox) -> str:
    """The configuration of a provider of which only issuer and client_id are known."""
    return f'[providers.acme]\nissuer = "{sandbox.issuer}"\nclient_id = "{CLIENT_ID}"\n'


def holders_of(directory: Path, *secrets: str) -> list[str]:
    """The files below a directory in which one of these texts can be read."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


class TestSecondProvider:
    """A provider known by its issuer alone."""

    @pytest.mark.covers("L24")
    def test_a_login_is_refreshed_where_its_issuer_says_and_kept(self, own_home: Path, sandbox: Sandbox) -> None:
        """The token endpoint is discovered, the rotated login is stored, and a crash does not lose it."""
        login = sandbox.issue(ttl_seconds=DUE)
        with DaemonProcess(own_home, config=registered_at(sandbox)) as daemon, daemon.subscribe() as events:
            added = daemon.call("profile.add", profile=ACME, kind="oauth", credential=given(login))
            renewed = events.wait_for("rotated", profile=ACME, not_generation=added["generation"])
            answer = daemon.call("token.get", provider="acme", min_valid=600)
            assert (answer["generation"], answer["degraded"]) == (renewed["generation"], None)
            assert answer["headers"] == {"authorization": f"Bearer {answer['token']}"}
            daemon.kill()
            daemon.start()
            assert daemon.call("token.get", provider="acme")["token"] == answer["token"]
            assert daemon.call("profile.get", profile=ACME)["location"].startswith(str(daemon.state))
        (request,) = (each for each in sandbox.requests if each.path == "/oauth/token")
        assert request.fields["refresh_token"] == fingerprint(login.refresh_token)
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert "/.well-known/oauth-authorization-server" in {each.path for each in sandbox.requests}
        assert sandbox.liveness(answer["token"]) == "live"

    @pytest.mark.covers("L20")
    def test_no_token_can_be_read_on_the_disk(self, own_home: Path, sandbox: Sandbox) -> None:
        """Records and journals are sealed, 0600 in directories of 0700; file names tell nothing."""
        login = sandbox.issue(ttl_seconds=DUE)
        with DaemonProcess(own_home, config=registered_at(sandbox)) as daemon, daemon.subscribe() as events:
            added = daemon.call("profile.add", profile=ACME, kind="oauth", credential=given(login))
            assert holders_of(own_home, login.access_token, login.refresh_token) == []
            events.wait_for("rotated", profile=ACME, not_generation=added["generation"])
            token = daemon.call("token.get", profile=ACME)["token"]
            assert holders_of(own_home, login.access_token, login.refresh_token, token) == []
            (record,) = (daemon.state / "credentials").glob("*.json")
            assert list(daemon.families.glob("*.journal"))
            kept = [path for path in daemon.state.rglob("*") if not path.is_socket()]
            modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in [daemon.state, *kept]}
        assert modes == {True: 0o700, False: 0o600}
        assert "acme" not in record.name

    def test_a_refresh_under_way_is_ended_before_the_daemon(self, own_home: Path, sandbox: Sandbox) -> None:
        """SIGTERM while the answer is on its way: the next daemon serves what the server gave."""
        sandbox.faults.next("token", HOLD_AFTER)
        with DaemonProcess(own_home, config=registered_at(sandbox)) as daemon:
            daemon.call(
                "profile.add", profile=ACME, kind="oauth", credential=given(sandbox.issue(ttl_seconds=DUE))
            )
            assert sandbox.faults.wait_held()
            daemon.signal(signal.SIGTERM)
            assert daemon.wait_until_told("STOPPING=1")
            sandbox.faults.release()
            assert daemon.wait() == 0
            daemon.start()
            answer = daemon.call("token.get", profile=ACME, min_valid=600)
        assert answer["degraded"] is None
        assert sandbox.liveness(answer["token"]) == "live"
        assert sandbox.statistics().token_requests == 1


class TestProfiles:
    """Several profiles side by side."""

    @pytest.mark.covers("N1", "E1")
    def test_three_kinds_of_one_provider_stand_side_by_side(self, own_home: Path, sandbox: Sandbox) -> None:
        """An API key, a setup-token and a login of Anthropic are kept, and each is served with its header."""
        login = sandbox.issue()
        added = {
            "anthropic:key": ("api_key", {"access_token": "sk-ant-api03-of-mine"}),
            "anthropic:setup": ("setup_token", {"access_token": "sk-ant-oat01-a-year-long"}),
            "anthropic:me": ("oauth", given(login)),
        }
        with DaemonProcess(own_home, config="") as daemon:
            for profile, (kind, credential) in added.items():
                daemon.call("profile.add", profile=profile, kind=kind, credential=credential)
            daemon.kill()
            daemon.start()
            for profile, (kind, credential) in added.items():
                answer = daemon.call("token.get", profile=profile)
                assert (answer["kind"], answer["token"]) == (kind, credential["access_token"])
                alone = daemon.call("token.get", provider="anthropic", kinds=[kind])
                assert (alone["profile"], alone["token"]) == (profile, answer["token"])
            key, setup = (daemon.call("token.get", profile=f"anthropic:{name}") for name in ("key", "setup"))
        assert key["headers"]["x-api-key"] == "sk-ant-api03-of-mine"
        assert "authorization" not in key["headers"]
        assert setup["headers"]["authorization"] == "Bearer sk-ant-oat01-a-year-long"
        assert "x-api-key" not in setup["headers"]

    @pytest.mark.covers("L25")
    def test_two_accounts_are_two_profiles(self, own_home: Path, sandbox: Sandbox) -> None:
        """A refresh of one leaves the other as it is."""
        first, second = sandbox.issue(subject="one"), sandbox.issue(subject="two")
        with DaemonProcess(own_home, config=registered_at(sandbox)) as daemon:
            daemon.call("profile.add", profile="acme:one@work.com", kind="oauth", credential=given(first))
            daemon.call("profile.add", profile="acme:two+tag@work.com", kind="oauth", credential=given(second))
            daemon.wait_for("profile.get", lambda shown: shown["refresh"] == "direct", profile="acme:one@work.com")
            daemon.call("profile.refresh", profile="acme:one@work.com")
            tokens = [
                daemon.call("token.get", profile=profile)["token"]
                for profile in ("acme:one@work.com", "acme:two+tag@work.com")
            ]
        assert tokens[0] not in {first.access_token, second.access_token}
        assert tokens[1] == second.access_token

    def test_one_login_in_two_places_is_spent_once(self, own_home: Path, sandbox: Sandbox) -> None:
        """Claude Code's file and a copy of it in the store meet at the family: one POST for both."""
        login = sandbox.issue(ttl_seconds=DUE)
        stored = StoredLogin(own_home)
        stored.write(login)
        sandbox.faults.next("token", HOLD_AFTER)
        config = direct(sandbox.token_endpoint) + f'client_id = "{CLIENT_ID}"\n'
        with DaemonProcess(own_home, config=config) as daemon, daemon.subscribe() as events:
            assert sandbox.faults.wait_held()
            added = daemon.call("profile.add", profile="anthropic:copy", kind="oauth", credential=given(login))
            sandbox.faults.release()
            events.wait_for("rotated", profile="anthropic:copy", not_generation=added["generation"])
            copy = daemon.call("token.get", profile="anthropic:copy", min_valid=600)
            assert copy["token"] == stored.access != login.access_token
        statistics = sandbox.statistics()
        assert (statistics.token_requests, statistics.reuse_detected) == (1, 0)
