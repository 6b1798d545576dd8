"""Drives controllers: what changed becomes keys, keys are reconciled one after the other.

One queue for all controllers, first come, first served, each key in it at most once: so
controllers take turns as they do in a real control plane, and the same history gives the same
writes. A reconcile of several writes may take a turn for each, for others go on while a request is
under way. Timers stand beside it. Two ways to run:

    live           `running.start`: an asyncio task; wakes on commits and on timers
    to quiescence  `running.settle`: a simulated clock jumps from timer to timer until nothing
                   more happens

A failing key comes back after a growing delay and is reported in `failures`; nothing a controller
raises ends the reactor.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, runtime_checkable

from understudy.aio import clocks
from understudy.controllers import changes, clusters, indexes, outboxes
from understudy.kapi.store import logs
from understudy.kapi.views import view as views
from understudy.kube import statuses

Key = tuple[str, ...]
"""What a controller reconciles; mostly `(namespace, name)`."""

EVERYTHING: Final = "*"
"""Watched by the garbage collector."""
RETRY_BASE_S: Final = 0.005
RETRY_MAX_S: Final = 1000.0
RETRIES_AWAITED_MAX: Final = 8
"""A key that failed this often (about 1.3 s of retries) no longer keeps a rehearsal waiting."""
DISPATCHED_MAX: Final = 64
"""Commits looked at before the time is asked again: about a millisecond."""
RELEASED_SHARE: Final = 16
"""Timers due at one moment go off one by one, or, if they are many, in this many batches."""

_log = logging.getLogger(__name__)


class Idle(NamedTuple):
    """What a reconcile returns to be called again without keeping a rehearsal waiting for it."""

    seconds: float


Turns = Generator[None, None, float | Idle | None]
"""A reconcile in several turns: it yields after a write, and others go on before it does."""


class Queue(Protocol):
    """Where a controller puts the keys it wants to reconcile."""

    def add(self, key: Key) -> None:
        """Reconcile soon; once, however often it is added before.

        May be called at any time on the reactor's thread, so also by what runs beside it.
        """
        ...

    def add_after(self, key: Key, seconds: float, *, idle: bool = False) -> None:
        """Reconcile when the time has passed; of several delays the shortest counts.

        `idle` work (periodic checks, a CronJob's next minute) does not keep a rehearsal going.
        """
        ...


class Controller(Protocol):
    """One reconciling controller. Its state may only be caches of what the view says.

    Attributes:
        name: Kubernetes' name of it, as in `--controllers`, e.g. `deployment-controller`.
        watched: Resources in kubectl's notation whose changes it wants to observe.
    """

    @property
    def name(self) -> str:
        """Return the name."""
        ...

    @property
    def watched(self) -> Sequence[str]:
        """Return the resources."""
        ...

    def observe(self, change: changes.Change, queue: Queue) -> None:
        """Turn a change of a watched resource into keys; must be quick and must not write."""
        ...

    def reconcile(self, key: Key) -> float | Idle | Turns | None:
        """Bring the world nearer to what is wanted; return seconds until the next look, if any.

        The latest answer counts: returning None revokes a look that an earlier call asked for.
        Of what came for the key in the turns of one reconcile, the next one takes care.

        Raises:
            ApiError: Try again later (409 soon).
        """
        ...


@runtime_checkable
class Recalling(Protocol):
    """A controller that learns from reconciling one kind which changes of others concern it.

    Attributes:
        recalled: The resources of that kind; in a sandbox they are shown to it first, changed or
            not.
    """

    recalled: Sequence[str]

    def observe(self, change: changes.Change, queue: Queue) -> None:
        """As `Controller`."""
        ...


@runtime_checkable
class Patient(Protocol):
    """A controller whose failing keys come back later than those of others.

    Attributes:
        retry_base_s: Seconds before the first retry; they double with each.
        retry_max_s: The most.
    """

    retry_base_s: float
    retry_max_s: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A key that cannot be reconciled at present.

    Attributes:
        retries: How often it failed in a row.
        message: The last error.
    """

    controller: str
    key: Key
    retries: int
    message: str


_Item = tuple[int, Key]


class _Timer(NamedTuple):
    """What a key waits for. `returned`: its own last reconcile asked, and the next may revoke."""

    due_s: float
    idle: bool
    returned: bool


class Reactor:
    """The queue, the timers and the controllers of one view.

    Attributes:
        steps: Keys reconciled so far.
        wake: Called when there may be something to do; set by whoever runs the reactor live.
    """

    def __init__(
        self,
        view: views.View,
        clock: clocks.Clock,
        journal: Callable[[clusters.Write], None],
        *,
        root_ca: str = "",
        follows_leases: bool = True,
    ) -> None:
        parsed = view.keep_parsed()
        self.shared = clusters.Shared(
            view=view,
            clock=clock,
            indexes=indexes.Indexes(view, parsed),
            journal=journal,
            parsed=parsed,
            root_ca=root_ca,
            follows_leases=follows_leases,
        )
        self.view = view
        self.clock = clock
        self.controllers: list[Controller] = []
        self.steps = 0
        self.wake: Callable[[], None] = _nothing
        self._watchers: dict[str, list[tuple[Controller, Queue]]] = {}
        self._audiences: dict[str, tuple[tuple[Controller, Queue], ...]] = {}
        self._events: deque[logs.Event] = deque()
        self._ready: deque[_Item] = deque()
        self._queued: set[_Item] = set()
        self._under_way: dict[_Item, Turns] = {}
        self._again: set[_Item] = set()
        self._timers: list[tuple[float, int, _Item]] = []
        self._awaited: list[tuple[float, int, _Item]] = []
        self._waiting: dict[_Item, _Timer] = {}
        self._serial = 0
        self._failures: dict[_Item, Failure] = {}
        self._postponed: dict[outboxes.Wish, list[_Item]] = {}
        self.shared.outbox.settled = self._settled
        self._unsubscribe: Callable[[], None] = _nothing

    # ------------------------------------------------------------------ setting up

    def add(self, controller: Controller) -> None:
        """Let a controller take part; before `attach`."""
        queue = _Lane(self, len(self.controllers))
        self.controllers.append(controller)
        for ref in controller.watched:
            self._watchers.setdefault(ref, []).append((controller, queue))

    def attach(self) -> None:
        """Follow the view's commits from now on."""
        self._unsubscribe = self.view.subscribe(None, self._committed)

    def detach(self) -> None:
        """Stop following."""
        self._unsubscribe()
        self._unsubscribe = _nothing

    def load_present(self) -> None:
        """Show every present object to the controllers that watch its kind, as ADDED."""
        for _ in self.loading():
            pass

    def loading(self) -> Iterator[None]:
        """Do what `load_present` does, pausing after each object: a large store takes seconds.

        Commits meanwhile are looked at afterwards; so reconcile nothing before it is through.
        """
        for resource in self.view.catalogue.resources:
            ref = str(resource.storage)
            if resource.group_resource != resource.storage or not self._audience(ref):
                continue
            for entry in self.view.entries(resource):
                change = changes.Change("ADDED", ref, entry, None, self.shared.parsed)
                self.shared.indexes.learn(change)
                self._show(change)
                yield

    def load_changes(self) -> None:
        """Show what was changed in a sandbox since it was forked, in the order it happened.

        Before that, what controllers must have reconciled to know whom other changes concern
        (`recalled`).
        """
        for controller, queue in self._recalling():
            for ref in controller.recalled:
                resource = self.view.catalogue.named(ref)
                for present in self.view.entries(resource) if resource is not None else ():
                    change = changes.Change("ADDED", ref, present, None, self.shared.parsed)
                    controller.observe(change, queue)
        store = self.view.store
        touches = [
            (touch.revision, storage, key, touch.original)
            for storage, touched in store.touched.items()
            for key, touch in touched.items()
        ]
        for _, storage, key, before in sorted(touches, key=lambda touch: touch[0]):
            entry, original = store.get(storage, key), before
            kind: logs.EventType = "MODIFIED" if original is not None else "ADDED"
            ref, parsed = str(storage), self.shared.parsed
            if not self._audience(ref):
                continue
            replaced = entry is not None and original is not None and entry.uid != original.uid
            if original is not None and (entry is None or replaced):
                self._show(changes.Change("DELETED", ref, original, original, parsed))
                kind, original = "ADDED", None
            if entry is not None:
                self._show(changes.Change(kind, ref, entry, original, parsed))

    # ------------------------------------------------------------------ running

    def run_ready(self, steps_max: int) -> int:
        """Reconcile queued keys until none is left or `steps_max` is reached; return how many."""
        done = 0
        self.dispatch()
        while self._ready and done < steps_max:
            self._step()
            done += 1
            self.dispatch()
        return done

    def run_slice(self, ends_s: float, steps_max: int) -> None:
        """Look at commits and reconcile keys until a monotonic time or `steps_max`."""
        for _ in range(steps_max):
            if self._events:
                self.dispatch(DISPATCHED_MAX)
            elif self._ready:
                self._step()
            else:
                return
            if self.clock.monotonic() >= ends_s:
                return

    def dispatch(self, events_max: int | None = None) -> None:
        """Turn the commits since the last call into keys; the oldest `events_max` of them."""
        for _ in range(len(self._events) if events_max is None else events_max):
            if not self._events:
                return
            event = self._events.popleft()
            ref = str(event.storage)
            change = changes.Change(
                event.type, ref, event.entry, event.previous, self.shared.parsed
            )
            self.shared.indexes.apply(change)
            self._show(change)
            if event.previous is not None:
                self.shared.parsed.forget(event.previous)

    def next_due_s(self, *, idle: bool) -> float | None:
        """Return the monotonic time of the next timer (with or without idle ones), or None."""
        timers = self._timers if idle else self._awaited
        self._drop_stale(timers)
        return timers[0][0] if timers else None

    def release_due(self) -> bool:
        """Queue the keys whose time has come; say whether there were any.

        Few go one at a time, so that each has its effect before the next, as with real timers;
        many go in batches, so that a thousand pods do not cost a thousand recounts.
        """
        now_s = self.clock.monotonic() + 1e-9  # sums of delays are off by rounding
        batch = max(1, len(self._waiting) // RELEASED_SHARE)
        released = 0
        self._drop_stale(self._timers)
        while self._timers and self._timers[0][0] <= now_s and released < batch:
            _, _, item = heapq.heappop(self._timers)
            del self._waiting[item]
            self._enqueue(item)
            released += 1
            self._drop_stale(self._timers)
        return released > 0

    @property
    def busy(self) -> bool:
        """Whether a key is queued or a commit not yet looked at."""
        return bool(self._ready or self._events)

    @property
    def failures(self) -> list[Failure]:
        """The keys that fail at present, ordered by controller and key."""
        return [self._failures[item] for item in sorted(self._failures)]

    def waiting(self) -> list[tuple[str, Key, float]]:
        """Return what waits for a timer, not counting idle work: controller, key, seconds left."""
        now_s = self.clock.monotonic()
        return [
            (self.controllers[item[0]].name, item[1], max(0.0, due - now_s))
            for item, (due, idle, _) in sorted(self._waiting.items())
            if not idle
        ]

    # ------------------------------------------------------------------ inside

    def _committed(self, event: logs.Event) -> None:
        self._events.append(event)
        self.wake()

    def _audience(self, ref: str) -> tuple[tuple[Controller, Queue], ...]:
        """Return who watches a resource, kept once asked for: no controller comes later."""
        found = self._audiences.get(ref)
        if found is None:
            everywhere = self._watchers.get(EVERYTHING, ())
            found = self._audiences[ref] = (*self._watchers.get(ref, ()), *everywhere)
        return found

    def _show(self, change: changes.Change) -> None:
        for controller, queue in self._audience(change.ref):
            try:
                controller.observe(change, queue)
            except Exception:  # noqa: BLE001 (the top of a task; told in the log)
                _log.exception("%s could not observe %s", controller.name, change.entry.key)

    def _recalling(self) -> Iterator[tuple[Recalling, Queue]]:
        for number, controller in enumerate(self.controllers):
            if isinstance(controller, Recalling):
                yield controller, _Lane(self, number)

    def _step(self) -> None:
        item = self._ready.popleft()
        self._queued.discard(item)
        self.steps += 1
        if not self._take_turn(item):
            self._ready.append(item)
        elif item in self._again:
            self._again.discard(item)
            self.dispatch()  # those who wait for what it wrote come before it
            self._enqueue(item)

    def _take_turn(self, item: _Item) -> bool:
        """Begin a reconcile or go on with it; say whether it ended."""
        controller = self.controllers[item[0]]
        turns = self._under_way.pop(item, None)
        outbox = self.shared.outbox
        outbox.is_open = True
        try:
            answer = controller.reconcile(item[1]) if turns is None else turns
            if isinstance(answer, Generator):
                next(answer)
                self._under_way[item] = answer
                return False
        except StopIteration as end:
            self._answered(item, end.value)
        except outboxes.PostponedError as postponed:
            self._postponed.setdefault(postponed.wish, []).append(item)
        except statuses.ApiError as error:
            self._failed(item, error.message)
        except Exception as error:  # noqa: BLE001 (the top of a task; told in the log)
            _log.exception("%s failed on %s", controller.name, "/".join(item[1]))
            self._failed(item, repr(error))
        else:
            self._answered(item, answer)
        finally:
            outbox.is_open = False
        return True

    def _answered(self, item: _Item, again_s: float | Idle | None) -> None:
        self._failures.pop(item, None)
        waiting = self._waiting.get(item)
        if waiting is not None and waiting.returned:
            del self._waiting[item]
        if isinstance(again_s, Idle):
            self._delay(item, again_s.seconds, idle=True, returned=True)
        elif again_s is not None:
            self._delay(item, again_s, idle=False, returned=True)

    def _settled(self, wish: outboxes.Wish) -> None:
        for item in self._postponed.pop(wish, ()):
            self._enqueue(item)
        self.wake()

    def _failed(self, item: _Item, message: str) -> None:
        before = self._failures.get(item)
        retries = before.retries + 1 if before is not None else 1
        controller, key = self.controllers[item[0]].name, item[1]
        self._failures[item] = Failure(controller, key, retries, message)
        base_s, max_s = RETRY_BASE_S, RETRY_MAX_S
        patient = self.controllers[item[0]]
        if isinstance(patient, Patient):
            base_s, max_s = patient.retry_base_s, patient.retry_max_s
        delay_s = min(base_s * 2.0 ** min(retries - 1, 40), max_s)
        self._delay(item, delay_s, idle=retries > RETRIES_AWAITED_MAX, returned=True)

    def _enqueue(self, item: _Item) -> None:
        if item in self._under_way:
            self._again.add(item)
        elif item not in self._queued:
            self._queued.add(item)
            self._ready.append(item)

    def _delay(self, item: _Item, seconds: float, *, idle: bool, returned: bool = False) -> None:
        if seconds <= 0:
            self._enqueue(item)
            return
        due = round(self.clock.monotonic() + seconds, 6)  # equal delays must stay equal
        known = self._waiting.get(item)
        if known is not None:
            if known.due_s <= due and (idle or not known.idle):
                return
            due, idle = min(due, known.due_s), idle and known.idle
            returned = returned and known.returned
        self._serial += 1
        self._waiting[item] = _Timer(due, idle, returned)
        heapq.heappush(self._timers, (due, self._serial, item))
        if not idle:
            heapq.heappush(self._awaited, (due, self._serial, item))

    def _drop_stale(self, timers: list[tuple[float, int, _Item]]) -> None:
        while timers:
            due, _, item = timers[0]
            known = self._waiting.get(item)
            if known is not None and known.due_s == due:
                return
            heapq.heappop(timers)


class _Lane:
    """One controller's face of the queue."""

    __slots__ = ("_number", "_reactor")

    def __init__(self, reactor: Reactor, number: int) -> None:
        self._reactor = reactor
        self._number = number

    def add(self, key: Key) -> None:
        self._reactor._enqueue((self._number, key))  # noqa: SLF001 (two faces of one queue)
        self._reactor.wake()
        self._reactor.wake()  # it may come from outside, while the reactor sleeps

    def add_after(self, key: Key, seconds: float, *, idle: bool = False) -> None:
        self._reactor._delay((self._number, key), seconds, idle=idle)  # noqa: SLF001


def _nothing() -> None:
    """Do nothing."""
