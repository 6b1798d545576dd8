"""Volumes at the very paths that a container names: a mount namespace of its own (Linux).

Imported by the supervisor, so the standard library alone. What is mounted is seen by one process
and its children; nothing of it touches the machine's own tree. A path that does not exist is made
in an empty file system laid over the nearest directory that does, in which everything that the
directory held is shown again.

Needs root, or a kernel that lets users have namespaces: `is_possible` finds out.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys

ENTRIES_MAX = 4096
"""Most entries of a directory that is laid over; each costs a mount."""

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_RDONLY = 1
_MS_REMOUNT = 32
_MS_BIND = 4096
_MS_REC = 16384
_MS_PRIVATE = 1 << 18
_KEPT = 2 | 4 | 8 | 1024 | 2048
"""nosuid, nodev, noexec, noatime, nodiratime: may not be lost when a mount becomes read-only."""


class Tree:
    """The view of one process; `mount` changes it."""

    def __init__(self, empty: str) -> None:
        """Leave the machine's mount namespace. `empty` is a directory that nobody needs to see.

        Raises:
            OSError: That is not allowed.
        """
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._empty = empty
        self._ours: list[str] = []
        """Directories in which new entries are of no harm: our own, and volumes."""
        uid, gid = os.geteuid(), os.getegid()
        self._check(self._libc.unshare(_CLONE_NEWNS | (_CLONE_NEWUSER if uid else 0)), "unshare")
        if uid:
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{uid} {uid} 1")
            _write("/proc/self/gid_map", f"{gid} {gid} 1")
        self._mount("none", "/", "", _MS_REC | _MS_PRIVATE)

    def mount(self, path: str, target: str, *, read_only: bool) -> None:
        """Show `target`, a file or directory, at an absolute path.

        Raises:
            OSError: It cannot be shown there.
        """
        source = f"/proc/self/fd/{os.open(target, os.O_PATH)}"
        is_directory = os.path.isdir(source)  # noqa: PTH112 (pathlib is slow to load)
        if not os.path.exists(path):  # noqa: PTH110
            self._make(path, is_directory=is_directory)
        self._mount(source, path, "", _MS_BIND | _MS_REC)
        if read_only:
            kept = os.statvfs(path).f_flag & _KEPT
            self._mount("none", path, "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY | kept)
        self._ours.append(path)

    def _make(self, path: str, *, is_directory: bool) -> None:
        """Make a path that does not exist, where it is seen by nobody else."""
        parent = os.path.dirname(path)  # noqa: PTH120
        while not os.path.isdir(parent):  # noqa: PTH112
            parent = os.path.dirname(parent)  # noqa: PTH120
        if not any(_is_within(parent, ours) for ours in self._ours):
            self._cover(parent)
        if is_directory:
            os.makedirs(path)  # noqa: PTH103
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
            _write(path, "", os.O_CREAT)

    def _cover(self, directory: str) -> None:
        """Lay an empty file system over a directory, and show in it what the directory held."""
        held = f"/proc/self/fd/{os.open(directory, os.O_PATH)}"
        names = os.listdir(held)  # noqa: PTH208
        if len(names) > ENTRIES_MAX:
            raise OSError(7, f"{directory} holds too much to be shown again")
        # The root cannot be laid over: what is to be the root is made elsewhere, then entered.
        place = directory if directory != "/" else self._empty
        entries = [(name, os.open(f"{held}/{name}", os.O_PATH | os.O_NOFOLLOW)) for name in names]
        mode = stat.S_IMODE(os.stat(held).st_mode)  # noqa: PTH116
        self._mount("tmpfs", place, "tmpfs", 0, f"mode={mode:o}")
        for name, descriptor in entries:
            self._show(f"{place}/{name}", descriptor)
            os.close(descriptor)
        if directory == "/":
            os.chroot(place)
        self._ours.append(directory)

    def _show(self, path: str, descriptor: int) -> None:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISLNK(kind):
            os.symlink(os.readlink("", dir_fd=descriptor), path)  # noqa: PTH211
            return
        if stat.S_ISDIR(kind):
            os.mkdir(path)  # noqa: PTH102
        else:
            _write(path, "", os.O_CREAT)
        self._mount(f"/proc/self/fd/{descriptor}", path, "", _MS_BIND | _MS_REC)

    def _mount(self, source: str, path: str, kind: str, flags: int, data: str = "") -> None:
        done = self._libc.mount(
            source.encode(), os.fsencode(path), kind.encode(), ctypes.c_ulong(flags), data.encode()
        )
        self._check(done, path)

    def _check(self, done: int, what: str) -> None:
        if done != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), what)


def is_possible(empty: str) -> bool:
    """Say whether this process may have a view of its own; it then has one."""
    if sys.platform != "linux":
        return False
    try:
        tree = Tree(empty)
        tree.mount("/understudy-probe/of-mounts", "/proc", read_only=False)
    except OSError:
        return False
    return os.path.exists("/understudy-probe/of-mounts/self")  # noqa: PTH110


def _is_within(path: str, directory: str) -> bool:
    return directory in ("/", path) or path.startswith(directory + "/")


def _write(path: str, text: str, more: int = 0) -> None:
    descriptor = os.open(path, os.O_WRONLY | more, 0o644)
    os.write(descriptor, text.encode())
    os.close(descriptor)
