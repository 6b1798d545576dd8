"""The server answers as a Kubernetes 1.36 API server did, in what the golden suite leaves out.

The files of own/ are of that suite's form and are played by its player.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = [pytest.mark.conformance, pytest.mark.timeout(120)]


def _load(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


tool = _load("conformance", HERE.parents[1] / "tools" / "conformance.py")
player = _load("golden_replay", HERE / "golden" / "replay.py")
AREAS = sorted(path.stem for path in (HERE / "own").glob("*.yaml"))


@pytest.fixture(scope="module")
def runner():
    with tool.running_server() as url:
        runner = player.Runner(player.Server(url, tool.TOKEN))
        yield runner
        runner.client.close()


@pytest.mark.parametrize("area", AREAS)
def test_area_answers_as_recorded(area, runner):
    path = HERE / "own" / f"{area}.yaml"
    assert player.load_expected(path)
    _, report = player.replay(runner, [path], only="*", limit=8, verbose=False)
    assert report
    assert [entry["scenario"] for entry in report if not entry["passed"]] == []
