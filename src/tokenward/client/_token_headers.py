"""How a token's headers are put on a request, and kept off the next one.

The problem: the daemon's headers meet those of the program, and a redirect meets both. httpx and requests take
``Authorization`` away before they follow one to another host, and leave ``x-api-key`` where it is.

Rules:
- One header carries a credential: an ``Authorization`` or ``x-api-key`` that the program set is replaced. SDKs
  insist on a key, and the one they were given is a placeholder here.
- ``anthropic-beta`` is a list: what the program asked for stays, and what the token needs is added once.
- Any other header that the program set stays as it is.
- In httpx, a header other than ``Authorization`` that carries the token is there for whoever looks, and not in a
  copy: httpx makes the next request of a redirect from a copy.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import cache
from typing import Any

from tokenward.client._shapes import Token

AUTHORIZATION = "authorization"
_CREDENTIAL_HEADERS = (AUTHORIZATION, "x-api-key")
_LIST_HEADERS = frozenset({"anthropic-beta"})


def put_on(headers: MutableMapping[str, str], token: Token) -> None:
    """Put the headers of a token on those of a request.

    Args:
        headers: of the request; names are compared in any case.
        token: the token.
    """
    for name in _CREDENTIAL_HEADERS:
        headers.pop(name, None)
    for name, value in token.headers.items():
        if name.lower() in _LIST_HEADERS:
            headers[name] = _joined(headers.get(name, ""), value)
        elif carries(value, token):
            headers[name] = value
        else:
            headers.setdefault(name, value)


def take_off(headers: MutableMapping[str, str], token: Token) -> None:
    """Take away every header that carries a token."""
    for name in [name for name, value in headers.items() if carries(value, token)]:
        del headers[name]


def is_on(headers: MutableMapping[str, str], token: Token) -> bool:
    """Whether a header carries a token."""
    return any(carries(value, token) for value in headers.values())


def carries(value: str | bytes, token: Token) -> bool:
    """Whether the value of a header is the token or ends with it, as ``Bearer …`` does."""
    return isinstance(value, str) and value.endswith(token.token)


def confined(headers: Any, token: Token) -> Any:
    """The headers of an httpx or httpx2 request with a token put on, so that a redirect does not carry it.

    Args:
        headers: ``httpx.Headers`` or ``httpx2.Headers``; not changed.
        token: the token.
    """
    open_headers = headers.copy()
    put_on(open_headers, token)
    sealed = {
        name: value
        for name, value in open_headers.items()
        if carries(value, token) and name.lower() != AUTHORIZATION
    }
    if not sealed:
        return open_headers
    for name in sealed:
        del open_headers[name]
    library_class: Any = type(open_headers)
    return _confined_class(library_class)(open_headers, sealed)


def _joined(existing: str, needed: str) -> str:
    flags = [flag.strip() for flag in f"{existing},{needed}".split(",")]
    return ",".join(dict.fromkeys(flag for flag in flags if flag))


@cache
def _confined_class(plain: Any) -> Any:
    """Headers some of which every method shows and no copy has, as a subclass of one library's."""

    class Confined(plain):  # type: ignore[misc] # it is known at run time only: httpx's class or httpx2's
        def __init__(self, open_headers: Any, sealed: dict[str, str]) -> None:
            super().__init__(open_headers)
            self._sealed = sealed

        def _whole(self) -> Any:
            whole = plain(self)
            whole.update(self._sealed)
            return whole

        @property
        def raw(self) -> Any:
            return self._whole().raw

        def keys(self) -> Any:
            return self._whole().keys()

        def values(self) -> Any:
            return self._whole().values()

        def items(self) -> Any:
            return self._whole().items()

        def multi_items(self) -> Any:
            return self._whole().multi_items()

        def get_list(self, key: str, split_commas: bool = False) -> Any:  # noqa: FBT001, FBT002 - as the method it replaces
            return self._whole().get_list(key, split_commas)

        def __getitem__(self, key: str) -> Any:
            return self._whole()[key]

        def __contains__(self, key: object) -> bool:
            return key in self._whole()

        def __len__(self) -> int:
            return len(self._whole())

        def __repr__(self) -> str:
            return repr(plain(self))

        def __setitem__(self, key: str, value: str) -> None:
            self._sealed.pop(key.lower(), None)
            super().__setitem__(key, value)

        def __delitem__(self, key: str) -> None:
            if self._sealed.pop(key.lower(), None) is None:
                super().__delitem__(key)

        __hash__ = None  # type: ignore[assignment] # mutable, as what it replaces

    return Confined
