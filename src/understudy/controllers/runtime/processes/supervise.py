"""Holds one process: starts it, keeps its log, ends it and all its children. A program of its own.

    python -I -S -c "import supervise; supervise.main()"    standard input: a socket to the server

Once started it is the nursery: for each byte it is sent, with descriptors beside it, it forks a
supervisor, which takes a millisecond and shares its memory. The first descriptor is the
supervisor's own socket to the server, the others are for its process. Needs the standard library
alone. Messages are dicts in `marshal`'s form, as both ends are the same interpreter. The first one
on a supervisor's socket is the launch:

    argv, env, cwd    what to run
    stdio             three of the descriptors, by place; -1: nothing to read; to write: the log
    log               path, bytes_max, files_max; None where stdio leads elsewhere
    output            one whose output goes to the log (a terminal's other end), or -1
    tty               whether standard input is a terminal, to be the controlling one
    mounts            what to show where: path, target, whether read-only; empty where not possible
    empty             a directory that may be hidden from the process
    uid, gid          whom to become, or None
    nice              added to the priority
    memory_bytes      what the process and its children may use together; 0 without bound

Later ones: `{"signal": 15}` (to the process) and `{"kill": True}` (everything). The server is told
`{"started": pid}` or `{"failed": why}`, then `{"ended": code, "oom": False}`, where a code below 0
is the signal that ended it.

The end of the socket means that the server is gone, however it went: everything is killed. On
Linux the children's children are found even if they left their session, because the supervisor is
the one they fall back to; elsewhere a process that leaves its session gets away. Should the
supervisor itself be killed, Linux kills the process it holds.
"""

from __future__ import annotations

import contextlib
import errno
import marshal
import os
import select
import signal
import socket
import sys
import time

READ_BYTES = 64 * 1024
LENGTH_BYTES = 4
"""Before each message stands its length."""
SERVER = 0
"""The descriptor of the socket."""
GIVEN_MAX = 8
"""More descriptors than a launch has."""
LINE_BYTES_MAX = 16 * 1024
"""Longer lines are kept in parts, as container runtimes do."""
MEMORY_LOOK_S = 0.5
END_WAIT_S = 5.0
"""How long killed processes may take to be gone; the kernel may be busy with their memory."""
END_LOOK_S = 0.002
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Log:
    """Lines as `2026-01-01T00:00:00.000000000Z F text`; F is a whole line, P a part of one.

    What a terminal shows is kept at once, so that whoever watches sees a prompt.
    """

    def __init__(self, path: str, bytes_max: int, files_max: int, *, is_terminal: bool) -> None:
        self.path = path
        self.is_terminal = is_terminal
        self.bytes_max = bytes_max
        self.files_max = files_max
        self.rest = b""
        self.file = self.open()
        self.size = os.fstat(self.file).st_size

    def open(self) -> int:
        """Open the file to write at its end."""
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def add(self, data: bytes) -> None:
        """Write what is whole; keep the beginning of a line until its end comes."""
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        stamp = self.stamp()
        out = [b"%s F %s\n" % (stamp, line) for line in lines]
        while len(self.rest) >= LINE_BYTES_MAX:
            out.append(b"%s P %s\n" % (stamp, self.rest[:LINE_BYTES_MAX]))
            self.rest = self.rest[LINE_BYTES_MAX:]
        self.write(out)
        if self.is_terminal:
            self.finish()

    def finish(self) -> None:
        """Write the line that has no end."""
        if self.rest:
            self.write([b"%s P %s\n" % (self.stamp(), self.rest)])
            self.rest = b""

    def write(self, lines: list[bytes]) -> None:
        """Write lines, into a new file whenever one is full."""
        fitting: list[bytes] = []
        size = self.size
        for line in lines:
            fitting.append(line)
            size += len(line)
            if size >= self.bytes_max:
                self.append(b"".join(fitting))
                self.rotate()
                fitting, size = [], 0
        self.append(b"".join(fitting))

    def append(self, data: bytes) -> None:
        """Write at the end of the present file; a full disk loses lines."""
        with contextlib.suppress(OSError):
            while data:
                written = os.write(self.file, data)
                self.size += written
                data = data[written:]

    def rotate(self) -> None:
        """Number the files anew: the oldest goes, the present one becomes the first of the old.

        Where that fails the present file goes on growing; the process matters more.
        """
        for number in range(self.files_max - 1, 0, -1):
            older = f"{self.path}.{number - 1}" if number > 1 else self.path
            with contextlib.suppress(OSError):
                os.replace(older, f"{self.path}.{number}")  # noqa: PTH105 (pathlib is slow to load)
        with contextlib.suppress(OSError):
            if self.files_max <= 1:
                os.unlink(self.path)  # noqa: PTH108
            fresh = self.open()
            os.close(self.file)
            self.file = fresh
        self.size = 0

    def stamp(self) -> bytes:
        """Return the time; real processes live in real time, so no clock is given."""
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return b"%s.%09dZ" % (whole.encode(), nanoseconds)


