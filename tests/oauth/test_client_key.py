"""A client that signs proves itself by RFC 7523 section 2.2, with a key that nobody else can read."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from fakes.machine import FakeClock
from fakes.raw_server import Peer, RawServer
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.grants import Granted, NotSent
from tokenward.core.login import LoginRules, Refused
from tokenward.core.provider import CLIENT_KEY_UNUSABLE, ProviderRegistration
from tokenward.http import HttpClient
from tokenward.oauth.client_key import ASSERTION_TYPE, ClientKey, KeyUnusable
from tokenward.oauth.client_request import client_request
from tokenward.oauth.device import start_device_login
from tokenward.oauth.login import Server
from tokenward.oauth.revocation import revoke
from tokenward.oauth.token_endpoint import HttpTokenEndpoint

ENDPOINT = "https://auth.acme.dev/token"
CLIENT_ID = "tokenward"
GRANT = json.dumps({"access_token": "minted", "expires_in": 600, "token_type": "Bearer"}).encode()


def stored(path: Path, key: Any) -> Path:
    """The key as PEM, mode 0600."""
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return path


def decoded(part: str) -> bytes:
    """One part of a JWS."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def rsa_verified(key: rsa.RSAPrivateKey, signed: bytes, signature: bytes) -> None:
    """RS256."""
    key.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())


def ec_verified(key: ec.EllipticCurvePrivateKey, signed: bytes, signature: bytes) -> None:
    """ES256 and ES384: two halves side by side (RFC 7518 section 3.4)."""
    half = len(signature) // 2
    numbers = (int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
    digest = hashes.SHA256() if half == 32 else hashes.SHA384()
    key.public_key().verify(encode_dss_signature(*numbers), signed, ec.ECDSA(digest))


@pytest.mark.parametrize(
    ("make", "algorithm", "verified"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RS256", rsa_verified),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256", ec_verified),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ES384", ec_verified),
    ],
)
def test_the_statement_names_us_the_endpoint_and_a_moment(
    tmp_path: Path, make: Callable[[], Any], algorithm: str, verified: Callable[[Any, bytes, bytes], None]
) -> None:
    """RFC 7523 section 3: iss, sub, aud, exp and a jti that is never the same, signed by the key's algorithm."""
    private = make()
    key = ClientKey(stored(tmp_path / "key.pem", private), key_id="k1")
    identifiers = set()
    for _ in range(2):
        parameters = key.parameters(client_id=CLIENT_ID, token_endpoint=ENDPOINT)
        assert parameters.keys() == {"client_assertion_type", "client_assertion"}
        assert parameters["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        header, claims, signature = parameters["client_assertion"].split(".")
        verified(private, f"{header}.{claims}".encode(), decoded(signature))
        assert json.loads(decoded(header)).items() >= {"alg": algorithm, "kid": "k1"}.items()
        said = json.loads(decoded(claims))
        assert (said["iss"], said["sub"], said["aud"]) == (CLIENT_ID, CLIENT_ID, ENDPOINT)
        assert said["exp"] - said["iat"] == 300
        identifiers.add(said["jti"])
    assert len(identifiers) == 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The file and the command that closes it are named."""
    path = stored(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))
    path.chmod(mode)
    with pytest.raises(KeyUnusable) as refused:
        ClientKey(path).parameters(client_id=CLIENT_ID, token_endpoint=ENDPOINT)
    assert f"chmod 600 {path}" in refused.value.reason


def test_what_is_no_private_key_is_refused(tmp_path: Path) -> None:
    """Nothing, a text, and a public key; none of them is shown."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for number, content in enumerate([b"", b"password", b"\xff\xfe", pem]):
        path = tmp_path / f"key-{number}"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(KeyUnusable, match="no private") as refused:
            ClientKey(path).parameters(client_id=CLIENT_ID, token_endpoint=ENDPOINT)
        assert "password" not in refused.value.reason
    with pytest.raises(KeyUnusable, match="No such file"):
        ClientKey(tmp_path / "none").parameters(client_id=CLIENT_ID, token_endpoint=ENDPOINT)


def signing(url: str, path: Path, client: HttpClient) -> HttpTokenEndpoint:
    """A token endpoint where we sign."""
    return HttpTokenEndpoint(
        url=url,
        client_id=CLIENT_ID,
        client_auth="private_key_jwt",
        client_key=ClientKey(path),
        clock=FakeClock(),
        http_client=client,
    )


async def test_a_refresh_is_signed(tmp_path: Path, client: HttpClient) -> None:
    """The statement goes beside the parameters of the grant, for this endpoint; nothing else authenticates."""

    def answer(peer: Peer) -> None:
        peer.read_request()
        peer.answer(GRANT, headers="Content-Type: application/json\r\n")

    path = stored(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))
    with RawServer(answer) as server:
        url = f"http://127.0.0.1:{server.port}/token"
        assert isinstance(await signing(url, path, client).refresh(Secret("r")), Granted)
        head, _, body = server.received.partition(b"\r\n\r\n")
    sent = parse_qs(body.decode())
    assert sent.keys() == {
        "grant_type",
        "refresh_token",
        "client_id",
        "client_assertion_type",
        "client_assertion",
    }
    assert json.loads(decoded(sent["client_assertion"][0].split(".")[1]))["aud"] == url
    assert b"authorization" not in head.lower()


