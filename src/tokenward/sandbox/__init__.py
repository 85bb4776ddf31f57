"""To see a credential daemon work, one needs a server that grants, rotates, expires and fails on demand.

This is it: an authorization server and a Messages API on loopback, for `tokenward demo`, for tests and for
users. It is made of the standard library and shares no code with the client side.

    with Sandbox(ttl_seconds=20) as sandbox:
        login = sandbox.issue()
        sandbox.faults.next("token", LOST_ANSWER)
        ...
        assert sandbox.statistics().reuse_detected == 0
"""

from tokenward.sandbox.families import DEFAULT_SCOPE, Issued, Liveness
from tokenward.sandbox.faults import (
    CAPTIVE_PORTAL,
    CLOSE_BEFORE,
    CUT_OFF,
    EMPTY_400,
    ENDPOINTS,
    HOLD_AFTER,
    HOLD_BEFORE,
    LOST_ANSWER,
    NO_EXPIRES_IN,
    NO_REFRESH_TOKEN,
    RESET_ANSWER,
    SLOW_DRIP,
    STALL,
    TRUNCATED,
    WRONG_CONTENT_TYPE,
    Fault,
    Faults,
)
from tokenward.sandbox.grants import CODE_LIFE_SECONDS, DEVICE_LIFE_SECONDS, s256
from tokenward.sandbox.journal import LoggedRequest, Statistics
from tokenward.sandbox.server import Sandbox
from tokenward.sandbox.wire import fingerprint

__all__ = [
    "CAPTIVE_PORTAL",
    "CLOSE_BEFORE",
    "CODE_LIFE_SECONDS",
    "CUT_OFF",
    "DEFAULT_SCOPE",
    "DEVICE_LIFE_SECONDS",
    "EMPTY_400",
    "ENDPOINTS",
    "HOLD_AFTER",
    "HOLD_BEFORE",
    "LOST_ANSWER",
    "NO_EXPIRES_IN",
    "NO_REFRESH_TOKEN",
    "RESET_ANSWER",
    "SLOW_DRIP",
    "STALL",
    "TRUNCATED",
    "WRONG_CONTENT_TYPE",
    "Fault",
    "Faults",
    "Issued",
    "Liveness",
    "LoggedRequest",
    "Sandbox",
    "Statistics",
    "fingerprint",
    "s256",
]
