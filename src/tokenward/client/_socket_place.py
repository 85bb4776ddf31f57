"""Where the daemon of this user listens, for both clients."""

from __future__ import annotations

import os
import sys

from tokenward.core import protocol
from tokenward.errors import ConfigurationFault


def default_socket_path() -> str:
    """Where the daemon of this user listens (design section 5).

    Raises:
        ConfigurationFault: if ``HOME`` is needed and not set.
    """
    try:
        return protocol.socket_path(os.environ, uid=os.getuid(), platform=sys.platform, is_ours=_is_ours)
    except KeyError:
        raise ConfigurationFault(
            "HOME is not set, so the daemon cannot be found", hint="set HOME, or TOKENWARD_SOCKET to its socket"
        ) from None


def _is_ours(directory: str) -> bool:
    try:
        return os.stat(directory).st_uid == os.getuid()  # noqa: PTH116 - pathlib would double the start-up time
    except OSError:
        return False