async def test_without_its_key_nothing_is_sent(tmp_path: Path, client: HttpClient) -> None:
    """The refresh token is unspent, and the reason says what is wrong with the key."""
    path = stored(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))
    path.chmod(0o644)
    with RawServer(lambda _peer: None) as server:
        outcome = await signing(f"http://127.0.0.1:{server.port}/token", path, client).refresh(Secret("r"))
        assert server.received == b""
    assert isinstance(outcome, NotSent)
    assert "chmod 600" in outcome.reason


async def test_who_must_sign_needs_a_key(client: HttpClient) -> None:
    """An endpoint without one is a defect that is found when it is made."""
    with pytest.raises(ValueError, match="client_key"):
        HttpTokenEndpoint(
            url=ENDPOINT,
            client_id=CLIENT_ID,
            client_auth="private_key_jwt",
            clock=FakeClock(),
            http_client=client,
        )


async def test_every_request_of_a_client_that_signs_is_signed_anew(tmp_path: Path, client: HttpClient) -> None:
    """Each statement is for the token endpoint and has an id of its own; without the key nothing is asked."""
    path = stored(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))
    registration = ProviderRegistration(
        "acme",
        token_endpoint=ENDPOINT,
        revocation_endpoint="http://127.0.0.1:9/revoke",
        client_id=CLIENT_ID,
        client_auth="private_key_jwt",
        client_key=str(path),
    )
    ids = set()
    for _ in range(2):
        headers, body = await client_request(registration, {"device_code": "d"}, as_form=True)
        sent = {name: value for name, (value,) in parse_qs(body.decode()).items()}
        said = json.loads(decoded(sent.pop("client_assertion").split(".")[1]))
        assert sent == {"device_code": "d", "client_id": CLIENT_ID, "client_assertion_type": ASSERTION_TYPE}
        assert (said["iss"], said["sub"], said["aud"]) == (CLIENT_ID, CLIENT_ID, ENDPOINT)
        assert "Authorization" not in headers
        ids.add(said["jti"])
    assert len(ids) == 2
    path.unlink()
    server = Server(registration, LoginRules("Acme"), client, FakeClock())
    for outcome in (
        await server.redeem({"code": "c"}),
        await start_device_login(server, None),
        await revoke(registration, Credential(Kind.OAUTH, Secret("a")), client),
    ):
        assert isinstance(outcome, Refused)
        assert outcome.error == CLIENT_KEY_UNUSABLE
        assert "No such file" in outcome.description
