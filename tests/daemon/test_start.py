"""What a start imports: a token needs little, and everything else waits until it is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.daemon.equipment import key_custody
from tokenward.daemon.machine import SystemEntropy
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.sandbox import Sandbox
from tokenward.store_settings import StoreSettings

PROGRAM = """
import os, socket, sys, threading, time
from pathlib import Path
from tokenward.cli.main import main
from tokenward.daemon import sd

def ask():
    answers = []
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(os.environ["TOKENWARD_SOCKET"])
        for params in sys.argv[1:]:
            asking.sendall(b'{"jsonrpc":"2.0","id":1,"method":"token.get","params":%s}\\n' % params.encode())
            answers.append(asking.recv(65536).decode().strip())
    last, deadline = {"apscheduler.schedulers.asyncio", "watchfiles"}, time.monotonic() + 60
    while not last <= sys.modules.keys() and time.monotonic() < deadline:
        time.sleep(0.01)
    print(*answers, " ".join(at_ready), " ".join(sys.modules), sep="\\n", flush=True)
    os._exit(0)

def notify(state, environ):
    if state.startswith("READY"):
        at_ready.extend(sys.modules)
        threading.Thread(target=ask).start()

at_ready = []
sd.notify = notify
main(["daemon"])
"""
LIBRARIES = {
    *("apscheduler", "authlib", "cryptography", "httpcore", "httpx", "keyring", "pjrpc", "prometheus_client"),
    *("pydantic", "pydantic_core", "pyrage", "rich", "truststore", "watchfiles"),
}
"""What costs more to import than the daemon itself."""
OF_OURS = (
    *("checks", "client", "core.claiming", "core.grants", "core.login_answers", "core.sharing", "core.usage"),
    *("http", "oauth", "ports.leases", "ports.sharing", "sandbox", "sinks.published_file"),
    *("sources.anthropic_profile", "sources.command", "sources.dotenv", "sources.foreign", "sources.keychain"),
    *("sources.neurolink", "stores.keyring_key", "stores.passphrase", "stores.postgres", "stores.shared"),
    *("stores.systemd_key",),
)
"""What belongs to a login, to a refresh, to other hosts, or to what nobody named here."""
ON_DEMAND = {
    *("daemon_models", "daemon_status", "dispatcher", "doctor", "doctor_models", "event_models", "exposition"),
    *("history_models", "intake", "logins", "methods.method", "metrics", "metrics_socket", "model_shapes"),
    *("models", "notice_command", "outlets", "profile_models", "provider_models", "publishing", "reports"),
    *("restricted", "routing_models", "rpc_types", "second_sockets", "service", "shared_place"),
    *("shared_records", "sharing", "sink_models", "source_models", "store_care", "store_models"),
    *("token_models", "usage_models", "usage_reports", "ward"),
}
"""Of the daemon's: what answers everything but a plain ``token.get``, and what few configurations name."""
SPENDING = {"endpoint_gate", "minting", "refresher", "transaction"}
"""Of the daemon's: what spends refresh tokens."""


def test_a_start_imports_only_what_a_token_needs(tmp_path: Path) -> None:
    """At READY, with a key in the environment; and a token is answered with no more, as is that there is none."""
    (token, none), at_ready, at_last = _asked(tmp_path, "{}", '{"profile":"acme:none"}')
    assert "sk-ant-api03-key" in token
    assert "ProfileUnavailable" in none
    for modules in (at_ready, at_last):
        assert "tokenward.daemon.token_desk" in modules
        assert _ours(modules, ON_DEMAND | SPENDING) == set()
        assert [name for name in modules if name.startswith(tuple(f"tokenward.{each}" for each in OF_OURS))] == []
    assert LIBRARIES & at_ready == set()
    assert LIBRARIES & at_last == {"apscheduler", "watchfiles"}


def test_a_refresh_imports_only_what_it_needs(tmp_path: Path) -> None:
    """A login that is due is refreshed for who asks, without what answers everything else."""
    with Sandbox() as sandbox:
        login = sandbox.issue()
        config = tmp_path / ".config" / "tokenward" / "config.toml"
        config.parent.mkdir(mode=0o700, parents=True)
        config.write_text(
            f'[providers.acme]\ntoken_endpoint = "{sandbox.token_endpoint}"\nclient_id = "tokenward-sandbox"\n'
        )
        config.chmod(0o600)
        state = ensure_private_dir(tmp_path / ".local" / "state" / "tokenward")
        held = Credential(
            Kind.OAUTH,
            Secret(login.access_token),
            Secret(login.refresh_token),
            expires_at=datetime.now(UTC) + timedelta(seconds=30),
        )
        key_custody(state, {}, StoreSettings(), SystemEntropy()).open().add("acme:me", held)
        (token,), at_ready, at_last = _asked(tmp_path, '{"profile":"acme:me","min_valid":600}')
        assert sandbox.liveness(json.loads(token)["result"]["token"]) == "live"
    assert '"profile":"acme:me"' in token
    assert login.access_token not in token
    assert _ours(at_last, SPENDING) == {"endpoint_gate", "refresher", "transaction"}
    for modules in (at_ready, at_last):
        assert _ours(modules, ON_DEMAND) == set()
    assert {"pydantic", "pjrpc", "authlib", "keyring", "pyrage", "prometheus_client"} & at_last == set()
    assert [
        name for name in at_last if name.startswith(("tokenward.core.sharing", "tokenward.ports.sharing"))
    ] == []


def _asked(home: Path, *params: str) -> tuple[list[str], set[str], set[str]]:
    """The answers to a ``token.get`` each, what was imported at READY, and what when all of it was done."""
    environ = {
        "PATH": os.defpath,
        "HOME": str(home),
        "ANTHROPIC_API_KEY": "sk-ant-api03-key" + "x" * 80,
        "TOKENWARD_SOCKET": str(home / "s" / "t.sock"),
    }
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *params],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    *answers, at_ready, at_last = ran.stdout.splitlines() or ["", ""]
    assert len(answers) == len(params), ran.stderr
    return answers, set(at_ready.split()), set(at_last.split())


def _ours(modules: set[str], names: set[str]) -> set[str]:
    return {name for name in names if f"tokenward.daemon.{name}" in modules}
