"""What Claude Code does with a credential only Claude Code knows, so tests run the real, unmodified binary.

This is the harness for it: a home of its own, an environment with nothing of the person's in it, and no way to
the network.

Rules:
- Nothing of the person who runs the tests is read or written: HOME, TMPDIR and the working directory are the
  test's; of the environment only PATH is passed on.
- It fails closed: both proxies point to a closed port unless a `ConnectProxy` is given.
- Credentials are replaced as Claude Code does it (temporary file, rename), so that no run can see half of one.
- Every process started here ends with the harness, by its own process group.
- Waits are bounded and end with what the process printed, not with a bare timeout.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from e2e.connect_proxy import ConnectProxy

CLIENT_ID = "9d1c250a-e61b-44d9-88ed-5944d1962f5e"  # what Claude Code calls itself at the token endpoint
# What it asks for in a refresh. A login that was granted less costs it a second POST (`invalid_scope` first).
SCOPE = "user:profile user:inference user:sessions:claude_code user:mcp_servers user:file_upload user:plugins"
# Root members beside the login that a writer of the file has to keep, known (`mcpOAuth`) and unknown.
SIBLINGS: Mapping[str, Any] = {
    "mcpOAuth": {"tracker|0a1b2c3d": {"serverName": "tracker", "accessToken": "mcp-token", "expiresAt": 0}},
    "somethingNewer": {"kept": [1, "two", None]},
}

_ASKING = ("--model", "sonnet", "--tools", "")  # a prompt needs no tools here, and a request without them is short
# A debug line of every prompt, about 0.1 s after a refresh that is due was begun: whoever sees it while holding
# the locks finds Claude Code waiting for them.
TURN_STARTED = "[engine] turn 1 start"
PATIENCE = 40.0  # seconds for one run; the longest normal one (a held lock) takes about 10
_CLOSED_PORT = "http://127.0.0.1:9"  # "discard", which nobody serves: a proxy that refuses everything
_MAX_RETRIES = 1  # of 10: a test of a refusal need not wait out two minutes of backoff
_END_SECONDS = 5.0  # between SIGTERM and SIGKILL for what a test left running
_POLL_SECONDS = 0.02  # for conditions of a foreign process that offers nothing to wait on


@dataclass(frozen=True, slots=True)
class CompletedRun:
    """How a run of Claude Code ended: exit status and all it printed."""

    rc: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One answered prompt of a session: the text, whether it is an error, and every event up to the result."""

    result: str
    is_error: bool
    events: tuple[Mapping[str, Any], ...]


class Run:
    """A Claude Code that is running: wait for its end, or for what its debug log says until then.

    Args:
        process: the process, leader of its own group.
        debug_file: where it writes its debug log.
    """

    def __init__(self, process: subprocess.Popen[str], debug_file: Path) -> None:
        self.process = process
        self._debug_file = debug_file

    def wait(self, timeout: float = PATIENCE) -> CompletedRun:
        """Wait for the end of the run.

        Args:
            timeout: seconds to wait at most; then the run is ended.

        Raises:
            TimeoutError: it did not end in time.
        """
        try:
            stdout, stderr = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _end(self.process)
            stdout, stderr = self.process.communicate()
            raise TimeoutError(f"no end within {timeout} s; stdout: {stdout!r}; stderr: {stderr!r}") from None
        return CompletedRun(self.process.returncode, stdout, stderr)

    def wait_for_debug_line(self, part: str, timeout: float = PATIENCE) -> str:
        """Wait until its debug log has a line with `part` in it, and return the first such line.

        Args:
            part: text in the line.
            timeout: seconds to wait at most.

        Raises:
            TimeoutError: no such line in time, or the run ended without one.
        """
        deadline = time.monotonic() + timeout
        while True:
            # Read after the look at the process: what it logged last is then seen as well.
            ended = self.process.poll() is not None
            log = self._debug_file.read_text(errors="replace") if self._debug_file.exists() else ""
            for line in log.splitlines():
                if part in line:
                    return line
            if ended or time.monotonic() > deadline:
                raise TimeoutError(f"no debug line with {part!r}; the last: {log.splitlines()[-3:]}")
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """End it if it still runs."""
        _end(self.process)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


