"""Claude Code's ``apiKeyHelper``: one token from the daemon, as fast as Python can start.

The problem: Claude Code runs this before it can do anything, with a standard input that never ends, takes
whatever is printed for the key, and goes on with an empty one if nothing usable comes. So this file asks once
and answers shortly, and prints a token or nothing.

Rules:
- It stands alone, loaded by ``helper`` under ``-IS``, where neither our package nor site-packages can be imported.
  On the way to a token it loads nothing that the interpreter has not loaded already, but ``_socket``; ``json``
  is for answers that are not a token.
- Standard input is never read. Standard output gets one token and a newline, or not a byte.
- Standard error gets two lines, cause and hint, together under 500 characters: what Claude Code shows of it.
- Exit status: 0 a token, 1 an error, 2 usage, 3 a person must act, 4 no daemon.
- It answers within a second or says why not: Claude Code asks again, and a person waits. Only with ``--spawn``,
  which starts a daemon where none answers, it waits for that start.
- ``socket_path`` is ``tokenward.core.protocol.socket_path`` over bytes; one table of vectors holds both.
"""

import _socket
import sys
from posix import environ, getuid, stat, write
from time import monotonic

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without loading typing
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

USABLE_KINDS = ("api_key", "auth_token")
"""What works in the two headers that Claude Code sends a helper's value in; a login's token does not."""
DEFAULT_TTL_MS = 300_000
"""How long Claude Code keeps a helper's value, unless CLAUDE_CODE_API_KEY_HELPER_TTL_MS says otherwise."""
STALE_USE_SECONDS = 90
"""Past the TTL the old value serves one more request, while the next run of the helper is under way."""
LONGEST_MIN_VALID = 31_622_400
"""Seconds; the daemon takes no larger ``min_valid``."""
DAEMON_TIMEOUT = 0.9
"""Seconds the daemon may take: a person waits for the first prompt, and a refresh goes on without us."""
ANSWER_SECONDS = 1
"""Seconds for everything, whatever the daemon does."""
START_SECONDS = 10
"""Seconds for everything with ``--spawn``: a daemon starts in less than one, on a cold disk in some."""
LONGEST_TOKEN = 16_384
"""Characters; Claude Code refuses a longer value."""
LONGEST_ANSWER = 1024 * 1024
"""Bytes; the protocol's limit of a line."""
LONGEST_REASON = 220
"""Characters of the cause, and of the hint: with the words around them under 500."""
OFFICIAL_HOST = b"api.anthropic.com"

_ANSWERS = (b'{"jsonrpc":"2.0","id":1,"result":{"token":"', b'{"jsonrpc":"2.0","result":{"token":"')
NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+:-")
"""Of what profiles and providers are named; none needs an escape in JSON."""


class Failure(Exception):
    """There is no token.

    Args:
        status: the exit status.
        cause: one line, without a secret.
        hint: one line that says what to do.
    """

    def __init__(self, status: int, cause: str, hint: str) -> None:
        super().__init__(cause)
        self.status = status
        self.cause = cause
        self.hint = hint


def main(arguments: "list[str]") -> int:
    """Print one token.

    Args:
        arguments: ``--profile ID``, ``--provider NAME`` and ``--spawn``, all optional.

    Returns:
        The exit status.
    """
    try:
        spawns = "--spawn" in arguments
        wish = parse_arguments(arguments)
        if not any_kind_works(environ):
            wish["kinds"] = USABLE_KINDS
        token = _ask(wish, monotonic() + (START_SECONDS if spawns else ANSWER_SECONDS), spawns=spawns)
        if sys.stdout is None:
            # Descriptor 1 was closed: it may now be our own connection to the daemon.
            raise Failure(1, "there is no standard output to print the token to", "run it with one")
        write_all(1, token + b"\n")
    except Failure as failure:
        return _complain(failure)
    except OSError as error:
        return _complain(Failure(1, f"the token was not taken: {error.strerror}", "run it again"))
    except KeyboardInterrupt:
        return 130  # as a shell says it of a program that SIGINT ended
    return 0


def parse_arguments(arguments: "list[str]") -> "dict[str, Any]":
    """What the command line asks for, as members of ``token.get``'s params."""
    wish: dict[str, Any] = {}
    words = iter(arguments)
    for word in words:
        if word == "--spawn":
            continue
        option, equals, value = word.partition("=")
        if option not in {"--profile", "--provider"}:
            raise Failure(2, "an argument is not known", "it takes --profile ID, --provider NAME and --spawn")
        if not equals:
            value = next(words, "")
        if not value or not NAME_CHARACTERS.issuperset(value):
            raise Failure(2, f"{option} needs the name of a {option[2:]}", "see: tokenward profiles list")
        wish[option[2:]] = value
    if not wish:
        wish["provider"] = "anthropic"
    wish["min_valid"] = min_valid(environ)
    wish["timeout"] = DAEMON_TIMEOUT
    return wish


