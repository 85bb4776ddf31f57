"""The function of docs/shell.md, as it stands there, in a real shell with the real netcat-openbsd."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import recipes
from client.fake_daemon import TOKEN, FakeDaemon, Refusal
from e2e.daemon_process import PATIENCE, DaemonProcess

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "docs" / "shell.md").read_text("utf-8").partition("```sh\n")[2].partition("```")[0]
VECTORS: list[dict[str, Any]] = json.loads((ROOT / "tests/core/socket_path_vectors.json").read_text("utf-8"))
KEY = "sk-ant-api03-" + "k" * 95
OF_SYSTEM = {"linux": "Linux", "darwin": "Darwin", "freebsd14": "FreeBSD"}
"""What uname(1) says where Python says the other."""


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    """A POSIX shell."""
    found: str | None = shutil.which(request.param)
    if found is None:
        pytest.skip(f"NOT TESTED: there is no {request.param} on PATH")
    return found


@pytest.fixture(scope="session")
def netcat() -> str:
    """The directory of Debian's netcat-openbsd; skips, saying so, without it."""
    found = shutil.which("nc")
    helped = (
        "" if found is None else subprocess.run([found, "-h"], capture_output=True, text=True, check=False).stderr
    )
    if found is None or "OpenBSD" not in helped:
        pytest.skip("NOT TESTED: the `nc` on PATH, if there is one, is not netcat-openbsd")
    return str(Path(found).parent)


@pytest.fixture
def fake() -> Iterator[FakeDaemon]:
    """A daemon that says what a test wants; its socket's path is short, as that of a socket must be."""
    with tempfile.TemporaryDirectory(prefix="tw") as directory, FakeDaemon(Path(directory) / "s") as daemon:
        yield daemon


def called(
    shell: str, environ: dict[str, str], *arguments: str, recipe: str = RECIPE
) -> subprocess.CompletedProcess[str]:
    """The function, called once in a careful script."""
    script = f'set -eu\n{recipe}\ntokenward_token "$@"\n'
    return subprocess.run(
        [shell, "-c", script, "script", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=environ,
        stdin=subprocess.DEVNULL,
    )


def test_the_real_daemon_answers(own_home: Path, shell: str, netcat: str) -> None:
    """The token of any profile, and of a named one; and the daemon's reason where there is none."""
    with DaemonProcess(own_home, env={"ANTHROPIC_API_KEY": KEY}) as daemon:
        environ = {**daemon.environment(), "PATH": os.environ["PATH"]}
        first, named, none = (called(shell, environ, *each) for each in ([], ["anthropic:env"], ["a:b"]))
    for answered in (first, named):
        assert (answered.returncode, answered.stdout, answered.stderr) == (0, f"{KEY}\n", "")
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr.startswith("tokenward: ")
    assert "profile 'a:b'" in none.stderr
    assert none.stderr.count("\n") == 1


def test_no_daemon(own_home: Path, shell: str, netcat: str) -> None:
    """Exit 4, and where one was looked for."""
    environ = {"PATH": os.environ["PATH"], "TOKENWARD_SOCKET": str(own_home / "none")}
    ran = called(shell, environ)
    assert (ran.returncode, ran.stdout) == (4, "")
    assert f"no daemon answers on {own_home}/none" in ran.stderr


@pytest.mark.parametrize("profile", ['a:b","timeout":1,"x":"', "a b", "a\\", "a\nb", "*"])
def test_a_name_cannot_say_more(fake: FakeDaemon, shell: str, netcat: str, profile: str) -> None:
    """What would be other JSON is refused before anybody is asked."""
    ran = called(shell, {"PATH": os.environ["PATH"], "TOKENWARD_SOCKET": str(fake.path)}, profile)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert fake.requests == []


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ({**TOKEN, "token": 'a"b'}, 1, "does not read"),
        ({**TOKEN, "token": ""}, 1, "does not read"),
        (Refusal("LoginRequired", 'log "in", \x1b[31m now'), 3, "log 'in', \\u001b[31m now (do this)"),
        (Refusal("RefreshFailed", '"result":{"token":"sk-fake"'), 1, "'result':{'token':'sk-fake' (do this)"),
        (Refusal(None, "no data"), 1, "tokenward: no data\n"),
    ],
)
def test_what_is_no_token_is_a_reason(fake: FakeDaemon, netcat: str, answer: Any, status: int, said: str) -> None:
    """One line on standard error, nothing on standard output; a message that quotes an answer is none."""

    def answered(_: dict[str, Any]) -> dict[str, Any]:
        if isinstance(answer, Refusal):
            raise answer
        reply: dict[str, Any] = answer
        return reply

    fake.answers["token.get"] = answered
    ran = called(
        shutil.which("dash") or "/bin/sh", {"PATH": os.environ["PATH"], "TOKENWARD_SOCKET": str(fake.path)}
    )
    assert (ran.returncode, ran.stdout) == (status, ""), ran.stderr
    assert said in ran.stderr
    assert "\x1b" not in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "token",
    [
        "".join(map(chr, range(0x20, 0x7F))).replace('"', "").replace("\\", ""),
        "*",
        "%s$HOME`id`$(id)",
        "-n",
        "a  b ",
        "a" * 100_000,
    ],
    ids=["every character", "a pattern", "what a shell would expand", "an option", "spaces", "long"],
)
def test_a_token_comes_out_whole(fake: FakeDaemon, shell: str, netcat: str, token: str) -> None:
    """All that RFC 6749 allows but what JSON escapes, and more than a pipe or one read of netcat takes."""
    fake.raw_answer = _answer(token)
    ran = called(shell, {"PATH": os.environ["PATH"], "TOKENWARD_SOCKET": str(fake.path)})
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{token}\n", "")


