"""The daemon as a process mints tokens from an identity token that somebody else renews."""

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from e2e.daemon_process import DaemonProcess, RpcError
from tokenward.sandbox import Fault, Sandbox, fingerprint

PROFILE = "anthropic:federated"
PATH = "/v1/oauth/token"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
IDENTITY = "header.claims-1.signature"
NEXT_IDENTITY = "header.claims-2.signature"
BETAS = "oauth-2025-04-20,oidc-federation-2026-04-01"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An authorization server that trusts one identity token."""
    with Sandbox(ttl_seconds=3600.0, require_oauth_beta=True) as running:
        running.trust_assertion(IDENTITY)
        yield running


@pytest.fixture
def identity(own_home: Path) -> Path:
    """The file with the identity token."""
    path = own_home / "identity"
    path.write_text(IDENTITY + "\n")
    return path


def config(sandbox: Sandbox, source: str) -> str:
    """Anthropic's federation, at the sandbox."""
    return (
        f'[providers.anthropic]\napi_url = "{sandbox.base_url}"\n[providers.anthropic.federation]\n{source}\n'
        'parameters = { federation_rule_id = "fdrl_1", organization_id = "org", workspace_id = "wrkspc_1" }\n'
    )


def from_file(sandbox: Sandbox, identity: Path) -> str:
    """The identity token lies in a file."""
    return config(sandbox, f'identity_token_file = "{identity}"')


def renewed(path: Path, text: str) -> None:
    """Replace a file as whoever projects identity tokens does."""
    fresh = path.with_name("identity.new")
    fresh.write_text(text)
    fresh.rename(path)


def profile(daemon: DaemonProcess) -> dict[str, Any]:
    """The profile as status has it."""
    result: dict[str, Any] = daemon.call("profile.get", profile=PROFILE)
    return result


def on_disk(home: Path) -> bytes:
    """All that lies in the home, whatever the file."""
    files: Sequence[Path] = [each for each in home.rglob("*") if stat.S_ISREG(each.lstat().st_mode)]
    return b"".join(each.read_bytes() for each in files)


@pytest.mark.covers("P26")
def test_a_token_is_minted_and_works(own_home: Path, sandbox: Sandbox, identity: Path) -> None:
    """The request is Anthropic's; the answer is a Bearer of the kind federated that the API takes."""
    with DaemonProcess(own_home, config=from_file(sandbox, identity)) as daemon:
        answer = daemon.call("token.get")
        shown = profile(daemon)
    (request,) = sandbox.wait_for_request(PATH)
    assert request.fields == {
        "grant_type": JWT_BEARER,
        "assertion": fingerprint(IDENTITY),
        "federation_rule_id": fingerprint("fdrl_1"),
        "organization_id": fingerprint("org"),
        "workspace_id": fingerprint("wrkspc_1"),
    }
    assert request.headers["anthropic-beta"] == BETAS
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("tokenward/")
    assert (answer["kind"], answer["profile"], answer["degraded"]) == ("federated", PROFILE, None)
    assert answer["token"].startswith("sk-ant-oat01-")
    assert answer["headers"]["authorization"] == f"Bearer {answer['token']}"
    assert answer["headers"]["anthropic-beta"] == "oauth-2025-04-20"
    assert answer["base_url"] == sandbox.base_url
    assert sandbox.liveness(answer["token"]) == "live"
    assert (shown["phase"], shown["refresh"], shown["source"]) == ("ready", "mint", "federation")
    assert shown["location"] == str(identity)
    assert shown["next_refresh_at_ms"] is not None
    assert shown["last_failure"] is None


def test_nothing_of_it_is_kept(own_home: Path, sandbox: Sandbox, identity: Path) -> None:
    """Neither the identity token nor what it brought is on disk or in the log, and a restart mints again."""
    with DaemonProcess(own_home, config=from_file(sandbox, identity)) as daemon:
        first = daemon.call("token.get")["token"]
        identity.unlink()
        content = on_disk(own_home)
        assert first.encode() not in content
        assert IDENTITY.encode() not in content
        assert IDENTITY not in daemon.log + daemon.stdout
        identity.write_text(IDENTITY)
        assert daemon.terminate() == 0
        daemon.start()
        assert daemon.call("token.get")["token"] != first
    assert len(sandbox.wait_for_request(PATH, 2)) == 2


