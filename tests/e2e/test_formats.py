"""The real programs take what `tokenward` prints for them: git, curl, Kubernetes' client, the AWS SDK."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from e2e.claude_code import CLIENT_ID, SCOPE, ClaudeCode
from e2e.daemon_process import DaemonProcess
from e2e.format_takers import COMMIT, PATIENCE, TokenDemandingServer
from tokenward.sandbox import Issued, Sandbox, fingerprint

KEY = "sk-ant-api03-" + "k" * 95
HOUR = 3600.0
TOKENWARD = f"{shlex.quote(sys.executable)} -m tokenward"


def need_program(name: str) -> str:
    """The path of a program; skips, saying so, without it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"NOT TESTED with the real {name}: it is not on PATH")
    return found


def need_package(name: str) -> None:
    """Skip, saying so, if a package of the dev extra is not installed."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"NOT TESTED with the real {name}: pip install -e '.[dev]' brings it")


@pytest.fixture
def server() -> Iterator[TokenDemandingServer]:
    """Somebody who wants to see a token."""
    with TokenDemandingServer() as running:
        yield running


def run(
    daemon: DaemonProcess, *words: str, env: dict[str, str] | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """A program beside the daemon, with its home and socket, and the PATH of the tests."""
    return subprocess.run(
        words,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd=daemon.home,
        env={**daemon.environment(), "PATH": os.environ["PATH"], **(env or {})},
    )


def registered_at(sandbox: Sandbox, api_url: str) -> str:
    """The configuration of a provider with an API and a token endpoint."""
    return (
        f'[providers.acme]\nissuer = "{sandbox.issuer}"\nclient_id = "{CLIENT_ID}"\n'
        f'api_url = "{api_url}"\nbody = "json"\n'
    )


def add(daemon: DaemonProcess, login: Issued) -> None:
    """Give the daemon a login that it can refresh."""
    credential = {
        "access_token": login.access_token,
        "refresh_token": login.refresh_token,
        "expires_at_ms": int(login.expires_at * 1000),
    }
    daemon.call("profile.add", profile="acme:me", kind="oauth", credential=credential)


class TestGit:
    HELPER = f"!{TOKENWARD} git-credential --profile acme:me"

    def environment(self, host: str) -> dict[str, str]:
        """A git that has this helper and no other, and asks nobody."""
        return {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "credential.helper",
            "GIT_CONFIG_VALUE_0": f"{self.HELPER} --host {host}",
        }

    def test_a_refused_token_is_replaced_before_the_next_try(
        self, own_home: Path, sandbox: Sandbox, server: TokenDemandingServer
    ) -> None:
        """`git ls-remote` gets in; told that the host takes the token no longer, the next one has a new one."""
        git = need_program("git")
        first = sandbox.issue(ttl_seconds=HOUR)
        server.accepted = {first.access_token}
        with DaemonProcess(own_home, config=registered_at(sandbox, server.url)) as daemon:
            add(daemon, first)
            listing = [git, "ls-remote", f"{server.url}/repo.git"]
            env = self.environment(server.host)
            let_in = run(daemon, *listing, env=env)
            assert f"{COMMIT}\trefs/heads/main" in let_in.stdout, let_in.stderr
            server.accepted = set()
            refused = run(daemon, *listing, env=env)
            assert refused.returncode != 0
            filled = run(daemon, git, "credential", "fill", env=env, given=f"url={server.url}/repo.git\n\n")
            second = dict(line.split("=", 1) for line in filled.stdout.splitlines())["password"]
            assert second != first.access_token
            assert second == daemon.call("token.get", profile="acme:me")["token"]
            server.accepted = {second}
            assert run(daemon, *listing, env=env).returncode == 0
        assert first.access_token not in refused.stderr
        assert len([each for each in sandbox.requests if sandbox.token_endpoint.endswith(each.path)]) == 1

    def test_another_host_gets_nothing(
        self, own_home: Path, sandbox: Sandbox, server: TokenDemandingServer
    ) -> None:
        """Though git asks this helper for every host."""
        git = need_program("git")
        login = sandbox.issue(ttl_seconds=HOUR)
        server.accepted = {login.access_token}
        with DaemonProcess(own_home, config=registered_at(sandbox, server.url)) as daemon:
            add(daemon, login)
            env = self.environment("git.example")
            refused = run(daemon, git, "ls-remote", f"{server.url}/repo.git", env=env)
        assert refused.returncode != 0
        assert server.presented == []


def test_curl_reads_its_config(own_home: Path, server: TokenDemandingServer) -> None:
    """`--format curl` through a pipe: Bearer and the API's version, and no secret among the arguments."""
    need_program("curl")
    server.accepted = {"gateway-token"}
    config = f'[providers.anthropic]\napi_url = "{server.url}"\nauth_token = "gateway-token"\n'
    with DaemonProcess(own_home, config=config) as daemon:
        line = f"{TOKENWARD} token --format curl | curl -sS -K - {server.url}/v1/models"
        said = run(daemon, "/bin/sh", "-c", line)
    assert said.stdout == "welcome\n", said.stderr
    assert server.headers[0]["authorization"] == "Bearer gateway-token"
    assert server.headers[0]["anthropic-version"] == "2023-06-01"


