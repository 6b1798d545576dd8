"""The directory of an app's file, for clusters that run pods as processes of this machine.

There an image's own directory does not exist; what lies beside the app's file stands in for it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

from understudy.apps import records
from understudy.client import protocol
from understudy.kube import objects, statuses

PROCESSES: Final = "understudy.dev/processes=true"
"""Selects nodes whose pods are processes."""


async def at_home(client: protocol.Client, wanted: records.App, directory: Path) -> records.App:
    """Let containers with a command start in a directory, where the cluster runs processes.

    The directory is absolute. A workingDir that the app's file names is kept. Whoever may not read
    nodes gets the app as it is.
    """
    spec = wanted.spec
    if spec is None:
        return wanted
    try:
        nodes = await client.list("nodes", label_selector=PROCESSES, limit=1)
    except statuses.ForbiddenError:
        return wanted
    if not nodes.items:
        return wanted
    home = str(directory)
    container, pod = spec.container, spec.pod
    if container is not None and container.command and not container.working_dir:
        container = dataclasses.replace(container, working_dir=home)
    if pod is not None and isinstance(pod.pod_spec, dict):
        pod = dataclasses.replace(pod, pod_spec=_at_home(pod.pod_spec, home))
    return dataclasses.replace(wanted, spec=dataclasses.replace(spec, container=container, pod=pod))


def _at_home(pod: objects.Object, home: str) -> objects.Object:
    found: objects.Object = objects.copy(pod)
    for field in ("initContainers", "containers"):
        listed = found.get(field)
        for one in listed if isinstance(listed, list) else ():
            if isinstance(one, dict) and one.get("command"):
                one.setdefault("workingDir", home)
    return found
