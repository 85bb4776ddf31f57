"""What a log may say of an exception that nobody expected.

The problem: an unexpected exception's text can hold anything, a credential included, and so can a traceback's
source lines and the arguments of whatever was called.

Rule: type and place, nothing else.
"""

from __future__ import annotations

from pathlib import PurePath


def describe(error: BaseException) -> str:
    """An exception's type and the file and line it came from."""
    trace = error.__traceback__
    if trace is None:
        return type(error).__name__
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = PurePath(trace.tb_frame.f_code.co_filename).name
    return f"{type(error).__name__} at {file}:{trace.tb_lineno}"
