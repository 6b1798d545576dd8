"""One behaviour for every platform and everything that carries calls to one.

    async def test_my_bus():
        await battery.platform_battery(my_wrap)

`wrap` takes a platform and returns an async context manager whose value is the platform to use:
the same one, or what reaches it over a bus, a socket, a hub. `platform_battery` puts a
`MockPlatform` behind it and asks whether arguments, answers and errors arrive whole;
`cluster_battery` puts a real cluster there and asks whether it does what a cluster should.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from understudy.platform import errors, protocol, records
from understudy.testing import mocks

Wrap = Callable[[protocol.Platform], AbstractAsyncContextManager[protocol.Platform]]
LARGE_BYTES = 4 << 20
"""Larger than any message bus takes in one piece."""

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
    """Run every check over a fresh mock behind `wrap`; BatteryError tells the first failure."""
    for check in _CHECKS:
        mock = mocks.MockPlatform()
        async with wrap(mock) as platform:
            if inspect.iscoroutinefunction(check):
                await check(platform, mock)


async def _arguments_and_answers(platform: protocol.Platform, mock: mocks.MockPlatform) -> None:
    await platform.ping()
    _expect("version", await platform.version(), "mock")
    mock.on_all_services.answer = _SERVICES
    mock.on_all_services.check = lambda namespace, ignored: _expect(
        "all_services arguments", (namespace, ignored), ("shop", {"shop:deployment/x"})
    )
    found = await platform.all_services("shop", {"shop:deployment/x"})
    _expect("all_services", found, _SERVICES)
    mock.on_some_services.answer = [_FULL]
    mock.on_some_services.check = lambda ids: _expect("some_services ids", ids, [_FULL.id])
    _expect("some_services", await platform.some_services([_FULL.id]), [_FULL])
    definition = records.ServiceDefinition(
        service_id=_FULL.id, definition="a: 1", asynchronous=True
    )
    mock.on_apply.check = lambda given: _expect("apply", given, [definition])
    await platform.apply([definition])
    result = records.SyncResult(
        results=(records.ResourceResult(resource_id="r", object="o", operation="changed"),)
    )
    mock.on_sync.check = lambda given: _expect("sync", given, _SYNC)
    mock.on_sync.answer = result
    _expect("sync result", await platform.sync(_SYNC), result)
    asked = records.ApiRequest(
        method="POST", path="/api/v1/pods?limit=5", body="{}", headers={"a": "b"}
    )
    refusal = records.ApiAnswer(status=404, headers={"content-type": "x"}, body="/w==", base64=True)
    mock.on_call_api.check = lambda given: _expect("call_api", given, asked)
    mock.on_call_api.answer = refusal
    _expect("answer", await platform.call_api(asked), refusal)


async def _empty_and_large(platform: protocol.Platform, mock: mocks.MockPlatform) -> None:
    _expect("no services", await platform.all_services(), [])
    _expect("empty sync", await platform.sync(records.SyncDef()), records.SyncResult())
    _expect("empty export", await platform.export(), "")
    large = "x" * LARGE_BYTES
    mock.on_export.answer = large
    _expect("large export", len(await platform.export()), LARGE_BYTES)
    action = records.SyncAction(resource_id="large", apply=large)
    mock.on_sync.check = lambda given: _expect(
        "large sync", len(given.actions[0].apply), LARGE_BYTES
    )
    await platform.sync(records.SyncDef(actions=(action,)))


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
    try:
        async with asyncio.timeout(0.1):
            await platform.export()
    except TimeoutError:
        pass
    else:
        raise BatteryError("cancel: the call came back")
    await platform.ping()


_CHECKS = (_arguments_and_answers, _empty_and_large, _errors, _concurrent_calls, _cancelled_calls)

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
