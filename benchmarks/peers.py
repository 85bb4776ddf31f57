"""The programs that we are measured against, each with one credential that it only has to hand out.

oidc-agent gets an account of ``benchmarks.issuer`` without a person: ``oidc-gen -m`` takes the refresh token.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.daemon import environment
from benchmarks.stage import SOURCES, Stage

ACCOUNT = "bench"
OIDC_REQUEST = b'{"request":"access_token","account":"bench","min_valid_period":60}'
SSH_REQUEST = b"\0\0\0\1\x0b"
"""List the identities: a length of one, and SSH_AGENTC_REQUEST_IDENTITIES."""


def are_there(*programs: str) -> bool:
    """Whether these are installed."""
    return all(shutil.which(program) for program in programs)


@contextmanager
def issuer(*, ports: int = 1, hold: float = 0.0) -> Iterator[list[str]]:
    """Authorization servers in a process of their own; gives their addresses.

    Args:
        ports: how many.
        hold: seconds that each answer of a token endpoint takes.
    """
    argv = [sys.executable, "-m", "benchmarks.issuer", str(ports), str(hold)]
    with subprocess.Popen(argv, cwd=SOURCES, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            yield [process.stdout.readline().strip() for _ in range(ports)]
        finally:
            process.terminate()


@contextmanager
def oidc_agent(stage: Stage) -> Iterator[dict[str, str]]:
    """An oidc-agent whose one access token is valid for an hour; gives the environment to ask it in."""
    home = stage.home("oidc")
    configuration = home / "accounts"
    configuration.mkdir(mode=0o700)
    (home / "password").write_text("bench")
    environ = environment(home) | {"OIDC_CONFIG_DIR": str(configuration), "TMPDIR": str(home)}
    with issuer() as (url,):
        started = _run(["taskset", "-c", str(stage.cpu), "oidc-agent"], environ)
        said = dict(re.findall(r"(OIDC\w+)=([^;]+);", started))
        environ |= said
        try:
            names = [f"--iss={url}", "--client-id=bench", "--client-secret=bench", "--scope=openid offline_access"]
            alone = ["--rt=refresh", f"--pw-file={home / 'password'}", "--prompt=none", "--confirm-default"]
            _run(["oidc-gen", ACCOUNT, "-m", *alone, *names], environ)
            _run(["oidc-token", ACCOUNT], environ)
            yield environ
        finally:
            os.kill(int(said["OIDCD_PID"]), signal.SIGTERM)


@contextmanager
def ssh_agent(stage: Stage) -> Iterator[str]:
    """An ssh-agent with one key; gives its socket."""
    home = stage.home("ssh")
    path = str(home / "agent")
    argv = ["taskset", "-c", str(stage.cpu), "ssh-agent", "-D", "-a", path]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        try:
            environ = environment(home) | {"SSH_AUTH_SOCK": path}
            _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / "key")], environ)
            wait_for(path)
            _run(["ssh-add", "-q", str(home / "key")], environ)
            yield path
        finally:
            process.terminate()


@contextmanager
def gpg_agent(stage: Stage) -> Iterator[dict[str, str]]:
    """A gpg-agent; gives the environment that ``gpg-connect-agent`` finds it in."""
    home = stage.home("gpg")
    environ = environment(home) | {"GNUPGHOME": str(home)}
    home.chmod(0o700)
    _run(["gpg-connect-agent", "getinfo pid", "/bye"], environ)
    try:
        yield environ
    finally:
        _run(["gpgconf", "--kill", "gpg-agent"], environ)


@contextmanager
def git_cache(stage: Stage) -> Iterator[tuple[dict[str, str], Path]]:
    """A git credential cache with one entry; gives the environment, and a file with the question."""
    home = stage.home("git")
    environ, question = environment(home), home / "question"
    (home / ".git-credential-cache").mkdir(mode=0o700)
    described = "protocol=https\nhost=example.invalid\nusername=me\n"
    question.write_text(described)
    subprocess.run(
        ["git", "credential-cache", "store"],
        env=environ,
        input=described + "password=secret\n",
        text=True,
        check=True,
    )
    try:
        yield environ, question
    finally:
        _run(["git", "credential-cache", "exit"], environ)


def _run(argv: list[str], environ: dict[str, str]) -> str:
    done = subprocess.run(argv, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} failed: {done.stderr}{done.stdout}")
    return done.stdout


def wait_for(path: str) -> None:
    """Wait until something accepts connections there."""
    for _ in range(100_000):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
            return
    raise TimeoutError(path)