def test_it_is_minted_again_before_its_end(own_home: Path, identity: Path) -> None:
    """Nobody asks: a token of five seconds is replaced while it lives, with the identity token of that moment."""
    with Sandbox(ttl_seconds=5.0) as sandbox:
        sandbox.trust_assertion(IDENTITY)
        sandbox.trust_assertion(NEXT_IDENTITY)
        with DaemonProcess(own_home, config=from_file(sandbox, identity)) as daemon, daemon.subscribe() as events:
            first = daemon.call("token.get", min_valid=0)
            renewed(identity, NEXT_IDENTITY)
            events.wait_for("rotated", profile=PROFILE, not_generation=first["generation"])
            second = daemon.call("token.get", min_valid=0)
            assert second["token"] != first["token"]
        before, after = sandbox.wait_for_request(PATH, 2)[:2]
        assert (before.fields["assertion"], after.fields["assertion"]) == (
            fingerprint(IDENTITY),
            fingerprint(NEXT_IDENTITY),
        )
        assert after.at < before.at + 5.0


def test_a_refused_identity_calls_a_person_and_the_next_one_is_tried_at_once(
    own_home: Path, sandbox: Sandbox, identity: Path
) -> None:
    """The server's word and the file are named; when the file changes, nobody has to ask."""
    identity.write_text("not.trusted.yet")
    with DaemonProcess(own_home, config=from_file(sandbox, identity)) as daemon, daemon.subscribe() as events:
        with pytest.raises(RpcError) as refused:
            daemon.call("token.get")
        assert refused.value.code == -32005
        assert "invalid_grant" in refused.value.message
        assert str(identity) in refused.value.data["hint"]
        assert "not.trusted.yet" not in str(refused.value)
        assert profile(daemon)["phase"] == "login_required"
        renewed(identity, IDENTITY)
        daemon.wait_for("profile.get", lambda shown: shown["phase"] == "ready", profile=PROFILE)
        assert sandbox.liveness(daemon.call("token.get")["token"]) == "live"
        assert [event["type"] for event in events.seen] == []
    assert [each.status for each in sandbox.wait_for_request(PATH, 2)] == [400, 200]


def test_an_identity_that_comes_later_is_used_when_it_comes(
    own_home: Path, sandbox: Sandbox, identity: Path
) -> None:
    """Without a file nothing is sent, and its absence is said; its arrival is enough."""
    identity.unlink()
    with DaemonProcess(own_home, config=from_file(sandbox, identity)) as daemon:
        with pytest.raises(RpcError) as refused:
            daemon.call("token.get")
        assert refused.value.code == -32004
        assert "No such file" in refused.value.message
        assert str(identity) in refused.value.message
        assert sandbox.statistics().token_requests == 0
        renewed(identity, IDENTITY)
        daemon.wait_for("profile.get", lambda shown: shown["valid_for"] > 0, profile=PROFILE)
    assert len(sandbox.wait_for_request(PATH)) == 1


def test_a_server_that_is_down_is_waited_for(own_home: Path, sandbox: Sandbox, identity: Path) -> None:
    """Its own word is obeyed, callers hear when it is tried again, and then it is minted."""
    sandbox.faults.next("token", Fault(status=503, body={"error": "temporarily_unavailable"}, retry_after=2))
    with DaemonProcess(own_home, config=from_file(sandbox, identity)) as daemon:
        with pytest.raises(RpcError) as refused:
            daemon.call("token.get")
        assert refused.value.code == -32004
        assert 0 < refused.value.data["retry_after"] <= 60
        assert profile(daemon)["phase"] == "backoff"
        daemon.wait_for("profile.get", lambda shown: shown["phase"] == "ready", profile=PROFILE)
    first, second = sandbox.wait_for_request(PATH, 2)
    assert second.at >= first.at + 2


def test_a_command_prints_the_identity(own_home: Path, sandbox: Sandbox) -> None:
    """It is found in the daemon's PATH and gets the variables that are named, and no others."""
    source = 'identity_command = ["print-identity", "--audience", "a b"]\nenv = ["WORKLOAD"]'
    daemon = DaemonProcess(own_home, config=config(sandbox, source), env={"WORKLOAD": IDENTITY, "NOT_FOR_IT": "x"})
    tool = daemon.bin / "print-identity"
    tool.write_text('#!/bin/sh\n[ "$2" = "a b" ] && [ -z "$NOT_FOR_IT" ] && echo "$WORKLOAD"\n')
    tool.chmod(0o700)
    with daemon:
        answer = daemon.call("token.get")
        assert sandbox.liveness(answer["token"]) == "live"
        assert profile(daemon)["location"] == "the command print-identity"


def test_anthropics_variables_are_recognised(own_home: Path, sandbox: Sandbox, identity: Path) -> None:
    """With no federation in the configuration, the environment of Anthropic's own programs makes the profile."""
    variables = {
        "ANTHROPIC_FEDERATION_RULE_ID": "fdrl_1",
        "ANTHROPIC_ORGANIZATION_ID": "org",
        "ANTHROPIC_SERVICE_ACCOUNT_ID": "svac_1",
        "ANTHROPIC_IDENTITY_TOKEN_FILE": str(identity),
    }
    text = f'[providers.anthropic]\napi_url = "{sandbox.base_url}"\n'
    with DaemonProcess(own_home, config=text, env=variables) as daemon:
        answer = daemon.call("token.get", provider="anthropic", kinds=["federated"])
        assert answer["profile"] == PROFILE
        again = daemon.call("token.get", newer_than=answer["generation"])
        assert again["token"] != answer["token"]
    (request, _) = sandbox.wait_for_request(PATH, 2)
    assert request.fields["service_account_id"] == fingerprint("svac_1")


