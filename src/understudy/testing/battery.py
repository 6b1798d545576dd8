"""One behaviour for every platform and everything that carries calls to one.

    async def test_my_bus():
        await battery.platform_battery(my_wrap)

`wrap` takes a platform and returns an async context manager whose value is the platform to use:
the same one, or what reaches it over a bus, a socket, a hub; or a `Reach`, where connections can
break and others take their place. `platform_battery` puts a `MockPlatform` behind it and asks
whether arguments, answers and errors arrive whole, each call is carried out once, and none is left
hanging; `cluster_battery` puts a real cluster there and asks whether it does what a cluster should.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from understudy.platform import errors, protocol, records
from understudy.testing import mocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A platform, and what can happen on the way to it.

    Attributes:
        platform: What reaches the platform that was wrapped.
        reconnect: Breaks the agent's connection and makes another one; returns when it is used.
        replace: Puts another agent, with this platform, in the agent's place; returns when that
            one is used.
        deadlines_s: Seconds that calls may take, by method, where that is short enough to wait for.
    """

    platform: protocol.Platform
    reconnect: Callable[[], Awaitable[None]] | None = None
    replace: Callable[[protocol.Platform], Awaitable[None]] | None = None
    deadlines_s: Mapping[str, float] = field(default_factory=dict)


Wrap = Callable[[protocol.Platform], AbstractAsyncContextManager[protocol.Platform | Reach]]
LARGE_BYTES = 4 << 20
"""Larger than any message bus takes in one piece."""
ARRIVES_S = 10.0
"""Longest time for word of a call to reach the far end."""

_FULL = records.Service(
    id="shop:deployment/web",
    ip="10.0.0.1",
    metadata={"uid": "u"},
    status="ready",
    containers=records.ContainersOrExcuse(
        containers=(records.Container(name="web", image="registry.example:5000/web:1"),)
    ),
    rollout=records.Rollout(desired=2, updated=2, ready=2, available=2, messages=("all well",)),
    labels={"app": "web"},
)
_SERVICES = [_FULL, records.Service(id="shop:cronjob/report")]
_SYNC = records.SyncDef(
    actions=(
        records.SyncAction(resource_id="shop:deployment/old", delete="kind: Deployment"),
        records.SyncAction(resource_id="shop:deployment/web", apply="kind: Deployment # ü"),
    ),
    request_id="r-1",
)


class BatteryError(AssertionError):
    """A platform does not behave."""


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise BatteryError(f"{what}: found {found!r}, expected {expected!r}")


async def _fails(what: str, call: Awaitable[object], expected: errors.PlatformError) -> None:
    try:
        answer = await call
    except errors.PlatformError as error:
        _expect(f"{what}: error", error.to_json(), expected.to_json())
        _expect(f"{what}: class", type(error), type(expected))
        return
    raise BatteryError(f"{what}: no error, but {answer!r}")


async def platform_battery(wrap: Wrap) -> None:
    """Run every check over a fresh mock behind `wrap`; BatteryError tells the first failure.

    What needs more than a platform is asked where `wrap` gives a `Reach` that has it.
    """
    try:
        await _try_everything(wrap)
    except BaseExceptionGroup as group:
        # Of a check that calls several things at once.
        first: BaseException | None = group.subgroup(BatteryError)
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        if first is None:
            raise
        raise first from group


async def _try_everything(wrap: Wrap) -> None:
    for check in _CHECKS:
        mock = mocks.MockPlatform()
        async with wrap(mock) as given:
            await check(given.platform if isinstance(given, Reach) else given, mock)
    await _older_agent(wrap)
    for check_reach in _REACH_CHECKS:
        mock = mocks.MockPlatform()
        async with wrap(mock) as given:
            if isinstance(given, Reach):
                await check_reach(given, mock)


async def _until(what: str, condition: Callable[[], bool]) -> None:
    try:
        async with asyncio.timeout(ARRIVES_S):
            while not condition():  # noqa: ASYNC110 (a mock has nothing to wait for)
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise BatteryError(f"{what}: not within {ARRIVES_S:g} s") from None


async def _arguments_and_answers(platform: protocol.Platform, mock: mocks.MockPlatform) -> None:
    await platform.ping()
    _expect("version", await platform.version(), "mock")
    mock.on_all_services.answer = _SERVICES
    found = await platform.all_services("shop", {"shop:deployment/x"})
    _expect("all_services", found, _SERVICES)
    _asked("all_services", mock.on_all_services, "shop", {"shop:deployment/x"})
    mock.on_some_services.answer = [_FULL]
    _expect("some_services", await platform.some_services([_FULL.id]), [_FULL])
    _asked("some_services", mock.on_some_services, [_FULL.id])
    definition = records.ServiceDefinition(
        service_id=_FULL.id, definition="a: 1", asynchronous=True
    )
    await platform.apply([definition])
    _asked("apply", mock.on_apply, [definition])
    result = records.SyncResult(
        results=(records.ResourceResult(resource_id="r", object="o", operation="changed"),)
    )
    mock.on_sync.answer = result
    _expect("sync result", await platform.sync(_SYNC), result)
    _asked("sync", mock.on_sync, _SYNC)
    request = records.ApiRequest(
        method="POST", path="/api/v1/pods?limit=5", body="{}", headers={"a": "b"}
    )
    refusal = records.ApiAnswer(status=404, headers={"content-type": "x"}, body="/w==", base64=True)
    mock.on_call_api.answer = refusal
    _expect("answer", await platform.call_api(request), refusal)
    _asked("call_api", mock.on_call_api, request)


