"""A client that proves itself with a private key signs a fresh statement for each request (RFC 7523 section 2.2).

The problem: ``private_key_jwt`` needs no shared secret, but a key that others may read is worth no more than a
password on a note. So the key stays in a file of its user's own, is read for each signature, and a file that is
open to others is refused with the command that closes it.

Rules:
- The algorithm follows from the key: RS256 for RSA, ES256, ES384 or ES512 by the curve.
- A statement is good for five minutes, for one token endpoint, once (``jti``).
- The signing is Authlib's; it is imported when first needed.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from tokenward.core.credential import Secret
from tokenward.core.provider import ProviderRegistration
from tokenward.disk.regular_file import read_regular

LARGEST_KEY_BYTES = 64 * 1024
"""An RSA key of 16,384 bits is 13 KiB as PEM."""
STATEMENT_LIFE_SECONDS = 300
"""Enough for clocks that differ by minutes; servers refuse what claims to be good for much longer."""
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


class KeyUnusable(Exception):
    """Nothing can be signed.

    Args:
        reason: one line for people, which names the file and shows nothing of it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ClientKey:
    """A client's private key in a file.

    Args:
        path: the file: PEM or a JWK, mode 0600.
        key_id: the ``kid`` under which the server knows the public key; None where it knows only one.
    """

    def __init__(self, path: Path, *, key_id: str | None = None) -> None:
        self._path = path
        self._key_id = key_id

    def parameters(self, *, client_id: str, token_endpoint: str) -> dict[str, str]:
        """The parameters that authenticate one request (RFC 7521 section 4.2); blocks.

        Args:
            client_id: how we are registered.
            token_endpoint: whom the statement is for.

        Raises:
            KeyUnusable: if the file cannot be read, is open to others, or holds no private key.
        """
        from authlib.oauth2.rfc7523 import private_key_jwt_sign  # type: ignore[import-untyped]  # it ships no types

        key, algorithm = self._key()
        statement = private_key_jwt_sign(
            key,
            client_id,
            token_endpoint,
            alg=algorithm,
            header={"kid": self._key_id} if self._key_id is not None else {},
            expires_in=STATEMENT_LIFE_SECONDS,
        )
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": statement}

    def _key(self) -> tuple[Any, str]:
        from joserfc.errors import JoseError
        from joserfc.jwk import ECKey, RSAKey

        data = self._data().reveal()
        for made, algorithm_of in ((RSAKey, _rsa), (ECKey, _elliptic)):
            try:
                key = made.import_key(data)
                algorithm = algorithm_of(key)
            except (JoseError, ValueError, TypeError, KeyError):
                continue
            if algorithm is None or not key.is_private:
                break
            return key, algorithm
        raise KeyUnusable(f"the client key {self._path} holds no private RSA or EC key that can sign")

    def _data(self) -> Secret:
        try:
            image = read_regular(self._path, LARGEST_KEY_BYTES)
        except OSError as error:
            raise KeyUnusable(f"the client key {self._path}: {error.strerror or 'cannot be read'}") from None
        if image.mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyUnusable(
                f"the client key {self._path} is open to others (mode {image.mode:04o}); "
                f"run: chmod 600 {self._path}"
            )
        return Secret(image.data.decode("utf-8", "replace"))


def client_key_of(registration: ProviderRegistration) -> ClientKey | None:
    """The private key by which the client proves itself; None if it does so otherwise."""
    if registration.client_key is None:
        return None
    return ClientKey(Path(registration.client_key), key_id=registration.client_key_id)


def _rsa(_: Any) -> str | None:
    return "RS256"


def _elliptic(key: Any) -> str | None:
    return _CURVES.get(key.curve_name)
