"""What a container is started with: command, environment, directory, user, limits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from understudy.controllers.runtime.processes import environments, folders, supervisors, volumes
from understudy.kube import objects, quantities

NICE_UNASKED: Final = 5
"""Added to the priority of containers that request no CPU, so that those that do come first."""


class CreateContainerError(Exception):
    """A container that cannot be a process; the message says why and what would help."""


def launch_for(
    pod: objects.Object,
    container: objects.Object,
    around: environments.Surroundings,
    kept: folders.Folders,
    mounts: Sequence[tuple[str, str, bool]] = (),
) -> supervisors.Launch:
    """Return what to start, with `mounts` at their paths.

    Raises:
        ContainerConfigError: Something that the environment refers to is not there.
        CreateContainerError: It cannot be a process on this machine.
    """
    variables = environments.environment(pod, container, around)
    argv = environments.command_line(container, variables)
    if not argv:
        raise CreateContainerError(
            f"images are not pulled here, so what {container.get('image')} would run is not known: "
            "give the container a command"
        )
    if any("\0" in word for word in (*argv, *variables, *variables.values())):
        raise CreateContainerError("command and environment must not contain a null character")
    uid, gid = _user(pod, container)
    limits = (container.get("resources") or {}).get("limits") or {}
    requests = (container.get("resources") or {}).get("requests") or {}
    return supervisors.Launch(
        argv=argv,
        env=variables,
        cwd=str(_directory(pod, container, kept, is_mounted=bool(mounts))),
        mounts=mounts,
        empty=str(kept.empty),
        uid=uid,
        gid=gid,
        nice=0 if requests.get("cpu") else NICE_UNASKED,
        memory_bytes=quantities.parse(str(limits.get("memory") or "0")).value,
    )


def _directory(
    pod: objects.Object, container: objects.Object, kept: folders.Folders, *, is_mounted: bool
) -> Path:
    """Return where to start: a mounted directory, one of this machine, or the container's root."""
    root = kept.root(objects.uid_of(pod), str(container["name"]))
    wanted = str(container.get("workingDir") or "")
    if not wanted:
        return root
    mounted = volumes.beneath(root, wanted)
    if mounted.is_dir():
        return Path(wanted) if is_mounted else mounted
    if Path(wanted).is_absolute() and Path(wanted).is_dir():
        return Path(wanted)
    raise CreateContainerError(
        f"workingDir {wanted} is neither in a volume nor a directory of this machine"
    )


def _user(pod: objects.Object, container: objects.Object) -> tuple[int | None, int | None]:
    """Return whom the container asks to be, as far as this server may become somebody else."""
    contexts = (
        container.get("securityContext") or {},
        (pod.get("spec") or {}).get("securityContext") or {},
    )

    def asked(field: str) -> objects.Json:
        return next((one[field] for one in contexts if one.get(field) is not None), None)

    uid, gid, me = asked("runAsUser"), asked("runAsGroup"), os.geteuid()
    if asked("runAsNonRoot") and (me if uid is None else uid) == 0:
        raise environments.ContainerConfigError(
            "container has runAsNonRoot and image will run as root: processes run as the server's "
            "user; set runAsUser, or start the server as another user"
        )
    if me == 0:
        return uid, gid if gid is not None else uid
    # Differs: without root's rights a process stays the server's user, whoever is asked for.
    return None, None