class Session:
    """A conversation of several turns with one Claude Code; use it as a context manager or `close` it.

    Args:
        process: a process in stream-json mode, leader of its own group.
        stderr_file: where its stderr goes.
    """

    def __init__(self, process: subprocess.Popen[str], stderr_file: Path) -> None:
        self.process = process
        self._stderr_file = stderr_file
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._printed: list[str] = []
        self._reader = threading.Thread(target=self._read, name="claude-stdout", daemon=True)
        self._reader.start()

    def send(self, text: str, *, timeout: float = PATIENCE) -> Turn:
        """Send a prompt and wait for its result event.

        Args:
            text: the prompt.
            timeout: seconds to wait at most for each event.

        Raises:
            TimeoutError: no event in time.
            EOFError: Claude Code ended without a result.
        """
        message = {"type": "user", "message": {"role": "user", "content": text}}
        stdin = self.process.stdin
        if stdin is None:
            raise EOFError("the session was started without a stdin")
        stdin.write(json.dumps(message) + "\n")
        stdin.flush()
        events: list[Mapping[str, Any]] = []
        while True:
            event = self._next_event(timeout)
            events.append(event)
            if event.get("type") == "result":
                return Turn(str(event.get("result", "")), bool(event.get("is_error")), tuple(events))

    def close(self, timeout: float = PATIENCE) -> CompletedRun:
        """End the conversation as a person does, by end of input, and wait for the end of the run.

        Args:
            timeout: seconds to wait at most; then the run is ended.
        """
        if self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            _end(self.process)
        self._reader.join()
        if self.process.stdout:
            self.process.stdout.close()
        return CompletedRun(self.process.returncode, "".join(self._printed), self._stderr_file.read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._printed.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def _next_event(self, timeout: float) -> Mapping[str, Any]:
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"no event within {timeout} s; {self._account()}") from None
        if line is None:
            raise EOFError(f"Claude Code ended without a result; {self._account()}")
        event: Mapping[str, Any] = json.loads(line)
        return event

    def _account(self) -> str:
        return f"printed so far: {''.join(self._printed)!r}; stderr: {self._stderr_file.read_text()!r}"


