"""What Claude Code runs as ``apiKeyHelper``: ``<python> -IS <this file>``; the work is done in ``helper_ask``.

The problem: a file that is run is compiled at each run, which takes longer than asking the daemon does. A module
is compiled once. So this file is short, and loads the other as a module from beside itself.
"""

import sys
from posix import _exit

if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/")[0])
    helper_ask = __import__("helper_ask")
    del sys.path[0]  # the names beside us are not all ours alone: there is an http.py
    # Nothing is left to flush, and taking the interpreter apart takes longer than asking the daemon.
    _exit(helper_ask.main(sys.argv[1:]))