class Supervisor:
    """The loop between the server, the process and its output."""

    def __init__(self, given: list[int]) -> None:
        """Take the descriptors for the process."""
        self.given = given
        self.received = b""
        self.orders: list[dict[str, object]] = []
        self.child = 0
        self.log: Log | None = None
        self.output = -1
        self.memory_bytes = 0
        self.oom = False
        self.status: int | None = None

    # ------------------------------------------------------------------ life

    def run(self) -> None:
        """Start the process, then serve until it has ended or the server is gone."""
        launch = self.first()
        adopt_orphans()
        woken, wake = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            self.start(launch)
        except OSError as error:
            self.tell({"failed": why_not_started(launch, error)})
            return
        self.memory_bytes = int(launch["memory_bytes"])  # type: ignore[call-overload]
        self.tell({"started": self.child})
        self.carry_out()
        self.serve(woken)

    def serve(self, woken: int) -> None:
        """Pass on output and orders until the process has ended; then end what is left of it."""
        poll = select.poll()
        poll.register(SERVER, select.POLLIN)
        poll.register(woken, select.POLLIN)
        if self.output >= 0:
            poll.register(self.output, select.POLLIN)
        look_ms = int(MEMORY_LOOK_S * 1000) if self.memory_bytes else None
        while self.status is None:
            for ready, _ in poll.poll(look_ms):
                if ready == self.output:
                    if not self.copy_output():
                        poll.unregister(self.output)
                elif ready == woken:
                    drain(woken)
                    self.reap()
                elif not self.obey():
                    self.kill_all()
                    return
            if self.memory_bytes and self.status is None:
                self.look_at_memory()
        self.kill_all()
        self.copy_rest()
        self.tell({"ended": os.waitstatus_to_exitcode(self.status), "oom": self.oom})

    # ------------------------------------------------------------------ the server

    def first(self) -> dict[str, object]:
        """Return the first message, waiting for it."""
        while True:
            data = os.read(SERVER, READ_BYTES)
            if not data:
                sys.exit(0)
            self.received += data
            messages, self.received = unpacked(self.received)
            if messages:
                self.orders = messages[1:]
                return messages[0]

    def obey(self) -> bool:
        """Carry out what the server asks; False if it is gone."""
        try:
            data = os.read(SERVER, READ_BYTES)
        except OSError:
            return False
        if not data:
            return False
        self.orders, self.received = unpacked(self.received + data)
        self.carry_out()
        return True

    def carry_out(self) -> None:
        """Send the signals that were ordered."""
        for order in self.orders:
            if "kill" in order:
                kill(self.child, signal.SIGKILL, group=True)
            else:
                kill(self.child, int(order["signal"]))  # type: ignore[call-overload]
        self.orders = []

    def tell(self, report: dict[str, object]) -> None:
        """Report; a server that is gone is noticed elsewhere."""
        with contextlib.suppress(OSError):
            os.write(SERVER, packed(report))

    # ------------------------------------------------------------------ the process

    def start(self, launch: dict[str, object]) -> None:
        """Fork and execute.

        Raises:
            OSError: It cannot be executed; nothing runs then.
        """
        places = [*self.given, -1]
        stdio = [places[int(one)] for one in launch["stdio"]]  # type: ignore[attr-defined]
        given = {one for one in stdio if one >= 0}
        self.output = places[int(launch["output"])]  # type: ignore[call-overload]
        if launch["log"]:
            self.log = Log(**launch["log"], is_terminal=self.output >= 0)  # type: ignore[arg-type]
            if self.output < 0:
                self.output, writing = os.pipe()
                stdio = [one if one >= 0 or number == 0 else writing
                         for number, one in enumerate(stdio)]  # fmt: skip
                given.add(writing)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        stdio = [one if one >= 0 else nothing for one in stdio]
        for one in {*given, self.output} - {-1}:
            os.set_inheritable(one, False)
        failed, failing = os.pipe()
        parent = os.getpid()
        self.child = os.fork()
        if self.child == 0:
            execute(launch, stdio, failing, parent)
        for one in {*given, nothing, failing}:
            os.close(one)
        if self.output >= 0:
            os.set_blocking(self.output, False)
        number = os.read(failed, 16)
        os.close(failed)
        if number:
            os.waitpid(self.child, 0)
            where, _, code = number.partition(b" ")
            raise OSError(int(code), os.strerror(int(code)), where.decode())

    def reap(self) -> bool:
        """Take note of children that ended, adopted ones included; say whether others are left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.child:
                self.status = status

    def kill_all(self) -> None:
        """Kill the process and everything it started, and wait until they are gone."""
        ends = time.monotonic() + END_WAIT_S
        while time.monotonic() < ends:
            kill(self.child, signal.SIGKILL, group=True)
            for pid in descendants(os.getpid()):
                kill(pid, signal.SIGKILL)
            if not self.reap():
                return
            select.select([], [], [], END_LOOK_S)

    def look_at_memory(self) -> None:
        """Kill everything if it uses more memory together than it may."""
        if sum(map(memory_of, descendants(os.getpid()))) > self.memory_bytes:
            self.oom = True
            kill(self.child, signal.SIGKILL, group=True)

    # ------------------------------------------------------------------ its output

    def copy_output(self) -> bool:
        """Bring what it wrote into the log; False at the end."""
        try:
            data = os.read(self.output, READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:  # a terminal whose other end is closed
            return False
        if data and self.log is not None:
            self.log.add(data)
        return bool(data)

    def copy_rest(self) -> None:
        """Bring what is left in the pipe into the log."""
        while self.output >= 0 and self.log is not None:
            try:
                data = os.read(self.output, READ_BYTES)
            except OSError:
                break
            if not data:
                break
            self.log.add(data)
        if self.log is not None:
            self.log.finish()


def packed(message: dict[str, object]) -> bytes:
    """Return a message as it is sent."""
    data = marshal.dumps(message)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def unpacked(data: bytes) -> tuple[list[dict[str, object]], bytes]:
    """Return the whole messages in what was received, and the rest."""
    found = []
    while len(data) >= LENGTH_BYTES:
        ends = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "big")
        if len(data) < ends:
            break
        found.append(marshal.loads(data[LENGTH_BYTES:ends]))  # noqa: S302 (our own other end)
        data = data[ends:]
    return found, data


def execute(launch: dict[str, object], stdio: list[int], failing: int, parent: int) -> None:
    """Become the process; in the forked child. Never returns."""
    where = "cwd"
    try:
        os.setsid()
        for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGINT, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        for target, source in enumerate(stdio):
            os.dup2(source, target)
        if launch["tty"]:
            import fcntl  # noqa: PLC0415 (rarely needed)
            import termios  # noqa: PLC0415

            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if launch["nice"]:
            os.nice(int(launch["nice"]))  # type: ignore[call-overload]
        where = "mounts"
        show_mounts(launch["mounts"], str(launch["empty"]))  # type: ignore[arg-type]
        where = "user"
        become(launch["uid"], launch["gid"])
        die_with_parent(parent)  # last: who changes user is forgotten
        where = "cwd"
        os.chdir(str(launch["cwd"]))
        where = "argv"
        run(launch["argv"], launch["env"])  # type: ignore[arg-type]
    except OSError as error:
        os.write(failing, b"%s %d" % (where.encode(), error.errno or 0))
    finally:
        os._exit(127)


def run(argv: list[str], env: dict[str, str]) -> None:
    """Become a program, looked for in the PATH it is given.

    `os.execvpe` would import modules, which whoever we have become may not be able to read.

    Raises:
        OSError: There is none that can be executed.
    """
    name = argv[0]
    paths = env.get("PATH", os.defpath).split(":")
    denied: OSError | None = None
    for place in [name] if "/" in name else [f"{path or '.'}/{name}" for path in paths]:
        try:
            os.execve(place, argv, env)  # noqa: S606 (that is what it is for)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if "/" in name or os.path.isfile(place):  # noqa: PTH113
                denied = error
    raise denied or FileNotFoundError(errno.ENOENT, name)


def show_mounts(mounts: list[tuple[str, str, bool]], empty: str) -> None:
    """Show volumes at their paths, to this process alone."""
    if mounts:
        import mounting  # type: ignore[import-not-found]  # noqa: PLC0415 (beside this file)

        tree = mounting.Tree(empty)
        for path, target, read_only in mounts:
            tree.mount(path, target, read_only=read_only)


def become(uid: object, gid: object) -> None:
    """Change user and group for good."""
    if gid is not None:
        os.setgroups([])
        os.setgid(int(gid))  # type: ignore[call-overload]
    if uid is not None:
        os.setuid(int(uid))  # type: ignore[call-overload]


def why_not_started(launch: dict[str, object], error: OSError) -> str:
    """Return a sentence, with the words of container runtimes where they have some."""
    program = launch["argv"][0]  # type: ignore[index]
    if error.filename == "cwd":
        return f'chdir to cwd ("{launch["cwd"]}"): {(error.strerror or "").lower()}'
    if error.filename == "user":
        return (
            f"cannot run as user {launch['uid']}, group {launch['gid']}: "
            f"{(error.strerror or '').lower()}"
        )
    if error.filename == "mounts":
        return f"cannot show volumes at their paths: {(error.strerror or '').lower()}"
    if isinstance(error, FileNotFoundError) and "/" not in program:
        return f'exec: "{program}": executable file not found in $PATH'
    return f'exec: "{program}": {(error.strerror or "").lower()}'


def drain(descriptor: int) -> None:
    """Read away what woke us."""
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass


def kill(pid: int, number: int, *, group: bool = False) -> None:
    """Send a signal, to the whole group where asked, if there is still somebody."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if group:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """Return the children of a process and theirs; empty where the system does not tell."""
    found: list[int] = []
    left = [pid]
    while left:
        children = children_of(left.pop())
        found += children
        left += children
    return found


def children_of(pid: int) -> list[int]:
    """Return the children of a process, of all its threads (Linux)."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 (pathlib is slow to load)
            with (
                contextlib.suppress(OSError),
                open(f"/proc/{pid}/task/{thread}/children", "rb") as file,  # noqa: PTH123
            ):
                found += map(int, file.read().split())
    return found