def test_half_an_answer_is_no_token(fake: FakeDaemon, shell: str, netcat: str) -> None:
    """A daemon that is killed while it answers must not leave a token that is cut off."""
    fake.raw_answer = _answer(KEY).partition(b"kk")[0]
    ran = called(shell, {"PATH": os.environ["PATH"], "TOKENWARD_SOCKET": str(fake.path)})
    assert (ran.returncode, ran.stdout) == (4, "")


def _answer(token: str) -> bytes:
    """As the real daemon writes it."""
    reply = {"jsonrpc": "2.0", "id": 1, "result": {**TOKEN, "token": token}}
    return json.dumps(reply, separators=(",", ":")).encode() + b"\n"


def test_netcat_alone_is_started_where_the_environment_says_all(own_home: Path, shell: str) -> None:
    """A program costs as much as the shell, so the usual way starts no other; nothing else is on PATH here."""
    programs = own_home / "programs"
    programs.mkdir()
    (programs / "nc").write_text(f"#!{shell}\nread -r asked\nprintf '%s' '{_answer(KEY).decode()}'\n")
    (programs / "nc").chmod(0o700)
    ran = called(shell, {"PATH": str(programs), "XDG_RUNTIME_DIR": str(own_home)})
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{KEY}\n", "")


def test_what_is_measured_is_what_the_pages_say(own_home: Path, shell: str) -> None:
    """The benchmark runs this very function, and the line of docs/sinks.md, which fails without the file."""
    assert recipes.function() == f"{RECIPE}tokenward_token\n"
    argv, environ = [shell, "-c", recipes.published_file()], {"HOME": str(own_home)}
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, env=environ)
    assert (ran.returncode != 0, ran.stdout) == (True, "")
    (own_home / "job.env").write_text(f"ANTHROPIC_API_KEY='{KEY}'\n", encoding="utf-8")
    ran = subprocess.run(argv, capture_output=True, text=True, check=True, env=environ)
    assert ran.stdout == f"{KEY}\n"


@pytest.mark.parametrize("vector", [pytest.param(each, id=each["name"]) for each in VECTORS])
def test_the_socket_is_looked_for_where_everybody_does(tmp_path: Path, vector: dict[str, Any]) -> None:
    """The table that client, daemon and helper obey; /run/user and the system are the test's own."""
    dash = shutil.which("dash")
    if dash is None:
        pytest.skip("NOT TESTED: there is no dash on PATH")

    def moved(path: str) -> str:
        return path.replace("/run/user/", f"{tmp_path}/run/user/")

    for owned in vector["owned"]:
        Path(moved(owned)).mkdir(parents=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, prints in (("id", vector["uid"]), ("uname", OF_SYSTEM[vector["platform"]])):
        (programs / name).write_text(f"#!{dash}\necho '{prints}'\n")
        (programs / name).chmod(0o700)
    (programs / "nc").write_text(
        f'#!{dash}\nfor word; do last=$word; done; printf "%s" "$last" > {tmp_path}/asked\n'
    )
    (programs / "nc").chmod(0o700)
    environ = {name: moved(value) for name, value in vector["environ"].items()}
    ran = called(dash, {**environ, "PATH": str(programs)}, recipe=moved(RECIPE))
    if vector["path"] is None:
        assert (ran.returncode, "HOME is not set" in ran.stderr) == (1, True)
    else:
        assert (tmp_path / "asked").read_text("utf-8") == moved(vector["path"])


def test_a_subshell_leaves_no_variable(own_home: Path, shell: str) -> None:
    """The caller's own `answer`, `status` and `socket` are what they were."""
    script = (
        f'answer=1 status=2 socket=3 token=4\n{RECIPE}\ntokenward_token 2>&1\necho "$answer$status$socket$token"'
    )
    environ = {"PATH": "/nonexistent", "TOKENWARD_SOCKET": "/nonexistent"}
    ran = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=False, env=environ)
    assert ran.stdout.splitlines() == [
        "tokenward: no daemon answers on /nonexistent (start it: tokenward daemon)",
        "1234",
    ]
