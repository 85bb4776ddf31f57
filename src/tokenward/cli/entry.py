"""Where ``tokenward`` begins. Nothing is imported here: scripts call ``tokenward token`` in loops."""

import sys
from posix import _exit


def main() -> int:
    """Run one command.

    Returns:
        The exit status.
    """
    if sys.argv[1:2] == ["token"]:
        from tokenward.cli import plain_token

        status = plain_token.run(sys.argv[2:])
        if status is not None:
            # Nothing is left to flush, and taking the interpreter apart takes longer than asking the daemon.
            _exit(status)
    from tokenward.cli import main as commands

    return commands.main()