def min_valid(variables: "Mapping[bytes, bytes]") -> float:
    """Seconds of life that outlast Claude Code's own cache of the value and its one stale use."""
    text = variables.get(b"CLAUDE_CODE_API_KEY_HELPER_TTL_MS", b"").strip()
    # Fifteen digits are 30,000 years; what is longer is as much garbage as what is no number.
    ttl_ms = int(text) if text.isdigit() and len(text) <= 15 else DEFAULT_TTL_MS
    return min(ttl_ms / 1000 + STALE_USE_SECONDS, LONGEST_MIN_VALID)


def any_kind_works(variables: "Mapping[bytes, bytes]") -> bool:
    """Whether requests go to a gateway, which may take any token, and not to Anthropic's own API."""
    address = variables.get(b"ANTHROPIC_BASE_URL", b"").strip().lower()
    if not address:
        return False
    _, scheme, rest = address.partition(b"://")
    authority = rest if scheme else address
    for end in (b"/", b"\\", b"?", b"#"):
        authority = authority.partition(end)[0]
    host = authority.rpartition(b"@")[2].partition(b":")[0]
    return host.rstrip(b".") != OFFICIAL_HOST


def socket_path(
    variables: "Mapping[bytes, bytes]", *, uid: int, platform: str, is_ours: "Callable[[bytes], bool]"
) -> bytes:
    """Where the daemon's socket lies (design section 5).

    Args:
        variables: the environment.
        uid: the user's id.
        platform: ``sys.platform``.
        is_ours: whether a directory exists and belongs to the user; asked only of ``/run/user/UID``.

    Raises:
        KeyError: if ``HOME`` is needed and not set.
    """
    explicit = variables.get(b"TOKENWARD_SOCKET")
    if explicit:
        return explicit
    runtime = variables.get(b"XDG_RUNTIME_DIR", b"")
    if runtime.startswith(b"/"):
        return runtime + b"/tokenward/tokenward.sock"
    per_user = b"/run/user/%d" % uid
    if platform.startswith("linux") and is_ours(per_user):
        return per_user + b"/tokenward/tokenward.sock"
    state = variables.get(b"TOKENWARD_STATE_DIR")
    if not state:
        if platform == "darwin":
            state = variables[b"HOME"] + b"/Library/Application Support/tokenward"
        else:
            state_home = variables.get(b"XDG_STATE_HOME", b"")
            if not state_home.startswith(b"/"):
                state_home = variables[b"HOME"] + b"/.local/state"
            state = state_home + b"/tokenward"
    return state + b"/run/tokenward.sock"


def token_in(answer: bytes) -> "bytes | None":
    """The token of an answer as the daemon writes it; None for an answer of any other shape."""
    for beginning in _ANSWERS:
        if answer.startswith(beginning):
            token, quote, _ = answer[len(beginning) :].partition(b'"')
            return token if quote and b"\\" not in token else None
    return None


def _ask(wish: "dict[str, Any]", deadline: float, *, spawns: bool) -> bytes:
    connection = _connected(deadline, spawns=spawns)
    try:
        answer = exchange(connection, "token.get", wish, deadline)
        token = token_in(answer)
        if token is None:
            token = _unusual_token(answer, wish, connection, deadline)
    except OSError:
        raise Failure(
            4,
            "the tokenward daemon took the request and did not answer",
            "it may be starting: try again, or see what it does: tokenward status",
        ) from None
    finally:
        connection.close()
    if not token or len(token) > LONGEST_TOKEN or min(token) < 0x21 or max(token) > 0x7E:
        raise Failure(1, "the token is not one word of printable ASCII", "look at its source: tokenward doctor")
    return token


def _connected(deadline: float, *, spawns: bool) -> "_socket.socket":
    path = b"(HOME is not set)"
    try:
        path = socket_path(environ, uid=getuid(), platform=sys.platform, is_ours=is_ours)
        return connection_to(path, deadline)
    except (OSError, KeyError) as error:
        if spawns and isinstance(error, OSError):
            return _connected_to_spawned(path, deadline)
        raise Failure(
            4,
            f"no tokenward daemon answers on {path.decode('utf-8', 'replace')}",
            "start one: tokenward daemon, or for good: tokenward service install --now",
        ) from None


