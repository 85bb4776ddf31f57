"""``python -m tokenward``: the command line, for service files that name an interpreter by its absolute path."""

import sys

from tokenward.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
