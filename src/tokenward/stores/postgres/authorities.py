"""Where the system keeps the authorities that it trusts, as one file: what ``sslrootcert=system`` means.

The problem: the driver's wheels bring an OpenSSL of their own, which looks for them in a directory that its
builder had and no other machine has. So with them ``sslrootcert=system`` trusts nobody.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Of Debian and its like, Fedora and its like, openSUSE; Alpine, macOS and the BSDs."""


def system_authorities(said: Mapping[str, object]) -> dict[str, str]:
    """What a connection is told instead, where it is told to trust the system's authorities.

    Args:
        said: the parameters of the connection, by libpq's names.

    Returns:
        Empty if it is told something else, or no file is found: the driver then does what it does.
    """
    if said.get("sslrootcert") != "system" or said.get("sslmode", "verify-full") != "verify-full":
        return {}
    for bundle in (os.environ.get("SSL_CERT_FILE"), *BUNDLES):
        if bundle and Path(bundle).is_file():
            # As libpq does with "system": a public authority signs for everybody, so the name must be compared.
            return {"sslrootcert": bundle, "sslmode": "verify-full"}
    return {}
