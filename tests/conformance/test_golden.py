"""The server answers as the recorded reference did, except for what not-passing.txt lists."""

import filecmp
import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORIGINAL = ROOT.parent / "shared" / "golden"


def _load_tool():
    spec = importlib.util.spec_from_file_location("conformance", ROOT / "tools" / "conformance.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = _load_tool()
pytestmark = [pytest.mark.conformance, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def reports():
    return tool.reports()


def _differences(left: Path, right: Path) -> list[str]:
    compared = filecmp.dircmp(left, right, ignore=["__pycache__"])
    found = [
        *compared.left_only,
        *compared.right_only,
        *filecmp.cmpfiles(left, right, compared.common_files, shallow=False)[1],
    ]
    for name in compared.common_dirs:
        found += [f"{name}/{path}" for path in _differences(left / name, right / name)]
    return found


@pytest.mark.skipif(not ORIGINAL.is_dir(), reason=f"{ORIGINAL} is not on this machine")
def test_golden_suite_is_a_verbatim_copy():
    assert _differences(ORIGINAL, tool.GOLDEN) == []


def test_list_names_scenarios_once_and_in_order():
    listed = tool.not_passing()
    recorded = {
        f"{path.stem.split('-', 1)[1]}/{name}"
        for path in (tool.GOLDEN / "cases").glob("*.json")
        for name in json.loads(path.read_text())
    }
    assert listed == sorted(set(listed))
    assert set(listed) <= recorded


@pytest.mark.parametrize("area", tool.areas())
def test_area_answers_as_recorded(area, reports):
    listed = {name for name in tool.not_passing() if name.startswith(f"{area}/")}
    ran = {name: entry for name, entry in reports.items() if name.startswith(f"{area}/")}
    assert ran
    passed = {name for name, entry in ran.items() if entry["passed"]}
    stale = sorted(listed & passed)
    assert not stale, (
        "these pass now: run `make conformance-ratchet` to take them off "
        f"tests/conformance/not-passing.txt: {', '.join(stale)}"
    )
    broken = sorted(ran.keys() - passed - listed)
    assert not broken, "these passed before:\n" + "\n".join(_shown(ran[name]) for name in broken)


def _shown(entry) -> str:
    lines = [entry["scenario"]]
    for step in entry["steps"]:
        for check, differences in step["diff"].items():
            lines += [f"  {step['step']}: {check}: {line}" for line in differences[:5]]
    return "\n".join(lines)
