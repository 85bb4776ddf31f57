"""The HTTP token endpoint mints as RFC 7523 has it, and so does the one that other tests stand on."""

from collections.abc import Iterator

import pytest

from contracts.mint_endpoint import TRUSTED, MintEndpointContract
from fakes.machine import FakeClock
from fakes.scripted_minting import ScriptedMint
from tokenward.core.grants import Ambiguous, Condemned, NotSent, Unavailable
from tokenward.http import HttpClient
from tokenward.oauth.token_endpoint import HttpTokenEndpoint
from tokenward.sandbox import LOST_ANSWER, Fault, Sandbox


class _SandboxRig:
    def __init__(self, sandbox: Sandbox, client: HttpClient) -> None:
        self._sandbox = sandbox
        sandbox.trust_assertion(TRUSTED.reveal())
        self.endpoint = HttpTokenEndpoint(
            url=sandbox.token_endpoint,
            client_id="",
            body="json",
            mint_parameters={"federation_rule_id": "fdrl_1"},
            clock=FakeClock(),
            http_client=client,
        )

    def distrust(self) -> None:
        """It trusts one only."""

    def overload(self, retry_after: float) -> None:
        fault = Fault(status=429, body={"error": "rate_limited"}, retry_after=int(retry_after))
        self._sandbox.faults.next("token", fault)

    def lose_the_next_answer(self) -> None:
        self._sandbox.faults.next("token", LOST_ANSWER)

    def go_away(self) -> None:
        self._sandbox.stop()


class TestHttpTokenEndpoint(MintEndpointContract):
    @pytest.fixture
    def rig(self, client: HttpClient) -> Iterator[_SandboxRig]:
        """The real adapter against the sandbox."""
        with Sandbox() as sandbox:
            yield _SandboxRig(sandbox, client)


class _ScriptedRig:
    def __init__(self) -> None:
        self.endpoint = ScriptedMint()

    def distrust(self) -> None:
        self.endpoint.next(Condemned("invalid_grant", ""))

    def overload(self, retry_after: float) -> None:
        self.endpoint.next(Unavailable("HTTP 429 rate_limited", retry_after))

    def lose_the_next_answer(self) -> None:
        self.endpoint.next(Ambiguous("the answer was lost"))

    def go_away(self) -> None:
        self.endpoint.next(NotSent("not reached"))


class TestScriptedMint(MintEndpointContract):
    @pytest.fixture
    def rig(self) -> _ScriptedRig:
        """The fake."""
        return _ScriptedRig()
