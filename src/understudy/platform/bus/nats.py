"""The bus between hub replicas, over NATS.

| situation                             | what happens                                             |
| ------------------------------------- | -------------------------------------------------------- |
| connect, agent never seen             | a platform; each call: UnavailableError at once          |
| agent subscribes anywhere, later      | the same platform starts to work                         |
| method raises an application error    | it is the caller's; the subscription stays               |
| method raises a fatal error           | it is the caller's; the subscription ends with it        |
| method that the agent does not know   | UpgradeNeededError, at once                              |
| second subscription, on any bus       | the first ends with KickedError, its calls under way too |
| the same agent's second subscription  | its calls under way go on there, and none runs twice     |
| an agent hangs                        | DeadlineError when the call's time is over               |
| an agent's bus is gone without a word | lost within two heartbeats; calls under way wait for the |
|                                       | agent to come back on another bus, `patience_s` at most  |
| a letter is lost, NATS restarts       | the request is sent again, and runs once                 |
| NATS is away                          | agents here are reached; calls to others wait for it     |
| a message is too large for NATS       | it goes in pieces; over the limit: TooLargeError         |

Every bus has a mailbox, and every connection of an agent a name that nobody else ever has:
requests are addressed to that, so an agent and the one that replaces it never get the same one. A
request carries its deadline by the clock of the bus that it goes to, as far as its announcements
tell: what was held up on the way past its deadline is not begun.

    PREFIX.to.BUS               letters to a bus
    PREFIX.presence.INSTANCE    announcements
    PREFIX.roll                 asks every bus to announce what it has
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Self

from understudy.aio import clocks, ids as id_sources, tasks as task_sets
from understudy.platform import errors, instrument, protocol, records
from understudy.platform.bus import (
    connections,
    letters,
    parcels,
    protocol as buses,
    rolls,
    routing,
    seats,
    settings as bus_settings,
    wire,
)

GRACE_S = 0.25
"""How long the last answer of a connection that has ended may take to arrive."""


@dataclass(slots=True)
class _Call:
    """A request from here that is under way elsewhere; who asks it again waits for `done`."""

    to: rolls.Announcement
    request: wire.Request
    body: bytes
    until_s: float
    done: asyncio.Future[wire.Response]
    response: wire.Response | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    fetching: asyncio.Task[None] | None = None

    def end(self, response: wire.Response) -> None:
        """Take what became of it; what comes after the first is ignored."""
        if self.response is None:
            self.response = response
            self.news.set()


class _Elsewhere:
    """The way to a connection of another bus."""

    def __init__(self, bus: NatsMessageBus, announced: rolls.Announcement) -> None:
        self._bus = bus
        self.announced = announced

    @property
    def agent(self) -> str:
        return self.announced.agent

    @property
    def methods(self) -> Collection[str]:
        return self.announced.methods

    async def carry(self, request: wire.Request) -> wire.Response:
        return await self._bus.ask(self.announced, request)


class NatsMessageBus(routing.RoutedBus):
    """Routes calls to agents of every bus that shares NATS and the prefix.

    `async with NatsMessageBus(settings) as bus` opens and closes it.

    Args:
        metrics: Counts kicks, agents, repetitions, and measures calls.
    """

    def __init__(
        self,
        settings: bus_settings.NatsSettings | None = None,
        *,
        metrics: instrument.BusMetrics | None = None,
        clock: clocks.Clock | None = None,
        ids: id_sources.IdSource | None = None,
    ) -> None:
        self._settings = settings or bus_settings.NatsSettings()
        super().__init__(
            metrics=metrics or instrument.BusMetrics(),
            clock=clock or clocks.SystemClock(),
            ids=ids or id_sources.SystemIds(),
            deadlines_s=self._settings.deadlines_s,
            return_s=self._settings.patience_s,
        )
        self._name = self._ids.uid()
        self._roll = rolls.Roll(self._name, self._clock)
        self._seats: dict[str, tuple[str, seats.Seat]] = {}
        self._connections: dict[str, seats.Seat] = {}
        self._ways: dict[str, _Elsewhere] = {}
        self._calls: dict[str, _Call] = {}
        # By id, until when requests from elsewhere that are being carried out here may take.
        self._from_elsewhere: dict[str, float] = {}
        self._is_closed = False
        self._places = asyncio.Semaphore(self._settings.calls_max)
        self._tasks = task_sets.TaskSet(routing.failed)
        self._prefix = self._settings.prefix
        self._roll_call = f"{self._prefix}.roll"
        self._connection = connections.Connection(
            self._settings,
            (f"{self._prefix}.to.{self._name}", f"{self._prefix}.presence.*", self._roll_call),
            take=self._take,
            changed=self._connection_changed,
            clock=self._clock,
            ids=self._ids,
        )
        self._outbox = parcels.Outbox(self._settings.parcels_bytes_max)
        self._inbox = parcels.Inbox(
            self._settings.parcels_bytes_max, ask=self._post, again_s=self._settings.resend_s
        )

    async def open(self) -> None:
        """Connect to NATS; from then on the connection comes back by itself.

        Raises:
            UnavailableError: No server could be reached.
        """
        await self._connection.open()
        self._tasks.start("heartbeats", self._beat())

    async def close(self) -> None:
        self._is_closed = True
        for call in self._calls.values():
            call.end(wire.Response(id=call.request.id, error=_closed()))
        for seat in list(self._connections.values()):
            seat.close()
        await self._tasks.stop()
        await self._connection.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------------ agents here

    async def subscribe(self, instance: str, platform: protocol.Platform) -> seats.Seat:
        records.check_instance(instance)
        if self._is_closed:
            raise _closed()
        connection = self._ids.uid()
        made = seats.Seat(
            instance,
            platform,
            self._roll.next_epoch(instance),
            left=functools.partial(self._left, connection),
            done=self._put_aside,
            tasks=self._tasks,
            clock=self._clock,
            limits=self._settings.limits,
        )
        self._connections[connection] = made
        self._metrics.agents.inc()
        announced = self._announcement(connection, made)
        self._hear(announced)
        self._seats[instance] = connection, made
        self._publish_announcement(announced)
        return made

    def _left(self, connection: str, seat: seats.Seat, reason: errors.PlatformError | None) -> None:
        self._metrics.agents.dec()
        del self._connections[connection]
        if self._seats.get(seat.instance) != (connection, seat):
            return
        del self._seats[seat.instance]
        why = reason.message if reason else "closed"
        said = replace(self._announcement(connection, seat), left=True, reason=why)
        self._hear(said)
        self._publish_announcement(said)

    def _announcement(self, connection: str, seat: seats.Seat) -> rolls.Announcement:
        return rolls.Announcement(
            instance=seat.instance,
            connection=connection,
            epoch=seat.epoch,
            bus=self._name,
            clock_s=self._clock.monotonic(),
            heartbeat_s=self._settings.heartbeat_s,
            agent=seat.agent,
            methods=seat.methods,
        )

    def _publish_announcement(self, said: rolls.Announcement) -> None:
        data = json.dumps(records.to_json(said), separators=(",", ":")).encode()
        self._connection.publish(f"{self._prefix}.presence.{said.instance}", data)

    def _announce_all(self) -> None:
        for connection, seat in self._seats.values():
            seat.desk.forget_expired()
            said = self._announcement(connection, seat)
            self._roll.hear(said)
            self._publish_announcement(said)

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(self._settings.heartbeat_s)
            self._announce_all()

    def _hear(self, said: rolls.Announcement) -> None:
        """Take note of an announcement: the newest connection wins, the older is told why."""
        has_changed = self._roll.hear(said)
        connection, seat = self._seats.get(said.instance, ("", None))
        if seat is not None and connection != said.connection and not said.left:
            mine = self._announcement(connection, seat)
            if said.rank > mine.rank:
                del self._seats[said.instance]
                self._kick(seat, said.epoch, said.agent)
            else:
                self._publish_announcement(mine)
        if has_changed:
            self._changed.ring()
            for call in self._calls.values():
                if call.to.instance == said.instance:
                    call.news.set()

    # ------------------------------------------------------------------ presence

    async def presence(self, instance: str) -> buses.Presence:
        records.check_instance(instance)
        while (left_s := self._roll_call_left_s(instance)) > 0:
            await self._wait_for_change(left_s)
        return self._roll.presence(instance)

    async def presences(self) -> list[buses.Presence]:
        return [self._roll.presence(instance) for instance in self._roll]

    def _present(self, instance: str) -> routing.Route | None:
        own = self._seats.get(instance)
        if own is not None:
            return own[1]
        announced = self._roll.connected(instance)
        if announced is None:
            return None
        way = self._ways.get(instance)
        if way is None or way.announced.connection != announced.connection:
            way = self._ways[instance] = _Elsewhere(self, announced)
        return way

    async def _find(self, instance: str) -> routing.Route:
        patient_until_s = self._clock.monotonic() + self._settings.patience_s
        while (found := self._present(instance)) is None or self._is_closed:
            if self._is_closed:
                raise _closed()
            is_up = self._connection.up_since_s is not None
            patient_s = patient_until_s - self._clock.monotonic()
            left_s = self._roll_call_left_s(instance) if is_up else patient_s
            if left_s <= 0:
                raise routing.absent(instance) if is_up else self._connection.unreachable()
            await self._wait_for_change(left_s)
        return found

    def _roll_call_left_s(self, instance: str) -> float:
        """Return how long an agent may still be unknown because its bus has not answered."""
        up_since_s = self._connection.up_since_s
        if up_since_s is None or self._present(instance) is not None:
            return 0.0
        if self._roll.is_known(instance, up_since_s):
            return 0.0
        return up_since_s + self._settings.roll_call_s - self._clock.monotonic()

    async def _wait_for_change(self, longest_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._changed.wait()

    # ------------------------------------------------------------------ letters

    def _connection_changed(self) -> None:
        is_up = self._connection.up_since_s is not None
        self._metrics.connected.set(is_up)
        if is_up:
            self._connection.publish(self._roll_call, b"")
            self._announce_all()
            for call in self._calls.values():
                call.news.set()
        self._changed.ring()

    def _post(self, bus: str, letter: letters.Letter, body: bytes = b"") -> None:
        self._connection.publish(f"{self._prefix}.to.{bus}", letters.pack(letter, body))

    def _take(self, subject: str, data: bytes) -> None:
        if subject == self._roll_call:
            self._announce_all()
            return
        # What makes no sense is nobody's: there is none to tell, and the next may be all right.
        with contextlib.suppress(errors.InvalidRequestError):
            if subject.startswith(f"{self._prefix}.presence."):
                self._take_announcement(data)
            else:
                self._take_letter(*letters.unpack(data))

    def _take_announcement(self, data: bytes) -> None:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise errors.InvalidRequestError(f"an announcement is no JSON: {error}") from error
        said = records.from_json(rolls.Announcement, found)
        records.check_instance(said.instance)
        if said.bus != self._name:
            self._hear(said)

    def _take_letter(self, letter: letters.Letter, body: bytes) -> None:
        if letter.want:
            piece = self._outbox.piece(letter, self._connection.piece_bytes)
            answer = letters.Letter(sender=self._name, piece=letter.want, start=letter.start)
            self._metrics.parcel_bytes.labels("out").inc(len(piece))
            self._post(letter.sender, answer, piece)
        elif letter.piece:
            self._metrics.parcel_bytes.labels("in").inc(len(body))
            self._inbox.take(letter, body)
        elif letter.connection:
            self._take_for_agent(letter, body)
        elif letter.parcel:
            self._take_large_response(letter)
        else:
            self._take_for_caller(wire.decode(body))

    # ------------------------------------------------------------------ requests from elsewhere

    def _take_for_agent(self, letter: letters.Letter, body: bytes) -> None:
        try:
            message = None if letter.parcel else wire.decode(body)
        except errors.InvalidRequestError as error:
            self._respond(letter, wire.Response(id=letter.id, error=error))
            return
        seat = self._connections.get(letter.connection)
        if isinstance(message, wire.Cancel | wire.Acknowledge):
            self._outbox.drop(f"{letter.id}.response")
            if seat is not None and isinstance(message, wire.Cancel):
                seat.desk.cancel(letter.id)
            elif seat is not None:
                seat.desk.acknowledge(letter.id)
        elif seat is None:
            gone = errors.UnavailableError("the agent's connection has ended")
            self._respond(letter, wire.Response(id=letter.id, error=gone, lost=True))
        elif (answer := seat.desk.find(letter.id)) is not None:
            if answer.done():
                self._respond(letter, answer.result())
        elif isinstance(message, wire.Request):
            self._begin(letter, seat, message)
        elif letter.parcel and not self._inbox.is_fetching(letter.parcel):
            self._tasks.start(f"request {letter.id}", self._fetch_request(letter, seat))

    async def _fetch_request(self, letter: letters.Letter, seat: seats.Seat) -> None:
        refusal: errors.PlatformError = errors.InvalidRequestError("a request in pieces is none")
        try:
            async with asyncio.timeout(letter.until_s - self._clock.monotonic()):
                message = wire.decode(await self._fetch(letter))
            if isinstance(message, wire.Request):
                self._begin(letter, seat, message)
                return
        except TimeoutError:
            return  # Nobody waits any more.
        except errors.UnavailableError:
            return  # The caller has given up.
        except errors.PlatformError as error:
            refusal = error
        self._respond(letter, wire.Response(id=letter.id, error=refusal))

    def _begin(self, letter: letters.Letter, seat: seats.Seat, request: wire.Request) -> None:
        left_s = min(request.deadline_s, letter.until_s - self._clock.monotonic())
        self._from_elsewhere[letter.id] = letter.until_s
        answer = seat.desk.submit(replace(request, deadline_s=left_s))
        answer.add_done_callback(functools.partial(self._answered, letter, seat))

    def _answered(
        self, letter: letters.Letter, seat: seats.Seat, answer: asyncio.Future[wire.Response]
    ) -> None:
        self._from_elsewhere.pop(letter.id, None)
        self._respond(letter, seat.checked(answer.result()))

    async def _put_aside(self, request: wire.Request, response: wire.Response) -> None:
        """Keep an answer to elsewhere that is too large for a letter, when there is room.

        While there is none the request is under way still, so that no more are begun than an agent
        takes on, and no more of their answers wait.
        """
        until_s = self._from_elsewhere.get(request.id)
        # As JSON in ASCII a character has twelve bytes at most.
        if until_s is not None and 12 * wire.weight(response) > self._connection.piece_bytes:
            await self._put(response, until_s)

    async def _put(self, response: wire.Response, until_s: float) -> None:
        body = self._encoded(response)
        if len(body) > self._connection.piece_bytes:
            parcel = f"{response.id}.response"
            await self._outbox.put(parcel, body)
            left_s = until_s - self._clock.monotonic()
            asyncio.get_running_loop().call_later(left_s, self._outbox.drop, parcel)

    def _respond(self, letter: letters.Letter, response: wire.Response) -> None:
        back = letters.Letter(sender=self._name, id=letter.id)
        parcel = f"{letter.id}.response"
        size = self._outbox.size_of(parcel)
        if size:
            self._post(letter.sender, replace(back, parcel=parcel, size=size))
            return
        body = self._encoded(response)
        if len(body) <= self._connection.piece_bytes:
            self._post(letter.sender, back, body)
        else:
            # It was not put aside: NATS took more in one piece when it was made.
            self._tasks.start(f"response {letter.id}", self._respond_late(letter, response))

    async def _respond_late(self, letter: letters.Letter, response: wire.Response) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(letter.until_s - self._clock.monotonic()):
                await self._put(response, letter.until_s)
            self._respond(letter, response)

    async def _fetch(self, letter: letters.Letter) -> bytes:
        if letter.size > self._settings.message_bytes_max:
            raise self._too_large("a message", letter.size)
        return await self._inbox.fetch(self._name, letter, self._connection.piece_bytes)

    def _encoded(self, response: wire.Response) -> bytes:
        """Encode a response; one that is too large is an error instead."""
        body = wire.encode(response)
        if len(body) <= self._settings.message_bytes_max:
            return body
        error = self._too_large("the answer", len(body))
        return wire.encode(wire.Response(id=response.id, error=error))

    def _too_large(self, what: str, size: int) -> errors.TooLargeError:
        most = self._settings.message_bytes_max
        return errors.TooLargeError(f"{what} has {size:,} bytes, and the bus carries {most:,}")

    # ------------------------------------------------------------------ calls from here

    async def ask(self, to: rolls.Announcement, request: wire.Request) -> wire.Response:
        """Have a request carried out by an agent of another bus, once or not at all."""
        known = self._calls.get(request.id)
        if known is not None:
            return await asyncio.shield(known.done)
        body = wire.encode(request)
        if len(body) > self._settings.message_bytes_max:
            raise self._too_large(f"what {request.method} was given", len(body))
        until_s = self._clock.monotonic() + request.deadline_s
        call = _Call(to, request, body, until_s, asyncio.get_running_loop().create_future())
        self._calls[request.id] = call
        try:
            async with self._places:
                return await self._until_answered(call)
        finally:
            self._end(call)

    def _end(self, call: _Call) -> None:
        del self._calls[call.request.id]
        self._outbox.drop(f"{call.request.id}.request")
        if call.fetching is not None:
            call.fetching.cancel()
        if call.response is None:
            self._tell(call, wire.Cancel(id=call.request.id))
            given_up = errors.CancelledCallError("the caller that asked first gave up")
            call.response = wire.Response(id=call.request.id, error=given_up, lost=True)
        elif not call.response.lost:
            self._tell(call, wire.Acknowledge(id=call.request.id))
        call.done.set_result(call.response)

    def _tell(self, call: _Call, message: wire.Message) -> None:
        self._post(call.to.bus, self._letter(call), wire.encode(message))

    def _letter(self, call: _Call) -> letters.Letter:
        left_s = call.until_s - self._clock.monotonic()
        return letters.Letter(
            sender=self._name,
            id=call.request.id,
            connection=call.to.connection,
            until_s=self._roll.until_s(call.to.instance, left_s),
        )

    async def _until_answered(self, call: _Call) -> wire.Response:
        is_sent, ended_s = False, None
        while call.response is None:
            call.news.clear()
            over, wait_s = self._over(call), self._settings.resend_s
            if over is not None:
                # Its last answers may be on their way still.
                ended_s = ended_s or self._clock.monotonic()
                wait_s = ended_s + GRACE_S - self._clock.monotonic()
                if wait_s <= 0:
                    call.response = over
                    break
            elif self._connection.up_since_s is not None:
                self._metrics.resent.inc(is_sent)
                await self._send(call)
                is_sent = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await call.news.wait()
        return call.response

    async def _send(self, call: _Call) -> None:
        await self._connection.wait_for_room()
        if len(call.body) <= self._connection.piece_bytes:
            self._post(call.to.bus, self._letter(call), call.body)
            return
        parcel = f"{call.request.id}.request"
        await self._outbox.put(parcel, call.body)
        offer = replace(self._letter(call), parcel=parcel, size=len(call.body))
        self._post(call.to.bus, offer)

    def _over(self, call: _Call) -> wire.Response | None:
        """Return how a call ends whose connection has ended, None while there is hope."""
        instance, newest = call.to.instance, self._roll.newest(call.to.instance)
        silent_s = self._roll.silent_s(instance)
        error: errors.PlatformError
        if newest is None or newest.connection != call.to.connection:
            error = errors.kicked(instance, call.to.epoch, newest.epoch if newest else 0)
        elif newest.left:
            error = errors.UnavailableError(
                f"the agent of instance {instance} has left: {newest.reason}"
            )
        elif silent_s <= self._settings.patience_s:
            return None
        elif self._connection.up_since_s is None:
            error = self._connection.unreachable()
        else:
            error = errors.UnavailableError(
                f"nothing was heard of the agent of instance {instance} for {silent_s:.0f} s; what "
                "was asked may still happen"
            )
        return wire.Response(id=call.request.id, error=error, lost=True)

    def _take_for_caller(self, message: wire.Message) -> None:
        call = self._calls.get(message.id)
        if call is not None and isinstance(message, wire.Response):
            call.end(message)

    def _take_large_response(self, letter: letters.Letter) -> None:
        call = self._calls.get(letter.id)
        if call is None or self._inbox.is_fetching(letter.parcel):
            return
        call.fetching = self._tasks.start(
            f"response {letter.id}", self._fetch_response(call, letter)
        )

    async def _fetch_response(self, call: _Call, letter: letters.Letter) -> None:
        try:
            message = wire.decode(await self._fetch(letter))
        except errors.UnavailableError:
            return  # Asked again, the agent's bus tells what became of it.
        except errors.PlatformError as error:
            message = wire.Response(id=letter.id, error=error)
        if isinstance(message, wire.Response):
            call.end(message)


def _closed() -> errors.UnavailableError:
    return errors.UnavailableError("the bus was closed")
