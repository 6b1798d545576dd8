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
    "up": Place("understudy.cli.up:up", "Run a whole cluster here, apps and their URLs included."),
    "sandbox": Place("understudy.cli.sandbox:sandbox", "Fork an embedded server's state."),
    "app": Place("understudy.cli.apps:app", "Deploy and look after web apps (Knative)."),
    "diff": Place("understudy.cli.sandbox:diff_between", "Compare two revisions of a view."),
    "export": Place("understudy.cli.transfer:export", "Write a cluster's objects as manifests."),
    "import": Place("understudy.cli.transfer:import_", "Apply the manifests of a file."),
    "plan": Place("understudy.cli.delivery:plan", "Rehearse a delivery; change nothing."),
    "deliver": Place("understudy.cli.delivery:deliver", "Rehearse, ask, and deliver."),
    "rollback": Place("understudy.cli.delivery:rollback", "Deliver an old revision again."),
    "delete": Place("understudy.cli.delivery:delete", "Delete an application."),
    "history": Place("understudy.cli.delivery:history", "Show an application's revisions."),
    "status": Place("understudy.cli.delivery:status", "Show an application's objects."),
    "list": Place("understudy.cli.delivery:list_", "Show the applications."),
    "drift": Place("understudy.cli.delivery:drift", "Show what differs from the revision."),
    "hub": Place("understudy.cli.hub:hub", "Run a hub that clusters are reached through."),
    "agent": Place("understudy.cli.agent:agent", "Connect a cluster to a hub."),
    "clusters": Place("understudy.cli.clusters:clusters", "Show the instances of a hub."),
    "watch": Place("understudy.cli.watching:watch", "Look for drift again and again; correct it."),
}