def test_anthropics_word_for_a_refusal_is_understood(own_home: Path, sandbox: Sandbox, identity: Path) -> None:
    """Anthropic answers 401 ``authentication_error``: the next identity token is waited for, not the back-off."""
    body = {"type": "error", "error": {"type": "authentication_error", "message": "Authentication failed"}}
    sandbox.faults.next("token", Fault(status=401, body=body))
    with DaemonProcess(own_home, config=from_file(sandbox, identity)) as daemon:
        with pytest.raises(RpcError) as refused:
            daemon.call("token.get")
        assert refused.value.code == -32005
        assert "authentication_error" in refused.value.message
        renewed(identity, IDENTITY)
        daemon.wait_for("profile.get", lambda shown: shown["phase"] == "ready", profile=PROFILE)


def test_a_reload_mints_only_what_changed(own_home: Path, sandbox: Sandbox, identity: Path) -> None:
    """The same configuration leaves the token as it is; another rule is another token."""
    with DaemonProcess(own_home, config=from_file(sandbox, identity)) as daemon:
        first = daemon.call("token.get")
        assert daemon.call("daemon.reload") == {"reloaded": True, "error": None}
        assert daemon.call("token.get")["token"] == first["token"]
        daemon.configure(from_file(sandbox, identity).replace("fdrl_1", "fdrl_2"))
        assert daemon.call("daemon.reload") == {"reloaded": True, "error": None}
        assert daemon.call("token.get")["token"] != first["token"]
    before, after = sandbox.wait_for_request(PATH, 2)
    assert before.fields["federation_rule_id"] == fingerprint("fdrl_1")
    assert after.fields["federation_rule_id"] == fingerprint("fdrl_2")


def test_another_provider_mints_at_its_own_endpoint(own_home: Path, sandbox: Sandbox, identity: Path) -> None:
    """A form with the grant and nothing else, where the provider has no wishes of its own."""
    text = (
        f'[providers.acme.federation]\nidentity_token_file = "{identity}"\n'
        f'token_endpoint = "{sandbox.token_endpoint}"\nscope = "read"\n'
    )
    with DaemonProcess(own_home, config=text) as daemon:
        answer = daemon.call("token.get", provider="acme")
    (request,) = sandbox.wait_for_request("/oauth/token")
    assert request.fields == {"grant_type": JWT_BEARER, "assertion": fingerprint(IDENTITY), "scope": "read"}
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert answer["profile"] == "acme:federated"


def test_a_minted_token_ends_with_its_servers_word(own_home: Path, sandbox: Sandbox, identity: Path) -> None:
    """A 401 that a caller reports brings another token, without anybody's help."""
    with DaemonProcess(own_home, config=from_file(sandbox, identity)) as daemon:
        first = daemon.call("token.get")
        report = daemon.call("token.report", profile=PROFILE, generation=first["generation"], status=401)
        assert report["action"] == "retry"
        assert daemon.call("token.get")["token"] != first["token"]


def test_the_command_line_shows_it(own_home: Path, sandbox: Sandbox, identity: Path) -> None:
    """``status`` has it in a line, also before anything was minted; a refusal is exit status 3 with the file."""
    identity.write_text("not.trusted.yet")
    with DaemonProcess(own_home, config=from_file(sandbox, identity)) as daemon:
        daemon.wait_for("profile.get", lambda shown: shown["phase"] == "login_required", profile=PROFILE)

        def run(*words: str) -> "subprocess.CompletedProcess[str]":
            argv = [sys.executable, "-m", "tokenward", *words]
            return subprocess.run(
                argv, env=daemon.environment(), capture_output=True, text=True, check=False, cwd=os.sep
            )

        shown = run("status")
        assert PROFILE in shown.stdout
        assert "federated" in shown.stdout
        refused = run("token", PROFILE)
        assert (refused.returncode, refused.stdout) == (3, "")
        assert str(identity) in refused.stderr
        renewed(identity, IDENTITY)
        daemon.wait_for("profile.get", lambda state: state["phase"] == "ready", profile=PROFILE)
        done = run("refresh", "--all")
        assert (done.returncode, "refreshed" in done.stdout) == (0, True)
        with contextlib.closing(daemon.connect()) as connection:
            token = connection.call("token.get", {})["token"]
        assert run("token", PROFILE).stdout.strip() == token
