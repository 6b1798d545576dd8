r"""What buses send each other over NATS: a head of one line, and a body.

    {"from": "5f1c", "id": "77aa", "connection": "c0de", "until_s": 2.5}\n<a bus.wire message>
    {"from": "5f1c", "id": "77aa", "parcel": "77aa.response", "size": 4194304}\n
    {"from": "5f1c", "want": "77aa.response", "start": 0, "stop": 262144}\n
    {"from": "5f1c", "piece": "77aa.response", "start": 0}\n<some of a message>

A message that is too large for one letter is a parcel: its letter tells its size only, and who
needs it asks for the pieces. So a sender is never ahead of its receiver by more than was asked
for, and a piece that was lost is asked for again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from understudy.platform import errors, records


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message of NATS.

    Attributes:
        sender: Names the bus that sent it; answers go there.
        id: Of the request that it is about.
        connection: The connection that it is for; empty for callers.
        until_s: The request's deadline by the receiver's clock.
        parcel: Names the body, where that is fetched in pieces; `size` is how long it is.
        want: The parcel of which a piece is wanted, from `start` to before `stop`.
        piece: The parcel of which the body is a piece, from `start`; without body: it is gone.
    """

    sender: str
    id: str = ""
    connection: str = ""
    until_s: float = 0.0
    parcel: str = ""
    size: int = 0
    want: str = ""
    piece: str = ""
    start: int = 0
    stop: int = 0


def pack(letter: Letter, body: bytes = b"") -> bytes:
    """Write a letter; what has its default is left out."""
    given = {name: value for name in Letter.__slots__ if (value := getattr(letter, name))}
    return json.dumps(given, separators=(",", ":")).encode() + b"\n" + body


def unpack(data: bytes) -> tuple[Letter, bytes]:
    """Read what `pack` writes.

    Raises:
        InvalidRequestError: It is no letter.
    """
    head, _, body = data.partition(b"\n")
    try:
        found = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidRequestError(f"a letter's head is no JSON: {error}") from error
    return records.from_json(Letter, found), body
