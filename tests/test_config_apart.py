"""A configuration that is checked apart is the same, and leaves nothing behind: no library, process or file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CONFIGURATION = """
[default]
fallbacks = ["opus", "sonnet"]
refresh_margin = 120
[providers.acme]
token_endpoint = "https://acme.test/token"
client_id = "me"
client_auth = "post"
client_secret = "${ACME_SECRET}"
api_key = "acme-key-00000000000000000000"
[sources.command.vault]
command = ["vault", "read"]
[sinks.file]
format = "token"
profile = "acme:vault"
path = "~/token"
[health]
cooldown = [1, 2.5]
[[sockets]]
path = "~/sockets/one"
profiles = ["acme:vault"]
uids = [1000]
"""
BEGINNING = """
import os, signal, sys
from pathlib import Path
from tokenward import config
from tokenward.config_apart import made_apart
from tokenward.errors import ConfigurationFault

environ = {"HOME": sys.argv[1], "ACME_SECRET": "canary-from-the-environment"}
parent = os.getpid()

def load(apart):
    return config.load(Path(sys.argv[1]) / "config.toml", environ, uid=os.getuid(), platform="linux", apart=apart)

def descriptors():
    return sorted(os.listdir("/dev/fd"))
"""


def run(home: Path, program: str, configuration: str = CONFIGURATION) -> list[str]:
    """The words that a program printed; a program of its own, since a fork wants a process without threads."""
    file = home / "config.toml"
    file.write_text(configuration)
    file.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BEGINNING + program, str(home)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_it_is_the_same_configuration_and_pydantic_stays_away(tmp_path: Path) -> None:
    """Secrets, lists, mappings, paths and warnings come back as they are made in this process."""
    words = run(
        tmp_path,
        """
apart = load(True)
print("pydantic" in sys.modules, "tokenward.config_check" in sys.modules)
here = load(False)
print("pydantic" in sys.modules, apart == here, type(apart.settings.providers["acme"].client_secret).__name__)
print(apart.settings.providers["acme"].client_secret.reveal(), apart.holds_key, len(apart.warnings))
print({name: type(value) for name, value in vars(apart.settings).items()}
      == {name: type(value) for name, value in vars(here.settings).items()})
""",
    )
    assert words[:2] == ["False", "False"]
    assert words[2:5] == ["True", "True", "Secret"]
    assert words[5:] == ["canary-from-the-environment", "True", "0", "True"]


def test_what_is_wrong_is_said_as_ever(tmp_path: Path) -> None:
    """The line, the reason and the way out, once; and no process is left."""
    words = run(
        tmp_path,
        """
for apart in True, False:
    try:
        load(apart)
    except ConfigurationFault as fault:
        print(fault.cause.replace(" ", "_"), fault.hint.replace(" ", "_"))
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("nobody")
""",
        "[default]\nrefresh_margin = 1e9\n",
    )
    cause, hint, cause_here, hint_here, left = words
    assert cause.startswith(f"{tmp_path}/config.toml:2:_default.refresh_margin:")
    assert (cause, hint, left) == (cause_here, hint_here, "nobody")


def test_a_child_that_fails_or_dies_is_no_harm(tmp_path: Path) -> None:
    """Whatever becomes of it, the configuration is made here; nothing is left open, and nobody a zombie."""
    words = run(
        tmp_path,
        """
def dies():
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return "made here"

def fails():
    if os.getpid() != parent:
        raise SystemExit(0)
    return "made here"

def unpackable():
    return lambda: "made here"

def refused(*_):
    raise BlockingIOError(11, "no more processes")

before = descriptors()
print(made_apart(dies) == "made here", made_apart(fails) == "made here", made_apart(unpackable)() == "made here")
os.fork = refused
print(made_apart(dies) == "made here")
os.pipe = refused
print(made_apart(dies) == "made here", descriptors() == before)
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("nobody")
""",
    )
    assert words == ["True"] * 6 + ["nobody"]
