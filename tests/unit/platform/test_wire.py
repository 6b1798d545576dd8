"""Calls as messages: what is asked, answered and wrong is equal after every hop."""

import asyncio
import functools
import json

import pytest
from hypothesis import given, strategies as st

from understudy.aio import ids
from understudy.platform import errors, protocol
from understudy.platform.bus import wire
from understudy.testing import battery, mocks

TEXT = st.text(max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
PLAIN = st.builds(
    lambda cls, message, advice, details, retryable, fatal: cls(
        message, help=advice, details=details, retryable=retryable, fatal=fatal
    ),
    st.sampled_from([cls for cls in errors._CLASSES if not issubclass(cls, errors._PartialError)]),
    TEXT,
    TEXT,
    st.dictionaries(TEXT, JSON, max_size=3),
    st.booleans(),
    st.booleans(),
)
PARTIAL = st.builds(
    lambda cls, found: cls.of(found),
    st.sampled_from([errors.ApplyError, errors.SyncError]),
    st.dictionaries(TEXT, PLAIN, min_size=1, max_size=3),
)
MESSAGES = (
    st.builds(
        wire.Request,
        id=TEXT,
        method=st.sampled_from(protocol.METHODS),
        arguments=st.dictionaries(TEXT, JSON, max_size=3),
        deadline_s=st.floats(0, 1e6),
    )
    | st.builds(wire.Response, id=TEXT, result=JSON)
    | st.builds(wire.Response, id=TEXT, error=PLAIN | PARTIAL, lost=st.booleans())
    | st.builds(wire.Running, id=TEXT)
    | st.builds(wire.Cancel, id=TEXT)
    | st.builds(wire.Acknowledge, id=TEXT)
)


@given(MESSAGES, st.integers(1, 4))
def test_a_message_is_equal_after_every_hop(message, hops):
    relayed = message
    for _ in range(hops):
        relayed = wire.decode(wire.encode(relayed))
    assert relayed == message


@given(PLAIN | PARTIAL, st.integers(0, 3), st.sampled_from(protocol.METHODS))
def test_an_error_that_is_raised_at_the_far_end_is_raised_here(error, hops, method):
    mock = mocks.MockPlatform()
    getattr(mock, f"on_{method}").error = error
    platform = through(mock, hops)

    with pytest.raises(errors.PlatformError) as caught:
        asyncio.run(battery.call(platform, method))

    assert caught.value == error
    assert getattr(mock, f"on_{method}").calls == 1


def through(platform, hops):
    """Put a platform behind so many hops, each of which encodes and decodes what it carries."""
    for _ in range(hops + 1):
        platform = wire.CarriedPlatform(
            functools.partial(hop, platform), name="instance a", ids=ids.SeededIds()
        )
    return platform


async def hop(platform, request):
    response = await wire.perform(platform, wire.decode(wire.encode(request)))
    return wire.decode(wire.encode(response))


async def test_a_hop_relays_the_request_with_its_id_and_what_is_left_of_its_time():
    seen = []

    async def carry(request):
        seen.append(request)
        return wire.Response(id=request.id, result="1")

    far = wire.CarriedPlatform(carry, name="instance a", ids=ids.SeededIds())
    near = wire.CarriedPlatform(
        functools.partial(wire.perform, far), name="instance a", ids=ids.SeededIds(1)
    )
    assert await near.version() == "1"
    (request,) = seen
    assert request.id == ids.SeededIds(1).uid()
    assert request.deadline_s == protocol.DEADLINES_S["version"]


async def test_a_platform_that_fails_otherwise_answers_all_the_same():
    mock = mocks.MockPlatform()
    mock.on_export.error = KeyError("spec")
    with pytest.raises(errors.PlatformError, match="export failed: KeyError: 'spec'"):
        await through(mock, 1).export()


async def test_a_call_ends_by_its_deadline_and_its_carrier_is_told():
    given_up = asyncio.Event()

    async def carry(request):
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    platform = wire.CarriedPlatform(
        carry, name="instance a", ids=ids.SeededIds(), deadlines_s={"ping": 0.01}
    )
    with pytest.raises(errors.DeadlineError, match=r"instance a did not answer ping within 0.01 s"):
        await platform.ping()
    assert given_up.is_set()


async def test_a_method_that_the_agent_lacks_is_told_without_asking():
    async def carry(request):
        raise AssertionError(request)

    platform = wire.CarriedPlatform(
        carry, name="instance a", ids=ids.SeededIds(), methods=("ping",)
    )
    with pytest.raises(errors.UpgradeNeededError, match="instance a does not know export"):
        await platform.export()


async def test_a_method_of_a_newer_version_is_told_as_such():
    asked = wire.Request(id="1", method="teleport", deadline_s=1)
    response = await wire.perform(mocks.MockPlatform(), asked)
    assert response.error == errors.UpgradeNeededError("the agent does not know teleport")


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (errors.UnavailableError("the socket broke"), True),
        (errors.FatalError("the socket broke"), True),
        (errors.DeadlineError("late"), False),
        (errors.InvalidRequestError("no"), False),
    ],
)
async def test_what_the_way_says_is_told_from_what_the_platform_says(error, lost):
    async def carry(request):
        raise error

    broken = wire.CarriedPlatform(carry, name="instance a", ids=ids.SeededIds())
    asked = wire.Request(id="1", method="ping", deadline_s=1)
    assert await wire.perform(broken, asked) == wire.Response(id="1", error=error, lost=lost)

    mock = mocks.MockPlatform()
    mock.on_ping.error = error
    assert await wire.perform(mock, asked) == wire.Response(id="1", error=error)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "message type None"),
        (b'{"type": "x", "id": "1"}', "message type 'x': must be one of request, response"),
        (b'{"type": ["request"]}', "message type"),
        (b'{"type": "request", "id": 1}', "Request.id: must be a str, not int"),
        (b'{"type": "request", "id": "1"}', "Request"),
        (b'{"type": "response"}', "id"),
        (b'{"type": "response", "id": "1", "error": 3}', "Response.error: must be an object"),
    ],
)
def test_what_is_no_message_is_told(data, said):
    with pytest.raises(errors.InvalidRequestError, match=said):
        wire.decode(data)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("some_services", {}),
        ("some_services", {"ids": ["a", 1]}),
        ("all_services", {"ignored": "x"}),
        ("sync", {"definition": []}),
        ("apply", {"definitions": [{}]}),
    ],
)
async def test_arguments_that_make_no_sense_reach_no_platform(method, arguments):
    mock = mocks.MockPlatform()
    asked = wire.Request(id="1", method=method, arguments=arguments, deadline_s=1)
    response = await wire.perform(mock, asked)
    assert isinstance(response.error, errors.InvalidRequestError)
    assert getattr(mock, f"on_{method}").calls == 0


def test_a_peer_may_say_more_and_leave_out_what_has_defaults():
    said = {"type": "request", "id": "1", "method": "ping", "deadline_s": 3, "colour": "red"}
    assert wire.decode(json.dumps(said).encode()) == wire.Request(
        id="1", method="ping", deadline_s=3.0
    )
