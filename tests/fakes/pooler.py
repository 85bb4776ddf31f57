"""What stands between a program and PostgreSQL: a pooler, as far as notifications are concerned.

It gives its clients process numbers of its own, as PgBouncer does; and as there, in transaction mode a
notification passes only while the client's own transaction is answered, and never while it waits.
"""

import asyncio
import contextlib
import struct
import threading
from collections.abc import Iterator

_WISHES = {80877103, 80877104}  # for TLS and for GSSAPI: answered by "no"


class Pooler:
    """A proxy on loopback, in a thread of its own.

    Args:
        port: the server's.
        passes: whether notifications do while a client waits, as in session mode.
    """

    def __init__(self, port: int, *, passes: bool) -> None:
        self._server_port = port
        self._passes = passes
        self._loop = asyncio.new_event_loop()
        self.port = 0

    @contextlib.contextmanager
    def running(self) -> Iterator["Pooler"]:
        """While it runs."""
        ready = threading.Event()
        thread = threading.Thread(target=self._run, args=(ready,))
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        self._stop = asyncio.Event()
        self._clients: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._met, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._between(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _between(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    first = await reader.readexactly(8)
                    if struct.unpack("!II", first)[1] not in _WISHES:
                        break
                    writer.write(b"N")
                to_server.write(first)
                back = asyncio.ensure_future(self._back(upstream, writer))
                try:
                    while data := await reader.read(65536):
                        to_server.write(data)
                finally:
                    back.cancel()
        finally:
            to_server.close()
            writer.close()

    async def _back(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_idle = False
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, length = struct.unpack("!cI", await upstream.readexactly(5))
                body = await upstream.readexactly(length - 4)
                if kind == b"K":
                    body = struct.pack("!I", struct.unpack("!I", body[:4])[0] ^ 0x0F0F) + body[4:]
                if kind != b"A" or self._passes or not is_idle:
                    writer.write(struct.pack("!cI", kind, length) + body)
                if kind != b"A":
                    is_idle = kind == b"Z"
        writer.close()
