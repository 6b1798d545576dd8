"""Volumes of pods that run as processes, and where their containers find them.

A process sees this machine's files. Each volume is a directory of the runtime; each mount is a link
at its mountPath below the container's root (`UNDERSTUDY_ROOT`), and `UNDERSTUDY_MOUNT_<VOLUME>`
names it. So `$(UNDERSTUDY_ROOT)/etc/app/config.yaml` in a command is what `/etc/app/config.yaml` is
in an image, everywhere. Where the system allows it (`mounting`), the volume is also at
`/etc/app` itself, for this process alone, and `readOnly` holds.

Files of ConfigMaps, Secrets and the downward API are written as kubelets write them: a directory
beside, then one link is turned, so that readers see all of the old or all of the new.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from understudy.controllers import clusters
from understudy.controllers.runtime.processes import environments, hosts
from understudy.controllers.storage import binder, binding
from understudy.kube import objects

SUPPORTED: Final = (
    "emptyDir", "configMap", "secret", "projected", "downwardAPI", "persistentVolumeClaim",
    "ephemeral", "hostPath",
)  # fmt: skip
MODE: Final = 0o644
_DATA: Final = "..data"


class MountError(Exception):
    """A volume that cannot be mounted; the message is the kubelet's FailedMount."""

    def __init__(self, volume: str, why: str) -> None:
        self.volume = volume
        self.why = why
        super().__init__(f'MountVolume.SetUp failed for volume "{volume}" : {why}')


@dataclass(frozen=True, slots=True)
class Exposed:
    """Where a container finds its volumes.

    Attributes:
        variables: Names of the environment that tell.
        mounts: Each mountPath, what is there, and whether it is read-only; outer ones first.
    """

    variables: dict[str, str]
    mounts: list[tuple[str, str, bool]]


@dataclass(frozen=True, slots=True)
class File:
    """A file of a volume: its path in it, what it holds, its permissions."""

    path: str
    data: bytes
    mode: int


def mount(host: hosts.Host, pod: objects.Object) -> None:
    """Make the volumes of a pod, or bring them up to date.

    Raises:
        MountError: One cannot be had, at present or ever.
    """
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        name = str(volume["name"])
        try:
            place = directory_of(host, pod, volume)
            if place.is_relative_to(host.folders.top):
                place.mkdir(parents=True, exist_ok=True)
                # Whoever a container runs as may write; what holds it all is the server's.
                place.chmod(0o777 if _is_written_by_pods(volume) else 0o755)
            files = _files(host, pod, volume)
            if files is not None:
                write_all(place, files)
        except (OSError, ValueError) as error:
            raise MountError(name, str(error)) from error
        except environments.ContainerConfigError as error:
            raise MountError(name, str(error)) from error


def expose(host: hosts.Host, pod: objects.Object, container: objects.Object) -> Exposed:
    """Link a container's mounts below its root, and say where they are.

    Raises:
        MountError: A path that cannot be a mount.
    """
    root = host.folders.root(objects.uid_of(pod), str(container["name"]))
    volumes = {str(one["name"]): one for one in (pod.get("spec") or {}).get("volumes") or ()}
    told = {f"{environments.OWN}ROOT": str(root)}
    mounts = container.get("volumeMounts") or ()
    wanted: list[tuple[str, str, bool]] = []
    for one in sorted(mounts, key=lambda mount: len(Path(mount["mountPath"]).parts)):
        name = str(one["name"])
        place = beneath(root, str(one["mountPath"]))
        try:
            target = directory_of(host, pod, volumes[name])
            if one.get("subPath"):
                target = _sub_path(target, str(one["subPath"]))
            _link(place, target, root)
            wanted.append((f"/{place.relative_to(root)}", str(target), bool(one.get("readOnly"))))
        except (OSError, ValueError) as error:
            raise MountError(name, str(error)) from error
        variable = f"{environments.OWN}MOUNT_{name.upper().replace('-', '_')}"
        told.setdefault(variable, str(place))
    return Exposed(told, wanted)


