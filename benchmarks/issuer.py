"""An authorization server that costs next to nothing, so that what is measured is the one that asks it.

The sandbox that we ship keeps a journal and rules; here every refresh is granted, at once or when it is let.
Run as ``python -m benchmarks.issuer``: prints its ports, one a line, and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from typing import Any

LIFE = 3600


class Issuer:
    """One issuer on one port.

    Args:
        numbers: makes each token another.
        hold: seconds that every answer of the token endpoint takes.
    """

    def __init__(self, numbers: itertools.count[int], hold: float) -> None:
        self._numbers = numbers
        self._hold = hold
        self.url = ""
        self.times: list[float] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = next(
                    (int(x[15:]) for x in head.lower().split("\r\n") if x.startswith("content-length:")), 0
                )
                await reader.readexactly(length)
                path = head.split(" ", 2)[1]
                body = json.dumps(await self._answer(path)).encode()
                kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
                    body
                )
                writer.write(kind + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, path: str) -> dict[str, Any]:
        if path == "/token":
            self.times.append(time.monotonic())
            await asyncio.sleep(self._hold)
            number = next(self._numbers)
            return {
                "access_token": f"granted-access-{number:08}-{'x' * 80}",
                "refresh_token": f"granted-refresh-{number:08}-{'x' * 80}",
                "token_type": "Bearer",
                "expires_in": LIFE,
            }
        if path == "/times":
            return {"times": self.times}
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "scopes_supported": ["openid", "offline_access"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "response_types_supported": ["code"],
        }


async def _main(ports: int, hold: float) -> None:
    numbers = itertools.count()
    for _ in range(ports):
        issuer = Issuer(numbers, hold)
        server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        issuer.url = f"http://127.0.0.1:{port}"
        sys.stdout.write(f"{issuer.url}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))
