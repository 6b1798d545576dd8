"""Calls are measured, and nothing else happens to them."""

import prometheus_client
import pytest

from understudy.platform import errors, instrument, protocol
from understudy.testing import battery, mocks


async def test_calls_are_counted_by_method_and_success_up_to_minutes():
    registry = prometheus_client.CollectorRegistry()
    durations = instrument.durations(registry)
    mock = mocks.MockPlatform()
    # Two platforms share one metric, as the agents of one hub do.
    platforms = [instrument.Instrument(mock, durations) for _ in range(2)]
    for platform in platforms:
        for method in protocol.METHODS:
            await battery.call(platform, method)
    mock.on_sync.error = errors.SyncError.of({"a": errors.ClusterError("no")})
    with pytest.raises(errors.SyncError):
        await battery.call(platforms[0], "sync")

    def counted(method, success, part="count", **labels):
        name = f"understudy_platform_request_duration_seconds_{part}"
        given = {"method": method, "success": success} | labels
        return registry.get_sample_value(name, given)

    assert {method: counted(method, "true") for method in protocol.METHODS} == dict.fromkeys(
        protocol.METHODS, 2
    )
    assert counted("sync", "false") == 1
    assert counted("sync", "true", "bucket", le="1200.0") == 2


def test_what_is_behind_shows_through():
    durations = instrument.durations(prometheus_client.CollectorRegistry())
    older = mocks.MockPlatform(methods=("ping",))
    assert protocol.methods_of(instrument.Instrument(older, durations)) == ("ping",)
