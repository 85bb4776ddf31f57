"""Those who give tokens: authorization servers, and owners who refresh by themselves.

The problem: a request that was sent may have spent a refresh token, whatever became of its answer.

Rule: these are coroutines, and never raise: what went wrong is a value, since each kind of it is met differently.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

from tokenward.core.credential import Credential, Secret

if TYPE_CHECKING:
    from tokenward.core.federation import NoIdentity
    from tokenward.core.grants import RefreshOutcome, Unavailable
    from tokenward.core.key_check import KeyCheck
    from tokenward.core.login import LoginMethod, LoginTerms, NotOurs, Refused
    from tokenward.core.login_answers import LoggedIn, Wait


class TokenEndpoint(Protocol):
    """One authorization server's token endpoint, as we are registered there."""

    @property
    def url(self) -> str:
        """Its address: the name under which families and limits are kept."""

    async def refresh(self, refresh: Secret) -> RefreshOutcome:
        """Spend a refresh token (RFC 6749 section 6), once, within its own deadline. Never raises."""


class IdentitySource(Protocol):
    """Where the identity tokens of one workload come from."""

    @property
    def description(self) -> str:
        """Where exactly, for people; an absolute path is watched."""

    def signature(self) -> Hashable | None:
        """One stat: a value that changes when another identity token may be there. Never raises."""

    async def token(self) -> Secret | NoIdentity:
        """The identity token as it is now. Never raises."""


class MintEndpoint(Protocol):
    """A token endpoint that gives access tokens for identity tokens."""

    async def mint(self, identity: Secret) -> RefreshOutcome:
        """Present an identity token (RFC 7523 section 2.1), once, within its own deadline. Never raises."""


class Delegate(Protocol):
    """The credential's owner, asked to refresh it by itself."""

    async def refresh(self) -> str | None:
        """Ask, and wait until the owner's program has ended or our patience has.

        Returns:
            None if it ran; else one line that says why it could not.
        """


class Login(Protocol):
    """One login of a person, under way."""

    @property
    def url(self) -> str:
        """The address that the person opens."""

    @property
    def user_code(self) -> str | None:
        """What the person types there (RFC 8628 section 3.2); None where nothing is to be typed."""

    @property
    def expires_in(self) -> float | None:
        """Seconds from its beginning after which the server forgets it; None = it does not say."""

    async def ready(self, pasted: str | None, *, patience: float) -> bool | Refused | NotOurs:
        """Wait for the person.

        Args:
            pasted: what the person copied; None = the answer comes by itself.
            patience: seconds.

        Returns:
            Whether ``redeem`` may be called now; False if our patience ended before.
        """

    async def redeem(self) -> LoggedIn | Wait | Refused | Unavailable:
        """Ask the server for the tokens, once ``ready`` said so. Never raises, never to be cancelled."""

    async def aclose(self) -> None:
        """Let go of what it holds."""


class LoginServer(Protocol):
    """An authorization server, as a person's login needs it."""

    @property
    def title(self) -> str:
        """The provider's name for people."""

    async def begin(self, method: LoginMethod, terms: LoginTerms) -> Login | Refused | Unavailable:
        """Begin a login. Never raises."""

    async def create_api_key(self, login: Credential) -> Credential | Refused | Unavailable:
        """Exchange a login for an API key, and end the login. Never raises."""

    async def revoke(self, credential: Credential) -> Refused | Unavailable | None:
        """End a login at the server (RFC 7009); None if that was done. Never raises."""

    async def check_key(self, credential: Credential, *, model: str | None = None) -> KeyCheck:
        """Ask the API, by one request, whether it takes a credential. Never raises.

        Args:
            credential: what is shown to it.
            model: send this model a short message, which costs tokens; None = a request that costs nothing.
        """