def connection_to(path: bytes, deadline: float) -> "_socket.socket":
    """A connection to the daemon, by ``time.monotonic`` until the deadline.

    Raises:
        OSError: if none is to be had.
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        # In a blocking socket with a send timeout connect() waits for room in the listener's queue; in one
        # with a Python timeout it fails at once when many helpers come together.
        word = 8 if sys.maxsize > 2**32 else 4
        microseconds = max(1, int((deadline - monotonic()) * 1e6))
        timeval = b"".join(part.to_bytes(word, sys.byteorder) for part in divmod(microseconds, 1_000_000))
        connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, timeval)
        connection.connect(path)
        connection.settimeout(max(0.0, deadline - monotonic()))
    except BaseException:
        connection.close()
        raise
    return connection


def _connected_to_spawned(path: bytes, deadline: float) -> "_socket.socket":
    spawning = _beside("helper_spawn")
    connection: _socket.socket | str = spawning.connected(lambda: connection_to(path, deadline), deadline)
    if isinstance(connection, str):
        raise Failure(4, connection, "see why: tokenward daemon")
    return connection


def _beside(name: str) -> "Any":
    """A module from the file's own directory: what is not read is not compiled on the way to a token."""
    from importlib.util import module_from_spec, spec_from_file_location

    try:
        spec = spec_from_file_location(f"tokenward.{name}", f"{__file__.rpartition('/')[0]}/{name}.py")
        module = module_from_spec(spec)  # type: ignore[arg-type] # a path that ends in .py has one
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    except OSError:
        raise Failure(1, f"{name}.py is missing beside the helper", "install tokenward again") from None
    return module


def is_ours(directory: bytes) -> bool:
    """Whether a directory exists and belongs to the user."""
    try:
        return stat(directory).st_uid == getuid()
    except OSError:
        return False


def exchange(connection: "_socket.socket", method: str, params: "dict[str, Any]", deadline: float) -> bytes:
    """The line that answers a request; the texts in ``params`` hold nothing that JSON escapes.

    Raises:
        OSError: if none came.
    """
    request = f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{_json(params)}}}\n'
    connection.sendall(request.encode())
    answer = b""
    while not answer.endswith(b"\n"):
        connection.settimeout(max(0.001, deadline - monotonic()))
        part = connection.recv(65_536)
        if not part or len(answer) > LONGEST_ANSWER or monotonic() > deadline:
            raise TimeoutError
        answer += part
    return answer


def _json(value: "Any") -> str:
    # Every text here was held to NAME_CHARACTERS or stands in this file: none needs an escape.
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{','.join(map(_json, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_json(name)}:{_json(item)}' for name, item in value.items())}}}"
    return repr(value)


def _unusual_token(answer: bytes, wish: "dict[str, Any]", connection: "_socket.socket", deadline: float) -> bytes:
    """The token of an answer with escapes or another order of members, or the failure that it tells of."""
    reply = _parsed(answer)
    error = reply.get("error")
    if isinstance(error, dict):

        def ask(method: str, params: "dict[str, Any]") -> "dict[str, Any]":
            return _parsed(exchange(connection, method, params, deadline))

        raise Failure(*_beside("helper_refusal").explained(error, wish, USABLE_KINDS, ask))
    result = reply.get("result")
    token = result.get("token") if isinstance(result, dict) else None
    if not isinstance(token, str):
        raise Failure(1, "the daemon's answer holds no token", "restart it: its version may be another than ours")
    return token.encode("utf-8", "replace")


def _parsed(answer: bytes) -> "dict[str, Any]":
    import json

    try:
        reply = json.loads(answer)
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        raise Failure(1, "the daemon's answer is not JSON-RPC", "see what answers there: tokenward status")
    return reply


def write_all(descriptor: int, text: bytes) -> None:
    """Write in as many pieces as the system wants."""
    while text:
        text = text[write(descriptor, text) :]


def _complain(failure: Failure) -> int:
    cause, hint = (
        "".join(character if character.isprintable() else " " for character in text[:LONGEST_REASON])
        for text in (failure.cause, failure.hint)
    )
    try:  # noqa: SIM105 - contextlib would have to be loaded
        write_all(2, f"tokenward-helper: {cause}\n  hint: {hint}\n".encode("utf-8", "replace"))
    except OSError:
        pass  # nobody listens; the exit status says it too
    return failure.status