def _asked(what: str, told: mocks.Told, *arguments: object) -> None:
    _expect(f"{what} arguments", told.asked, [arguments])


async def _empty_and_large(platform: protocol.Platform, mock: mocks.MockPlatform) -> None:
    _expect("no services", await platform.all_services(), [])
    _expect("empty sync", await platform.sync(records.SyncDef()), records.SyncResult())
    _expect("empty export", await platform.export(), "")
    large = "x" * LARGE_BYTES
    mock.on_export.answer = large
    _expect("large export", len(await platform.export()), LARGE_BYTES)
    action = records.SyncAction(resource_id="large", apply=large)
    await platform.sync(records.SyncDef(actions=(action,)))
    _expect("large sync", len(mock.on_sync.asked[-1][0].actions[0].apply), LARGE_BYTES)


async def _errors(platform: protocol.Platform, mock: mocks.MockPlatform) -> None:
    plain = errors.ClusterError("the quota is used up", help="ask for more", details={"n": 1})
    partial = errors.SyncError.of({"shop:deployment/web": plain, "b": errors.DeadlineError("late")})
    applied = errors.ApplyError.of({"shop:deployment/web": plain})
    for error in (plain, errors.UpgradeNeededError("no export"), errors.InvalidRequestError("no")):
        for told, call in (
            (mock.on_ping, platform.ping),
            (mock.on_version, platform.version),
            (mock.on_export, platform.export),
            (mock.on_all_services, platform.all_services),
        ):
            told.error = error
            await _fails("error", call(), error)
            await _fails("error again", call(), error)
            told.error = None
    mock.on_sync.error, mock.on_apply.error = partial, applied
    for _ in range(2):
        # Twice: the reference's executor was stuck for ever after the first failing sync.
        await _fails("partial sync", platform.sync(_SYNC), partial)
    await _fails("partial apply", platform.apply([]), applied)
    mock.on_sync.error = None
    await platform.sync(records.SyncDef())
    await platform.ping()


async def _concurrent_calls(platform: protocol.Platform, mock: mocks.MockPlatform) -> None:
    mock.on_export.delay_s = 0.05
    mock.on_export.answer = "slow"
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(_text(platform))
        quick = [group.create_task(platform.version()) for _ in range(20)]
    _expect("slow call", slow.result(), "slow")
    _expect("quick calls", {task.result() for task in quick}, {"mock"})


async def _text(platform: protocol.Platform) -> str:
    return await platform.export()


async def call(platform: protocol.Platform, method: str) -> object:
    """Call a method by its name, with arguments that mean nothing in particular."""
    arguments: dict[str, tuple[object, ...]] = {
        "some_services": ([],),
        "apply": ([],),
        "sync": (records.SyncDef(),),
        "call_api": (records.ApiRequest(method="GET", path="/version"),),
    }
    answer: object = await getattr(platform, method)(*arguments.get(method, ()))
    return answer


async def _cancelled_calls(platform: protocol.Platform, mock: mocks.MockPlatform) -> None:
    mock.on_export.delay_s = -1
    async with asyncio.TaskGroup() as group:
        call = group.create_task(_text(platform))
        await _until("a call that is cancelled", lambda: mock.on_export.calls == 1)
        call.cancel()
    await _until("cancellation at the far end", lambda: mock.on_export.cancelled == 1)
    await platform.ping()


async def _fatal_errors(platform: protocol.Platform, mock: mocks.MockPlatform) -> None:
    fatal = errors.FatalError("the cluster is gone", details={"since": 3})
    mock.on_ping.error = fatal
    await _fails("fatal", platform.ping(), fatal)
    _expect("fatal call", mock.on_ping.calls, 1)


_CHECKS = (
    _arguments_and_answers,
    _empty_and_large,
    _errors,
    _fatal_errors,
    _concurrent_calls,
    _cancelled_calls,
)


async def _older_agent(wrap: Wrap) -> None:
    older = mocks.MockPlatform(methods=("ping", "version", "sync"))
    async with wrap(older) as given:
        platform = given.platform if isinstance(given, Reach) else given
        for method in [one for one in protocol.METHODS if one not in older.methods]:
            found = await _outcome(f"older agent, {method}", call(platform, method))
            if not isinstance(found, errors.UpgradeNeededError):
                raise BatteryError(f"older agent: {method} is not known there, but gave {found!r}")
        await platform.ping()
        _expect("older agent's version", await platform.version(), "mock")


