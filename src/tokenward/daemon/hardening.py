"""What a process that holds secrets asks of the kernel before it holds any.

The problem: a core dump or a debugger of the same user shows every token in memory. The first can be switched
off, the second made harder; neither is a wall against a process of the same uid (SECURITY.md).
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

PR_SET_DUMPABLE = 4
"""linux/prctl.h"""


def protect(*, debuggable: bool) -> None:
    """Leave no core dump, keep debuggers of the same user out, and make every file private by default.

    Args:
        debuggable: let profilers and debuggers attach.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform.startswith("linux") and not debuggable:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