def test_curl_reads_a_netrc_line(own_home: Path, server: TokenDemandingServer) -> None:
    """The token as the password of Basic."""
    need_program("curl")
    server.accepted = {KEY}
    with DaemonProcess(own_home, env={"ANTHROPIC_API_KEY": KEY}) as daemon:
        line = f"umask 077; {TOKENWARD} token --format netrc --host 127.0.0.1 > n; "
        said = run(daemon, "/bin/sh", "-c", f"{line}curl -sS --netrc-file n {server.url}")
    assert said.stdout == "welcome\n", said.stderr


_KUBERNETES = """
import sys
from kubernetes import client, config
api = config.new_client_from_config(config_file=sys.argv[1])
print(client.VersionApi(api).get_code().git_version)
"""


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_kubernetes_client_runs_it_as_its_exec_plugin(
    own_home: Path, sandbox: Sandbox, server: TokenDemandingServer, version: str
) -> None:
    """PyPI's `kubernetes` takes the token, its end and the version that it asked for."""
    need_package("kubernetes")
    login = sandbox.issue(ttl_seconds=HOUR)
    server.accepted = {login.access_token}
    plugin = {
        "apiVersion": f"client.authentication.k8s.io/{version}",
        "command": sys.executable,
        "args": ["-m", "tokenward", "token", "acme:me", "--format", "exec-credential"],
        "interactiveMode": "Never",
    }
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": server.url}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "users": [{"name": "me", "user": {"exec": plugin}}],
    }
    (own_home / "kubeconfig").write_text(json.dumps(kubeconfig))
    with DaemonProcess(own_home, config=registered_at(sandbox, server.url)) as daemon:
        add(daemon, login)
        said = run(daemon, sys.executable, "-c", _KUBERNETES, str(own_home / "kubeconfig"))
    assert said.stdout == "v1.34.0\n", said.stderr
    assert server.headers[0]["authorization"] == f"Bearer {login.access_token}"


_BOTOCORE = """
import json
import botocore.session
found = botocore.session.Session(profile="ward").get_credentials()
frozen = found.get_frozen_credentials()
print(json.dumps([found.method, *frozen[:3], found._expiry_time.isoformat()]))
"""


class TestAws:
    KEY = '{"Version":1,"AccessKeyId":"AKIAFAKE","SecretAccessKey":"fake","SessionToken":"sess","Expiration":"%s"}'

    def test_the_aws_sdk_runs_it_as_its_credential_process(self, own_home: Path) -> None:
        """The SDK has the access key that a command printed, with its end; the command ran once."""
        need_package("botocore")
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + HOUR))
        login = own_home / "aws-login"
        login.write_text(f"#!/bin/sh\necho >> {own_home}/runs\necho '{self.KEY % end}'\n")
        login.chmod(0o700)
        process = f'"{sys.executable}" -m tokenward token aws:prod --format aws-credential-process'
        (own_home / "aws").write_text(f"[profile ward]\ncredential_process = {process}\n")
        config = f'[sources.command.prod]\ncommand = ["{login}"]\nprofile = "aws:prod"\n'
        env = {"AWS_CONFIG_FILE": str(own_home / "aws"), "AWS_EC2_METADATA_DISABLED": "true"}
        with DaemonProcess(own_home, config=config) as daemon:
            said = [run(daemon, sys.executable, "-c", _BOTOCORE, env=env) for _ in range(2)]
        method, *frozen, expiry = json.loads(said[0].stdout or said[0].stderr)
        assert (method, frozen) == ("custom-process", ["AKIAFAKE", "fake", "sess"])
        assert datetime.fromisoformat(expiry) == datetime.fromisoformat(end)
        assert said[1].stdout == said[0].stdout
        assert (own_home / "runs").read_text() == "\n"

    def test_a_profile_that_is_no_access_key_is_refused_in_words(self, own_home: Path) -> None:
        """What botocore shows of it names the profile and the reason."""
        need_package("botocore")
        process = f'"{sys.executable}" -m tokenward token anthropic:env --format aws-credential-process'
        (own_home / "aws").write_text(f"[profile ward]\ncredential_process = {process}\n")
        env = {"AWS_CONFIG_FILE": str(own_home / "aws"), "AWS_EC2_METADATA_DISABLED": "true"}
        with DaemonProcess(own_home, env={"ANTHROPIC_API_KEY": KEY}) as daemon:
            said = run(daemon, sys.executable, "-c", _BOTOCORE, env=env)
        assert "anthropic:env is one token (api_key), and AWS wants an access key" in said.stderr
        assert KEY not in said.stderr


