"""Each place in which the store's key can lie keeps it, gives it back, and never mistakes locked for absent."""

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keyring.backends.chainer
import keyring.backends.fail
import keyring.backends.null
import keyring.backends.SecretService
import pytest

from contracts.key_place import KeyPlaceContract
from fakes.keyring_backend import FakeKeyring
from fakes.machine import CountingEntropy
from tokenward.daemon.machine import SystemEntropy
from tokenward.errors import ConfigurationFault, StoreUnavailable
from tokenward.ports import KeyPlace
from tokenward.stores.key_files import WRAPPED_KEY_FILE, FileKeyPlace, PassphraseKeyPlace
from tokenward.stores.key_ring import KEY_BYTES, KEY_FILE, key_id_of
from tokenward.stores.keyring_key import KeyringKeyPlace, admitted
from tokenward.stores.passphrase import PassphraseSource
from tokenward.stores.systemd_key import CREDENTIAL, SystemdKeyPlace

CHEAP = 2  # scrypt's N where what it costs is not the question
PASSPHRASE = "correct horse"


def wrapped_in(directory: Path, passphrase: str = PASSPHRASE) -> PassphraseKeyPlace:
    """A wrapped key's place, with somebody who knows a passphrase."""
    return PassphraseKeyPlace(directory, SystemEntropy(), lambda _: passphrase, cost=CHEAP)


