"""An identity source and a token endpoint without a disk or a network, for tests of whoever mints."""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from tokenward.core.credential import Secret
from tokenward.core.federation import NoIdentity
from tokenward.core.grants import Granted, RefreshOutcome


@dataclass
class ScriptedIdentity:
    """A `ports.IdentitySource` in memory.

    Args:
        text: the identity token; None for a source that has none.
        description: where it pretends to be.
    """

    text: str | None = "identity-1"
    description: str = "/run/identity"
    changes: int = field(default=0, init=False)
    fetched: int = field(default=0, init=False)

    def put(self, text: str | None) -> None:
        """Somebody writes an identity token, or the same once more."""
        self.text = text
        self.changes += 1

    def signature(self) -> Hashable | None:
        """The number of changes."""
        return self.changes

    async def token(self) -> Secret | NoIdentity:
        """What was put last."""
        self.fetched += 1
        return (
            NoIdentity(f"the identity token in {self.description} is not there")
            if self.text is None
            else Secret(self.text)
        )


@dataclass
class ScriptedMint:
    """A `ports.MintEndpoint` in memory that grants, unless it is scripted otherwise.

    Args:
        expires_in: seconds of life it grants.
    """

    expires_in: float | None = 3600.0
    presented: list[str] = field(default_factory=list, init=False)
    """The identity tokens that arrived, in their order."""
    _script: deque[RefreshOutcome] = field(default_factory=deque, init=False)

    def next(self, outcome: RefreshOutcome, *, times: int = 1) -> None:
        """Answer the next requests with this."""
        self._script.extend([outcome] * times)

    async def mint(self, identity: Secret) -> RefreshOutcome:
        """Answer as scripted, else grant."""
        self.presented.append(identity.reveal())
        if self._script:
            return self._script.popleft()
        number = len(self.presented)
        return Granted(Secret(f"minted-{number}"), Secret("never-used"), self.expires_in, None, "Bearer")
