"""Running controllers over a view: live, or in a rehearsal until nothing more happens."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from understudy.aio import clocks, tasks
from understudy.controllers import clusters, reactor as reactors, registry
from understudy.controllers.runtime import settings as runtime_settings
from understudy.kapi.views import view as views

LIMIT_S: Final = 900.0
"""A rehearsal gives up after fifteen simulated minutes: longer than any default deadline (a
Deployment's is ten), and what a delivery waits by default."""
STEPS_MAX: Final = 200_000
"""About a minute of work; reached only by controllers that undo each other for ever."""
JOURNAL_MAX: Final = 1_000
"""Writes that a live reactor remembers for whoever asks what happened."""
SLICE_S: Final = 0.005
"""How long to work before others on the loop get their turn; a single key may take longer."""
SLICE_STEPS_MAX: Final = 200
"""Keys reconciled in a slice at most; counts where a clock stands still."""
SLICE_OBJECTS: Final = 32
"""Objects looked at before the time is asked again when starting: half a millisecond."""

NO_RUNTIME: Final = runtime_settings.Runtime(kind="none")


class Running:
    """Controllers at work in the background. End them with `stop`.

    Attributes:
        reactor: What drives them; `failures` and `steps` may be read at any time.
        journal: The newest writes.
        beside: Ends what works beside the reactor (processes, a gateway); called after its end.
    """

    __slots__ = ("_changed", "_loaded", "_stopped", "_tasks", "beside", "journal", "reactor")

    def __init__(
        self,
        reactor: reactors.Reactor,
        journal: deque[clusters.Write],
        on_failure: Callable[[str, BaseException], None],
    ) -> None:
        self.reactor = reactor
        self.journal = journal
        self.beside: list[Callable[[], Awaitable[None]]] = []
        self._changed = asyncio.Event()
        self._loaded = False
        self._stopped = False
        self._tasks = tasks.TaskSet(on_failure)

    def begin(self) -> None:
        """Start the background task; once."""
        self.reactor.wake = self._changed.set
        self.reactor.shared.outbox.carry_out = self._carry_out
        self.reactor.attach()
        self._tasks.start(f"controllers of {self.reactor.view.name}", self._run())

    def _carry_out(self, write: Coroutine[None, None, None]) -> None:
        self._tasks.start("a write that waits for webhooks", write)

    async def stop(self) -> None:
        """End the controllers; what they began is left as it is. Harmless when repeated."""
        if not self._stopped:
            self._stopped = True
            self.reactor.detach()
            await self._tasks.stop()
            for end in reversed(self.beside):
                await end()

    async def wait_idle(self) -> None:
        """Wait until no key is queued and nothing but idle timers is waited for."""
        reactor = self.reactor
        while (
            not self._loaded
            or reactor.busy
            or reactor.shared.outbox.under_way
            or reactor.next_due_s(idle=False) is not None
        ):
            await reactor.clock.sleep(0.01)

    async def _run(self) -> None:
        reactor, clock = self.reactor, self.reactor.clock
        await self._load()
        while True:
            self._changed.clear()
            reactor.run_slice(clock.monotonic() + SLICE_S, SLICE_STEPS_MAX)
            if reactor.busy or reactor.release_due():
                await asyncio.sleep(0)
                continue
            due_s = reactor.next_due_s(idle=True)
            wait_s = None if due_s is None else max(0.0, due_s - clock.monotonic())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    async def _load(self) -> None:
        clock = self.reactor.clock
        ends_s = clock.monotonic() + SLICE_S
        for number, _ in enumerate(self.reactor.loading()):
            if number % SLICE_OBJECTS == 0 and clock.monotonic() >= ends_s:
                await asyncio.sleep(0)
                ends_s = clock.monotonic() + SLICE_S
        self._loaded = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What happened while a view came to rest.

    Attributes:
        why: `settled`; or why not: `time limit`, `step limit`.
        steps: Keys reconciled.
        simulated_s: Seconds by which the clock moved.
        journal: Every write, in order.
        failures: What fails at present and why; also after `settled`.
        waiting: After `time limit`: what was waited for: controller, key, seconds to go.
    """

    why: str
    steps: int
    simulated_s: float
    journal: tuple[clusters.Write, ...]
    failures: tuple[reactors.Failure, ...]
    waiting: tuple[tuple[str, reactors.Key, float], ...]

    @property
    def is_settled(self) -> bool:
        """Whether nothing more would happen."""
        return self.why == "settled"


def start(
    view: views.View,
    names: str | Iterable[str] = "all",
    runtime: runtime_settings.Runtime = NO_RUNTIME,
    clock: clocks.Clock | None = None,
    *,
    more: Iterable[registry.Factory] = (),
    root_ca: str = "",
    sign_token: clusters.TokenSigner = clusters.unsigned,
    on_failure: Callable[[str, BaseException], None] | None = None,
    on_write: Callable[[clusters.Write], None] | None = None,
) -> Running:
    """Run controllers over a view in the background of the running event loop.

    `names` is `all`, `none`, or names as kube-controller-manager's `--controllers` takes them;
    `clock` the real one unless given; `more` are further controllers (Knative's), always on;
    `on_failure` is told if the reactor itself fails, which is a defect; `on_write` of every write.

    Raises:
        ValueError: An unknown name.
    """
    journal: deque[clusters.Write] = deque(maxlen=JOURNAL_MAX)

    def note(write: clusters.Write) -> None:
        journal.append(write)
        if on_write is not None:
            on_write(write)

    clock = clock or view.clock
    reactor = registry.assemble(
        view, names, runtime, clock, note, more=more, root_ca=root_ca, sign_token=sign_token,
    )  # fmt: skip
    running = Running(reactor, journal, on_failure or _ignore)
    running.begin()
    return running


class Rehearsal:
    """Controllers over a view in simulated time: `rest` after each change. End with `close`.

    Between rests nothing runs; what was done to the view meanwhile is seen by the next one.
    """

    __slots__ = ("_journal", "_reactor", "_view", "clock")

    def __init__(
        self,
        view: views.View,
        names: str | Iterable[str] = "all",
        runtime: runtime_settings.Runtime = NO_RUNTIME,
        clock: clocks.ManualClock | None = None,
        *,
        more: Iterable[registry.Factory] = (),
        root_ca: str = "",
        everything: bool | None = None,
    ) -> None:
        """Take the view as it is; arguments as for `settle`."""
        self.clock = clock or clocks.ManualClock(view.now())
        self._view = view
        self._journal: list[clusters.Write] = []
        with self._simulated_time():
            self._reactor = registry.assemble(
                view, names, runtime, self.clock, self._journal.append, more=more, root_ca=root_ca
            )
        self._reactor.attach()
        if everything if everything is not None else view.parent is None:
            self._reactor.load_present()
        else:
            self._reactor.load_changes()

    def rest(self, *, limit_s: float = LIMIT_S, steps_max: int = STEPS_MAX) -> Settled:
        """Let the controllers run until nothing more would happen; return what happened."""
        reactor, begun_s, steps = self._reactor, self.clock.monotonic(), self._reactor.steps
        with self._simulated_time(), _undisturbed():
            why = rest(reactor, self.clock, limit_s=limit_s, steps_max=steps + steps_max)
        journal = tuple(self._journal)
        self._journal.clear()
        return Settled(
            why=why,
            steps=reactor.steps - steps,
            simulated_s=self.clock.monotonic() - begun_s,
            journal=journal,
            failures=tuple(reactor.failures),
            waiting=tuple(reactor.waiting()) if why == "time limit" else (),
        )

    def pass_time(self, seconds: float) -> None:
        """Let simulated time pass, periodic work included, whatever is or is not at rest."""
        with self._simulated_time():
            advance(self._reactor, self.clock, seconds)

    def close(self) -> None:
        """Stop following the view; harmless when repeated."""
        self._reactor.detach()

    @contextlib.contextmanager
    def _simulated_time(self) -> Iterator[None]:
        """Let the view's own stamps follow the simulated clock."""
        shared = self._view.shared
        self._view.shared = dataclasses.replace(shared, clock=self.clock)
        try:
            yield
        finally:
            self._view.shared = shared


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep Python from looking for circles among objects meanwhile: they are trees, and many.

    With Python's own thresholds that would be a fifth of the time. Nothing else runs meanwhile.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def settle(
    view: views.View,
    names: str | Iterable[str] = "all",
    runtime: runtime_settings.Runtime = NO_RUNTIME,
    clock: clocks.ManualClock | None = None,
    *,
    limit_s: float = LIMIT_S,
    steps_max: int = STEPS_MAX,
    more: Iterable[registry.Factory] = (),
    root_ca: str = "",
    everything: bool | None = None,
) -> Settled:
    """Run controllers over a view until nothing more would happen, in simulated time.

    The view's own stamps follow the simulated clock meanwhile. Work that repeats for ever (a
    CronJob's next minute, periodic checks) is not waited for.

    `clock` is moved forward; a new one starts at the view's present unless given. `limit_s` are
    simulated seconds after which to give up. `everything` looks at every object first, not only
    at what changed since the view was forked; by default only where the view is not a fork.

    Raises:
        ValueError: An unknown name.
    """
    rehearsal = Rehearsal(
        view, names, runtime, clock, more=more, root_ca=root_ca, everything=everything
    )
    try:
        return rehearsal.rest(limit_s=limit_s, steps_max=steps_max)
    finally:
        rehearsal.close()


def rest(
    reactor: reactors.Reactor, clock: clocks.ManualClock, *, limit_s: float, steps_max: int
) -> str:
    """Let a reactor run, moving the clock from timer to timer; return why it stopped."""
    ends_s = clock.monotonic() + limit_s
    while True:
        if reactor.run_ready(steps_max - reactor.steps) and reactor.steps >= steps_max:
            return "step limit"
        if reactor.release_due():
            continue
        due_s = reactor.next_due_s(idle=False)
        if due_s is None:
            return "settled"
        if due_s > ends_s:
            return "time limit"
        following_s = reactor.next_due_s(idle=True)
        assert following_s is not None, "the awaited timer is one of all"
        clock.advance(max(0.0, following_s - clock.monotonic()))


def advance(reactor: reactors.Reactor, clock: clocks.ManualClock, seconds: float) -> None:
    """Let simulated time pass, periodic work included, whatever is or is not at rest."""
    ends_s = clock.monotonic() + seconds
    while True:
        reactor.run_ready(STEPS_MAX)
        if reactor.release_due():
            continue
        due_s = reactor.next_due_s(idle=True)
        if due_s is None or due_s > ends_s:
            clock.advance(max(0.0, ends_s - clock.monotonic()))
            return
        clock.advance(max(0.0, due_s - clock.monotonic()))


def _ignore(name: str, error: BaseException) -> None:
    """Do nothing."""
