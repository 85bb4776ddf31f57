"""Can the key of our own store be had: the file, the keyring, the credential?"""

from __future__ import annotations

from tokenward.checks.finding import CheckContext, Finding

NAME = "store key"
_WAYS = {
    "keyring": "unlock it, or start the keyring of your session; then run: tokenward store status",
    "file": "restore it from a backup, then run: tokenward store status",
}


def check(context: CheckContext) -> list[Finding]:
    """Where the key lies, and why it cannot be used."""
    key = context.store
    if key is None:
        return []
    if key.locked is not None:
        way = _WAYS.get(key.place, "unlock it, then run: tokenward store status")
        consequence = "nothing in tokenward's own store can be served; other logins are not touched by this"
        return [Finding(NAME, "fail", key.locked, way, consequence)]
    if key.note is not None:
        return [Finding(NAME, "warn", key.note, "see: tokenward store status", "a change of key has not ended")]
    return [Finding(NAME, "ok", f"{key.place}: {key.description}")]