def beneath(root: Path, path: str) -> Path:
    """Return where a container's absolute path lies under its root; never outside."""
    steps = [step for step in Path("/", path).parts[1:] if step not in {"..", "."}]
    return root.joinpath(*steps)


def directory_of(host: hosts.Host, pod: objects.Object, volume: objects.Object) -> Path:
    """Return where a volume's files are.

    Raises:
        ValueError: There is none, or none yet.
    """
    name, uid = str(volume["name"]), objects.uid_of(pod)
    if chosen := volume.get("persistentVolumeClaim"):
        return _persistent(host, objects.namespace_of(pod), str(chosen.get("claimName")))
    if "ephemeral" in volume:
        return _persistent(host, objects.namespace_of(pod), f"{objects.name_of(pod)}-{name}")
    if chosen := volume.get("hostPath"):
        return _host_path(str(chosen.get("path")), str(chosen.get("type") or ""))
    kind = next((key for key in volume if key != "name"), "emptyDir")
    if kind not in SUPPORTED:
        raise ValueError(f"{kind} is not among the volumes of the process runtime: "
                         + ", ".join(SUPPORTED))  # fmt: skip
    return host.folders.volume(uid, name)


def _is_written_by_pods(volume: objects.Object) -> bool:
    return not any(kind in volume for kind in ("configMap", "secret", "projected", "downwardAPI"))


def _persistent(host: hosts.Host, namespace: str, name: str) -> Path:
    claim = host.cluster.peek(binder.CLAIMS, namespace, name)
    if claim is None:
        raise ValueError(f'persistentvolumeclaim "{name}" not found')
    if not binding.is_bound(claim):
        raise ValueError(f'persistentvolumeclaim "{name}" is not bound')
    if (claim.get("spec") or {}).get("volumeMode") == "Block":
        raise ValueError(f'persistentvolumeclaim "{name}" is a block device, not a directory')
    volume = str(claim["spec"]["volumeName"])
    own = host.folders.persistent(volume)
    spec = (host.cluster.peek(binder.VOLUMES, "", volume) or {}).get("spec") or {}
    chosen = spec.get("hostPath") or spec.get("local") or {}
    path = str(chosen.get("path") or own)
    return own if path == str(own) else _host_path(path, str(chosen.get("type") or ""))


def _host_path(path: str, kind: str) -> Path:
    """Return a path of this machine, which processes see as it is; nothing is made there."""
    found = Path(path)
    checks: dict[str, Callable[[], bool]] = {
        "Directory": found.is_dir, "DirectoryOrCreate": found.is_dir,
        "File": found.is_file, "FileOrCreate": found.is_file,
        "Socket": found.is_socket, "CharDevice": found.is_char_device,
        "BlockDevice": found.is_block_device,
    }  # fmt: skip
    if not found.is_absolute() or not found.exists():
        raise ValueError(f"hostPath {path} does not exist on this machine, and is not made there")
    if not checks.get(kind, found.exists)():
        wanted = kind.removesuffix("OrCreate").lower()
        raise ValueError(f"hostPath type check failed: {path} is not a {wanted}")
    return found


def _sub_path(directory: Path, path: str) -> Path:
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise ValueError(f"subPath {path} must stay within the volume")
    found = directory / path
    if not found.exists():
        found.mkdir(parents=True)
    return found


def _link(place: Path, target: Path, root: Path) -> None:
    """Let a mount path lead to a volume."""
    if place == root:
        raise ValueError("a process has no root directory of its own to mount over")
    if place.is_symlink() and place.readlink() == target:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()
    elif place.is_dir():
        place.rmdir()  # made for a mount within this one; it may hold nothing
    place.symlink_to(target)


# ---------------------------------------------------------------------- files


def _files(host: hosts.Host, pod: objects.Object, volume: objects.Object) -> list[File] | None:
    """Return the files that a volume consists of, None where its content is the pod's own."""
    if chosen := volume.get("projected"):
        mode = int(chosen.get("defaultMode") or MODE)
        sources = chosen.get("sources") or ()
        return [file for source in sources for file in _projected(host, pod, source, mode)]
    for kind in ("configMap", "secret", "downwardAPI"):
        if kind in volume:
            chosen = volume[kind] or {}
            mode = int(chosen.get("defaultMode") or MODE)
            return list(_projected(host, pod, {kind: chosen}, mode))
    return None


