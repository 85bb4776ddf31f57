"""`python -m tokenward.sandbox`: the sandbox as a process of its own.

Rules:
- The first line on standard output is a JSON object with the addresses and the admin key; it is printed once
  the sandbox answers. Nothing else is printed.
- SIGTERM and SIGINT end it with exit status 0.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence

from tokenward.sandbox.admin import ADMIN_HEADER
from tokenward.sandbox.server import THIRTY_DAYS, Sandbox

_ENDINGS = frozenset({signal.SIGTERM, signal.SIGINT})


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sandbox until a signal ends it.

    Args:
        argv: the arguments; None for those of the process.

    Returns:
        The exit status: 0 after a signal, 1 when the address cannot be bound.
    """
    options = _parser().parse_args(argv)
    # Blocked before any thread exists, so that no thread but this one ever sees them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        sandbox = Sandbox(
            ttl_seconds=options.ttl,
            refresh_ttl_seconds=options.refresh_ttl,
            rotate=not options.no_rotation,
            reuse_grace=options.reuse_grace,
            client_id=options.client_id,
            device_interval=options.device_interval,
            require_oauth_beta=options.require_oauth_beta,
            host=options.host,
            port=options.port,
        )
    except (OSError, ValueError) as error:
        sys.stderr.write(f"tokenward sandbox: cannot listen on {options.host}:{options.port}: {error}\n")
        sys.stderr.write("hint: choose a loopback address, and port 0 for a free one\n")
        return 1
    with sandbox:
        sys.stdout.write(json.dumps(_announcement(sandbox)) + "\n")
        sys.stdout.flush()
        signal.sigwait(_ENDINGS)
    return 0


def _announcement(sandbox: Sandbox) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "base_url": sandbox.base_url,
        "issuer": sandbox.issuer,
        "authorization_endpoint": sandbox.authorization_endpoint,
        "token_endpoint": sandbox.token_endpoint,
        "revocation_endpoint": sandbox.revocation_endpoint,
        "device_authorization_endpoint": sandbox.device_authorization_endpoint,
        "client_id": sandbox.client_id,
        "admin_header": ADMIN_HEADER,
        "admin_key": sandbox.admin_key,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tokenward.sandbox",
        description="A loopback authorization server and Messages API to try tokenward against.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--ttl", type=float, default=20.0, help="life of an access token, s (default %(default)s)")
    parser.add_argument(
        "--refresh-ttl", type=float, default=THIRTY_DAYS, help="life of a login, s (default 30 days)"
    )
    parser.add_argument("--no-rotation", action="store_true", help="refreshes keep the refresh token")
    parser.add_argument(
        "--reuse-grace", type=float, default=0.0, help="a spent refresh token gets its answer again, s"
    )
    parser.add_argument("--client-id", default="tokenward-sandbox", help="default %(default)s")
    parser.add_argument("--device-interval", type=float, default=5.0, help="s (default %(default)s)")
    parser.add_argument(
        "--require-oauth-beta", action="store_true", help="access tokens need the anthropic-beta header"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
