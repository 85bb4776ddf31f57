"""What service manager and daemon tell each other: the protocols of systemd and the sockets of launchd.

The problem: three small protocols (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)) whose client library
is a C dependency, and one C function of launchd. Spoken here with the standard library.

Rules:
- Nothing here decides: no threads, no loops, no logging. The caller says when to notify.
- The environment is an argument. Variables that name file descriptors are taken out of it, so that no child
  believes them to be its own.
- A daemon without a service manager is normal: no variable, no effect.
- A socket that is not a listening Unix stream socket is refused: tokens must not go out over anything else.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import ExitStack

from tokenward.errors import ConfigurationFault

_FIRST_FD = 3
"""SD_LISTEN_FDS_START: after stdin, stdout and stderr."""
_UNNAMED = "unknown"
"""What sd_listen_fds_with_names(3) calls a socket that was given no name."""
_LISTEN_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_FEEDINGS_PER_INTERVAL = 2
"""sd_watchdog_enabled(3) recommends to notify every half of the time."""


def notify(state: str, environ: Mapping[str, str]) -> bool:
    r"""Tell the service manager about a change, in one datagram (sd_notify(3)).

    Args:
        state: assignments separated by newlines, such as ``READY=1\nSTATUS=serving``; no secrets.
        environ: the environment; ``NOTIFY_SOCKET`` names the socket, with ``@`` for the abstract namespace.

    Returns:
        Whether it was sent. False without a service manager, and if it could not be reached: never an error.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            # The manager's queue may be full; a daemon that waits for its supervisor would be a hung one.
            out.setblocking(False)
            out.sendto(state.encode(), address)
    except (OSError, ValueError):
        return False
    return True


def watchdog_interval(environ: Mapping[str, str], pid: int) -> float | None:
    """How often to send ``WATCHDOG=1`` (sd_watchdog_enabled(3)).

    Args:
        environ: the environment, with ``WATCHDOG_USEC`` and perhaps ``WATCHDOG_PID``.
        pid: our process id; a watchdog that is set for another process is not ours.

    Returns:
        Seconds: half of what the manager waits. None if no watchdog is set for us.
    """
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    microseconds = _number(environ.get("WATCHDOG_USEC"))
    return microseconds / 1e6 / _FEEDINGS_PER_INTERVAL if microseconds else None


def inherited_sockets(environ: MutableMapping[str, str], pid: int) -> list[tuple[str, socket.socket]]:
    """Adopt the sockets that systemd has made for us (sd_listen_fds(3)).

    Args:
        environ: the environment; ``LISTEN_PID``, ``LISTEN_FDS`` and ``LISTEN_FDNAMES`` are removed from it.
        pid: our process id; sockets for another process are not touched.

    Returns:
        Name (``FileDescriptorName=``) and socket, in the unit's order; none without socket activation.

    Raises:
        ConfigurationFault: if one of them is not a listening Unix stream socket.
    """
    wanted, count, names = (environ.pop(variable, "") for variable in _LISTEN_VARIABLES)
    if wanted != str(pid):
        return []
    descriptors = range(_FIRST_FD, _FIRST_FD + _number(count))
    given = names.split(":") if names else []
    given += [_UNNAMED] * (len(descriptors) - len(given))
    return list(zip(given, _adopt(descriptors), strict=False))


def launchd_sockets(name: str) -> list[socket.socket]:
    """Adopt the sockets that launchd has made for us (``launch_activate_socket`` in ``<launch.h>``).

    Args:
        name: the key under ``Sockets`` in the property list.

    Returns:
        The sockets; none if launchd did not start us, has none of that name, or is not there.

    Raises:
        ConfigurationFault: if one of them is not a listening Unix stream socket.
    """
    library = ctypes.CDLL(None)
    activate = getattr(library, "launch_activate_socket", None)
    if activate is None:
        return []
    descriptors = ctypes.POINTER(ctypes.c_int)()
    count = ctypes.c_size_t()
    if activate(name.encode(), ctypes.byref(descriptors), ctypes.byref(count)) != 0:
        return []
    adopted = descriptors[: count.value]
    library.free(ctypes.cast(descriptors, ctypes.c_void_p))
    return _adopt(adopted)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0


def _adopt(descriptors: Sequence[int]) -> list[socket.socket]:
    with ExitStack() as unwanted:
        adopted = [unwanted.enter_context(_listening(descriptor)) for descriptor in descriptors]
        unwanted.pop_all()
    return adopted


def _listening(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        adopted = socket.socket(fileno=descriptor)
    except OSError as error:
        raise _not_ours(descriptor) from error
    unix_stream = (adopted.family, adopted.type) == (socket.AF_UNIX, socket.SOCK_STREAM)
    if not unix_stream or not adopted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        adopted.close()
        raise _not_ours(descriptor)
    return adopted


def _not_ours(descriptor: int) -> ConfigurationFault:
    return ConfigurationFault(
        f"inherited file descriptor {descriptor} is not a listening Unix stream socket",
        hint="compare the socket unit with the one that `tokenward service install` writes",
    )
