"""What hosts share is sealed by keys that they were given, and by none that the others cannot know."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from contracts.place import oauth_credential
from fakes.machine import CountingEntropy
from tokenward.core.sharing import SealedValue
from tokenward.errors import ConfigurationFault, StoreUnavailable
from tokenward.ports.sharing import SharedStoreAway
from tokenward.stores.key_ring import key_id_of
from tokenward.stores.shared_keys import (
    REREAD_SECONDS,
    KeyCommand,
    KeyCredential,
    KeyFile,
    SharedKeys,
    key_document,
)

ME = "acme:me"
OLD, NEW = b"o" * 32, b"n" * 32


class _Document:
    description = "a document of the test"

    def __init__(self, *keys: bytes) -> None:
        self.keys: Sequence[bytes] | Exception = keys
        self.reads = 0

    def read(self) -> Sequence[bytes]:
        self.reads += 1
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys


class _Rig:
    def __init__(self, *keys: bytes, current: bytes = OLD) -> None:
        self.now = 0.0
        self.current = current
        self.asked = 0
        self.document = _Document(*keys)
        self.keys = SharedKeys(self.document, CountingEntropy(), self._current, monotonic=lambda: self.now)

    def _current(self) -> str:
        self.asked += 1
        return key_id_of(self.current)


def test_what_one_host_seals_another_opens() -> None:
    """With the same key; what goes to the engine holds none of the tokens, and names the key."""
    value = _Rig(OLD).keys.seal(ME, oauth_credential(), None)
    assert value.generation == oauth_credential().generation
    assert value.key_id == key_id_of(OLD)
    assert b"sk-ant" not in value.sealed
    assert _Rig(OLD).keys.unseal(ME, value) == oauth_credential()


def test_a_value_cannot_be_passed_off_as_another() -> None:
    """Not as another profile's, and not as another generation."""
    rig = _Rig(OLD)
    value = rig.keys.seal(ME, oauth_credential(), None)
    with pytest.raises(StoreUnavailable):
        rig.keys.unseal("acme:you", value)
    with pytest.raises(StoreUnavailable):
        rig.keys.unseal(ME, SealedValue("another", value.key_id, value.sealed))


def test_a_successor_is_sealed_by_the_key_of_what_it_replaces() -> None:
    """Whichever key is in force, and without a question to the engine after a token endpoint's answer."""
    rig = _Rig(OLD, NEW, current=NEW)
    there = _Rig(OLD).keys.seal(ME, oauth_credential(1), None)
    value = rig.keys.seal(ME, oauth_credential(2), there)
    assert value.key_id == key_id_of(OLD)
    assert rig.asked == 0
    assert rig.keys.seal(ME, oauth_credential(3), None).key_id == key_id_of(NEW)
    assert rig.asked == 1


def test_a_first_value_under_a_key_that_we_have_not_is_refused() -> None:
    """It names the key and where it belongs, and seals with no other."""
    rig = _Rig(OLD, current=NEW)
    with pytest.raises(StoreUnavailable) as caught:
        rig.keys.seal(ME, oauth_credential(), None)
    assert key_id_of(NEW) in caught.value.cause
    assert "a document of the test" in caught.value.hint


def test_an_engine_that_does_not_answer_is_told_as_it_is() -> None:
    """A first value waits for it."""

    def away() -> str:
        raise SharedStoreAway("it is away")

    with pytest.raises(SharedStoreAway):
        SharedKeys(_Document(OLD), CountingEntropy(), away).seal(ME, oauth_credential(), None)


def test_a_key_that_arrives_is_found_without_a_restart() -> None:
    """An unknown key has the document read again, but not at every question."""
    rig = _Rig(OLD)
    value = _Rig(NEW, current=NEW).keys.seal(ME, oauth_credential(), None)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match=key_id_of(NEW)):
            rig.keys.unseal(ME, value)
    assert rig.document.reads == 1
    rig.document.keys = (OLD, NEW)
    rig.now += REREAD_SECONDS
    assert rig.keys.unseal(ME, value) == oauth_credential()
    assert set(rig.keys.key_ids()) == {key_id_of(OLD), key_id_of(NEW)}


def test_a_document_that_fails_later_takes_no_key_away() -> None:
    """A KMS that does not answer for a while changes nothing for what was sealed before."""
    rig = _Rig(OLD)
    value = rig.keys.seal(ME, oauth_credential(), None)
    rig.document.keys = StoreUnavailable("the KMS is away")
    rig.now += REREAD_SECONDS
    assert rig.keys.key_ids() == (key_id_of(OLD),)
    assert rig.keys.unseal(ME, value) == oauth_credential()


def test_without_any_key_it_says_why() -> None:
    """The document's own cause and hint; and it has no names to tell."""
    rig = _Rig()
    rig.document.keys = ConfigurationFault("the file is open to others", hint="chmod 600")
    assert rig.keys.key_ids() == ()
    with pytest.raises(StoreUnavailable) as caught:
        rig.keys.seal(ME, oauth_credential(), None)
    assert (caught.value.cause, caught.value.hint) == ("the file is open to others", "chmod 600")


