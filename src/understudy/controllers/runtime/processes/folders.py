"""Where on this machine the pods of a process runtime keep their files.

<directory>/pods/<uid>/<container>/<run>.log     its output; .log.1 and on are older
<directory>/pods/<uid>/<container>/root          UNDERSTUDY_ROOT: its volumes, by mount path
<directory>/pods/<uid>/<container>/last-message  terminationMessagePath
<directory>/pods/<uid>/volumes/<name>            volumes that end with the pod
<directory>/volumes/<name>                       PersistentVolumes
<directory>/empty                                nothing; hidden where a root is made anew
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

PUBLIC: Final = 0o755
"""Not 0700: a container may run as another user. What holds everything is private."""


class Folders:
    """The directories of one runtime."""

    def __init__(self, directory: Path | None) -> None:
        """Use a directory, or a temporary one of our own where None."""
        self._is_own = directory is None
        self.top = directory or Path(tempfile.mkdtemp(prefix="understudy-pods-"))
        self.top.mkdir(parents=True, exist_ok=True)
        self.top.chmod(0o711)

    @property
    def empty(self) -> Path:
        """A directory that nobody needs, made if need be."""
        return _made(self.top / "empty")

    def pod(self, uid: str) -> Path:
        """Return where a pod's files are."""
        return self.top / "pods" / uid

    def container(self, uid: str, name: str) -> Path:
        """Return where a container's files are, made if need be."""
        return _made(self.pod(uid) / name)

    def root(self, uid: str, name: str) -> Path:
        """Return the directory in which a container finds its volumes, made if need be."""
        return _made(self.container(uid, name) / "root")

    def log(self, uid: str, name: str, run: int) -> Path:
        """Return the log file of a container's run."""
        return self.pod(uid) / name / f"{run}.log"

    def message(self, uid: str, name: str) -> Path:
        """Return the file of a container's last message."""
        return self.pod(uid) / name / "last-message"

    def volume(self, uid: str, name: str) -> Path:
        """Return where a pod's own volume is."""
        return self.pod(uid) / "volumes" / name

    def persistent(self, name: str) -> Path:
        """Return where a PersistentVolume is."""
        return self.top / "volumes" / name

    def forget_pod(self, uid: str) -> None:
        """Remove a pod's files."""
        shutil.rmtree(self.pod(uid), ignore_errors=True)

    def forget_volume(self, name: str) -> None:
        """Remove a PersistentVolume's files."""
        shutil.rmtree(self.persistent(name), ignore_errors=True)

    def forget_log(self, uid: str, name: str, run: int) -> None:
        """Remove the files of a run's log."""
        for path in self.log(uid, name, run).parent.glob(f"{run}.log*"):
            path.unlink(missing_ok=True)

    def keep_pods(self, uids: Collection[str]) -> None:
        """Remove the files of all other pods."""
        with contextlib.suppress(FileNotFoundError):
            for path in (self.top / "pods").iterdir():
                if path.name not in uids:
                    shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Remove everything, if the directory was made here."""
        if self._is_own:
            shutil.rmtree(self.top, ignore_errors=True)


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True, mode=PUBLIC)
    return path