async def _calls_out_of_time(reach: Reach, mock: mocks.MockPlatform) -> None:
    for method in reach.deadlines_s:
        told: mocks.Told = getattr(mock, f"on_{method}")
        told.delay_s = -1
        try:
            async with asyncio.timeout(reach.deadlines_s[method] + ARRIVES_S):
                await call(reach.platform, method)
        except errors.DeadlineError:
            pass
        except TimeoutError:
            raise BatteryError(f"deadline of {method}: the call hangs past it") from None
        else:
            raise BatteryError(f"deadline of {method}: the call came back")
        await _until(f"the end of {method} at the far end", lambda: told.cancelled == 1)  # noqa: B023
    await reach.platform.ping()


async def _kick_during_a_call(reach: Reach, mock: mocks.MockPlatform) -> None:
    if reach.replace is None:
        return
    mock.on_sync.delay_s = -1
    newer = mocks.MockPlatform()
    newer.on_version.answer = "newer"
    async with asyncio.TaskGroup() as group:
        under_way = group.create_task(_outcome("kick during a call", reach.platform.sync(_SYNC)))
        await _until("a call to be kicked", lambda: mock.on_sync.calls == 1)
        await reach.replace(newer)
    if not isinstance(under_way.result(), errors.KickedError):
        raise BatteryError(f"kick during a call: {under_way.result()!r}")
    _expect("version after a kick", await reach.platform.version(), "newer")
    _expect("runs of a kicked call", (mock.on_sync.calls, newer.on_sync.calls), (1, 0))


async def _reconnect_during_a_call(reach: Reach, mock: mocks.MockPlatform) -> None:
    if reach.reconnect is None:
        return
    mock.on_sync.delay_s = 0.1
    async with asyncio.TaskGroup() as group:
        under_way = group.create_task(
            _outcome("reconnect during a call", reach.platform.sync(_SYNC))
        )
        await _until("a call across a break", lambda: mock.on_sync.calls == 1)
        await reach.reconnect()
    found = under_way.result()
    if not (
        found == records.SyncResult()
        or (isinstance(found, errors.PlatformError) and found.retryable)
    ):
        raise BatteryError(f"reconnect during a call: {found!r}")
    _expect("runs of a call across a break", mock.on_sync.calls, 1)
    await reach.platform.ping()


async def _fatal_and_back(reach: Reach, mock: mocks.MockPlatform) -> None:
    if reach.reconnect is None:
        return
    mock.on_ping.error = errors.FatalError("the cluster is gone")
    await _fails("fatal", reach.platform.ping(), mock.on_ping.error)
    mock.on_ping.error = None
    await reach.reconnect()
    await reach.platform.ping()


async def _outcome(what: str, call: Awaitable[object]) -> object:
    """Return what a call gives, or its error; it must end."""
    try:
        async with asyncio.timeout(ARRIVES_S):
            return await call
    except errors.PlatformError as error:
        return error
    except TimeoutError:
        raise BatteryError(f"{what}: the call hangs") from None


_REACH_CHECKS = (
    _calls_out_of_time,
    _kick_during_a_call,
    _reconnect_during_a_call,
    _fatal_and_back,
)

_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: battery, namespace: default}
data: {a: "%s"}
"""
_BAD = "apiVersion: v1\nkind: Nope\nmetadata: {name: x}\n"


async def cluster_battery(platform: protocol.Platform) -> None:
    """Ask whether a platform in front of a real cluster behaves; uses a ConfigMap `battery`."""
    await platform.ping()
    if not await platform.version():
        raise BatteryError("version: empty")
    mine = records.SyncAction(resource_id="mine", apply=_MAP % 1)
    bad = records.SyncAction(resource_id="bad", apply=_BAD)
    for _ in range(2):
        try:
            await platform.sync(records.SyncDef(actions=(bad, mine)))
        except errors.SyncError as error:
            _expect("what failed", sorted(error.errors), ["bad"])
        else:
            raise BatteryError("sync: an unknown kind was applied")
    result = await platform.sync(records.SyncDef(actions=(mine,)))
    _expect("unchanged", [one.operation for one in result.results], ["unchanged"])
    exported = await platform.export()
    if "name: battery" not in exported or "managedFields" in exported or "uid:" in exported:
        raise BatteryError("export: not there, or not clean")
    _expect("export is deterministic", await platform.export(), exported)
    gone = records.SyncAction(resource_id="mine", delete=_MAP % 1)
    result = await platform.sync(records.SyncDef(actions=(gone,)))
    _expect("deleted", [one.operation for one in result.results], ["deleted"])
    once = records.SyncDef(actions=(mine,), request_id="battery-once")
    first = await platform.sync(once)
    _expect("a request runs once", await platform.sync(once), first)
    await platform.sync(records.SyncDef(actions=(gone,)))
    await platform.all_services()
    _expect("no such service", await platform.some_services(["default:deployment/none"]), [])