def test_a_value_is_sealed_again_under_another_key() -> None:
    """The same credential and generation."""
    rig = _Rig(OLD, NEW)
    value = rig.keys.seal(ME, oauth_credential(), None)
    again = rig.keys.seal_again(ME, value, key_id_of(NEW))
    assert (again.generation, again.key_id) == (value.generation, key_id_of(NEW))
    assert _Rig(NEW).keys.unseal(ME, again) == oauth_credential()


class TestKeyFile:
    def test_it_is_written_for_us_alone_and_read_back(self, tmp_path: Path) -> None:
        """Mode 0600, one key a line; written anew it holds what was said last."""
        file = KeyFile(tmp_path / "state" / "fleet.key")
        for keys in ([OLD], [OLD, NEW]):
            file.write(keys)
            assert file.path.stat().st_mode & 0o777 == 0o600
            assert file.read() == keys
        assert file.path.read_text() == f"{OLD.hex()}\n{NEW.hex()}\n"

    def test_one_that_is_missing_is_not_made(self, tmp_path: Path) -> None:
        """It belongs to the fleet; the hint says where it comes from."""
        with pytest.raises(StoreUnavailable) as caught:
            KeyFile(tmp_path / "fleet.key").read()
        assert "fleet init" in caught.value.hint
        assert not list(tmp_path.iterdir())

    def test_one_that_others_may_read_is_refused(self, tmp_path: Path) -> None:
        """A key that others could have read is no key."""
        file = KeyFile(tmp_path / "fleet.key")
        file.write([OLD])
        file.path.chmod(0o640)
        with pytest.raises(ConfigurationFault, match="open to others"):
            file.read()

    @pytest.mark.skipif(os.geteuid() != 0, reason="makes files of root's")
    @pytest.mark.parametrize(("mode", "taken"), [(0o440, True), (0o640, True), (0o444, False), (0o660, False)])
    def test_one_that_root_put_there_for_our_group_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, mode: int, taken: bool
    ) -> None:
        """As a secret that is mounted into a pod, behind a symbolic link; not if others may read it."""
        monkeypatch.setattr("tokenward.stores.shared_keys.geteuid", lambda: 1000)
        monkeypatch.setattr("tokenward.stores.key_ring.geteuid", lambda: 1000)
        there = KeyFile(tmp_path / "..data")
        there.write([OLD])
        there.path.chmod(mode)
        link = tmp_path / "fleet.key"
        link.symlink_to(there.path)
        if taken:
            assert KeyFile(link).read() == [OLD]
        else:
            with pytest.raises(ConfigurationFault):
                KeyFile(link).read()

    @pytest.mark.parametrize("text", ["", "\n\n", "zz\n", OLD.hex()[:-1], f"{OLD.hex()} {NEW.hex()}", "\xff"])
    def test_one_that_holds_something_else_is_refused_and_not_quoted(self, tmp_path: Path, text: str) -> None:
        """Half a key is a key to somebody."""
        path = tmp_path / "fleet.key"
        path.write_text(text, encoding="latin-1")
        path.chmod(0o600)
        with pytest.raises(ConfigurationFault) as caught:
            KeyFile(path).read()
        assert OLD.hex()[:8] not in f"{caught.value} {caught.value.hint}"


def test_the_systemd_credential_is_read(tmp_path: Path) -> None:
    """Where systemd puts it; outside of a service it says so."""
    (tmp_path / "tokenward-fleet-key").write_text(f"{OLD.hex()}\n")
    assert KeyCredential(str(tmp_path)).read() == [OLD]
    for wrong in (KeyCredential(None), KeyCredential(str(tmp_path / "nowhere"))):
        with pytest.raises(StoreUnavailable) as caught:
            wrong.read()
        assert "LoadCredential=tokenward-fleet-key" in caught.value.hint


def test_a_command_prints_the_keys(tmp_path: Path) -> None:
    """With the environment it is given and no other; what it prints besides goes nowhere."""
    script = tmp_path / "kms"
    script.write_text('#!/bin/sh\necho "$KEYS"; echo oops >&2\n')
    script.chmod(0o700)
    assert KeyCommand([str(script)], {"KEYS": f"{OLD.hex()}\n{NEW.hex()}"}).read() == [OLD, NEW]


@pytest.mark.parametrize("command", [["/bin/false"], ["/nowhere/kms"], ["/bin/echo", "a secret"]])
def test_a_command_that_fails_is_told_without_what_it_printed(command: list[str]) -> None:
    """Its name and its status."""
    with pytest.raises((StoreUnavailable, ConfigurationFault)) as caught:
        KeyCommand(command, dict(os.environ)).read()
    assert Path(command[0]).name in caught.value.cause
    assert "secret" not in caught.value.cause


def test_the_document_is_where_the_configuration_says(tmp_path: Path) -> None:
    """A file, the credential, a command; a command that is not named is a fault of the configuration."""

    def document(where: str, *command: str) -> object:
        return key_document(where, file=tmp_path / "k", credentials="/creds", command=command, command_environ={})

    assert isinstance(document("file"), KeyFile)
    assert isinstance(document("systemd"), KeyCredential)
    assert isinstance(document("command", "kms"), KeyCommand)
    with pytest.raises(ConfigurationFault, match="shared_key"):
        document("command")
