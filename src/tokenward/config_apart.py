"""A configuration checked in a process of its own, so that what checks it is gone when it is done.

The problem: pydantic is an eighth of a daemon's memory, and between two changes of a file that a person wrote it
has nothing to do.

Rules:
- The child is a fork, made before there are threads, so that it knows all that this process knows, and nothing
  travels to it by argument or environment. It sends back what it made through a pipe that nobody else holds.
- Only success is sent. Whatever goes wrong there, a wrong configuration too, is found out here again, by the same
  check: there is one way to fail.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from io import BytesIO
from types import MappingProxyType
from typing import Any, TypeVar

from tokenward.core.credential import Secret

T = TypeVar("T")


def made_apart(make: Callable[[], T]) -> T:
    """What a function returns, made in a child of this process where that can be, and in this process else.

    Args:
        make: may be called twice; what it returns is made of settings and of what Python has.

    Raises:
        whatever ``make`` raises in this process.
    """
    try:
        reader, writer = os.pipe()
    except OSError:
        return make()
    try:
        child = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        return make()
    if child == 0:
        _send(make, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        packed = answer.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        return make()
    made: T = pickle.loads(packed)  # noqa: S301 - from our own child, by a pipe that nobody else holds
    return made


def _send(make: Callable[[], T], writer: int) -> None:
    """Make it, send it and end, whatever happens: nothing of the parent's may be run twice."""
    status = 1
    try:
        packed = BytesIO()
        _Packing(packed, protocol=pickle.HIGHEST_PROTOCOL).dump(make())
        with os.fdopen(writer, "wb") as out:
            out.write(packed.getbuffer())
        status = 0
    finally:
        os._exit(status)


class _Packing(pickle.Pickler):
    """Packs what settings are made of: also a ``Secret``, which nobody else may, and a ``MappingProxyType``."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, Secret):
            return Secret, (value.reveal(),)
        if isinstance(value, MappingProxyType):
            return MappingProxyType, (dict(value),)
        return NotImplemented
