"""A store key that is simply there."""

from tokenward.ports import KeyStatus


class OpenCustody:
    """A `ports.Custody` of a store in memory: nothing is locked, and nothing is sealed."""

    def status(self) -> KeyStatus:
        """Where it lies: nowhere."""
        return KeyStatus(place="file", description="memory", key_id="0" * 16, locked=None, note=None)

    def unlock(self) -> bool:
        """It never was locked."""
        return False

    def rekey(self, place: str) -> int:
        """Not asked of it."""
        raise AssertionError(place)
