"""Fixtures of the fuzz tests; makes `fuzzing` importable by name."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fuzzing


@pytest.fixture(scope="module")
def world():
    return fuzzing.World()


@pytest.fixture
def failures():
    handler = fuzzing.Failures()
    log = logging.getLogger("understudy")
    log.addHandler(handler)
    yield handler.records
    log.removeHandler(handler)
