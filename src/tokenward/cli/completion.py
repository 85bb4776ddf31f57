"""``tokenward completion``: what a shell needs to complete commands, arguments and the names of profiles."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers

SHELLS = ("bash", "zsh", "fish")


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "completion",
        "print the completions of a shell",
        run=run,
        example='eval "$(tokenward completion bash)"',
        about="Names of profiles are asked of the daemon while you type. To keep them: the line below in "
        "~/.bashrc; for zsh, a file _tokenward in a directory of $fpath; for fish, a file tokenward.fish in "
        "~/.config/fish/completions.",
    )
    parser.add_argument("shell", choices=SHELLS, help="which shell's")


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from tokenward.cli.command_tree import command_tree
    from tokenward.cli.completion_scripts import script
    from tokenward.cli.main import whole_parser

    print(script(arguments.shell, command_tree(whole_parser())), end="")
    return output.OK
