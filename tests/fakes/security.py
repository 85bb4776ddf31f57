"""``/usr/bin/security`` of macOS as far as it is used here: a program of one file, and a Keychain of one item.

It prints what the real one prints: the attributes of an item, or with ``-w`` its secret and a line feed, as
hexadecimal digits where the secret is not ASCII; 44 says that there is no such item, 36 that nobody may be asked
to open the Keychain. What it was asked is kept, so that a test can count.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

_PROGRAM = """\
#!{python} -IS
import json, os, sys, time
here = {here!r}
with open(here + "/asked", "a") as asked:
    asked.write(json.dumps([sys.argv[1:], sorted(os.environ)]) + "\\n")
with open(here + "/keychain.json") as kept:
    keychain = json.load(kept)
if keychain["hangs"]:
    time.sleep(60)
words = sys.argv[1:]
named = dict(zip(words[1::2], words[2::2]))
item = keychain["item"]
if words[0] != "find-generic-password" or item is None or [named["-s"], named["-a"]] != item["name"]:
    sys.stderr.write("security: The specified item could not be found in the keychain.\\n")
    sys.exit(44)
if "-w" not in words:
    date = item["modified"]
    print('keychain: "/Users/me/Library/Keychains/login.keychain-db"')
    print('version: 512\\nclass: "genp"\\nattributes:')
    print('    "acct"<blob>="' + item["name"][1] + '"')
    print('    "mdat"<timedate>=0x' + (date + chr(0)).encode().hex().upper() + '  "' + date + '\\\\000"')
    print('    "svce"<blob>="' + item["name"][0] + '"')
elif keychain["status"]:
    sys.exit(keychain["status"])
else:
    secret = item["secret"]
    print(secret if secret.isascii() else secret.encode().hex())
"""


class FakeSecurity:
    """The program, and the hands of whoever writes the Keychain.

    Args:
        directory: where the program and its Keychain lie.
        service: the item's service.
        account: the item's account.
    """

    def __init__(self, directory: Path, *, service: str = "Claude Code-credentials", account: str = "me") -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self._name = [service, account]
        self._state: dict[str, Any] = {"item": None, "status": 0, "hangs": False}
        self.program = directory / "security"
        self.program.write_text(_PROGRAM.format(python=os.path.realpath(sys.executable), here=str(directory)))
        self.program.chmod(0o700)
        self._save()

    def put(self, secret: str, modified: datetime) -> None:
        """Somebody writes the item at this moment."""
        date = modified.strftime("%Y%m%d%H%M%SZ")
        self._state["item"] = {"name": self._name, "secret": secret, "modified": date}
        self._save()

    def remove(self) -> None:
        """Somebody deletes the item."""
        self._state["item"] = None
        self._save()

    def refuse(self, status: int) -> None:
        """Give no secret from now on, with this exit status; 0 = give it again."""
        self._state["status"] = status
        self._save()

    def hang(self) -> None:
        """Show a dialog that nobody answers, from now on."""
        self._state["hangs"] = True
        self._save()

    @property
    def asked(self) -> list[tuple[list[str], list[str]]]:
        """The arguments and the names of the variables of each run."""
        path = self._directory / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(words, names) for words, names in map(json.loads, lines)]

    @property
    def secrets_given(self) -> int:
        """How often the secret was asked for."""
        return sum("-w" in words for words, _ in self.asked)

    def _save(self) -> None:
        (self._directory / "keychain.json").write_text(json.dumps(self._state))
