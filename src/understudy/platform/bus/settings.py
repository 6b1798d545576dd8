"""How a bus over NATS behaves: each setting with its meaning, unit, default and why."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from understudy.platform import errors, protocol
from understudy.platform.bus import serving

_PREFIX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsSettings:
    """A bus over NATS.

    Attributes:
        servers: URLs of the servers; `nats://TOKEN@host:4222` and `nats://user:word@host` carry
            credentials. The next one is tried where one does not answer.
        credentials: Path of a NATS credentials file, empty for none.
        tls: How servers are verified; None where the URLs say `nats://`.
        prefix: First part of every subject. Buses of one prefix are one bus: anything else needs
            another one, and NATS' own authorisation decides who may use it.
        heartbeat_s: How often a bus says which agents it has. An agent that is not heard of for
            two heartbeats is lost; 5 s tell it soon, and cost 200 agents 40 small messages a
            second.
        connect_timeout_s: Longest time to connect to a server.
        roll_call_s: How long after connecting an agent may be unknown only because its bus has
            not answered yet. Answers take milliseconds.
        resend_s: How often a request without answer is sent again. It runs once all the same.
        patience_s: How long a call waits for NATS, or for an agent that has fallen silent, if
            its deadline allows: longer than a restart takes.
        piece_bytes: Larger messages go in pieces of this size; NATS takes 1 MiB in one unless its
            server is told otherwise, and smaller ones where the server takes less.
        message_bytes_max: Longest request or answer.
        parcels_bytes_max: Bytes of messages in pieces at a time, each way; more of them wait.
        outgoing_bytes_max: Bytes that wait to be written to the socket; callers wait for room.
        calls_max: Calls under way from here at a time; more of them wait.
        deadlines_s: Seconds that a call may take, by method; the others have their defaults.
        limits: How much one agent takes on.
    """

    servers: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    credentials: str = ""
    tls: ssl.SSLContext | None = None
    prefix: str = "understudy"
    heartbeat_s: float = 5.0
    connect_timeout_s: float = 5.0
    roll_call_s: float = 0.5
    resend_s: float = 2.0
    patience_s: float = 30.0
    piece_bytes: int = 256 << 10
    message_bytes_max: int = 256 << 20
    parcels_bytes_max: int = 512 << 20
    outgoing_bytes_max: int = 8 << 20
    calls_max: int = 10_000
    deadlines_s: Mapping[str, float] = field(default_factory=lambda: protocol.DEADLINES_S)
    limits: serving.Limits = field(default_factory=serving.Limits)

    def __post_init__(self) -> None:
        if not self.servers:
            raise errors.InvalidRequestError(
                "servers: at least one is needed, e.g. nats://127.0.0.1:4222"
            )
        if _PREFIX.fullmatch(self.prefix) is None:
            raise errors.InvalidRequestError(
                f"prefix {self.prefix!r}: must be letters, digits, dashes and underscores, in "
                "parts joined by dots, e.g. understudy"
            )
        if self.parcels_bytes_max < self.message_bytes_max:
            raise errors.InvalidRequestError(
                f"parcels_bytes_max {self.parcels_bytes_max}: must hold one message of "
                f"message_bytes_max, {self.message_bytes_max}"
            )
