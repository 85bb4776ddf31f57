"""How one daemon is started: the environment, with what the command line says laid over it."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

from tokenward import config, paths
from tokenward.config import LoadedConfig


class Options:
    """How one daemon is started.

    Args:
        environ: the environment; what the command line says of state and socket is laid over it.
        config_file: what ``--config`` named.
        state_dir: what ``--state-dir`` named.
        socket_file: what ``--socket`` named.
    """

    def __init__(
        self,
        environ: MutableMapping[str, str],
        *,
        config_file: Path | None = None,
        state_dir: Path | None = None,
        socket_file: Path | None = None,
    ) -> None:
        self.environ = environ
        if state_dir is not None:
            environ["TOKENWARD_STATE_DIR"] = str(state_dir.absolute())
        if socket_file is not None:
            environ["TOKENWARD_SOCKET"] = str(socket_file.absolute())
        self.config_file = config_file
        self.paths = paths.resolve(environ, uid=os.getuid(), platform=sys.platform)

    def load(self, *, apart: bool = False) -> LoadedConfig:
        """The configuration file as it is now.

        Args:
            apart: whether it is checked in a child of this process, which has no threads yet.

        Raises:
            ConfigurationFault: if it is wrong.
        """
        return config.load(self.config_file, self.environ, uid=os.getuid(), platform=sys.platform, apart=apart)
