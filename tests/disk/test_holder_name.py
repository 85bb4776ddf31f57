"""The name under which a host takes leases: kept over its restarts, and no other host's."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fakes.machine import CountingEntropy
from tokenward.disk.holder_name import FILE_NAME, holder_name
from tokenward.errors import StoreUnavailable


def test_it_is_drawn_once(tmp_path: Path) -> None:
    """After a restart the host knows its own leases; the file is ours alone."""
    entropy = CountingEntropy()
    first = holder_name(tmp_path, "alpha", entropy)
    assert first == "alpha-000000000001"
    assert holder_name(tmp_path, "alpha", entropy) == first
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_a_copied_disk_is_another_host(tmp_path: Path) -> None:
    """The machine's name is part of it, without what could be mistaken for more than a name."""
    entropy = CountingEntropy()
    assert holder_name(tmp_path, "beta again\n", entropy) == "beta-again--000000000001"


@pytest.mark.parametrize("left", [b"", b"000000", b"not hexadecimal\n", b"0" * 64])
def test_what_is_torn_is_drawn_anew(tmp_path: Path, left: bytes) -> None:
    """Half a name is nobody's."""
    (tmp_path / FILE_NAME).write_bytes(left)
    (tmp_path / FILE_NAME).chmod(0o600)
    assert holder_name(tmp_path, "alpha", CountingEntropy()) == "alpha-000000000001"


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    """A name that would be another after a restart is not used."""
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be kept"):
        holder_name(tmp_path, "alpha", CountingEntropy())
