"""Every error a caller of tokenward can meet, split by what the caller can do about it.

The problem: a program that gets "it failed" from a credential daemon cannot tell whether to wait, to wake a
person, to ask for something else, or to stop. So the tree's branches are those four answers, and each leaf
has one code on the wire (design section 6)::

    TokenwardError
    ├── RetryLater               waiting helps; may carry retry_after
    │   ├── RefreshFailed        -32004  transient, and nothing valid is left
    │   ├── AllUnavailable       -32002  every profile that fits is unusable now
    │   ├── StoreUnavailable     -32009  the disk or the key cannot be used now
    │   ├── CallTimeout          -32011  the caller's own timeout passed; the flight goes on
    │   └── DaemonUnreachable            no daemon answers on the socket (client side only)
    ├── PersonNeeded             somebody must log in or add a credential
    │   ├── NoCredentials        -32001
    │   └── LoginRequired        -32005  the refresh token is dead or the login ended
    ├── AskDifferently           this request cannot be served, another may
    │   ├── ProfileUnavailable   -32003
    │   ├── PinnedProfileUnavailable -32006  a person's pin is hard
    │   ├── UnknownModel         -32007
    │   └── ModelAccessDenied    -32008  the tier may not use the model
    └── FixNeeded                the configuration, the installation or the call is wrong
        ├── ConfigurationFault           the configuration file or a command's arguments
        ├── AlreadyServed                another daemon owns the socket or the state directory
        ├── PermissionDenied     -32010
        ├── MethodNotFound       -32601
        ├── InvalidParams        -32602
        └── InvalidRequest       -32600

Rules: a message is one line of cause; ``hint`` is one line that says what to do. Neither ever holds a secret,
and neither holds text of a server or a file that was not stripped of control characters first.
"""

from __future__ import annotations

from typing import Any, ClassVar

AUTHENTICATION = "AuthenticationError"
RATE_LIMIT = "RateLimitError"
NETWORK = "NetworkError"
PROVIDER = "ProviderError"
CONFIGURATION = "ConfigurationError"


class TokenwardError(Exception):
    """The root; never raised itself.

    Args:
        cause: one line that says what went wrong, without a secret.
        hint: one line that says what to do about it.
        error_class: one of the five classes of the founding documents, where the type does not settle it.
        details: further members of the wire error's ``data``; plain JSON values, no secrets.
    """

    code: ClassVar[int] = -32000
    default_class: ClassVar[str] = PROVIDER

    def __init__(self, cause: str, *, hint: str = "", error_class: str | None = None, **details: Any) -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint
        self.error_class = error_class or self.default_class
        self.details = details

    @property
    def type_name(self) -> str:
        """The name that goes out as ``data.type``."""
        return type(self).__name__

    def data(self) -> dict[str, Any]:
        """The wire error's ``data``: type, class, hint and the details."""
        return {"type": self.type_name, "class": self.error_class, "hint": self.hint, **self.details}


class RetryLater(TokenwardError):
    """Waiting helps."""


class RefreshFailed(RetryLater):
    """The token endpoint could not be used, and no valid token is left; or too many forced refreshes or calls."""

    code = -32004
    default_class = NETWORK


class AllUnavailable(RetryLater):
    """Every profile that fits the request is disabled, expired or failing."""

    code = -32002
    default_class = AUTHENTICATION


class StoreUnavailable(RetryLater):
    """The store or its key cannot be used now: a full disk, a read-only mount, a locked keyring."""

    code = -32009
    default_class = CONFIGURATION


class CallTimeout(RetryLater):
    """The caller's own ``timeout`` passed; what it waited for goes on."""

    code = -32011
    default_class = NETWORK


class DaemonUnreachable(RetryLater):
    """No daemon answers on the socket."""

    default_class = CONFIGURATION


class PersonNeeded(TokenwardError):
    """Somebody must log in or add a credential."""

    default_class = AUTHENTICATION


class NoCredentials(PersonNeeded):
    """Nothing is configured or found for what was asked; ``looked_at`` lists the places."""

    code = -32001


class LoginRequired(PersonNeeded):
    """The refresh token is dead or the login ended; ``command`` says how to log in again."""

    code = -32005


class AskDifferently(TokenwardError):
    """This request cannot be served; another may."""


class ProfileUnavailable(AskDifferently):
    """The named profile does not exist or cannot serve now."""

    code = -32003
    default_class = AUTHENTICATION


class PinnedProfileUnavailable(AskDifferently):
    """The profile that a person pinned to the session cannot serve now, and no other may in its place."""

    code = -32006
    default_class = AUTHENTICATION


class UnknownModel(AskDifferently):
    """Nobody can tell what is meant by the name of a model; ``suggestion`` is the nearest that is known."""

    code = -32007
    default_class = CONFIGURATION


class ModelAccessDenied(AskDifferently):
    """The tier may not use the model; ``required_tier`` is the least that may."""

    code = -32008
    default_class = CONFIGURATION


class FixNeeded(TokenwardError):
    """The configuration, the installation or the call is wrong."""

    default_class = CONFIGURATION


class ConfigurationFault(FixNeeded):
    """The configuration file or a command's arguments cannot be used."""


class AlreadyServed(FixNeeded):
    """Another daemon owns the socket or the state directory."""


class PermissionDenied(FixNeeded):
    """The peer may not call this."""

    code = -32010


class MethodNotFound(FixNeeded):
    """No such method (JSON-RPC 2.0 section 5.1)."""

    code = -32601


class InvalidParams(FixNeeded):
    """Parameters that are unknown, missing or of the wrong type (JSON-RPC 2.0 section 5.1)."""

    code = -32602


class InvalidRequest(FixNeeded):
    """Not a JSON-RPC 2.0 request (JSON-RPC 2.0 section 5.1)."""

    code = -32600


def _leaves(root: type[TokenwardError]) -> list[type[TokenwardError]]:
    below = root.__subclasses__()
    return [root] if not below else [leaf for child in below for leaf in _leaves(child)]


def by_name() -> dict[str, type[TokenwardError]]:
    """Every leaf by its name, so that a client can raise what the daemon raised."""
    return {leaf.__name__: leaf for leaf in _leaves(TokenwardError)}
