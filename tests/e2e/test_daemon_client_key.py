"""The daemon as a process proves itself with a private key where its user says so (RFC 7523 section 2.2)."""

import base64
import json
import time
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from e2e.daemon_process import DaemonProcess, RpcError
from fakes.raw_server import Peer, RawServer

PROFILE = "acme:me"
GRANT = {"access_token": "granted", "refresh_token": "next", "expires_in": 3600, "token_type": "Bearer"}


def decoded(part: str) -> bytes:
    """One part of a JWS."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def granted(peer: Peer) -> None:
    """A token endpoint that grants whatever is asked."""
    peer.read_request()
    peer.answer(json.dumps(GRANT).encode(), headers="Content-Type: application/json\r\nConnection: close\r\n")


def test_a_refresh_is_signed_and_a_key_open_to_others_is_not_used(own_home: Path) -> None:
    """While others may read the key nothing is sent, and the command that helps is named; then it is signed."""
    key = rsa.generate_private_key(65537, 2048)
    path = own_home / "acme.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o644)
    with RawServer(granted) as server:
        url = f"http://127.0.0.1:{server.port}/token"
        text = (
            f'[providers.acme]\ntoken_endpoint = "{url}"\nclient_id = "us"\n'
            'client_auth = "private_key_jwt"\nclient_key = "~/acme.pem"\nclient_key_id = "k1"\n'
        )
        credential = {"access_token": "old", "refresh_token": "first", "expires_in": -10}
        with DaemonProcess(own_home, config=text) as daemon:
            daemon.call("profile.add", profile=PROFILE, kind="oauth", credential=credential)
            with pytest.raises(RpcError) as refused:
                daemon.call("token.get", profile=PROFILE)
            assert f"chmod 600 {path}" in refused.value.message
            assert server.received == b""
            path.chmod(0o600)
            daemon.wait_for("profile.get", lambda shown: shown["phase"] == "ready", profile=PROFILE)
            assert daemon.call("token.get", profile=PROFILE)["token"] == "granted"
        sent = parse_qs(server.received.partition(b"\r\n\r\n")[2].decode())
    assert (sent["grant_type"], sent["refresh_token"], sent["client_id"]) == (["refresh_token"], ["first"], ["us"])
    header, claims, signature = sent["client_assertion"][0].split(".")
    key.public_key().verify(decoded(signature), f"{header}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    assert json.loads(decoded(header))["kid"] == "k1"
    said = json.loads(decoded(claims))
    assert (said["iss"], said["sub"], said["aud"]) == ("us", "us", url)
    assert said["iat"] <= time.time() < said["exp"]
