"""What a configuration costs at a start: one that says nothing costs nothing, and a first one holds nobody up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIGURATION = """
import os, sys
from tokenward import config
from tokenward.model_files import model_catalog
from tokenward.provider_files import provider_named

loaded = config.load(None, {"HOME": sys.argv[1]}, uid=os.getuid(), platform="linux")
settings = loaded.settings
provider_named(settings.default.provider, settings.providers.get(settings.default.provider))
model_catalog()
print(loaded.path is not None, *sys.modules)
"""
RELOAD = """
import os, signal, sys, threading, time
from pathlib import Path
from tokenward.cli.main import main
from tokenward.daemon import sd

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "tokenward.config_check":
            print(threading.current_thread() is threading.main_thread(), flush=True)
            os._exit(0)

def ask():
    while signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        time.sleep(0.01)
    file = Path.home() / ".config" / "tokenward" / "config.toml"
    file.parent.mkdir(mode=0o700, parents=True)
    file.write_text("[default]\\nrefresh_margin = 60\\n")
    os.kill(os.getpid(), signal.SIGHUP)

def notify(state, environ):
    if state.startswith("READY"):
        threading.Thread(target=ask).start()

sys.meta_path.insert(0, Finder())
sd.notify = notify
main(["daemon"])
"""


@pytest.mark.parametrize("text", [None, "", "# nothing yet\n"])
def test_a_configuration_that_says_nothing_is_not_checked(tmp_path: Path, text: str | None) -> None:
    """Without a file, or with one that says nothing, pydantic is not imported for it, nor for what we ship."""
    if text is not None:
        file = tmp_path / ".config" / "tokenward" / "config.toml"
        file.parent.mkdir(mode=0o700, parents=True)
        file.write_text(text)
        file.chmod(0o600)
    ran = subprocess.run(
        [sys.executable, "-c", CONFIGURATION, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found, *modules = ran.stdout.split()
    assert found == str(text is not None), ran.stderr
    assert "tokenward.provider_files" in modules
    assert {"pydantic", "pydantic_core", "annotated_types", "importlib.resources"} & set(modules) == set()


def test_what_checks_a_first_configuration_is_imported_beside_those_who_are_served(tmp_path: Path) -> None:
    """A reload that finds a file where none was: the event loop does not wait for the import of pydantic."""
    environ = {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "TOKENWARD_SOCKET": str(tmp_path / "s" / "t.sock"),
    }
    ran = subprocess.run(
        [sys.executable, "-c", RELOAD], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.stdout == "False\n", ran.stderr
