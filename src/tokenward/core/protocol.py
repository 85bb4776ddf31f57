"""What client and server share of the socket: names, limits, codes, framing, and where the socket lies.

The problem: two programs that must agree, one of which may import nothing but the standard library and must
start in ten milliseconds. So this module imports little, and everything that both sides need stands here once.

Rules:
- JSON-RPC 2.0, one object or batch a line, UTF-8 (design section 6). Ids are strings or integers.
- ``socket_path`` is a function of its arguments alone; ``tests/core/socket_path_vectors.json`` holds its table,
  which the helper and the shell recipe must obey too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

PROTOCOL_VERSION = 1
JSONRPC = "2.0"

MAX_LINE_BYTES = 1024 * 1024
"""One request or answer; an ssh-agent takes 256 KiB, an import of foreign stores may be larger."""
MAX_BATCH = 32
"""Requests in one batch; each is authorised and audited by itself."""
MAX_OVERLAPPING = 32
"""Requests of one connection under way at once; more wait in the kernel's buffer."""
MAX_CONNECTIONS = 1024
"""Connections at once; the longest idle yields to a newcomer."""
IDLE_SECONDS = 300.0
"""A connection that says nothing for so long is closed; subscribers are exempt."""
PARTIAL_LINE_SECONDS = 5.0
"""A line once begun must end within this."""
WRITE_SECONDS = 10.0
"""A peer must take its answer within this."""
MAX_QUEUED_EVENTS = 64
"""Events waiting for one subscriber; past that it is told ``lost`` and closed."""

DEFAULT_MIN_VALID = 60.0
"""Seconds of life a caller of ``token.get`` gets if it names none."""
DEFAULT_TIMEOUT = 30.0
"""Seconds a caller of ``token.get`` waits if it names none."""

PARSE_ERROR = -32700
INTERNAL_ERROR = -32603

DEGRADED_SHORT = "short"
DEGRADED_REFRESH_FAILING = "refresh_failing"
DEGRADED_UNSAVED = "unsaved"
DEGRADED_COOLING = "cooling"

SOCKET_NAME = "tokenward.sock"
APPLICATION = "tokenward"


def state_directory(environ: Mapping[str, str], *, platform: str) -> str:
    """Where the daemon keeps its state, unless a setting moves it (design section 5).

    Args:
        environ: the environment; ``HOME`` must be in it.
        platform: ``sys.platform``.

    Raises:
        KeyError: if ``HOME`` is needed and not set.
    """
    if explicit := environ.get("TOKENWARD_STATE_DIR"):
        return explicit
    if platform == "darwin":
        return f"{environ['HOME']}/Library/Application Support/{APPLICATION}"
    state_home = environ.get("XDG_STATE_HOME", "")
    if not state_home.startswith("/"):
        state_home = f"{environ['HOME']}/.local/state"
    return f"{state_home}/{APPLICATION}"


def socket_path(environ: Mapping[str, str], *, uid: int, platform: str, is_ours: Callable[[str], bool]) -> str:
    """Where the daemon's socket lies (design section 5).

    Args:
        environ: the environment.
        uid: the user's id.
        platform: ``sys.platform``.
        is_ours: whether a directory exists and belongs to the user; asked only of ``/run/user/UID``.

    Returns:
        An absolute path.

    Raises:
        KeyError: if ``HOME`` is needed and not set.
    """
    if explicit := environ.get("TOKENWARD_SOCKET"):
        return explicit
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        return f"{runtime}/{APPLICATION}/{SOCKET_NAME}"
    per_user = f"/run/user/{uid}"
    if platform.startswith("linux") and is_ours(per_user):
        return f"{per_user}/{APPLICATION}/{SOCKET_NAME}"
    return f"{state_directory(environ, platform=platform)}/run/{SOCKET_NAME}"
