"""A session bus with a desktop that shows notices: what a real `notify-send` tells it is written down.

The problem: a notice that no notification server understands is seen by nobody, and only the real program on a
real bus shows what arrives. So the bus is Debian's `dbus-daemon`; the desktop is ours, as far as the Desktop
Notifications Specification 1.2 asks of it.

Rules: the bus is of the test's own making, nothing reaches the session of the person who runs the tests, and both
end with the block.
"""

from __future__ import annotations

import queue
import shutil
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MISSING = [program for program in ("dbus-daemon", "notify-send") if shutil.which(program) is None]
if find_spec("jeepney") is None:
    MISSING.append("jeepney")
"""What a machine lacks for a desktop with notices."""
PATIENCE = 30.0
_NAME = "org.freedesktop.Notifications"
_ANSWERS: Mapping[str, tuple[str, tuple[Any, ...]]] = {
    "GetServerInformation": ("ssss", ("board", "tests", "1", "1.2")),
    "GetCapabilities": ("as", (["body", "body-markup"],)),
    "Notify": ("u", (1,)),
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One that arrived.

    Args:
        program: the name of the program that shows it.
        icon: the name of its icon.
        summary: its one line.
        body: what is below, which is markup.
        urgency: 0 low, 1 normal, 2 critical.
    """

    program: str
    icon: str
    summary: str
    body: str
    urgency: int


class NoticeBoard:
    """A bus and, on it, a desktop; use it as a context manager.

    Args:
        home: for the bus' socket.
        attended: whether there is a notification server.
    """

    def __init__(self, home: Path, *, attended: bool = True) -> None:
        self._path = home / "bus"
        self._attended = attended
        self._arrived: queue.SimpleQueue[Notice] = queue.SimpleQueue()
        self.address = f"unix:path={self._path}"

    def __enter__(self) -> Self:
        command = ["dbus-daemon", "--session", "--nofork", f"--address={self.address}", "--print-address=1"]
        self._bus = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._bus.stdout is not None
        self._bus.stdout.readline()  # it listens now
        if self._attended:
            from jeepney.bus_messages import message_bus
            from jeepney.io.blocking import Proxy, open_dbus_connection

            self._connection = open_dbus_connection(self.address)
            Proxy(message_bus, self._connection).RequestName(_NAME)
            self._thread = threading.Thread(target=self._serve, daemon=True)
            self._thread.start()
        return self

    def wait(self) -> Notice:
        """The next notice.

        Raises:
            queue.Empty: if none comes.
        """
        return self._arrived.get(timeout=PATIENCE)

    def is_empty(self) -> bool:
        """Whether no more has arrived."""
        return self._arrived.empty()

    def _serve(self) -> None:
        from jeepney import HeaderFields, MessageType, new_error, new_method_return

        while True:
            try:
                message = self._connection.receive()
            except ConnectionResetError:
                return  # the bus has ended
            if message.header.message_type is not MessageType.method_call:
                continue
            method = message.header.fields[HeaderFields.member]
            if method not in _ANSWERS:
                self._connection.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod"))
                continue
            if method == "Notify":
                program, _, icon, summary, body, _, hints, _ = message.body
                self._arrived.put(Notice(program, icon, summary, body, hints["urgency"][1]))
            self._connection.send(new_method_return(message, *_ANSWERS[method]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bus.terminate()
        self._bus.wait(PATIENCE)
        if self._bus.stdout is not None:
            self._bus.stdout.close()
        if self._attended:
            self._thread.join(PATIENCE)
            self._connection.close()
