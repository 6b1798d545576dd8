"""The `understudy` command: a group whose commands are loaded when they are used.

Other rooms add commands in `COMMANDS`; nothing of theirs is imported before somebody asks for
them, so that `understudy serve` starts fast.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from understudy.cli import registry


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(registry.COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None where there is none of that name."""
        place = registry.COMMANDS.get(cmd_name)
        if place is None:
            return None
        module_name, _, attribute = place.target.partition(":")
        command = getattr(importlib.import_module(module_name), attribute)
        assert isinstance(command, click.Command), f"{place.target} is no click command"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the registry, without importing any of them."""
        rows = [(name, registry.COMMANDS[name].help) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="understudy", prog_name="understudy")
def cli() -> None:
    """Rehearse a change to Kubernetes before the cluster feels it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits the process."""
    cli.main(args=list(arguments) if arguments is not None else None, prog_name="understudy")


if __name__ == "__main__":
    main(sys.argv[1:])
