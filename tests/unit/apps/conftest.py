"""Fixtures of the app tests; makes `apps_world` importable by name."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from apps_world import KNATIVE, QUICK, Cluster

from understudy.apps import client as app_clients
from understudy.controllers import running
from understudy.controllers.knative import installing, worlds
from understudy.kapi import views


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    view = views.new_view()
    installing.install(view, KNATIVE)
    controllers = installing.controllers(KNATIVE, worlds.steady())
    work = running.start(view, "all", QUICK, more=controllers)
    made = Cluster(view, work)
    try:
        yield made
    finally:
        for client in made.made:
            await client.close()
        with contextlib.suppress(asyncio.CancelledError):
            await work.stop()


@pytest.fixture
def apps(cluster: Cluster) -> app_clients.KnativeAppClient:
    return cluster.apps()