class ClaudeCode:
    """A Claude Code with a home of its own; use it as a context manager, which ends what still runs.

    Args:
        binary: the executable.
        home: an empty directory, the user's home.
        proxy: plays Anthropic's hosts; None leaves no way but an ANTHROPIC_BASE_URL on 127.0.0.1, given as `env`.
    """

    def __init__(self, binary: Path, home: Path, *, proxy: ConnectProxy | None = None) -> None:
        self.binary = binary
        self.home = home
        self.config_dir = home / ".claude"
        self.credentials_file = self.config_dir / ".credentials.json"
        self.settings_file = self.config_dir / "settings.json"
        self.refresh_lock = self.config_dir / ".oauth_refresh.lock"
        self.legacy_lock = home / ".claude.lock"
        self._proxy = proxy
        self._project = home / "project"
        self._scratch = home / "scratch"
        for directory in (self.config_dir, self._project, self._scratch):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._running: list[Run | Session] = []

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """All that Claude Code is given as its environment.

        Args:
            more: further variables, which win.
        """
        proxy = self._proxy.url if self._proxy else _CLOSED_PORT
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self._scratch),
            "TERM": "dumb",
            "LANG": "C.UTF-8",
            "HTTPS_PROXY": proxy,
            "HTTP_PROXY": proxy,
            "NO_PROXY": "127.0.0.1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_MAX_RETRIES": str(_MAX_RETRIES),
        }
        if self._proxy:
            environment["NODE_EXTRA_CA_CERTS"] = str(self._proxy.ca_file)
        return environment | dict(more or {})

    def prompt(
        self, text: str, *, env: Mapping[str, str] | None = None, settings: Mapping[str, Any] | None = None
    ) -> CompletedRun:
        """Ask once (`claude -p`) and wait for the end.

        Args:
            text: the prompt.
            env: more environment variables.
            settings: for `--settings`; the user's settings file counts besides.

        Raises:
            TimeoutError: it did not end within `PATIENCE` seconds.
        """
        return self.start_prompt(text, env=env, settings=settings).wait()

    def start_prompt(
        self, text: str, *, env: Mapping[str, str] | None = None, settings: Mapping[str, Any] | None = None
    ) -> Run:
        """As `prompt`, without waiting."""
        return self._start([*_ASKING, "-p", text], env, settings)

    def auth_status(
        self, *, env: Mapping[str, str] | None = None, settings: Mapping[str, Any] | None = None
    ) -> CompletedRun:
        """Run `claude auth status --json` and wait for the end; parameters and errors as for `prompt`."""
        return self._start(["auth", "status", "--json"], env, settings).wait()

    def start_session(
        self, *, env: Mapping[str, str] | None = None, settings: Mapping[str, Any] | None = None
    ) -> Session:
        """Start a conversation of several turns; parameters as for `prompt`."""
        streams = ["--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
        stderr_file = self._own_file("stderr")
        with stderr_file.open("w") as stderr:
            process = self._spawn([*_ASKING, "-p", *streams], env, settings, stdin=subprocess.PIPE, stderr=stderr)
        session = Session(process, stderr_file)
        self._running.append(session)
        return session

    def write_credentials(
        self, access: str, refresh: str | None, expires_at_ms: int, *, scope: str = SCOPE, **more: Any
    ) -> None:
        """Replace the stored login by renaming a new file over the old one, mode 0600.

        Args:
            access: the access token.
            refresh: the refresh token; None is written as null, which means "never refresh".
            expires_at_ms: the end of the access token, in Unix milliseconds.
            scope: what was granted, space-separated.
            more: further members of `claudeAiOauth`. Beside it the file always has `SIBLINGS`.
        """
        login = {
            "accessToken": access,
            "refreshToken": refresh,
            "expiresAt": expires_at_ms,
            "scopes": scope.split(),
            "subscriptionType": "max",
            **more,
        }
        temporary = self._scratch / "credentials.new"
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps({"claudeAiOauth": login, **SIBLINGS}))
        temporary.rename(self.credentials_file)

    def credentials(self) -> dict[str, Any]:
        """The whole of the credentials file."""
        content: dict[str, Any] = json.loads(self.credentials_file.read_text())
        return content

    def login(self) -> dict[str, Any]:
        """The stored login: `claudeAiOauth` of the credentials file."""
        login: dict[str, Any] = self.credentials()["claudeAiOauth"]
        return login

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._running:
            _end(each.process)
            each.close()

    def _start(
        self, arguments: Sequence[str], env: Mapping[str, str] | None, settings: Mapping[str, Any] | None
    ) -> Run:
        debug_file = self._own_file("debug")
        debugging = ["--debug-file", str(debug_file), *arguments]
        run = Run(
            self._spawn(debugging, env, settings, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE), debug_file
        )
        self._running.append(run)
        return run

    def _spawn(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str] | None,
        settings: Mapping[str, Any] | None,
        *,
        stdin: int,
        stderr: int | TextIO,
    ) -> subprocess.Popen[str]:
        chosen = [] if settings is None else ["--settings", json.dumps(settings)]
        return subprocess.Popen(
            [str(self.binary), *chosen, *arguments],
            env=self.environment(env),
            cwd=self._project,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

    def _own_file(self, name: str) -> Path:
        """A file for the next process; in a directory of its own, since Claude Code puts a link beside a log."""
        directory = self._scratch / f"run-{len(self._running) + 1}"
        directory.mkdir()
        return directory / name


def _end(process: subprocess.Popen[str]) -> None:
    """End a process that leads a group, and what it started, if it still runs."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
