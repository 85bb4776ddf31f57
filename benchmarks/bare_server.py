"""What Python's own event loop can do: an asyncio protocol that reads JSON and answers JSON, and nothing else.

No limits, no peer's identity, no audit, no life left: the floor that our answers a second are compared to.
Run as ``python bare_server.py SOCKET TOKEN_CHARACTERS``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

ANSWER = {
    "kind": "api_key", "token_type": "Bearer", "profile": "acme:p0", "provider": "acme", "source": "store",
    "generation": "0123456789ab", "expires_at_ms": 1_800_000_000_000, "valid_for": 3500.123, "base_url": None,
    "billing": None, "tier": None, "degraded": None, "model": None, "model_note": None,
}  # fmt: skip


class Protocol(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each line."""
        for line in data.splitlines():
            request = json.loads(line)
            token = TOKENS[request["method"]]
            headers = {"authorization": f"Bearer {token}"}
            result = {"token": token, **ANSWER, "headers": headers}
            answer = {"jsonrpc": "2.0", "id": request["id"], "result": result}
            self._transport.write(ENCODE(answer).encode() + b"\n")


ENCODE = json.JSONEncoder(separators=(",", ":")).encode
TOKENS: dict[str, str] = {}


async def _main(path: str, characters: int) -> None:
    TOKENS["token.get"] = "x" * characters
    server = await asyncio.get_running_loop().create_unix_server(Protocol, path)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