class TestFile(KeyPlaceContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> KeyPlace:
        """An empty directory."""
        self.directory = tmp_path
        return FileKeyPlace(tmp_path, SystemEntropy())

    def again(self, place: KeyPlace) -> KeyPlace:
        """The same directory."""
        return FileKeyPlace(self.directory, SystemEntropy())

    def test_files_are_private_and_the_plain_name_is_that_of_the_key_in_use(self, place: KeyPlace) -> None:
        """0600 from the first moment; after a change no other file is left."""
        old, new = place.make(), place.make()
        modes = {stat.S_IMODE(path.stat().st_mode) for path in self.directory.iterdir()}
        assert modes == {0o600}
        place.retire(key_id_of(old), key_id_of(new))
        assert [path.name for path in self.directory.iterdir()] == [KEY_FILE]
        assert (self.directory / KEY_FILE).read_bytes() == new

    def test_a_key_that_others_may_read_is_refused(self, place: KeyPlace) -> None:
        """So is one of a wrong size; nothing is changed."""
        place.make()
        path = self.directory / KEY_FILE
        path.chmod(0o640)
        with pytest.raises(ConfigurationFault, match="open to others"):
            place.find(None)
        path.write_bytes(b"short")
        path.chmod(0o600)
        with pytest.raises(ConfigurationFault, match="5 bytes instead of 32"):
            place.find(None)
        assert path.read_bytes() == b"short"


class TestPassphrase(KeyPlaceContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> KeyPlace:
        """An empty directory."""
        self.directory = tmp_path
        return wrapped_in(tmp_path)

    def again(self, place: KeyPlace) -> KeyPlace:
        """The same directory."""
        return wrapped_in(self.directory)

    def test_the_key_is_not_in_the_file(self, place: KeyPlace) -> None:
        """Neither as bytes nor as text; the parameters of scrypt are, and the file is private."""
        key = place.make()
        path = self.directory / WRAPPED_KEY_FILE
        document = json.loads(path.read_text())
        assert key not in path.read_bytes()
        assert key.hex() not in path.read_text()
        assert document["kdf"].keys() == {"name", "n", "r", "p", "salt"}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_what_was_made_is_read_back_without_asking_again(self, place: KeyPlace) -> None:
        """Once, to prove that the file opens; whoever comes later has to know the passphrase."""
        asked: list[bool] = []

        def ask(new: bool) -> str:  # noqa: FBT001 - as PassphraseSource
            asked.append(new)
            return PASSPHRASE

        place = PassphraseKeyPlace(self.directory, SystemEntropy(), ask, cost=CHEAP)
        key = place.make()
        assert place.find(key_id_of(key)) == key
        assert asked == [True]
        assert place.find(key_id_of(key)) == key
        assert asked == [True, False]

    def test_a_wrong_passphrase_is_locked(self, place: KeyPlace) -> None:
        """It is neither absence nor damage."""
        key = place.make()
        with pytest.raises(StoreUnavailable, match="this passphrase does not open"):
            wrapped_in(self.directory, "wrong").find(key_id_of(key))

    @pytest.mark.parametrize(
        ("where", "value"), [("n", 2**40), ("n", 3), ("r", 10**9), ("name", "md5"), ("salt", 7), ("n", None)]
    )
    def test_parameters_that_nobody_would_choose_are_refused(
        self, place: KeyPlace, where: str, value: Any
    ) -> None:
        """A file that somebody changed takes neither all memory nor a weaker function."""
        place.make()
        path = self.directory / WRAPPED_KEY_FILE
        document = json.loads(path.read_text())
        document["kdf"][where] = value
        path.write_text(json.dumps(document))
        with pytest.raises(ConfigurationFault, match="not a wrapped key"):
            place.find(None)

    def test_default_parameters_are_those_recommended(self, tmp_path: Path) -> None:
        """N = 2^17, r = 8, p = 1; such a file opens again."""
        place = PassphraseKeyPlace(tmp_path, SystemEntropy(), lambda _: PASSPHRASE)
        key = place.make()
        kdf = json.loads((tmp_path / WRAPPED_KEY_FILE).read_text())["kdf"]
        assert (kdf["n"], kdf["r"], kdf["p"]) == (131072, 8, 1)
        assert place.find(key_id_of(key)) == key


class TestPassphraseSource:
    """Where the passphrase comes from."""

    def source(self, credentials: Path | None, *askpass: str) -> PassphraseSource:
        """A source without a terminal: the tests that use it need none."""
        return PassphraseSource(str(credentials) if credentials else None, askpass, {"PATH": os.environ["PATH"]})

    def test_a_systemd_credential_comes_first(self, tmp_path: Path) -> None:
        """The command is not even run; a line's end is no part of it."""
        (tmp_path / "tokenward-passphrase").write_text("from systemd\n")
        assert self.source(tmp_path, "/bin/false")(False) == "from systemd"

    def test_a_command_is_asked_next(self, tmp_path: Path) -> None:
        """Its first line counts; it sees nothing of our environment."""
        program = "import os; print(sorted(os.environ)); print('more')"
        answer = self.source(tmp_path, sys.executable, "-I", "-c", program)(False)
        assert set(json.loads(answer.replace("'", '"'))) <= {"PATH", "LC_CTYPE"}

    def test_a_command_that_fails_is_locked(self) -> None:
        """Its status is named, its output is not shown; a command that is not there is the same."""
        with pytest.raises(StoreUnavailable, match="ended with status 1"):
            self.source(None, "/bin/false")(False)
        with pytest.raises(StoreUnavailable, match="FileNotFoundError"):
            self.source(None, "/nowhere/askpass")(False)

    def test_without_anybody_to_ask_it_is_locked(self) -> None:
        """A process without a terminal gets an error that says what to do, and does not hang."""
        program = (
            "from tokenward.stores.passphrase import PassphraseSource\n"
            "from tokenward.errors import StoreUnavailable\n"
            "try: PassphraseSource(None, (), {})(False)\n"
            "except StoreUnavailable as fault: print(fault.hint)\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program],
            check=True, capture_output=True, text=True, timeout=60, start_new_session=True,
        )  # fmt: skip
        assert "[store] askpass" in ran.stdout


class TestSystemd:
    """A key that systemd hands over."""

    @pytest.mark.parametrize("form", ["raw", "hex", "hex and a line's end"])
    def test_raw_and_hexadecimal_keys_are_taken(self, tmp_path: Path, form: str) -> None:
        """32 bytes, or what `openssl rand -hex 32` prints."""
        key = CountingEntropy(drawn=7).token(KEY_BYTES)
        forms = {"raw": key, "hex": key.hex().encode(), "hex and a line's end": key.hex().encode() + b"\n"}
        (tmp_path / CREDENTIAL).write_bytes(forms[form])
        place = SystemdKeyPlace(str(tmp_path))
        assert place.make() == place.find(None) == place.find(key_id_of(key)) == key
        assert place.find("0" * 16) is None

    def test_outside_of_the_service_it_is_locked_and_not_absent(self, tmp_path: Path) -> None:
        """Without the directory or the credential nobody can say that there is no key."""
        for place in (SystemdKeyPlace(None), SystemdKeyPlace(str(tmp_path))):
            with pytest.raises(StoreUnavailable) as caught:
                place.find(None)
            assert "LoadCredential=tokenward-key:" in caught.value.hint

    def test_another_size_is_refused(self, tmp_path: Path) -> None:
        """A passphrase is no key."""
        (tmp_path / CREDENTIAL).write_bytes(b"hunter2")
        with pytest.raises(ConfigurationFault, match="has 7 bytes"):
            SystemdKeyPlace(str(tmp_path)).find(None)

    def test_it_is_left_to_its_owner(self, tmp_path: Path) -> None:
        """We never remove it."""
        (tmp_path / CREDENTIAL).write_bytes(bytes(32))
        SystemdKeyPlace(str(tmp_path)).retire(key_id_of(bytes(32)), None)
        assert (tmp_path / CREDENTIAL).exists()


class TestKeyring(KeyPlaceContract):
    @pytest.fixture
    def place(self) -> KeyPlace:
        """A keyring in memory."""
        self.backend = FakeKeyring()
        return self.again(None)

    def again(self, place: KeyPlace | None, patience: float = 30.0) -> KeyringKeyPlace:
        """The same keyring."""
        return KeyringKeyPlace(SystemEntropy(), backend=lambda: self.backend, patience=patience)

    def test_locked_is_not_absent(self, place: KeyPlace) -> None:
        """Whatever is asked of a locked keyring, it is unavailable, and nothing is made."""
        key = place.make()
        self.backend.locked = True
        questions: tuple[Callable[[], object], ...] = (
            lambda: place.find(None),
            lambda: place.find(key_id_of(key)),
            place.make,
            lambda: place.retire(key_id_of(key), None),
        )
        for ask in questions:
            with pytest.raises(StoreUnavailable, match="keyring is locked"):
                ask()
        self.backend.locked = False
        assert place.find(key_id_of(key)) == key
        assert len(self.backend.items) == 1

    def test_a_keyring_that_waits_for_a_person_is_locked(self) -> None:
        """The wait ends by itself, and while the dialog is open nobody asks a second time."""
        self.backend = FakeKeyring()
        self.backend.silent = threading.Event()
        place = self.again(None, patience=0.05)
        with pytest.raises(StoreUnavailable, match="has not answered in"):
            place.find("0" * 16)
        with pytest.raises(StoreUnavailable, match="an earlier question"):
            place.find("0" * 16)
        assert self.backend.asked == 1
        self.backend.silent.set()

    def test_only_the_key_is_kept_there(self, place: KeyPlace) -> None:
        """One item of 32 bytes, named by the key's id."""
        key = place.make()
        assert self.backend.items == {("tokenward", f"store key {key_id_of(key)}"): key.hex()}

    def test_an_item_that_is_not_the_key_is_refused(self, place: KeyPlace) -> None:
        """Somebody changed it: a person must look, and its text is not shown."""
        key_id = key_id_of(place.make())
        for text in ("", "not hexadecimal", bytes(32).hex()):
            self.backend.items["tokenward", f"store key {key_id}"] = text
            with pytest.raises(ConfigurationFault, match="does not hold that key"):
                place.find(key_id)


# The library's classes have no types: as Any they are called without a word from mypy.
null_keyring: Any = keyring.backends.null.Keyring
no_keyring: Any = keyring.backends.fail.Keyring
secret_service: Any = keyring.backends.SecretService.Keyring
a_chain: Any = keyring.backends.chainer.ChainerBackend


class PlaintextKeyring(FakeKeyring):
    """As `keyrings.alt.file.PlaintextKeyring`: what a careless installation selects."""


class TestAdmission:
    """Back ends are admitted by class."""

    def test_null_and_plaintext_are_refused(self) -> None:
        """The class is named, so that it can be found and removed."""
        for backend in (null_keyring(), PlaintextKeyring()):
            with pytest.raises(ConfigurationFault, match=type(backend).__qualname__):
                admitted(backend)

    def test_none_at_all_is_unavailable(self) -> None:
        """What the library calls fail means that no keyring was found, now and from here."""
        with pytest.raises(StoreUnavailable, match="no system keyring answers"):
            admitted(no_keyring())

    def test_a_chain_is_as_good_as_its_worst_link(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With a plaintext link it is refused; else its first link is used, and never the chain."""
        good = secret_service()
        chain = a_chain()
        monkeypatch.setattr(keyring.backends.chainer.ChainerBackend, "backends", [good, PlaintextKeyring()])
        with pytest.raises(ConfigurationFault, match="PlaintextKeyring"):
            admitted(chain)
        monkeypatch.setattr(keyring.backends.chainer.ChainerBackend, "backends", [good])
        assert admitted(chain) is good

    def test_the_secret_service_is_admitted(self) -> None:
        """The back end of a Linux desktop."""
        backend = secret_service()
        assert admitted(backend) is backend

    def test_the_library_is_imported_only_when_asked(self) -> None:
        """Start-up time is a feature: a store with a key file never pays for the keyring."""
        program = "import sys, tokenward.daemon.app; print('keyring' in sys.modules, 'pyrage' in sys.modules)"
        ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        assert ran.stdout.split() == ["False", "False"]
