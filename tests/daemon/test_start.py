"""What a start imports: a token needs little, and everything else waits until it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, socket, sys, threading
from pathlib import Path
from tokenward.cli.main import main
from tokenward.daemon import sd

def ask():
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(os.environ["TOKENWARD_SOCKET"])
        asking.sendall(b'{"jsonrpc":"2.0","id":1,"method":"token.get","params":{}}\\n')
        answer = asking.recv(65536)
    print(b"sk-ant-api03-key" in answer, *at_ready, flush=True)
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
    *("pyrage", "rich", "truststore", "watchfiles"),
}
"""What costs more to import than the daemon itself."""
ROOMS = ("tokenward.checks", "tokenward.daemon.methods.", "tokenward.oauth.authorization", "tokenward.sandbox")
MODULES = {
    *("daemon_models", "dispatcher", "doctor", "doctor_models", "exposition", "history_models", "intake"),
    *("logins", "metrics", "minting", "model_shapes", "models", "profile_models", "provider_models", "reports"),
    *("restricted", "routing_models", "service", "sink_models", "source_models", "store_care", "store_models"),
    *("transaction", "usage_models", "usage_reports", "ward"),
}
"""Of the daemon's: what answers everything but a token that lies ready, and what spends refresh tokens."""


def test_a_start_imports_only_what_a_token_needs(tmp_path: Path) -> None:
    """At READY, with a key in the environment, and a token is answered with no more than that."""
    environ = {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "ANTHROPIC_API_KEY": "sk-ant-api03-key" + "x" * 80,
        "TOKENWARD_SOCKET": str(tmp_path / "s" / "t.sock"),
    }
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    answered, *modules = ran.stdout.split()
    assert answered == "True", ran.stderr
    assert "tokenward.daemon.token_desk" in modules
    assert LIBRARIES & set(modules) == set()
    assert {f"tokenward.daemon.{name}" for name in MODULES} & set(modules) == set()
    assert [module for module in modules if module.startswith(ROOMS)] == []