def _projected(
    host: hosts.Host, pod: objects.Object, source: objects.Object, mode: int
) -> Iterator[File]:
    if chosen := source.get("configMap"):
        yield from _keyed(host.cluster, pod, "configmaps", "configMap", chosen, mode)
    elif chosen := source.get("secret"):
        yield from _keyed(host.cluster, pod, "secrets", "secret", chosen, mode)
    elif chosen := source.get("downwardAPI"):
        for item in chosen.get("items") or ():
            if field := item.get("fieldRef"):
                text = environments.field_value(pod, str(field.get("fieldPath")))
            else:
                text = environments.resource_value(
                    pod, item.get("resourceFieldRef") or {}, host.allocatable
                )
            yield File(_inside(item["path"]), text.encode(), int(item.get("mode") or mode))
    else:
        kind = next(iter(source), "nothing")
        raise ValueError(f"a projected {kind} cannot be had by a process")


def _keyed(
    cluster: clusters.Cluster,
    pod: objects.Object,
    ref: str,
    kind: str,
    chosen: objects.Object,
    mode: int,
) -> Iterator[File]:
    name = str(chosen.get("secretName") or chosen.get("name") or "")
    found = cluster.peek(ref, objects.namespace_of(pod), name)
    if found is None:
        if not chosen.get("optional"):
            raise ValueError(f'{kind.lower()} "{name}" not found')
        return
    data = _data_of(found, ref)
    if not chosen.get("items"):
        for key, value in data.items():
            yield File(key, value, mode)
        return
    for item in chosen["items"]:
        if item["key"] in data:
            path = _inside(item["path"])
            yield File(path, data[item["key"]], int(item.get("mode") or mode))
        elif not chosen.get("optional"):
            raise ValueError(f"references non-existent {kind.lower()} key: {item['key']}")


def _data_of(found: objects.Object, ref: str) -> dict[str, bytes]:
    plain = {str(key): str(value) for key, value in (found.get("data") or {}).items()}
    if ref == "secrets":
        return {key: environments.binary(value) for key, value in plain.items()}
    coded = found.get("binaryData") or {}
    return {
        **{key: value.encode() for key, value in plain.items()},
        **{str(key): environments.binary(value) for key, value in coded.items()},
    }


def _inside(path: str) -> str:
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise ValueError(f"path {path} must stay within the volume")
    return path


def write_all(directory: Path, files: list[File]) -> None:
    """Make a volume consist of these files, in one step for whoever reads it."""
    wanted = {file.path: file for file in files}
    current = directory / _DATA
    if current.is_symlink() and _holds(current, wanted):
        return
    number = int(current.readlink().name[2:]) + 1 if current.is_symlink() else 0
    fresh = directory / f"..{number}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for file in wanted.values():
        path = fresh / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
        path.chmod(file.mode)
    link = directory / "..next"
    with contextlib.suppress(FileNotFoundError):
        link.unlink()
    link.symlink_to(fresh.name)
    link.replace(current)
    _show(directory, {Path(path).parts[0] for path in wanted})
    if number:
        shutil.rmtree(directory / f"..{number - 1}", ignore_errors=True)


def _holds(current: Path, wanted: dict[str, File]) -> bool:
    found = {
        str(Path(place, name).relative_to(current))
        for place, _, names in os.walk(current)
        for name in names
    }
    return found == set(wanted) and all(
        (current / path).read_bytes() == file.data for path, file in wanted.items()
    )


def _show(directory: Path, names: set[str]) -> None:
    """Link the names in a volume to the present data; take away those that are no more."""
    for name in names:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"{_DATA}/{name}")
    for path in directory.iterdir():
        is_ours = path.is_symlink() and str(path.readlink()).startswith(f"{_DATA}/")
        if is_ours and path.name not in names:
            path.unlink()
