"""One request by each HTTP client that ``TokenwardAuth`` is for, so that one test says what holds for all."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2
import requests

from tokenward.client.auth import TokenwardAuth


@dataclass(frozen=True)
class Asked:
    """What to send."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] | None = None
    stream: bool = False


@dataclass(frozen=True)
class Answered:
    """What came."""

    status: int
    body: bytes


NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""An empty one, made once: to load the certificates of the world takes longer than a test."""

Caller = Callable[[TokenwardAuth, Asked], Answered]


def _sync(library: Any) -> Caller:
    def call(auth: TokenwardAuth, asked: Asked) -> Answered:
        with (
            library.Client(auth=auth, follow_redirects=True, trust_env=False, verify=NO_TLS) as client,
            client.stream("POST", asked.url, headers=asked.headers, content=asked.body) as response,
        ):
            body = b"".join(response.iter_raw()) if asked.stream else response.read()
            return Answered(response.status_code, body)

    return call


def _async(library: Any) -> Caller:
    async def ask(auth: TokenwardAuth, asked: Asked) -> Answered:
        body = asked.body if isinstance(asked.body, bytes | None) else _each(asked.body)
        async with (
            library.AsyncClient(auth=auth, follow_redirects=True, trust_env=False, verify=NO_TLS) as client,
            client.stream("POST", asked.url, headers=asked.headers, content=body) as response,
        ):
            if asked.stream:
                return Answered(response.status_code, b"".join([part async for part in response.aiter_raw()]))
            return Answered(response.status_code, await response.aread())

    def call(auth: TokenwardAuth, asked: Asked) -> Answered:
        return asyncio.run(ask(auth, asked))

    return call


async def _each(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def _requests(auth: TokenwardAuth, asked: Asked) -> Answered:
    with requests.Session() as session:
        session.trust_env = False
        session.auth = auth
        body: Any = asked.body
        with session.post(
            asked.url, headers=dict(asked.headers), data=body, stream=asked.stream, timeout=20
        ) as response:
            return Answered(response.status_code, response.raw.read() if asked.stream else response.content)


CALLERS: dict[str, Caller] = {
    "httpx": _sync(httpx),
    "httpx-async": _async(httpx),
    "httpx2": _sync(httpx2),
    "httpx2-async": _async(httpx2),
    "requests": _requests,
}