@pytest.mark.covers("A6", "A16")
def test_exec_for_a_gateway(own_home: Path, server: TokenDemandingServer) -> None:
    """A gateway under a name of its own, its address and model: what a shell alias held, without the key in it."""
    config = f'[providers.aiohub]\napi_url = "{server.url}"\nauth_token = "sk-gateway"\n'
    words = "exec --provider aiohub --like anthropic --model claude-opus-5-5 -- /bin/sh -c"
    show = 'echo "$ANTHROPIC_BASE_URL $ANTHROPIC_AUTH_TOKEN $ANTHROPIC_MODEL"'
    with DaemonProcess(own_home, config=config) as daemon:
        said = run(daemon, sys.executable, "-m", "tokenward", *words.split(), show)
    assert said.stdout == f"{server.url} sk-gateway claude-opus-5-5\n", said.stderr


class TestClaudeCode:
    """The real Claude Code as the command of `exec`, at its own API, beside a login and a forgotten key."""

    @pytest.mark.parametrize("kind", ["api_key", "setup_token"])
    @pytest.mark.covers("A6")
    def test_the_token_goes_out_alone_in_its_own_header(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path, kind: str
    ) -> None:
        """A key as x-api-key, a login's token as Bearer (with its beta, or the sandbox would refuse it)."""
        secret = KEY
        if kind == "api_key":
            sandbox.register_api_key(secret)
        else:
            secret = sandbox.issue(scope=SCOPE).access_token
        other = sandbox.issue(scope=SCOPE)
        claude_code.write_credentials(other.access_token, other.refresh_token, int(other.expires_at * 1000))
        wrapper = own_home / "claude"
        words = f"{TOKENWARD} exec --profile anthropic:mine -- {claude_code.binary}"
        wrapper.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        wrapper.chmod(0o700)
        claude_code.binary = wrapper
        with DaemonProcess(claude_code.home, runtime_dir=own_home) as daemon:
            daemon.call("profile.add", profile="anthropic:mine", kind=kind, credential={"access_token": secret})
            env = {"TOKENWARD_SOCKET": str(daemon.socket_file), "ANTHROPIC_AUTH_TOKEN": "forgotten"}
            ran = claude_code.prompt("hi", env=env)
        assert ran.rc == 0, ran
        (request,) = (each for each in sandbox.requests if each.path == "/v1/messages")
        sent = {name: request.headers.get(name) for name in ("authorization", "x-api-key")}
        if kind == "api_key":
            assert sent == {"authorization": None, "x-api-key": fingerprint(secret)}
        else:
            assert sent == {"authorization": f"Bearer {fingerprint(secret)}", "x-api-key": None}


@pytest.mark.parametrize(
    ("words", "given", "status", "said"),
    [
        (["get"], "ghcr.io\n", 0, {"ServerURL": "ghcr.io", "Username": "oauth2", "Secret": "gho_fake"}),
        (["get"], "docker.io\n", 1, "credentials not found\n"),
        (["store"], "{}", 0, ""),
    ],
)
def test_the_docker_helper_of_the_documentation(
    own_home: Path, words: list[str], given: str, status: int, said: object
) -> None:
    """The five lines of docs/formats.md speak docker-credential-helpers' protocol, for their registry alone."""
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
    script = own_home / "docker-credential-ghcr"
    script.write_text("#!/bin/sh\n" + text.partition("```sh\n#!/bin/sh\n")[2].partition("```")[0])
    programs = own_home / "programs"
    programs.mkdir()
    (programs / "tokenward").write_text(f'#!/bin/sh\nexec {TOKENWARD} "$@"\n')
    for path in (script, programs / "tokenward"):
        path.chmod(0o700)
    with DaemonProcess(own_home) as daemon:
        daemon.call("profile.add", profile="gh:default", kind="api_key", credential={"access_token": "gho_fake"})
        ran = run(daemon, str(script), *words, given=given, env={"PATH": f"{programs}:{os.environ['PATH']}"})
    assert ran.returncode == status, ran.stderr
    assert (json.loads(ran.stdout) if isinstance(said, dict) else ran.stdout) == said
