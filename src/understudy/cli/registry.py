"""Which commands there are, and where: name -> module and one line of help.

A room adds its commands here, one line each; the module is imported when the command is used.
"""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where a command is: `package.module:attribute` of a click command, and its short help."""

    target: str
    help: str


COMMANDS: dict[str, Place] = {
    "serve": Place("understudy.cli.serve:serve", "Run the embedded Kubernetes API server."),
    "sandbox": Place("understudy.cli.sandbox:sandbox", "Fork an embedded server's state."),
}