def memory_of(pid: int) -> int:
    """Return the bytes of memory that a process does not share, as far as is known (Linux)."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123
            _, resident, shared, *_ = file.read().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * PAGE_BYTES


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ends (Linux)."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its supervisor dies (Linux)."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)


def prctl(option: int, value: int) -> None:
    """Change how the kernel treats this process, where that can be done."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 (needed on Linux only)

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def main() -> None:
    """Be the nursery until the server is gone."""
    server = socket.socket(fileno=SERVER)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors need no burial
    prepare()
    while True:
        data, descriptors, _, _ = socket.recv_fds(server, 1, GIVEN_MAX)
        if not data:
            return
        with contextlib.suppress(OSError):  # no room: the socket's end tells the server
            if os.fork() == 0:
                hold(*descriptors)
        for one in descriptors:
            os.close(one)


def prepare() -> None:
    """Import what every supervisor would."""
    if sys.platform == "linux":
        import ctypes  # noqa: F401, PLC0415 (needed on Linux only)

        import mounting  # noqa: F401, PLC0415 (beside this file)


def hold(server: int, *given: int) -> None:
    """Be a supervisor; in the forked child. Never returns."""
    try:
        os.setsid()
        os.dup2(server, SERVER)
        os.close(server)
        Supervisor(list(given)).run()
    except Exception:  # noqa: BLE001 (the top of a process)
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)
