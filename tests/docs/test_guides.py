"""What the guides show is run, as a user's test file in an empty directory."""

import re
import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"


def test_the_testing_guide_runs(pytester):
    text = (GUIDES / "testing.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    if shutil.which("kubectl") is None:
        pytest.skip("the guide's first example runs kubectl, which is not on PATH")
    pytester.makepyfile("\n".join(blocks))
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=12)


def test_the_example_of_a_bus_runs(pytester):
    text = (GUIDES / "clusters.md").read_text()
    (block,) = re.findall(r"```python\n(import contextlib\n.*?)```", text, re.DOTALL)
    pytester.makepyfile(block)
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)
