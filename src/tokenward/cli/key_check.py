"""An API key is shown to its API before it is kept, where the person wishes so.

Rules: a key that the API refuses is not kept. One that could not be checked is kept, and that is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.errors import LoginRequired

if TYPE_CHECKING:
    from tokenward.cli.service_access import Call


def refuse_bad_key(call: Call, provider: str, key: str) -> None:
    """Ask the provider's API whether it takes a key, by one request that costs nothing.

    Args:
        call: the daemon's methods.
        provider: whose key it is said to be.
        key: the key.

    Raises:
        LoginRequired: if the API refuses it.
    """
    found = call("login.check_key", {"provider": provider, "key": key})
    if found["verdict"] == "refused":
        raise LoginRequired(
            f"{provider} refuses this key: {found['reason']}",
            hint="nothing was stored; copy the key again, whole, or make a new one",
            command=f"tokenward login {provider} --method api-key",
        )
    if found["verdict"] == "unknown":
        output.remark(f"the key could not be checked ({found['reason']}); it is kept all the same")
    else:
        output.remark(f"{provider} takes this key")
