"""Client, daemon and helper must look for the socket in one place: one table holds them all to it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tokenward import helper_ask
from tokenward.core import protocol

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("socket_path_vectors.json").read_text("utf-8"))

each_vector = pytest.mark.parametrize("vector", [pytest.param(each, id=each["name"]) for each in VECTORS])


@each_vector
def test_the_protocol_finds_the_socket(vector: dict[str, Any]) -> None:
    """The shared function gives the path of the table, or lacks HOME where the table says so."""

    def find() -> str:
        return protocol.socket_path(
            vector["environ"], uid=vector["uid"], platform=vector["platform"], is_ours=vector["owned"].__contains__
        )

    if vector["path"] is None:
        with pytest.raises(KeyError):
            find()
    else:
        assert find() == vector["path"]


@each_vector
def test_the_helper_finds_the_same_socket(vector: dict[str, Any]) -> None:
    """The helper's own copy, over bytes, gives the same."""

    def find() -> bytes:
        return helper_ask.socket_path(
            {name.encode(): value.encode() for name, value in vector["environ"].items()},
            uid=vector["uid"],
            platform=vector["platform"],
            is_ours=lambda directory: directory.decode() in vector["owned"],
        )

    if vector["path"] is None:
        with pytest.raises(KeyError):
            find()
    else:
        assert find() == vector["path"].encode()


def test_the_directory_asked_for_is_only_the_users_own() -> None:
    """Neither copy asks about a directory but /run/user/UID, and neither where it does not matter."""
    asked: list[str] = []

    def note(directory: str) -> bool:
        asked.append(directory)
        return False

    environ = {"HOME": "/home/me"}
    protocol.socket_path(environ, uid=5, platform="linux", is_ours=note)
    protocol.socket_path(environ, uid=5, platform="darwin", is_ours=note)
    protocol.socket_path({"TOKENWARD_SOCKET": "/s"}, uid=5, platform="linux", is_ours=note)
    assert asked == ["/run/user/5"]
